# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of contents of pg_dump's archives (custom, and the ``toc.dat`` of directory and tar).

The layout follows ``ReadHead`` and ``ReadToc`` of PostgreSQL's ``pg_backup_archiver.c``: archive versions 1.12
(PostgreSQL 9) to 1.16 (17 and 18). Reading it here tells what an archive must hold without running a tool on it.
"""

from __future__ import annotations

import re
from typing import BinaryIO, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["MAGIC", "Toc", "TocEntry", "read_toc"]

MAGIC = b"PGDMP"
_CUSTOM = 1
_MAX_STRING = 1 << 28
_MAX_ENTRIES = 50_000_000


class TocEntry(NamedTuple):
    """One object. ``copy_statement`` is set for table data that is dumped by COPY."""

    kind: str
    schema: str
    name: str
    owner: str
    has_data: bool
    copy_statement: str
    file_name: str


class Toc(NamedTuple):
    """What the head of an archive says. ``client_version`` is the pg_dump that wrote it."""

    archive_version: Tuple[int, int, int]
    database: str
    server_version: str
    client_version: str
    entries: Tuple[TocEntry, ...]

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
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.int_size = 4

    def exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise _broken("its table of contents ends too early")
        return data

    def byte(self) -> int:
        return self.exactly(1)[0]

    def integer(self) -> int:
        sign = self.byte()
        value = int.from_bytes(self.exactly(self.int_size), "little")
        return -value if sign else value

    def text(self) -> Optional[str]:
        size = self.integer()
        if size < 0:
            return None
        if size > _MAX_STRING:
            raise _broken("its table of contents names an impossible length")
        return self.exactly(size).decode("utf-8", "surrogateescape")


def read_toc(file: BinaryIO) -> Toc:
    """Read the head of an archive. Raises ``INVALID_BACKUP_FORMAT``."""
    reader = _Reader(file)
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
    if not 0 <= count <= _MAX_ENTRIES:
        raise _broken("its table of contents names an impossible number of entries")
    entries: List[TocEntry] = [_read_entry(reader, version, layout, offset_size) for _number in range(count)]
    return Toc(version, database or "", server_version or "", client_version or "", tuple(entries))


def _read_entry(reader: _Reader, version: Tuple[int, int, int], layout: int, offset_size: int) -> TocEntry:
    reader.integer()  # dump id
    has_data = reader.integer() != 0
    reader.text()  # catalogue's table oid
    reader.text()  # oid
    name, kind = reader.text(), reader.text()
    reader.integer()  # section
    reader.text()  # definition
    reader.text()  # drop statement
    copy_statement, schema = reader.text(), reader.text()
    reader.text()  # tablespace
    if version[1] >= 14:
        reader.text()  # table access method
    if version[1] >= 16:
        reader.integer()  # relation kind
    owner = reader.text()
    reader.text()  # "with oids", always there
    while reader.text() is not None:
        pass  # dependencies, ended by a null string
    if layout == _CUSTOM:
        reader.byte()
        reader.exactly(offset_size)
        file_name = ""
    else:
        file_name = reader.text() or ""
    return TocEntry(kind or "", schema or "", name or "", owner or "", has_data, copy_statement or "", file_name)


def _broken(why: str) -> BackupError:
    return BackupError("INVALID_BACKUP_FORMAT", "the archive cannot be read: {0}".format(why))
