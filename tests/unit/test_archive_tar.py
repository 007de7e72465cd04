# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_tar import is_tar, read_tar
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from hypothesis import example, given, strategies as st


def integer(value: int) -> bytes:
    return bytes([value < 0]) + abs(value).to_bytes(4, "little")


def text(value: str | None) -> bytes:
    return integer(-1) if value is None else integer(len(value)) + value.encode()


def toc(kind: str = "TABLE DATA", file_name: str = "1.dat") -> bytes:
    """The head of a tar archive of version 1.16 with one entry."""
    head = b"PGDMP\1\20\0\4\10\3\0" + integer(0) * 7 + text("shop") + text("18") + text("18") + integer(1)
    entry = integer(1) + integer(1) + text("0") * 2 + text("t") + text(kind) + integer(3) + text("") + text(None) * 5
    return head + entry + integer(0) + text("o") + text(None) + text(None) + text(file_name)


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    # tarfile fills a whole record; pg_dump writes two empty blocks.
    return file.getvalue().rstrip(b"\0").ljust(-(-len(file.getvalue().rstrip(b"\0")) // 512) * 512, b"\0") + bytes(1024)


WHOLE = tar({"toc.dat": toc(), "1.dat": b"1\n" * 700, "restore.sql": b"-- x\n"})


def read(data: bytes) -> int:
    return len(read_tar(io.BytesIO(data), len(data)).entries)


def test_a_whole_archive() -> None:
    assert is_tar(WHOLE)
    assert not is_tar(b"PGDMP" * 100)
    assert read(WHOLE) == 1
    blobs = {"toc.dat": toc("BLOBS", "blobs.toc"), "blobs.toc": b"16400 blob_16400.dat\n", "blob_16400.dat": b"x"}
    assert read(tar(blobs)) == 1


@pytest.mark.parametrize("length", [*range(512, len(WHOLE), 97), len(WHOLE) - 1024, len(WHOLE) - 1])
def test_every_cut_is_noticed(length: int) -> None:
    with pytest.raises(BackupError) as caught:
        read(WHOLE[:length])
    assert caught.value.code in ("VERIFY_FAILED", "INVALID_BACKUP_FORMAT")


@pytest.mark.parametrize(("members", "what"), [
    ({"toc.dat": toc()}, "it lacks 1.dat"), ({"1.dat": b""}, "no toc.dat"),
    ({"toc.dat": toc("BLOBS", "blobs.toc")}, "it lacks blobs.toc"),
    ({"toc.dat": toc("BLOBS", "blobs.toc"), "blobs.toc": b"1 blob_1.dat\n"}, "it lacks blob_1.dat"),
    ({"toc.dat": toc(), "1.dat": b"", "blobs.toc": b"nonsense\n"}, "list of large objects"),
])
def test_what_is_missing_or_makes_no_sense(members: dict[str, bytes], what: str) -> None:
    with pytest.raises(BackupError, match=what):
        read(tar(members))


def test_links_and_the_like_are_refused() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("toc.dat")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BackupError, match="toc.dat is not an ordinary file"):
        read(file.getvalue())


@given(st.integers(0, 1535), st.integers(0, 255))
@example(124, 128)
def test_a_changed_byte_is_refused_or_harmless(place: int, value: int) -> None:
    data = bytearray(WHOLE)
    data[place] = value
    code = "VERIFY_FAILED"
    try:
        read(bytes(data))
    except BackupError as error:
        code = error.code
    assert code in ("VERIFY_FAILED", "INVALID_BACKUP_FORMAT")


@given(st.binary(max_size=2000))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(BackupError):
        read(data)
