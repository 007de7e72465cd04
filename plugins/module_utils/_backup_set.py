# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing and removing backup sets so that a reader never meets half of one.

A set grows in a hidden folder beside its final place and gets its name only when all of it is on the disk.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from contextlib import suppress
from types import TracebackType
from typing import Any, Callable, Container, Dict, Iterator, List, Mapping, Optional, Set, Tuple, Type

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    MANIFEST_FILE,
    PARTIAL_PREFIX,
    REMOVING_PREFIX,
    RESTORE_FILE,
    is_inside,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import check_manifest, to_json
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey
from ansible_collections.pgfleet.backup.plugins.module_utils._storage import (
    create_file,
    fsync_folder,
    hash_file,
    make_folder,
    open_file,
    storage_errors,
    write_all,
    write_file,
)

__all__ = ["HashedFile", "PartialSet", "ensure_backup_dir", "probe_backup_dir", "remove_set", "sweep_partials"]


class HashedFile:
    """A new file of a set, written once from front to end; size and SHA-256 are taken of what passes by.

    It belongs to the set only once it was closed. As a context manager it closes itself, and is deleted when the
    block fails. ``write`` and ``close`` raise BackupError.
    """

    def __init__(self, descriptor: int, path: str, on_close: Callable[[int, str], None]) -> None:
        self.path = path
        self.size = 0
        self._descriptor: Optional[int] = descriptor
        self._digest = hashlib.sha256()
        self._on_close = on_close

    def write(self, data: bytes) -> int:
        """Append ``data``; gives back its length, as files do."""
        if self._descriptor is None:
            raise ValueError("{0} is closed".format(self.path))
        with storage_errors(self.path):
            write_all(self._descriptor, data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def close(self) -> None:
        """Make the content last and record the file; closing twice does no harm."""
        if self._descriptor is None:
            return
        with storage_errors(self.path):
            try:
                os.fsync(self._descriptor)
            finally:
                self._release()
        self._on_close(self.size, self._digest.hexdigest())

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._release()
            with suppress(OSError):
                os.unlink(self.path)


class PartialSet:
    """A set in the making: :meth:`create` it, fill it, and :meth:`publish` it, or it is discarded.

    File names are relative to the set, with ``/`` for files in folders. All methods raise BackupError.
    """

    def __init__(self, parent: str, set_id: str) -> None:
        self.path = os.path.join(parent, PARTIAL_PREFIX + set_id)
        self._parent = parent
        self._set_id = set_id
        self._files: Dict[str, Tuple[int, str]] = {}
        self._published = False

    @classmethod
    def create(cls, parent: str, set_id: str) -> PartialSet:
        """Make the hidden folder for the set ``set_id`` in ``parent``, and ``parent`` too when it is missing."""
        partial = cls(parent, set_id)
        make_folder(parent)
        with storage_errors(partial.path):
            os.mkdir(partial.path, 0o700)
            os.chmod(partial.path, 0o700)
        return partial

    @property
    def files(self) -> List[Dict[str, Any]]:
        """What the set holds so far, as the manifest lists it: ``path``, ``size`` in bytes and ``sha256``."""
        return [
            {"path": name, "size": size, "sha256": digest} for name, (size, digest) in sorted(self._files.items())
        ]

    def open(self, name: str) -> HashedFile:
        """A new file to write, in folders that are made as needed."""
        path = self._locate(name)
        make_folder(os.path.dirname(path))
        with storage_errors(path):
            descriptor = create_file(path)

        def record(size: int, digest: str) -> None:
            self._files[name] = (size, digest)

        return HashedFile(descriptor, path, record)

    def write_text(self, name: str, text: str) -> None:
        """A new file with ``text`` in UTF-8; names in it that are not UTF-8 keep their bytes."""
        with self.open(name) as file:
            file.write(text.encode("utf-8", "surrogateescape"))

    def adopt(self, name: str) -> None:
        """Make the file or folder ``name``, which a tool wrote here itself, part of the set.

        Sets the modes, takes sizes and checksums and fsyncs, all in one reading. Raises BACKUP_FAILED for what is
        neither a regular file nor a folder.
        """
        path = self._locate(name)
        with storage_errors(path):
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode):
                os.chmod(path, 0o700)
                for inner in os.listdir(path):
                    self.adopt(name + "/" + inner)
            elif stat.S_ISREG(mode):
                os.chmod(path, 0o600)
                descriptor = open_file(self.path, name)
                try:
                    self._files[name] = hash_file(descriptor)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            else:
                raise BackupError("BACKUP_FAILED", "{0} is neither a regular file nor a folder".format(path))

    def publish(self, manifest: Mapping[str, Any], restore_md: str, *, key: Optional[SigningKey] = None) -> str:
        """Complete ``manifest`` by the list of files, sign it by ``key``, make everything last, and name the set.

        Gives back the path of the set. Raises ValueError for a manifest that could not be read back.
        """
        check_manifest(dict(manifest, files=self.files))  # before RESTORE.md, which alone would be no backup
        self.write_text(RESTORE_FILE, restore_md)
        folders = self._folders()
        complete = dict(manifest, files=self.files)
        if key is not None:
            complete["signature"] = key.sign(complete)
        with storage_errors(self.path):
            write_file(os.path.join(self.path, MANIFEST_FILE), to_json(complete))
            for folder in folders:
                fsync_folder(folder)
            final = os.path.join(self._parent, self._set_id)
            os.rename(self.path, final)
            self.path = final
            fsync_folder(self._parent)
        self._published = True
        return final

    def discard(self) -> None:
        """Remove the set and all that is in it; what cannot be removed is left to :func:`sweep_partials`."""
        with suppress(BackupError):
            remove_set(self.path)

    def _locate(self, name: str) -> str:
        if not is_inside(name):
            raise ValueError("{0!r} does not name a file of a set".format(name))
        return os.path.join(self.path, name)

    def _folders(self) -> List[str]:
        """All folders of the set, inner ones first, after a look whether every file in them was recorded.

        A file that was written but never closed, or left behind by a tool, would be in the set without a checksum.
        """
        folders: List[str] = []
        found: Set[str] = set()
        for folder, _subfolders, names in os.walk(self.path, topdown=False):
            folders.append(folder)
            found.update(os.path.relpath(os.path.join(folder, name), self.path) for name in names)
        astray = sorted(found.symmetric_difference(self._files))
        if astray:
            raise BackupError("INTERNAL_ERROR", "{0}: written but not recorded, or gone: {1}".format(
                self.path, ", ".join(astray[:5])
            ))
        return folders

    def __enter__(self) -> PartialSet:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if not self._published:
            self.discard()


