# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import identify
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

PLAIN = b"--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n--\n-- PostgreSQL database dump complete\n--\n"


def refused(path: Path) -> BackupError:
    with pytest.raises(BackupError) as caught:
        identify(str(path))
    assert caught.value.code == "INVALID_BACKUP_FORMAT"
    return caught.value


def test_a_link_to_a_dump_is_a_dump(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(PLAIN)
    (tmp_path / "link").symlink_to("x")
    assert identify(str(tmp_path / "link")).format == "plain"


def test_pipes_and_devices_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert "no ordinary file" in refused(path).what


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_ordinary_files_are_in_a_folder(tmp_path: Path, kind: str) -> None:
    (tmp_path / "toc.dat").write_bytes(b"PGDMP")
    inside = tmp_path / "1.dat"
    if kind == "link":
        inside.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(inside)
    else:
        inside.mkdir()
    assert "1.dat in it is no ordinary file" in refused(tmp_path).what


def test_a_link_in_the_place_of_the_table_of_contents(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "toc.dat").symlink_to("pipe")
    assert "no ordinary file" in refused(tmp_path).what


@pytest.mark.parametrize("packed", [False, True])
def test_a_cluster_s_dump_is_recognised(tmp_path: Path, packed: bool) -> None:
    text = PLAIN.replace(b"database dump", b"database cluster dump", 1)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(text) if packed else text)
    error = refused(path)
    assert "pg_dumpall" in error.what
    assert "by psql by hand" in error.hint


@pytest.mark.parametrize("data", [
    PLAIN, b"pg_dump: warning: x\n" + PLAIN, b"PGDMP\1\20\0" + b"x\n" * 500, gzip.compress(os.urandom(20000)),
])
def test_what_went_through_a_terminal_is_explained(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    for content in (data.replace(b"\n", b"\r\n"), gzip.compress(data.replace(b"\n", b"\r\n"))):
        path.write_bytes(content)
        error = refused(path)
        assert "through a terminal" in error.what
        assert "--tty" in error.hint
