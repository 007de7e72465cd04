# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder inside a container, reached from the host through ``/proc/<pid>/root`` instead of through the engine.

What is in a container may be hostile. So every part of the path is opened relative to a descriptor and never through a
link, only regular files and pipes are taken, and the folder must prove itself by a secret that was written into it
from inside: neither a reused process number nor another machine's engine can stand in for the container.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Callable, Iterable, Iterator, List, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._storage import write_all

__all__ = ["ContainerFolder", "may_look_into", "open_folder"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_PROOF = ".proof"


class ContainerFolder:
    """One folder of a container. Names are those of files directly in it or in one folder below. Raises OSError."""

    def __init__(self, descriptor: int) -> None:
        self._folder = descriptor
        status = os.fstat(descriptor)
        self._owner = (status.st_uid, status.st_gid)

    def close(self) -> None:
        os.close(self._folder)

    def inner(self, name: str) -> ContainerFolder:
        """A folder in it, which its owner made."""
        return ContainerFolder(self._checked(os.open(name, _FOLDER, dir_fd=self._folder), stat.S_ISDIR))

    def make_inner(self, name: str) -> ContainerFolder:
        """A new folder in it, 0700, of the same owner."""
        os.mkdir(name, 0o700, dir_fd=self._folder)
        descriptor = os.open(name, _FOLDER, dir_fd=self._folder)
        os.fchown(descriptor, *self._owner)
        return ContainerFolder(descriptor)

    def files(self) -> List[Tuple[str, int]]:
        """Name and size in bytes of everything in it, whatever it is; only regular files can then be read."""
        names = [name for name in os.listdir(self._folder) if name != _PROOF]
        return [(name, os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_size) for name in sorted(names)]

    def read(self, name: str) -> Iterator[bytes]:
        """The content of a regular file in pieces of 1 MiB."""
        descriptor = self._open(name, os.O_RDONLY, stat.S_ISREG)
        try:
            while True:
                chunk = os.read(descriptor, _CHUNK)
                if not chunk:
                    return
                yield chunk
        finally:
            os.close(descriptor)

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """A new file, 0600, of the folder's owner."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=self._folder)
        try:
            os.fchown(descriptor, *self._owner)
            for chunk in chunks:
                write_all(descriptor, chunk)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._folder)

    def make_pipe(self, name: str) -> int:
        """A new FIFO, 0600, of the folder's owner; a descriptor of its reading end, opened without a writer."""
        os.mkfifo(name, 0o600, dir_fd=self._folder)
        os.chown(name, *self._owner, dir_fd=self._folder, follow_symlinks=False)
        return self._open(name, os.O_RDONLY, stat.S_ISFIFO)

    def _open(self, name: str, flags: int, kind: Callable[[int], bool]) -> int:
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return self._checked(os.open(name, flags, dir_fd=self._folder), kind)

    def _checked(self, descriptor: int, kind: Callable[[int], bool]) -> int:
        status = os.fstat(descriptor)
        if not kind(status.st_mode) or (status.st_uid, status.st_gid) != self._owner:
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not what was made there")
        return descriptor


def may_look_into(pid: int) -> bool:
    """Whether it is worth a try: only root may look into another process's root."""
    return pid > 0 and os.geteuid() == 0


def open_folder(pid: int, path: str, *, proof: bytes) -> Optional[ContainerFolder]:
    """The absolute ``path`` in the container whose main process is ``pid`` here, when this host can reach it.

    ``proof`` is what the file ``.proof`` in it must hold, written by a process inside. None wherever anything is in the
    way: another kernel, no permission, a link on the path.
    """
    if not may_look_into(pid):
        return None
    descriptor = -1
    try:
        descriptor = os.open("/proc/{0}/root".format(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in path.strip("/").split("/"):
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        folder = ContainerFolder(descriptor)
        if b"".join(folder.read(_PROOF)) == proof:
            return folder
    except OSError:
        pass
    if descriptor >= 0:
        with suppress(OSError):
            os.close(descriptor)
    return None
