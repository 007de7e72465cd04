# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders that only their owner reads, that outlast a power cut, and whose errors one can act upon.

It knows nothing of backup sets. Modes are 0700 and 0600 whatever the umask is, unless another one is asked for.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from contextlib import contextmanager
from typing import Iterable, Iterator, Tuple, Union

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = [
    "create_file",
    "fsync_folder",
    "hash_file",
    "is_full",
    "make_folder",
    "open_file",
    "replace_file",
    "storage_errors",
    "write_all",
    "write_chunks",
    "write_file",
]

_CHUNK = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def is_full(error: OSError) -> bool:
    """Whether there was no room left, or no more was allowed."""
    return error.errno in _FULL


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Turn an OSError of the block into NO_SPACE or BACKUP_DIR_UNUSABLE, naming ``path``."""
    try:
        yield
    except OSError as error:
        code = "NO_SPACE" if is_full(error) else "BACKUP_DIR_UNUSABLE"
        raise BackupError(code, "{0}: {1}".format(path, error.strerror or error)) from error


def fsync_folder(path: str) -> None:
    """Make the names in the folder ``path`` last. Raises OSError."""
    descriptor = os.open(path, _FOLDER)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot do this to folders; PostgreSQL itself lets these two pass.
        if error.errno not in (errno.EINVAL, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def make_folder(path: str) -> None:
    """Make ``path`` and whatever is missing above it, each 0700; what exists is left alone. Raises BackupError."""
    path = os.path.abspath(path)
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_folder(parent)
    with storage_errors(path):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if os.path.isdir(path):  # another run was a moment faster
                return
            raise
        os.chmod(path, 0o700)
        fsync_folder(parent)


def create_file(path: str) -> int:
    """A descriptor to write the new file ``path``, 0600. Raises OSError, also when the name exists in any form."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def write_all(descriptor: int, data: Union[bytes, memoryview]) -> None:
    """Write every byte of ``data``; ``os.write`` alone may stop short. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest):]


def write_chunks(path: str, chunks: Iterable[bytes]) -> None:
    """Write the new file ``path``, 0600, not yet safe from a power cut. Raises OSError, and what ``chunks`` does."""
    descriptor = create_file(path)
    try:
        for chunk in chunks:
            write_all(descriptor, chunk)
    finally:
        os.close(descriptor)


def write_file(path: str, content: bytes) -> None:
    """Write the new file ``path``, 0600, and fsync it; its folder is the caller's to fsync. Raises OSError."""
    descriptor = create_file(path)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: str, content: bytes, *, mode: int = 0o600) -> None:
    """Put ``content`` in the place of the file ``path`` at one stroke, with ``mode``, fsynced. Raises BackupError."""
    folder, name = os.path.split(path)
    draft = os.path.join(folder, ".{0}.{1}".format(name, secrets.token_hex(8)))
    with storage_errors(path):
        try:
            write_file(draft, content)
            os.chmod(draft, mode)
            os.replace(draft, path)
        except OSError:
            if os.path.lexists(draft):
                os.unlink(draft)
            raise
        fsync_folder(folder)


def open_file(folder: str, path: str) -> int:
    """A descriptor to read the regular file at ``path``, relative to ``folder`` and inside it.

    No symbolic link is followed below ``folder``, and nothing blocks on a FIFO. Raises OSError.
    """
    *parents, name = path.split("/")
    here = os.open(folder, _FOLDER)
    try:
        for part in parents:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file")
    return descriptor


def hash_file(descriptor: int) -> Tuple[int, str]:
    """The size in bytes and the SHA-256 (hexadecimal) of what is left to read. Raises OSError."""
    size, digest = 0, hashlib.sha256()
    while True:
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            return size, digest.hexdigest()
        size += len(chunk)
        digest.update(chunk)
