# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps as files: their format told by content, and the proof that they can be read to their end."""

from __future__ import annotations

import itertools
import os
import re
import stat
from contextlib import contextmanager
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._archive_members import scan_members
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_scan import CopyScanner
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_tar import is_tar, read_tar
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import MAGIC, Toc, read_toc
from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import decrypted, is_encrypted
from ansible_collections.pgfleet.backup.plugins.module_utils._codec import (
    MEMBER_SUFFIXES,
    compression_in,
    compression_of,
    decoded,
    decoded_as,
    decoded_stream,
    file_chunks,
    reading,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._compression import unreadable
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._plain_scan import PlainScanner
from ansible_collections.pgfleet.backup.plugins.module_utils._stderr import classify
from ansible_collections.pgfleet.backup.plugins.module_utils._tool_output import OneReader

__all__ = ["FORMAT_SWITCH", "Dump", "Fingerprint", "identify", "readable_archive", "scan", "scan_stream"]

FORMAT_SWITCH = {"directory": "d", "custom": "c", "tar": "t", "plain": "p"}
_HEAD = 64 * 1024
_PACKED_TOC = 256 << 20  # a compressed file's size says little of what comes out of it
_FOLDER_TOCS = ("toc.dat", "toc.dat.gz", "toc.dat.lz4", "toc.dat.zst")
_PLAIN = b"-- PostgreSQL database dump"
_CLUSTER = b"-- PostgreSQL database cluster dump"
_THROUGH_TERMINAL = re.compile(rb"(?m)^-- PostgreSQL database dump\r$")
_FEW_LINES = 4


class Fingerprint(NamedTuple):
    """What an archive holds, counted from it: the dump's own snapshot, never an estimate."""

    tables: Dict[str, int]
    sequences: Dict[str, Dict[str, Any]]
    large_objects: int
    objects: Dict[str, int]

    def describe(self) -> Dict[str, Any]:
        return dict(self._asdict())


class Dump(NamedTuple):
    """One dump file or folder. ``toc`` is None for plain dumps, ``compression`` that of the file as a whole.

    ``identity_file`` is the key of an encrypted one.
    """

    path: str
    format: str
    compression: str
    toc: Optional[Toc]
    identity_file: str = ""

    @property
    def size(self) -> int:
        """Its bytes on the disk. Raises OSError."""
        if self.format != "directory":
            return os.path.getsize(self.path)
        with os.scandir(self.path) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)

    def chunks(self) -> Iterator[bytes]:
        """The bytes that a tool reads from its stdin."""
        return _clear(self.path, self.identity_file, self.compression)


def _clear(path: str, identity_file: str, compression: str) -> Iterator[bytes]:
    if identity_file:
        return decoded_stream(decrypted(path, identity_file), path, compression)
    return decoded_as(path, compression)


