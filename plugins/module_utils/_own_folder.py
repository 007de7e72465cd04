# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary folders of this host: 0700, gone when they are done with, and swept by the next run if we were killed.

What is in one may be a database in the clear. Each is locked for as long as its run lives: by that others can tell.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from typing import Iterator, List, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._storage import storage_errors

__all__ = ["own_folder", "sweep_own_folders"]

_PREFIX = "pgfleet-tmp-"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def own_folder(parent: Optional[str] = None, prefix: str = _PREFIX) -> Iterator[str]:
    """A new folder of ours until the end. Raises BackupError when ``parent``, by default the system's own, has no room.

    Only folders of the default name in the default place are swept.
    """
    place = parent or tempfile.gettempdir()
    with storage_errors(place):
        folder, lock = _make(place, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep_own_folders() -> List[str]:
    """Remove the folders that killed runs of this account have left; their paths. Never raises."""
    removed = []
    place = tempfile.gettempdir()
    with suppress(OSError):
        for name in sorted(os.listdir(place)):
            path = os.path.join(place, name)
            if name.startswith(_PREFIX) and _remove(path):
                removed.append(path)
    return removed


def _make(place: str, prefix: str) -> Tuple[str, int]:
    """A folder and its lock. Before it is locked it looks abandoned: one that was swept just then is made anew."""
    while True:
        folder = tempfile.mkdtemp(prefix=prefix, dir=place)
        with suppress(FileNotFoundError):
            lock = os.open(folder, _OPEN)
            with suppress(OSError):  # a file system without locks: nobody can tell that it is abandoned either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.isdir(folder):
                return folder, lock
            os.close(lock)


def _remove(path: str) -> bool:
    """Remove a folder if it is ours, and no run holds it any more."""
    try:
        lock = os.open(path, _OPEN)
    except OSError:
        return False
    try:
        status = os.fstat(lock)
        if status.st_uid != os.geteuid() or status.st_mode & 0o777 != 0o700:
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
        return not os.path.lexists(path)
    except OSError:
        return False
    finally:
        os.close(lock)
