# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions whose databases cannot be restored like others, in sets and in foreign dumps."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Dump
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, TocEntry
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_extensions import check_extensions
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet


def set_with(*extensions: str) -> Source:
    return Source(Dump("", "directory", "none", None), BackupSet("", {"extensions": dict.fromkeys(extensions, "1.0")}))


def foreign_with(*extensions: str) -> Source:
    entries = tuple(TocEntry("EXTENSION", "", name, "", False, b"", "") for name in extensions)
    return Source(Dump("", "custom", "none", Toc((1, 14, 0), "", "", "", entries)), None)


@pytest.mark.parametrize("made", [set_with, foreign_with])
@pytest.mark.parametrize(("extension", "strategy", "refused"), [
    ("timescaledb", "swap", True), ("timescaledb", "create", True), ("timescaledb", "in_place", True),
    ("timescaledb", "drill", True), ("pg_cron", "swap", True), ("pg_cron", "drill", True),
    ("pg_cron", "create", False), ("pg_cron", "in_place", False), ("hstore", "swap", False),
])
def test_which_are_refused(made: type, extension: str, strategy: str, refused: bool) -> None:
    finding = check_extensions(made("plpgsql", extension), strategy)
    assert (finding is not None) is refused
    if finding is not None:
        assert finding.code == "INCOMPATIBLE_TARGET"
        assert extension in finding.what


def test_a_foreign_plain_dump_does_not_say() -> None:
    assert check_extensions(Source(Dump("", "plain", "none", None), None), "swap") is None
