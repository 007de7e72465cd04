# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._codec import reading
from ansible_collections.pgfleet.backup.plugins.module_utils._tar_stream import tar_chunks

FILES = {
    "toc.dat": b"PGDMP", "empty": b"", "block": b"x" * 512, "more": b"y" * 513, "großes": os.urandom(3 << 20),
    "n" * 150: b"long",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "database"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "fifo")
    (folder / "sub").mkdir()
    return folder


def test_a_folder_for_the_librarys_tar(folder: Path) -> None:
    data = b"".join(tar_chunks(str(folder), name="backup"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {member.name: member for member in archive}
        assert next(iter(members)) == "backup"
        assert set(members) == {"backup", *("backup/" + name for name in FILES)}
        assert members["backup"].isdir()
        assert members["backup"].mode == 0o700
        for name, content in FILES.items():
            file = archive.extractfile("backup/" + name)
            assert file
            assert file.read() == content
            assert members["backup/" + name].mode == 0o600


def test_a_folder_for_the_real_tar(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    data = b"".join(tar_chunks(str(folder), name="backup"))
    done = subprocess.run(["tar", "-xf", "-", "-C", str(target)], input=data, capture_output=True, check=True)
    assert done.stderr == b""
    assert {path.name: path.read_bytes() for path in (target / "backup").iterdir()} == FILES


def test_a_single_file(folder: Path) -> None:
    data = b"".join(tar_chunks(str(folder / "more"), name="backup"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["backup"]


def test_a_file_that_becomes_shorter(folder: Path) -> None:
    chunks = tar_chunks(str(folder / "großes"), name="backup")
    next(chunks)
    os.truncate(folder / "großes", 10)
    with pytest.raises(OSError, match="changed its size"):
        list(chunks)


def contents(data: bytes, size: int) -> dict[str, bytes]:
    """What the library's tar reads from a stream that comes in pieces of ``size`` bytes."""
    found = {}
    file = reading(data[start:start + size] for start in range(0, len(data), size))
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content:
                found[member.name] = content.read()
    return found


@pytest.mark.parametrize("size", [7, 512, 100_000, 10_000_000])
def test_a_stream_is_read_as_a_file(folder: Path, size: int) -> None:
    (folder / "großes").write_bytes(os.urandom(70_000))
    data = subprocess.run(
        ["tar", "-cf", "-", "--exclude=fifo", "-C", str(folder), "."], capture_output=True, check=True).stdout
    assert contents(data, size) == {"./" + name: (folder / name).read_bytes() for name in FILES}


def test_a_stream_that_is_cut_is_an_error(folder: Path) -> None:
    data = b"".join(tar_chunks(str(folder), name="backup"))
    with pytest.raises(tarfile.TarError):
        contents(data[:len(data) // 2], 1000)


def test_what_is_compressed_is_packed_clear_when_asked_for(folder: Path) -> None:
    (folder / "a.dat.gz").write_bytes(gzip.compress(b"clear"))
    packed = contents(b"".join(tar_chunks(str(folder), name="backup")), 1000)
    clear = contents(b"".join(tar_chunks(str(folder), name="backup", unpack={"gzip"})), 1000)
    assert packed["backup/a.dat.gz"] == (folder / "a.dat.gz").read_bytes()
    assert clear["backup/a.dat"] == b"clear"
    assert "backup/a.dat.gz" not in clear
