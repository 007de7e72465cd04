# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._credentials_file import (
    format_variables,
    parse_variables,
    read_credentials,
    write_credentials,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.tests.unit.processes import as_nobody
from hypothesis import example, given, settings, strategies as st

AWKWARD = "sp ace='\"=#\\$(touch x)`id`\n\r\tä€😀\u2028%!~"
PASSWORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(PASSWORDS, PASSWORDS)
@example(AWKWARD, "#")
@example("", "'")
@example("\n", "\r\n")
def test_every_password_comes_back(password: str, other: str) -> None:
    variables = {"POSTGRES_PASSWORD": password, "POSTGRES_DB": other}
    assert parse_variables(format_variables(variables)) == variables


@settings(max_examples=50)
@given(PASSWORDS)
@example(AWKWARD)
def test_a_shell_reads_the_same(password: str) -> None:
    script = format_variables({"X": password}) + "printf %s. \"$X\"\n"
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True, env={})
    assert done.stdout == password.encode() + b"."
    assert done.stderr == b""


@pytest.mark.parametrize(("text", "expected"), [
    ("", {}),
    ("\n  \n# comment\n  # another\n", {}),
    ("A=1\nB=2", {"A": "1", "B": "2"}),
    ("A=\n", {"A": ""}),
    ("A=1\nA=2\n", {"A": "2"}),
    ("  export A=1\nexport\tB=2\n", {"A": "1", "B": "2"}),
    ("A=b=c#d\n", {"A": "b=c#d"}),
    ("A=1 # why\nB='2'\t#why\n", {"A": "1", "B": "2"}),
    ("A=1  \r\nB=2\r\n", {"A": "1", "B": "2"}),
    ("A='x y'\"z 'q'\"w\n", {"A": "x yz 'q'w"}),
    (r'A="a\"b\\c\$d\e"', {"A": r'a"b\c$d\e'}),
    (r"A=a\ b\'c", {"A": "a b'c"}),
    ("A='two\nlines'\nB=2\n", {"A": "two\nlines", "B": "2"}),
])
def test_files_written_by_hand(text: str, expected: dict[str, str]) -> None:
    assert parse_variables(text) == expected


@pytest.mark.parametrize(("text", "line"), [
    ("A=1\nsecret\n", 2), ("\n\n=secret\n", 3), ("A =secret\n", 1), ("A=x secret\n", 1), ("A='secret\n\n", 1),
    ("A=1\nB=\"secret\n", 2), ("1A=secret\n", 1), ("A='x\ny'\nsecret", 3), ("A-B=secret", 1),
])
def test_malformed_lines_are_named_and_not_shown(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "db.env"
    path.write_text(text)
    with pytest.raises(BackupError, match="line {0} ".format(line)) as caught:
        read_credentials(str(path))
    assert caught.value.code == "INVALID_DB_CONFIG"
    assert str(path) in caught.value.what
    assert "secret" not in caught.value.what


@pytest.mark.parametrize(("content", "reason"), [
    (b"A=\xff\n", "not UTF-8"), (b"#" * (64 * 1024 + 1), "larger"),
])
def test_unusable_content(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "db.env"
    path.write_bytes(content)
    with pytest.raises(BackupError, match=r"^INVALID_DB_CONFIG: .*" + reason):
        read_credentials(str(path))


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "db.env"
    path.write_bytes(b"#" * (64 * 1024))
    assert read_credentials(str(path)) == {}


def test_a_missing_file_is_no_invalid_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_credentials(str(tmp_path / "db.env"))
    with pytest.raises(BackupError, match="INVALID_DB_CONFIG"):
        read_credentials(str(tmp_path))


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "db.env"
    path.write_text("A=1\n")
    path.chmod(0)
    code, what = as_nobody(read_credentials, str(path))
    assert code == "INVALID_DB_CONFIG"
    assert str(path) in what


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_a_written_file_is_the_owners_alone(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "state" / "db.env"
    variables = {"POSTGRES_PASSWORD": AWKWARD, "POSTGRES_CONTAINER": "app"}
    before = os.umask(umask)
    try:
        write_credentials(str(path), {"OLD": "1"})
        write_credentials(str(path), variables)
    finally:
        os.umask(before)
    assert read_credentials(str(path)) == variables
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["db.env"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "db.env"
    write_credentials(str(path), {"A": "old"})

    def fail(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BackupError, match=r"BACKUP_DIR_UNUSABLE: .*No space left"):
        write_credentials(str(path), {"A": "new"})
    assert read_credentials(str(path)) == {"A": "old"}
    assert os.listdir(tmp_path) == ["db.env"]