def sweep_partials(parent: str, *, keep: Container[str] = ()) -> List[str]:
    """Remove what earlier runs left unfinished in ``parent``, and give back the paths that are gone.

    Sets with an id in ``keep`` stay, to be completed. Called under the lock of ``parent``, so that nobody can still be
    at work on what is found.
    """
    return [path for path in _leftovers(parent) if _unfinished(path) not in keep and _remove(path)]


def _leftovers(parent: str) -> Iterator[str]:
    with suppress(OSError):
        for name in sorted(os.listdir(parent)):
            if name.startswith((PARTIAL_PREFIX, REMOVING_PREFIX)):
                yield os.path.join(parent, name)


def _unfinished(path: str) -> str:
    """The id of the set that was being made at ``path``; empty for one that was being removed."""
    name = os.path.basename(path)
    return name[len(PARTIAL_PREFIX):] if name.startswith(PARTIAL_PREFIX) else ""


def remove_set(path: str) -> None:
    """Remove the set at ``path``: it vanishes for readers at one stroke, before its first file is deleted.

    Raises BackupError when it could not be made to vanish; files that then resist are left to
    :func:`sweep_partials`.
    """
    parent, name = os.path.split(os.path.abspath(path))
    hidden = os.path.join(parent, REMOVING_PREFIX + name)
    with storage_errors(path):
        os.rename(path, hidden)
        _remove(hidden)
        fsync_folder(parent)


def _remove(path: str) -> bool:
    """Delete a folder with all its content, or whatever else has that name; whether it is gone."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        os.unlink(path)
    return not os.path.lexists(path)


def ensure_backup_dir(path: str) -> None:
    """Make ``path`` when it is missing and prove that files can be created in it. Raises BackupError."""
    make_folder(path)
    probe = os.path.join(path, ".probe-" + secrets.token_hex(8))
    with storage_errors(path):
        os.close(create_file(probe))
        os.unlink(probe)


def probe_backup_dir(path: str) -> None:
    """Foresee, without changing anything, whether :func:`ensure_backup_dir` would succeed. Raises BackupError."""
    existing = os.path.abspath(path)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise BackupError("BACKUP_DIR_UNUSABLE", "{0}: {1} is not a folder".format(path, existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BackupError("BACKUP_DIR_UNUSABLE", "{0}: no permission to write in {1}".format(path, existing))
