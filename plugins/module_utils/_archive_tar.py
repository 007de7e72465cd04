# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump's tar archives, read as a stream to their end: the table of contents, and every member whole.

pg_dump writes plain members only. Whatever else tar knows is refused, and nothing of a member is kept but its name.
"""

from __future__ import annotations

from typing import BinaryIO, List, Optional, Set, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, read_toc
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["is_tar", "read_tar"]

_BLOCK = 512
_PIECE = 1 << 20
_ORDINARY = (b"0", b"\0")
_MAX_LISTING = 256 << 20


def is_tar(head: bytes) -> bool:
    """Whether a file that begins so is a tar archive."""
    return head[257:262] == b"ustar"


def read_tar(file: BinaryIO, limit: int) -> Toc:
    """The table of contents, once each member was found whole. ``limit`` bounds the bytes of the table of contents.

    Raises ``VERIFY_FAILED`` when the archive is cut off or lacks a member, and ``INVALID_BACKUP_FORMAT``.
    """
    toc: Optional[Toc] = None
    names: Set[str] = set()
    listed: Set[str] = set()
    while True:
        header = _exactly(file, _BLOCK, "the end")
        if header == bytes(_BLOCK):
            _exactly(file, _BLOCK, "the end")  # there are two of them
            break
        name, size = _member(header)
        member = _Member(file, size, name)
        if name == "toc.dat":
            toc = read_toc(member, min(size, limit))  # type: ignore[arg-type]
        elif name.startswith("blobs") and name.endswith(".toc"):
            if size > _MAX_LISTING:
                raise _damaged("{0} is too long".format(name))
            listed.update(_large_objects(member.read(size)))
        names.add(name)
        member.finish()
    if toc is None:
        raise BackupError("INVALID_BACKUP_FORMAT", "the tar archive is not a dump: it has no toc.dat")
    missing = (_wanted(toc, names) | listed) - names
    if missing:
        raise _damaged("it lacks {0}".format(sorted(missing)[0]))
    return toc


class _Member:
    """The bytes of one member, read from the archive's stream."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file = file
        self._left = size
        self._padding = -size % _BLOCK
        self._name = name

    def read(self, size: int) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return _exactly(self._file, size, self._name)

    def finish(self) -> None:
        """Pass over what was not read."""
        while self._left:
            self.read(_PIECE)
        _exactly(self._file, self._padding, self._name)


def _exactly(file: BinaryIO, size: int, where: str) -> bytes:
    pieces: List[bytes] = []
    while size:
        piece = file.read(min(size, _PIECE))
        if not piece:
            raise _damaged("it is cut off inside {0}".format(where))
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _member(header: bytes) -> Tuple[str, int]:
    """Name and size by a member's header."""
    try:
        name = header[:100].rstrip(b"\0").decode("ascii")
        size = _number(header[124:136])
        checksum = _number(header[148:156])
    except ValueError as error:
        raise _damaged("a header cannot be read") from error
    if sum(header) - sum(header[148:156]) + 8 * 32 != checksum:
        raise _damaged("the checksum of a header is wrong")
    if header[156:157] not in _ORDINARY or size < 0:
        raise _damaged("{0} is not an ordinary file".format(name))
    return name, size


def _number(field: bytes) -> int:
    """Octal digits, or, for what is too large for them, a binary number behind a mark."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    return int(field.rstrip(b"\0 ") or b"0", 8)


def _wanted(toc: Toc, names: Set[str]) -> Set[str]:
    """The members that hold data. Large objects have one each, listed in members of their own (``blobs.toc``)."""
    entries = [entry for entry in toc.entries if entry.has_data and entry.file_name]
    wanted = {entry.file_name for entry in entries if entry.kind != "BLOBS"}
    if len(wanted) < len(entries) and not any(name.startswith("blobs") and name.endswith(".toc") for name in names):
        wanted.add("blobs.toc")
    return wanted


def _large_objects(listing: bytes) -> Set[str]:
    try:
        return {line.split()[1].decode("ascii") for line in listing.splitlines()}
    except (IndexError, ValueError) as error:
        raise _damaged("a list of large objects cannot be read") from error


def _damaged(why: str) -> BackupError:
    return BackupError("VERIFY_FAILED", "the tar archive is damaged: {0}".format(why))
