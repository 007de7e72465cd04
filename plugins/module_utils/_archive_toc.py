# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of contents of pg_dump's archives (custom, and the ``toc.dat`` of directory and tar).

The layout follows ``ReadHead`` and ``ReadToc`` of PostgreSQL's ``pg_backup_archiver.c``: archive versions 1.12
(PostgreSQL 9) to 1.16 (17 and 18). Reading it here tells what an archive must hold without running a tool on it.
"""

from __future__ import annotations

import re
import sys
from typing import BinaryIO, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._encodings import announced_encoding, decode_name
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["MAGIC", "Toc", "TocEntry", "read_toc"]

MAGIC = b"PGDMP"
_CUSTOM = 1
_MAX_BYTES = 1 << 30  # a few million objects
_PIECE = 1 << 20


class TocEntry(NamedTuple):
    """One object. ``copy_statement`` is set for table data that is dumped by COPY, as the bytes of the archive.

    ``dump_id`` is the number by which ``pg_restore --use-list`` and the ``dependencies`` of others name it.
    ``set_value`` is the statement that sets a sequence.
    """

    kind: str
    schema: str
    name: str
    owner: str
    has_data: bool
    copy_statement: bytes
    file_name: str
    dump_id: int = 0
    dependencies: Tuple[int, ...] = ()
    set_value: bytes = b""


class Toc(NamedTuple):
    """What the head of an archive says. ``client_version`` is the pg_dump that wrote it, ``encoding`` its text's."""

    archive_version: Tuple[int, int, int]
    database: str
    server_version: str
    client_version: str
    entries: Tuple[TocEntry, ...]
    encoding: str = "UTF8"

    @property
    def client_major(self) -> int:
        """0 when the archive does not say."""
        match = re.match(r"[^0-9.]*([0-9]{1,4})", self.client_version)
        return int(match.group(1)) if match else 0

    def counts(self) -> Dict[str, int]:
        """How many objects of each kind there are."""
        counted: Dict[str, int] = {}
        for entry in self.entries:
            counted[entry.kind] = counted.get(entry.kind, 0) + 1
        return counted


class _Reader:
    """Reads no more than ``limit`` bytes, and keeps only what is asked for."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit
        self.int_size = 4
        self.encoding = "UTF8"

    def exactly(self, size: int) -> bytes:
        # Never ask for more than there can be: a file object may set the memory aside at once.
        data = self._file.read(size) if size <= self._left else b""
        if len(data) != size:
            raise _broken("its table of contents ends too early")
        self._left -= size
        return data

    def byte(self) -> int:
        return self.exactly(1)[0]

    def integer(self) -> int:
        sign = self.byte()
        value = int.from_bytes(self.exactly(self.int_size), "little")
        return -value if sign else value

    def raw(self) -> Optional[bytes]:
        size = self.integer()
        return None if size < 0 else self.exactly(size)

    def text(self) -> str:
        """A name; empty for null too. Kinds, schemas and owners repeat themselves in every entry."""
        return sys.intern(decode_name(self.raw() or b"", self.encoding))

    def skip(self) -> bool:
        """Pass over a string; whether there was one."""
        size = self.integer()
        for start in range(0, size, _PIECE):
            self.exactly(min(_PIECE, size - start))
        return size >= 0


def read_toc(file: BinaryIO, limit: int) -> Toc:
    """Read the head of an archive, at most ``limit`` bytes of it. Raises ``INVALID_BACKUP_FORMAT``.

    An archive may come from anywhere and claim any length, so what it can hold bounds what is kept of it.
    """
    reader = _Reader(file, min(limit, _MAX_BYTES))
    if reader.exactly(len(MAGIC)) != MAGIC:
        raise _broken("it does not begin like an archive of pg_dump")
    version = (reader.byte(), reader.byte(), reader.byte())
    if version[0] != 1 or not 12 <= version[1] <= 20:
        raise _broken("its archive version {0}.{1} is not known".format(*version[:2]))
    reader.int_size, offset_size, layout = reader.byte(), reader.byte(), reader.byte()
    if not 1 <= reader.int_size <= 8 or not 1 <= offset_size <= 8:
        raise _broken("its head names impossible sizes")
    if version[1] >= 15:
        reader.byte()  # compression algorithm
    else:
        reader.integer()  # compression level
    for _part in range(7):  # creation time: second to year, daylight saving
        reader.integer()
    database, server_version, client_version = reader.text(), reader.text(), reader.text()
    count = reader.integer()
    if count < 0:
        raise _broken("its table of contents names an impossible number of entries")
    entries: List[TocEntry] = [_read_entry(reader, version, layout, offset_size) for _number in range(count)]
    return Toc(version, database, server_version, client_version, tuple(entries), reader.encoding)


def _read_entry(reader: _Reader, version: Tuple[int, int, int], layout: int, offset_size: int) -> TocEntry:
    dump_id = reader.integer()
    has_data = reader.integer() != 0
    reader.skip()  # catalogue's table oid
    reader.skip()  # oid
    name, kind = reader.text(), reader.text()
    reader.integer()  # section
    set_value = b""
    if kind == "ENCODING":  # the first entry
        reader.encoding = announced_encoding(reader.raw() or b"") or reader.encoding
    elif kind == "SEQUENCE SET":
        set_value = reader.raw() or b""
    else:
        reader.skip()  # definition
    reader.skip()  # drop statement
    copy_statement, schema = reader.raw(), reader.text()
    reader.skip()  # tablespace
    if version[1] >= 14:
        reader.skip()  # table access method
    if version[1] >= 16:
        reader.integer()  # relation kind
    owner = reader.text()
    reader.skip()  # "with oids", always there
    dependencies = _read_dependencies(reader)
    if layout == _CUSTOM:
        reader.byte()
        reader.exactly(offset_size)
        file_name = ""
    else:
        file_name = reader.text()
    return TocEntry(
        kind, schema, name, owner, has_data, copy_statement or b"", file_name, dump_id, dependencies, set_value
    )


def _read_dependencies(reader: _Reader) -> Tuple[int, ...]:
    """Numbers as texts, ended by a null string."""
    found: List[int] = []
    text = reader.raw()
    while text is not None:
        if not re.match(rb"^[0-9]{1,10}$", text):
            raise _broken("its table of contents names an impossible dependency")
        found.append(int(text))
        text = reader.raw()
    return tuple(found)


def _broken(why: str) -> BackupError:
    return BackupError("INVALID_BACKUP_FORMAT", "the archive cannot be read: {0}".format(why))
