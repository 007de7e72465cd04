# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps as files: their format told by content, and the proof that they can be read to their end."""

from __future__ import annotations

import io
import os
import tarfile
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set

from ansible_collections.pgfleet.backup.plugins.module_utils._archive_scan import CopyScanner
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import MAGIC, Toc, read_toc
from ansible_collections.pgfleet.backup.plugins.module_utils._codec import compression_of, decoded, file_chunks
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor

__all__ = ["FORMAT_SWITCH", "Dump", "Fingerprint", "identify", "scan", "scan_staged"]

FORMAT_SWITCH = {"directory": "d", "custom": "c", "tar": "t", "plain": "p"}
_HEAD = 64 * 1024


class Fingerprint(NamedTuple):
    """What an archive holds, counted from it: the dump's own snapshot, never an estimate."""

    tables: Dict[str, int]
    sequences: Dict[str, Dict[str, Any]]
    large_objects: int
    objects: Dict[str, int]

    def describe(self) -> Dict[str, Any]:
        return dict(self._asdict())


class Dump(NamedTuple):
    """One dump file or folder. ``toc`` is None for plain dumps, ``compression`` that of the file as a whole."""

    path: str
    format: str
    compression: str
    toc: Optional[Toc]

    def chunks(self) -> Iterator[bytes]:
        """The bytes that a tool reads from its stdin."""
        return decoded(self.path) if self.compression != "none" else file_chunks(self.path)


def identify(path: str) -> Dump:
    """Tell a dump's format by its content, not by its name. Raises ``INVALID_BACKUP_FORMAT``."""
    try:
        if os.path.isdir(path):
            toc_path = os.path.join(path, "toc.dat")
            if not os.path.isfile(toc_path):
                raise _not_a_dump(path, "the folder has no toc.dat")
            with open(toc_path, "rb") as file:
                return Dump(path, "directory", "none", read_toc(file))
        compression = compression_of(path)
        head = b""
        for chunk in decoded(path):
            head += chunk
            if len(head) >= _HEAD:
                break
        if head.startswith(MAGIC):
            toc = _read_whole_toc(path, compression)
            return Dump(path, "custom", compression, toc)
        if head[257:262] == b"ustar" and compression == "none":
            return Dump(path, "tar", "none", _read_tar(path))
        if b"PostgreSQL database dump" in head:
            return Dump(path, "plain", compression, None)
    except OSError as error:
        raise _not_a_dump(path, error.strerror or "it cannot be read") from error
    raise _not_a_dump(path, "its content is of no format that pg_dump writes")


def scan(executor: PgExecutor, dump: Dump, *, checksummed: bool) -> Fingerprint:
    """Read a dump to its end by the executor's own tools and count what it holds. Raises ``VERIFY_FAILED``.

    ``checksummed``: its bytes are known to be those that were written.
    """
    if dump.format == "plain":
        return _scan_plain(dump, foreign=not checksummed)
    if dump.format == "directory":
        if not checksummed:
            _check_large_object_members(executor, dump.path)
        with executor.readable(dump.path) as place:
            return scan_staged(executor, place, _require_toc(dump))
    return _scan(executor, ["-F", FORMAT_SWITCH[dump.format]], _require_toc(dump), source=dump.chunks())


def scan_staged(executor: PgExecutor, place: str, toc: Toc) -> Fingerprint:
    """The same for a directory archive that lies where the executor's tools can read it."""
    return _scan(executor, ["-F", "d", place], toc, source=None)


