# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading by the real shell and the real dd, as they stand on a managed host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Tuple

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._remote_files import BLOCK, Execute, Piece, RemoteFiles


def by_shell(command: str, stdin: bytes) -> Tuple[int, bytes, bytes]:
    """What a connection does, sudo's chatter included."""
    done = subprocess.run(
        ["/bin/sh", "-c", "echo BECOME-SUCCESS-x; " + command], input=stdin, capture_output=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def cut(command: str, stdin: bytes) -> Tuple[int, bytes, bytes]:
    """A connection that loses the last byte and does not notice."""
    status, output, errors = by_shell(command, stdin)
    return status, output[:-1], errors


def fails(code: str, folder: Path, name: str, length: int = 1, execute: Execute = by_shell) -> BackupError:
    with pytest.raises(BackupError) as caught:
        RemoteFiles(execute).read(str(folder), [Piece(name, 0, length)])
    assert caught.value.code == code
    return caught.value


def test_pieces_arrive_to_the_byte_in_their_order(tmp_path: Path) -> None:
    awkward = "it's $(touch x) \"ü\n-n"
    content = bytes(range(256)) * (BLOCK // 256) + b"tail"
    (tmp_path / "big").write_bytes(content)
    (tmp_path / awkward).write_bytes(b"\0\r\n\xff")
    files = RemoteFiles(by_shell)
    assert files.read(str(tmp_path), [Piece("big", 0, BLOCK)]) == content[:BLOCK]
    assert files.read(str(tmp_path), [Piece(awkward, 0, 4), Piece("big", 1, 4)]) == b"\0\r\n\xfftail"
    assert sorted(os.listdir(tmp_path)) == ["big", awkward]


@pytest.mark.parametrize("size", [0, 3, BLOCK, BLOCK + 1])
def test_a_file_of_unknown_size_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    assert RemoteFiles(by_shell).read_whole(str(tmp_path), "file") == b"x" * size


def test_no_file_is_none(tmp_path: Path) -> None:
    assert RemoteFiles(by_shell).read_whole(str(tmp_path), "file") is None


def test_what_is_gone_is_told_and_worth_another_try(tmp_path: Path) -> None:
    assert fails("BACKUP_NOT_FOUND", tmp_path / "folder", "file").retryable
    assert fails("BACKUP_NOT_FOUND", tmp_path, "file").retryable


def test_neither_link_nor_fifo_is_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        assert "not a regular file" in fails("BACKUP_NOT_FOUND", tmp_path, name).what


@pytest.mark.parametrize("length", [3, 5])
def test_a_file_of_another_size_is_a_mismatch(tmp_path: Path, length: int) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    assert "4 bytes instead of" in fails("CHECKSUM_MISMATCH", tmp_path, "file", length).what


def test_a_cut_stream_is_not_taken_for_a_short_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    error = fails("CONNECTION_FAILED", tmp_path, "file", 4, cut)
    assert error.retryable
    assert "goes on" in error.hint
