# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backup set on its way from a managed host to a folder here: proven whole, and only then given its name.

It grows in ``.partial-<id>/<id>``, which stays when the way is cut, so that the next run goes on from there.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import Any, Iterator, List, Mapping, Optional, Set

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    MANIFEST_FILE,
    PARTIAL_PREFIX,
    VERIFICATION_FILE,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._remote_files import BLOCK, Piece, RemoteFiles
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey
from ansible_collections.pgfleet.backup.plugins.module_utils._storage import (
    fsync_folder,
    make_folder,
    replace_file,
    storage_errors,
    write_all,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import (
    BackupSet,
    check_signature,
    file_fault,
    read_set,
)

__all__ = ["SetCopy"]

_BATCH = 64  # pieces that one command reads at most; together they are no larger than one block
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ROOM = "Free space on the controller, or set dest to another file system. What was fetched so far is kept."

_Entry = Mapping[str, Any]


class SetCopy:
    """The copy of ``original`` (a set as the host describes it) that is to be published in the folder ``parent``.

    ``transferred`` counts the bytes that came over the connection.
    """

    def __init__(self, files: RemoteFiles, original: BackupSet, parent: str, key: Optional[SigningKey]) -> None:
        self.transferred = 0
        self._files = files
        self._original = original
        self._parent = parent
        self._final = os.path.join(parent, original.id)
        self._partial = os.path.join(parent, PARTIAL_PREFIX + original.id)
        self._path = os.path.join(self._partial, original.id)
        self._key = key

    def fetch(self) -> BackupSet:
        """Bring what is missing of the set, prove it, and publish it; it is given back as it lies here.

        Raises SIGNATURE_INVALID, INVALID_BACKUP_FORMAT or CHECKSUM_MISMATCH for a set that is not what its manifest or
        the host says, NO_SPACE or BACKUP_DIR_UNUSABLE for what is wrong here, and what :class:`RemoteFiles` raises.
        """
        if os.path.lexists(self._final):
            raise BackupError("INVALID_BACKUP_FORMAT", "{0} is in the way, and is no backup that can be read".format(
                self._final), hint="Look at it and move it away.")
        manifest = self._bring_manifest()
        entries = list(manifest["files"])
        self._require_room(entries)
        resumed: Set[str] = {entry["path"] for entry in entries if self._present(entry)}
        while entries:
            bad = self._bring(entries)
            for entry in bad:
                os.unlink(self._locate(entry))
            # The fault may lie in what an earlier run had left, so that is fetched anew, once.
            lasting = [entry for entry in bad if entry["path"] not in resumed]
            if lasting:
                raise BackupError("CHECKSUM_MISMATCH", "{0}: the content of {1} is not what the manifest says".format(
                    self._original.path, ", ".join(entry["path"] for entry in lasting[:5])))
            resumed.clear()
            entries = bad
        self._bring_verdicts()
        return read_set(self._publish(), self._key)

    # -- what it is ----------------------------------------------------------------------------------------------

    def _bring_manifest(self) -> Mapping[str, Any]:
        """The manifest, written to the partial copy and judged; one that was begun under another is given up."""
        content = self._files.read_whole(self._original.path, MANIFEST_FILE)
        if content is None:
            raise BackupError("BACKUP_NOT_FOUND", "{0} has just been removed".format(self._original.path),
                              retryable=True)
        self.transferred += len(content)
        path = os.path.join(self._path, MANIFEST_FILE)
        if os.path.lexists(self._partial) and not _holds(path, content):
            self.discard()
        make_folder(self._path)
        if not os.path.lexists(path):
            replace_file(path, content)
        try:
            copy = read_set(self._path, self._key)
            check_signature(copy)
            self._check_identity(copy)
        except BackupError as error:
            self.discard()
            what = error.what.replace(self._path, self._original.path)
            raise BackupError(error.code, what, hint=error.hint) from error
        return copy.manifest

    def _check_identity(self, copy: BackupSet) -> None:
        """Raise INVALID_BACKUP_FORMAT for another set than the one asked for, or one that would overwrite itself."""
        if (copy.id, copy.instance, copy.database) != (
            self._original.id, self._original.instance, self._original.database
        ):
            raise BackupError("INVALID_BACKUP_FORMAT", "{0} says it is the backup {1} of {2}/{3}".format(
                self._path, copy.id, copy.instance, copy.database))
        names = [entry["path"] for entry in copy.manifest["files"]]
        if len(set(names)) != len(names) or {MANIFEST_FILE, VERIFICATION_FILE}.intersection(names):
            raise BackupError("INVALID_BACKUP_FORMAT", "{0}: its manifest lists a file twice".format(self._path))
        if any(entry["size"] < 0 for entry in copy.manifest["files"]):
            raise BackupError("INVALID_BACKUP_FORMAT", "{0}: its manifest lists a file of negative size".format(
                self._path))

    def _require_room(self, entries: List[_Entry]) -> None:
        missing = sum(entry["size"] - self._present(entry) for entry in entries)
        with storage_errors(self._parent):
            status = os.statvfs(self._parent)
        free = status.f_bavail * status.f_frsize
        if missing > free:
            raise BackupError("NO_SPACE", "{0}: {1} bytes are missing of {2}, and {3} are free".format(
                self._parent, missing, self._original.path, free), hint=_NO_ROOM)

    # -- bringing it ---------------------------------------------------------------------------------------------

    def _locate(self, entry: _Entry) -> str:
        return os.path.join(self._path, entry["path"])

    def _present(self, entry: _Entry) -> int:
        """Bytes of the file that are here already, in whole blocks; what is too much does not count."""
        try:
            size = os.lstat(self._locate(entry)).st_size
        except OSError:
            return 0
        if size >= entry["size"]:
            return int(entry["size"]) if size == entry["size"] else 0
        return size // BLOCK * BLOCK

    def _bring(self, entries: List[_Entry]) -> List[_Entry]:
        """Bring what is missing of ``entries``; those that are not what the manifest says then."""
        by_name = {entry["path"]: entry for entry in entries}
        bad = []
        for entry in entries:
            self._make_ready(entry)
            if self._present(entry) == entry["size"] and file_fault(self._path, entry):
                bad.append(entry)
        for batch in _batches(piece for entry in entries for piece in _pieces(entry, self._present(entry))):
            content = memoryview(self._files.read(self._original.path, batch))
            self.transferred += len(content)
            for piece in batch:
                entry = by_name[piece.name]
                self._write(entry, piece, content[:piece.length])
                content = content[piece.length:]
                if self._present(entry) == entry["size"] and file_fault(self._path, entry):
                    bad.append(entry)
        return bad

    def _make_ready(self, entry: _Entry) -> None:
        """The file, as long as it can be relied upon; an empty one is thereby complete."""
        path = self._locate(entry)
        make_folder(os.path.dirname(path))
        with storage_errors(path):
            descriptor = os.open(path, _WRITE, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, self._present(entry))
            finally:
                os.close(descriptor)

    def _write(self, entry: _Entry, piece: Piece, content: memoryview) -> None:
        path = self._locate(entry)
        with storage_errors(path):
            descriptor = os.open(path, _WRITE, 0o600)
            try:
                os.lseek(descriptor, piece.block * BLOCK, os.SEEK_SET)
                write_all(descriptor, content)
                if piece.block * BLOCK + piece.length == entry["size"]:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _bring_verdicts(self) -> None:
        content = self._files.read_whole(self._original.path, VERIFICATION_FILE)
        if content is not None:
            self.transferred += len(content)
            replace_file(os.path.join(self._path, VERIFICATION_FILE), content)

    # -- the end -------------------------------------------------------------------------------------------------

    def _publish(self) -> str:
        with storage_errors(self._final):
            for folder, _subfolders, _names in os.walk(self._path, topdown=False):
                fsync_folder(folder)
            os.rename(self._path, self._final)
            fsync_folder(self._parent)
        self.discard()
        return self._final

    def discard(self) -> None:
        """Forget what was brought so far."""
        shutil.rmtree(self._partial, ignore_errors=True)


def _holds(path: str, content: bytes) -> bool:
    with suppress(OSError), open(path, "rb") as file:
        return file.read(len(content) + 1) == content
    return False


def _pieces(entry: _Entry, present: int) -> Iterator[Piece]:
    """What is missing of one file."""
    for start in range(present, entry["size"], BLOCK):
        yield Piece(entry["path"], start // BLOCK, min(BLOCK, entry["size"] - start))


def _batches(pieces: Iterator[Piece]) -> Iterator[List[Piece]]:
    batch: List[Piece] = []
    for piece in pieces:
        if batch and (len(batch) == _BATCH or sum(each.length for each in batch) + piece.length > BLOCK):
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch
