# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_backup_options
from ansible_collections.pgfleet.backup.plugins.module_utils._clients import check_patched, parse_version
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_options import read_restore_options
from ansible_collections.pgfleet.backup.plugins.module_utils._security_floors import FLAWS, open_flaws

ALL = ("pg_dump", "pg_restore", "psql")
NEWEST = {14: 25, 15: 20, 16: 16, 17: 12, 18: 7}


def names(version: tuple[int, ...], tools: tuple[str, ...] = ALL) -> list[str]:
    return [flaw.cve for flaw in open_flaws(version, tools)]


def test_the_table_is_what_it_says() -> None:
    assert len({flaw.cve for flaw in FLAWS}) == len(FLAWS)
    for flaw in FLAWS:
        assert re.fullmatch(r"CVE-20\d\d-\d{4,7}", flaw.cve)
        assert set(flaw.tools) <= set(ALL)
        majors = sorted(flaw.fixed)
        assert majors == list(range(majors[0], majors[-1] + 1)), "a major that is left out counts as never fixed"


@pytest.mark.parametrize("major", NEWEST)
def test_the_release_with_the_last_fix_is_clean_and_the_one_before_is_not(major: int) -> None:
    assert names((major, NEWEST[major])) == []
    assert names((major, NEWEST[major] - 1)) == ["CVE-2026-116314"]


def test_which_flaw_matters_depends_on_the_tool() -> None:
    assert names((18, 6), ("pg_dump", "psql")) == []
    assert names((15, 18), ("psql",)) == ["CVE-2026-18408"]
    assert names((15, 17), ("pg_dump",)) == ["CVE-2026-19385", "CVE-2026-6477"]
    assert names((16, 3), ("psql",)) == ["CVE-2026-18408", "CVE-2025-8714"]
    assert "CVE-2024-7348" in names((16, 3), ("pg_dump",))


def test_a_newer_major_is_clean_and_an_older_one_was_never_fixed() -> None:
    assert names((19, 0)) == names((19,)) == []
    assert "CVE-2024-7348" not in names((17, 0)), "17 never had it"
    assert names((13, 23), ("pg_restore",)) == ["CVE-2026-116314"]
    assert len(names((9, 6, 24))) == len(FLAWS)
    assert names((18,)) == names((18, 0)), "a beta comes before them all"


def check(version: str, *, required: bool = False) -> list[str]:
    log = RunLog(Redactor())
    client = parse_version("pg_dump (PostgreSQL) " + version, folder="/usr/lib/postgresql/bin")
    check_patched(client, ALL, required=required, log=log)
    return log.warnings


def test_one_warning_names_the_worst_first_and_what_to_update_to() -> None:
    [warning] = check("15.18")
    assert warning.startswith(
        "CLIENT_UNPATCHED: the PostgreSQL client 15.18 in /usr/lib/postgresql/bin lacks security fixes: CVE-2026-116314, ")
    assert warning.index("CVE-2026-116314") < warning.index("CVE-2026-19385") < warning.index("CVE-2026-18408")
    assert warning.endswith("; fixed in 15.20")
    assert check("15.20") == []


def test_what_is_required_fails_with_the_release_in_its_hint() -> None:
    with pytest.raises(BackupError, match="CVE-2026-116314") as caught:
        check("18.6", required=True)
    assert caught.value.code == "CLIENT_UNPATCHED"
    assert "18.7 or newer" in caught.value.hint
    assert check("18.7", required=True) == []


def test_where_no_release_has_the_fix_another_major_is_needed() -> None:
    assert check("13.23")[0].endswith("; no release of 13 has the fix")
    with pytest.raises(BackupError) as caught:
        check("13.23", required=True)
    assert "a major version that is still maintained" in caught.value.hint


@pytest.mark.parametrize(("options", "tools"), [
    ({}, ["pg_dump", "pg_restore"]),
    ({"verify": "checksum"}, ["pg_dump"]),
    ({"format": "plain"}, ["pg_dump"]),
    ({"format": "plain", "verify": "restore"}, ["pg_dump", "psql"]),
])
def test_the_tools_of_a_backup(options: dict[str, str], tools: list[str]) -> None:
    given = {"backup_dir": "/b", "format": "directory", "verify": "archive", **options}
    assert read_backup_options(given).tools == tools


@pytest.mark.parametrize(("options", "dump", "tools"), [
    ({}, "directory", ["pg_restore"]),
    ({}, "plain", ["psql"]),
    ({"strategy": "in_place"}, "custom", ["pg_restore", "psql"]),
    ({"strategy": "in_place", "safety_backup": True}, "custom", ["pg_restore", "psql", "pg_dump"]),
])
def test_the_tools_of_a_restore(options: dict[str, str], dump: str, tools: list[str]) -> None:
    assert read_restore_options({"backup_dir": "/b", "strategy": "swap", **options}).tools(dump) == tools
