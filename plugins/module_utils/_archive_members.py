# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory archive read to its end, file by file, several at a time, without any tool of PostgreSQL.

Each table's data is a file of its own that holds the very text of COPY, so its rows are counted up to its end mark, and
its compression is decoded to its own end. This sees a file that is cut in half, for which pg_restore ends with 0.
"""

from __future__ import annotations

import os
import threading
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive_scan import CopyScanner
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, TocEntry
from ansible_collections.pgfleet.backup.plugins.module_utils._codec import MEMBER_SUFFIXES, decoded_as
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import each, processors, until

__all__ = ["Member", "is_data", "member_of", "scan_members"]

_LARGE_OBJECTS = "BLOBS"


class Member(NamedTuple):
    """A file of a directory archive, and how it is compressed; pg_restore tells it by the name's ending as well."""

    path: str
    compression: str


def is_data(name: str) -> bool:
    """Whether the file of a directory archive holds data, which may be compressed; the others are lists."""
    return name.endswith(".dat") and name != "toc.dat"


def member_of(folder: str, name: str) -> Member:
    """The file that stands for ``name`` in the folder. Raises ``VERIFY_FAILED`` when there is none, or no plain one."""
    if os.path.basename(name) != name:
        raise BackupError("VERIFY_FAILED", "the archive names a file outside of it: {0!r}".format(name[:80]))
    for compression, suffix in MEMBER_SUFFIXES.items():
        path = os.path.join(folder, name + suffix)
        if os.path.lexists(path):
            if os.path.islink(path) or not os.path.isfile(path):
                raise BackupError("VERIFY_FAILED", "{0} is no regular file".format(path))
            return Member(path, compression)
    raise BackupError("VERIFY_FAILED", "the archive lacks {0}".format(name))


def scan_members(
    folder: str, toc: Toc, watch: Callable[[Iterator[bytes]], Iterator[bytes]] = iter
) -> Tuple[Dict[str, int], Dict[str, Dict[str, object]], int]:
    """Read every file of the archive that holds data: rows per table, sequences, and the number of large objects.

    All that is read passes ``watch``, which may put an end to it.

    Raises ``VERIFY_FAILED`` for what is missing, cut off or damaged, and ``UNSUPPORTED_BY_CLIENT`` where this host
    cannot decode a file.
    """
    entries = [entry for entry in toc.entries if entry.has_data and entry.file_name]
    listings = sorted({entry.file_name for entry in entries if entry.kind == _LARGE_OBJECTS})
    objects = [name for listing in listings for name in _large_objects(folder, listing)]
    tables = [entry for entry in entries if entry.kind != _LARGE_OBJECTS]
    # The largest first, so that none of them is begun when the others have ended.
    work: List[Tuple[Member, Optional[TocEntry]]] = sorted(
        [(member_of(folder, entry.file_name), entry) for entry in tables]
        + [(member_of(folder, name), None) for name in objects],
        key=lambda item: -os.path.getsize(item[0].path),
    )

    def read(item: Tuple[Member, Optional[TocEntry]], stop: threading.Event) -> CopyScanner:
        member, entry = item
        return _read(watch(until(stop, decoded_as(member.path, member.compression))), entry, toc.encoding)

    scanners = each(work, read, threads=processors())
    rows: Dict[str, int] = {}
    for scanner in scanners:
        for table, count in scanner.tables.items():
            rows[table] = rows.get(table, 0) + count
    values = CopyScanner((), toc.encoding)
    for entry in toc.entries:
        if entry.kind == "SEQUENCE SET":
            values.feed(entry.set_value + b"\n")
    values.finish()
    return rows, values.sequences, len(objects)


def _read(chunks: Iterator[bytes], entry: Optional[TocEntry], encoding: str) -> CopyScanner:
    if entry is None or not entry.copy_statement:  # a large object has no end mark but that of its compression
        for _chunk in chunks:
            pass
        return CopyScanner(())
    scanner = CopyScanner([entry.copy_statement], encoding)
    scanner.feed(entry.copy_statement.strip() + b"\n")
    for chunk in chunks:
        scanner.feed(chunk)
    scanner.finish()
    return scanner


def _large_objects(folder: str, listing: str) -> List[str]:
    """The files that a listing (``blobs.toc``: lines of an oid and a file name) names."""
    member = member_of(folder, listing)
    text = b"".join(decoded_as(member.path, member.compression)).decode("ascii", "replace")
    names = [line.partition(" ")[2] for line in text.splitlines()]
    if not all(names):
        raise BackupError("VERIFY_FAILED", "{0} is no list of large objects".format(member.path))
    return names