def _scan(
    executor: PgExecutor, args: List[str], toc: Toc, *, source: Optional[Iterable[bytes]]
) -> Fingerprint:
    scanner = CopyScanner(
        entry.copy_statement for entry in toc.entries if entry.kind == "TABLE DATA" and entry.copy_statement
    )
    # Definitions were read with the table of contents; the data section is everything else there is.
    result = executor.run(
        "pg_restore", ["--section=data", "-f", "-"] + args, source=source, on_stdout=scanner.feed, check=False
    )
    if result.status != 0:
        if result.status in (126, 127):
            executor.fail("pg_restore", result)
        raise BackupError("VERIFY_FAILED", "pg_restore cannot read the archive to its end: {0}".format(
            (result.stderr.splitlines() or ["status {0}".format(result.status)])[0]))
    scanner.finish()
    return Fingerprint(scanner.tables, scanner.sequences, scanner.large_objects, toc.counts())


def _scan_plain(dump: Dump, *, foreign: bool) -> Fingerprint:
    scanner = CopyScanner(foreign=foreign)
    for chunk in dump.chunks():
        scanner.feed(chunk)
    scanner.finish()
    if not scanner.has_trailer:
        raise BackupError("VERIFY_FAILED", "the plain dump does not end with pg_dump's trailer: it was cut off")
    return Fingerprint(scanner.tables, scanner.sequences, scanner.large_objects, {})


def _read_whole_toc(path: str, compression: str) -> Toc:
    if compression == "none":
        with open(path, "rb") as file:
            return read_toc(file)
    return read_toc(io.BufferedReader(_ChunkFile(decoded(path))))


def _read_tar(path: str) -> Toc:
    """The table of contents of a tar archive, once each of its entries was found whole."""
    try:
        size = os.path.getsize(path)
        toc: Optional[Toc] = None
        with tarfile.open(path, mode="r:") as archive:
            for member in archive:
                if member.offset_data + member.size > size:
                    raise BackupError("VERIFY_FAILED", "the tar archive is cut off inside {0}".format(member.name))
                if member.name == "toc.dat":
                    content = archive.extractfile(member)
                    toc = read_toc(content) if content else None  # type: ignore[arg-type]
    except tarfile.TarError as error:
        raise BackupError("VERIFY_FAILED", "the tar archive is damaged: {0}".format(error)) from error
    if toc is None:
        raise _not_a_dump(path, "the tar archive has no toc.dat")
    with tarfile.open(path, mode="r:") as archive:
        missing = _wanted_members(archive, toc) - set(archive.getnames())
    if missing:
        raise BackupError("VERIFY_FAILED", "the tar archive lacks {0}".format(sorted(missing)[0]))
    return toc


def _wanted_members(archive: tarfile.TarFile, toc: Toc) -> Set[str]:
    """The members that hold data. Large objects have one each, listed in members of their own (``blobs.toc``)."""
    entries = [entry for entry in toc.entries if entry.has_data and entry.file_name]
    wanted = {entry.file_name for entry in entries if entry.kind != "BLOBS"}
    listings = [name for name in archive.getnames() if name.startswith("blobs") and name.endswith(".toc")]
    if len(wanted) < len(entries) and not listings:
        wanted.add("blobs.toc")
    for name in listings:
        listing = archive.extractfile(name)
        wanted.update(line.split()[1].decode("ascii") for line in listing or ())
    return wanted


def _check_large_object_members(executor: PgExecutor, folder: str) -> None:
    """Large objects have no end mark in an archive's text, so their members are decoded to their own end."""
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.startswith("blob") and os.path.isfile(path) and compression_of(path) != "none":
            try:
                for _chunk in decoded(path):
                    pass
            except BackupError as error:
                if error.code != "UNSUPPORTED_BY_CLIENT":
                    raise
                # pg_restore itself can read them; only this extra proof cannot be had.
                executor.log.add_warning("large objects are not checked to their end: {0}".format(error.what))
                return


def _require_toc(dump: Dump) -> Toc:
    if dump.toc is None:
        raise _not_a_dump(dump.path, "it has no table of contents")
    return dump.toc


def _not_a_dump(path: str, why: str) -> BackupError:
    return BackupError("INVALID_BACKUP_FORMAT", "{0} is not a dump: {1}".format(path, why))


class _ChunkFile(io.RawIOBase):
    """An iterator of chunks as a file to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
