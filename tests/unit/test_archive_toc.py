# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, TocEntry, read_toc
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from hypothesis import example, given, strategies as st

CUSTOM, TAR, DIRECTORY = 1, 3, 5
ENTRIES = (
    TocEntry("TABLE", "public", "größe", "shop", False, b"", "", 7, (6, 7)),
    TocEntry("TABLE DATA", "public", "größe", "shop", True, 'COPY public."größe" (a) FROM stdin;\n'.encode(), "3001.dat", 7,
             (6, 7)),
)


def integer(value: int, size: int = 4) -> bytes:
    return bytes([value < 0]) + abs(value).to_bytes(size, "little")


def text(value: str | None, size: int = 4) -> bytes:
    return integer(-1, size) if value is None else integer(len(value.encode()), size) + value.encode()


def archive(minor: int = 16, layout: int = CUSTOM, size: int = 4, client: str = "18.6 (Debian 18.6-1)") -> bytes:
    """An archive's head, as pg_dump's WriteHead and WriteToc write it."""
    def string(value: str | None) -> bytes:
        return text(value, size)

    data = b"PGDMP" + bytes([1, minor, 0, size, 8, layout])
    data += b"\1" if minor >= 15 else integer(-1, size)
    data += b"".join(integer(part, size) for part in (1, 2, 3, 21, 10, 126, 0))
    data += string("shop") + string("17.11") + string(client) + integer(len(ENTRIES), size)
    for entry in ENTRIES:
        data += integer(7, size) + integer(entry.has_data, size) + string("1259") + string("16384")
        data += string(entry.name) + string(entry.kind) + integer(3, size) + string("") + string(None)
        data += string(entry.copy_statement.decode() or None) + string(entry.schema) + string(None)
        data += string("heap") if minor >= 14 else b""
        data += integer(114, size) if minor >= 16 else b""
        data += string(entry.owner) + string("false") + string("6") + string("7") + string(None)
        data += b"\2" + bytes(8) if layout == CUSTOM else string(entry.file_name)
    return data


def read(data: bytes) -> Toc:
    return read_toc(io.BytesIO(data), len(data))


@pytest.mark.parametrize("layout", [CUSTOM, TAR, DIRECTORY])
@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("minor", range(12, 17))
def test_every_version_and_layout(minor: int, size: int, layout: int) -> None:
    toc = read(archive(minor, layout, size) + b"data that follows")
    files = ("", "") if layout == CUSTOM else ("", "3001.dat")
    assert toc.entries == tuple(entry._replace(file_name=name) for entry, name in zip(ENTRIES, files, strict=True))
    assert (toc.archive_version, toc.database, toc.server_version) == ((1, minor, 0), "shop", "17.11")
    assert toc.counts() == {"TABLE": 1, "TABLE DATA": 1}


@pytest.mark.parametrize("number", ["", "-6", "6x", "9" * 11])
def test_what_is_no_number_is_no_dependency(number: str) -> None:
    with pytest.raises(BackupError, match="an impossible dependency"):
        read(archive().replace(text("6"), text(number), 1))


@pytest.mark.parametrize(("client", "major"), [
    ("18.6 (Debian 18.6-1)", 18), ("9.6.24", 9), ("18beta2", 18), ("", 0), (" ", 0), (".", 0), (".5", 0), ("²", 0),
    ("devel", 0),
    ("9" * 5000, 9999),
])
def test_the_clients_major_version(client: str, major: int) -> None:
    assert read(archive(client=client)).client_major == major


@pytest.mark.parametrize("layout", [CUSTOM, DIRECTORY])
def test_every_cut_is_noticed(layout: int) -> None:
    data = archive(layout=layout)
    for length in range(len(data)):
        with pytest.raises(BackupError, match=r"^INVALID_BACKUP_FORMAT: the archive cannot be read: "):
            read(data[:length])


@pytest.mark.parametrize(("place", "value"), [(0, 0), (5, 2), (6, 11), (6, 21), (8, 0), (8, 9), (9, 0), (9, 9)])
def test_heads_that_are_not_known(place: int, value: int) -> None:
    data = bytearray(archive())
    data[place] = value
    with pytest.raises(BackupError, match="INVALID_BACKUP_FORMAT"):
        read(bytes(data))


def attempt(data: bytes) -> None:
    code = "INVALID_BACKUP_FORMAT"
    try:
        toc = read(data)
    except BackupError as error:
        code = error.code
    else:
        assert toc.client_major >= 0
        assert sum(toc.counts().values()) == len(toc.entries)
    assert code == "INVALID_BACKUP_FORMAT"


@given(st.binary())
@example(b"PGDMP\1\20\0\4\10\1\0" + b"\0\0\0\0\0" * 7 + b"\1\1\0\0\0" * 3 + b"\0\xff\xff\xff\x7f")
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    attempt(data)
    attempt(b"PGDMP\1\20\0" + data)
    attempt(archive()[:90] + data)


@given(st.integers(0, len(archive()) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(place: int, value: int) -> None:
    data = bytearray(archive(layout=DIRECTORY))
    data[place] = value
    attempt(bytes(data))


@pytest.mark.parametrize("claimed", [1 << 30, (1 << 31) - 1])
def test_what_an_archive_claims_takes_no_memory(claimed: int) -> None:
    class Endless(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            Endless.asked = max(Endless.asked, size)
            return bytes(size)

    head = archive()[:archive().index(text("shop"))]
    for data in (head + integer(claimed), head + text("") * 3 + integer(claimed)):
        with pytest.raises(BackupError, match="INVALID_BACKUP_FORMAT"):
            read_toc(io.BufferedReader(Chained(data, Endless())), len(data) + 4096)
    assert Endless.asked <= 1 << 20


class Chained(io.RawIOBase):
    """Some bytes, and then another file."""

    def __init__(self, data: bytes, more: io.RawIOBase) -> None:
        self._data, self._more = io.BytesIO(data), more

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._data.read(len(buffer)) or self._more.read(len(buffer)) or b""
        buffer[:len(data)] = data
        return len(data)


def test_names_are_text_in_the_archives_encoding() -> None:
    entry = integer(1) + integer(0) + text("0") * 2 + text("ENCODING") * 2 + integer(2)
    entry += text("SET client_encoding = 'LATIN1';\n") + text(None) * 5 + integer(0) + text(None) * 3 + b"\2" + bytes(8)
    data = archive().replace(integer(len(ENTRIES)) + integer(7), integer(len(ENTRIES) + 1) + entry + integer(7), 1)
    latin = data.replace(text("größe"), integer(5) + "größe".encode("latin-1"))
    toc = read(latin)
    assert (toc.encoding, toc.entries[0].kind) == ("LATIN1", "ENCODING")
    assert {item.name for item in toc.entries[1:]} == {"größe"}
    assert read(archive()).encoding == "UTF8"
