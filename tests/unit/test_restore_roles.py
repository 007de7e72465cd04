# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script of a set's roles is run as it is, so it must be one of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Dump
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._globals import roles_script
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_roles import read_roles_script
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet


def source(folder: Path) -> Source:
    return Source(Dump("", "directory", "none", None), BackupSet(str(folder), {}))


def role(name: str, comment: str = "") -> dict[str, object]:
    row = {"rolname": name, "rolcanlogin": True, "rolconnlimit": -1}
    return {"row": row, "verifier": None, "settings": ["search_path=\"$user\", 'a\\b'"], "comment": comment, "member_of": []}


def test_our_own_script_passes_whatever_the_names(tmp_path: Path) -> None:
    roles = [role('we"ird \\! touch x'), role("it's", comment="\\gexec\n\\! date\n; -- '"), role("größe")]
    text = roles_script(roles, database="a\n\\! date")
    (tmp_path / "globals.sql").write_text(text, encoding="utf-8")
    read = read_roles_script(source(tmp_path))
    assert read is not None
    assert read.endswith(text)


def test_no_script_is_no_script(tmp_path: Path) -> None:
    assert read_roles_script(source(tmp_path)) is None
    assert read_roles_script(Source(Dump("", "custom", "none", None), None)) is None


@pytest.mark.parametrize("line", [
    "\\! touch /tmp/x", "SELECT 1 \\! touch /tmp/x", "\\copy t from program 'date'", "SELECT 1 \\g |date", "\\i other.sql",
    "\\gexec touch", "SELECT :'DBNAME'", "\\connect other",
])
def test_any_other_command_of_psql_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "globals.sql").write_text(f"SELECT 1;\n{line}\n", encoding="utf-8")
    with pytest.raises(BackupError) as caught:
        read_roles_script(source(tmp_path))
    assert caught.value.code == "INVALID_BACKUP_FORMAT"
    assert "globals.sql" in caught.value.what
