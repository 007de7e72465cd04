# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may work on what at the same time. Every lock is a flock: the kernel releases it when its process is gone."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import Callable, Iterator, List, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import LOCK_FILE, MANIFEST_FILE, SLOTS_FOLDER
from ansible_collections.pgfleet.backup.plugins.module_utils._storage import make_folder, storage_errors, write_all

__all__ = ["Slots", "claim_set", "database_lock", "folder_lock", "hold_set"]

_PAUSE = 0.1  # seconds between two tries

Pause = Callable[[float], None]


@contextmanager
def database_lock(folder: str, *, timeout: float, pause: Pause = time.sleep) -> Iterator[None]:
    """Be the only run that writes in ``folder``, which is made when missing.

    Waits up to ``timeout`` seconds, by ``pause``. Raises BACKUP_LOCKED, or what the storage has to say.
    """
    make_folder(folder)
    with _one_of([os.path.join(folder, LOCK_FILE)], timeout, pause, "{0} is locked".format(folder)):
        yield


class Slots:
    """The places in ``backup_dir`` at which ``n`` may be at work at once, of all runs; 0 means as many as like to.

    One for a whole run, whose threads may take several.
    """

    def __init__(self, backup_dir: str, n: int) -> None:
        self._backup_dir = backup_dir
        self._n = n
        self._taken: List[str] = []

    @contextmanager
    def take(self, timeout: float, pause: Pause = time.sleep) -> Iterator[None]:
        """Be one of those at work.

        Waits up to ``timeout`` seconds, and until this very run has no other place that it will give back. Raises
        BACKUP_LOCKED, or what the storage has to say.
        """
        if not self._n:
            yield
            return
        folder = os.path.join(self._backup_dir, SLOTS_FOLDER)
        make_folder(folder)
        paths = [os.path.join(folder, str(index)) for index in range(self._n)]
        refusal = "as many as {0} backups at once are allowed in {1}, and run".format(self._n, self._backup_dir)
        with _one_of(paths, timeout, pause, refusal, patient=lambda: bool(self._taken)):
            self._taken.append(folder)
            try:
                yield
            finally:
                self._taken.pop()


@contextmanager
def hold_set(path: str) -> Iterator[None]:
    """Keep retention from removing the set at ``path`` while it is being read; many may hold it at once.

    Raises BACKUP_NOT_FOUND when it is gone and BACKUP_LOCKED when it is just being removed.
    """
    manifest = os.path.join(path, MANIFEST_FILE)
    try:
        descriptor = os.open(manifest, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BackupError("BACKUP_NOT_FOUND", "{0}: {1}".format(manifest, error.strerror)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError("BACKUP_LOCKED", "{0} is being removed by the retention".format(path)) from error
        except OSError:
            pass  # storage without locks, where nobody can claim the set for removal either
        # Between the open and the lock it may have been removed: the descriptor would then hold a file without a name.
        if not os.path.exists(manifest):
            raise BackupError("BACKUP_NOT_FOUND", "{0} has just been removed".format(path))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def claim_set(path: str) -> Iterator[bool]:
    """Whether the set at ``path`` is ours to remove: False while anybody holds it. Never waits, never raises."""
    descriptor = None
    try:
        try:
            # For writing, because network file systems give an exclusive lock to nothing less.
            descriptor = os.open(os.path.join(path, MANIFEST_FILE), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except OSError:
            mine = False
        yield mine
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def folder_lock(path: str) -> Iterator[None]:
    """Take turns at a short change inside the folder ``path``. Best effort: goes on where folders cannot be locked."""
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _one_of(
    paths: List[str], timeout: float, pause: Pause, refusal: str, *, patient: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Hold an exclusive lock on any one of the files ``paths``, or raise BACKUP_LOCKED with ``refusal``."""
    with ExitStack() as stack:
        descriptors = []
        for path in paths:
            with storage_errors(path):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                stack.callback(os.close, descriptor)
                os.fchmod(descriptor, 0o600)
            descriptors.append(descriptor)
        mine = _wait_for(descriptors, paths[0], timeout, pause, patient)
        if mine is None:
            holders = ", ".join(filter(None, map(_read_pid, descriptors)))
            raise BackupError("BACKUP_LOCKED", "{0} (by process {1})".format(refusal, holders or "unknown"))
        with suppress(OSError):  # only there to be named to others
            write_all(mine, b"%d" % os.getpid())
        try:
            yield
        finally:
            with suppress(OSError):
                os.ftruncate(mine, 0)


def _wait_for(
    descriptors: List[int], path: str, timeout: float, pause: Pause, patient: Callable[[], bool]
) -> Optional[int]:
    """The first of ``descriptors`` that could be locked within ``timeout`` seconds, longer while ``patient()``."""
    deadline = time.monotonic() + timeout
    while True:
        if patient():
            deadline = max(deadline, time.monotonic() + _PAUSE)
        with storage_errors(path):
            for descriptor in descriptors:
                if _try_lock(descriptor):
                    return descriptor
        rest = deadline - time.monotonic()
        if rest <= 0:
            return None
        pause(min(_PAUSE, rest))


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_pid(descriptor: int) -> str:
    """The process that wrote itself into a lock file; empty when it did not get to it."""
    text = os.pread(descriptor, 20, 0).decode("ascii", "replace")
    return text if text.isdigit() else ""