def identify(path: str, identity_file: str = "") -> Dump:
    """Tell a dump's format by its content, not by its name.

    ``path`` may be a link to a dump; inside a folder only ordinary files are. An encrypted file needs its key. Raises
    ``INVALID_BACKUP_FORMAT``, ``ENCRYPTION_UNAVAILABLE``, and ``VERIFY_FAILED`` for what can be seen to be damaged.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return Dump(path, "directory", "none", _read_folder(path))
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_dump(path, "it is no ordinary file or folder")
        try:
            return _identify_file(path, status.st_size, identity_file)
        except BackupError as error:
            raise _went_through_terminal(path) or error from error
    except OSError as error:
        raise _not_a_dump(path, error.strerror or "it cannot be read") from error


def _identify_file(path: str, size: int, identity_file: str) -> Dump:
    if is_encrypted(path):
        compression = compression_in(next(decrypted(path, identity_file), b""))
    else:
        compression, identity_file = compression_of(path), ""
    limit = size if compression == "none" else _PACKED_TOC
    head = b""
    for chunk in _clear(path, identity_file, compression):
        head += chunk
        if len(head) >= _HEAD:
            break
    if head.startswith(MAGIC):
        with reading(_clear(path, identity_file, compression)) as file:
            return Dump(path, "custom", compression, read_toc(file, limit), identity_file)
    if is_tar(head):
        with reading(_clear(path, identity_file, compression)) as file:
            return Dump(path, "tar", compression, read_tar(file, limit), identity_file)
    if _CLUSTER in head:
        raise BackupError(
            "INVALID_BACKUP_FORMAT", "{0} is a dump of a whole server, made by pg_dumpall".format(path),
            hint="Restore it by psql by hand, or make a dump of the one database by pg_dump.",
        )
    if _PLAIN in head and not _THROUGH_TERMINAL.search(head):
        return Dump(path, "plain", compression, None, identity_file)
    raise _not_a_dump(path, "its content is of no format that pg_dump writes")


def _read_folder(path: str) -> Toc:
    """The table of contents of a folder, which may have been compressed afterwards as the data may have been."""
    found = [name for name in _FOLDER_TOCS if os.path.lexists(os.path.join(path, name))]
    if not found:
        raise _not_a_dump(path, "the folder has no toc.dat")
    with os.scandir(path) as entries:
        for entry in entries:
            # What a link leads to is none of the dump's, and a pipe never ends.
            if not entry.is_file(follow_symlinks=False):
                raise _not_a_dump(path, "{0} in it is no ordinary file".format(entry.name))
    toc = os.path.join(path, found[0])
    with reading(decoded(toc)) as file:
        return read_toc(file, os.path.getsize(toc) if compression_of(toc) == "none" else _PACKED_TOC)


def _went_through_terminal(path: str) -> Optional[BackupError]:
    """What explains a damaged dump in which a terminal has put a carriage return in front of every line feed."""
    for chunks in (file_chunks(path), decoded(path)):
        try:
            head = next(chunks, b"")
        except BackupError:
            continue
        lines = head.count(b"\n")
        text = MAGIC in head[:_HEAD] or _PLAIN in head[:_HEAD] or compression_of(path) != "none" or is_tar(head)
        if text and lines >= _FEW_LINES and head.count(b"\r\n") == lines:
            return BackupError(
                "INVALID_BACKUP_FORMAT",
                "{0} was written through a terminal, which put a carriage return in front of each line feed".format(
                    path),
                hint="Make the dump again without -t (--tty), as in: docker exec CONTAINER pg_dump … > FILE",
            )
    return None


def scan(executor: PgExecutor, dump: Dump, *, checksummed: bool) -> Fingerprint:
    """Read a dump to its end by the executor's own tools and count what it holds. Raises ``VERIFY_FAILED``.

    ``checksummed``: its bytes are known to be those that were written.
    """
    if dump.format == "plain":
        foreign = not checksummed
        chunks = executor.in_time("reading the dump", dump.chunks())
        return _scan_plain(chunks, foreign=foreign, restricted=foreign and executor.client.keeps_to_sql)
    if dump.format == "directory":
        return _scan_folder(executor, dump)
    with executor.bulk_output():
        source = executor.log.progress.count(dump.chunks())
        return _scan(executor, ["-F", FORMAT_SWITCH[dump.format]], _require_toc(dump), source=source)


def scan_stream(executor: PgExecutor, kind: str, compression: str, chunks: Iterator[bytes]) -> Fingerprint:
    """The same for a custom or plain dump that pg_dump is just writing; ``compression`` is that of a plain one."""
    if kind == "plain":
        return _scan_plain(decoded_stream(chunks, "the dump", compression), foreign=False, restricted=False)
    begin: List[bytes] = []

    def head() -> Iterator[bytes]:
        for chunk in chunks:
            begin.append(chunk)
            yield chunk

    toc = read_toc(reading(head()), _PACKED_TOC)
    return _scan(executor, ["-F", FORMAT_SWITCH[kind]], toc, source=itertools.chain(begin, chunks))


def _scan_folder(executor: PgExecutor, dump: Dump) -> Fingerprint:
    """By this host itself; where it lacks a program to decompress with, by what pg_restore makes of it."""
    toc = _require_toc(dump)
    try:
        return Fingerprint(
            *scan_members(dump.path, toc, lambda chunks: executor.log.progress.count(
                executor.in_time("reading the archive", chunks))), toc.counts())
    except BackupError as error:
        if error.code != "UNSUPPORTED_BY_CLIENT":
            raise
        executor.log.add("The archive is read by pg_restore: {0}".format(error.what))
    with readable_archive(executor, dump) as place:
        return _scan(executor, ["-F", "d", place], toc, source=None)


@contextmanager
def readable_archive(executor: PgExecutor, dump: Dump) -> Iterator[str]:
    """Where the executor's pg_restore can read a directory archive, decompressed as far as it could not do it."""
    suffixes = {method: suffix for method, suffix in MEMBER_SUFFIXES.items() if suffix}
    names = os.listdir(dump.path)
    used = {method for method, suffix in suffixes.items() if any(name.endswith(suffix) for name in names)}
    with executor.readable(dump.path, unpack={method for method in used if unreadable(executor, method)}) as place:
        yield place


def _scan(
    executor: PgExecutor, args: List[str], toc: Toc, *, source: Optional[Iterable[bytes]]
) -> Fingerprint:
    scanner = CopyScanner(
        (entry.copy_statement for entry in toc.entries if entry.kind == "TABLE DATA" and entry.copy_statement),
        toc.encoding,
    )
    reader = OneReader(iter(source)) if source is not None else None
    # Definitions were read with the table of contents; the data section is everything else there is.
    result = executor.run(
        "pg_restore", ["--section=data", "-f", "-"] + args, source=reader, on_stdout=scanner.feed, check=False
    )
    if result.status != 0:
        if result.status in (126, 127):
            executor.fail("pg_restore", result)
        # What this build of the tool lacks says nothing against the archive.
        code = classify(result.stderr, default="VERIFY_FAILED")
        raise BackupError(code, "pg_restore cannot read the archive to its end: {0}".format(
            (result.stderr.splitlines() or ["status {0}".format(result.status)])[0]))
    # What the tool had no use for may be damaged too, and it may have ended before that was seen. Whoever fed it may
    # still be waiting for more.
    for _chunk in reader or ():
        pass
    scanner.finish()
    return Fingerprint(scanner.tables, scanner.sequences, scanner.large_objects, toc.counts())


def _scan_plain(chunks: Iterable[bytes], *, foreign: bool, restricted: bool) -> Fingerprint:
    scanner = PlainScanner(foreign=foreign, restricted=restricted)
    for chunk in chunks:
        scanner.feed(chunk)
    scanner.finish()
    if not scanner.has_trailer:
        raise BackupError("VERIFY_FAILED", "the plain dump does not end with pg_dump's trailer: it was cut off")
    return Fingerprint(scanner.tables, scanner.sequences, scanner.large_objects, {})


def _require_toc(dump: Dump) -> Toc:
    if dump.toc is None:
        raise _not_a_dump(dump.path, "it has no table of contents")
    return dump.toc


def _not_a_dump(path: str, why: str) -> BackupError:
    return BackupError("INVALID_BACKUP_FORMAT", "{0} is not a dump: {1}".format(path, why))
