# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that is bounded in time, and that can be told to stop."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import Iterable, Iterator, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import Stopped

__all__ = ["Bounded"]


class Bounded(ABC):
    """What has a ``deadline`` (``time.monotonic()``) once a limit is set, and an event to halt on once it has one."""

    def __init__(self) -> None:
        self.deadline: Optional[float] = None
        self._halt: Optional[threading.Event] = None

    @abstractmethod
    def _timed_out(self, work: str) -> BackupError:
        """What is raised for ``work`` that the time was not enough for."""

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Bound everything that runs inside by ``seconds``; 0 means no bound."""
        before = self.deadline
        if seconds:
            self.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self.deadline = before

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """Lift the bound for cleaning up, which must happen even when the time is over and the run is ended."""
        before = self.deadline, self._halt
        self.deadline = self._halt = None
        try:
            yield
        finally:
            self.deadline, self._halt = before

    def halt_on(self, stop: threading.Event) -> None:
        """Once ``stop`` is set, nothing of this need be finished."""
        self._halt = stop

    @property
    def may_halt(self) -> bool:
        """Whether there is anything to heed."""
        return self._halt is not None

    def heed(self) -> None:
        """Raises ``Stopped`` once this part of a run need not be finished."""
        if self._halt is not None and self._halt.is_set():
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Wait for something that takes its time, and heed meanwhile."""
        if self._halt is None:
            time.sleep(seconds)
        elif self._halt.wait(seconds):
            raise Stopped

    def in_time(self, work: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """``chunks``, for work on the tools' files that is bounded as the tools are; ``work`` names it when it is not.

        Raises ``BACKUP_TIMEOUT`` or ``RESTORE_TIMEOUT``, and as :meth:`heed`.
        """
        for chunk in chunks:
            self.heed()
            if self.deadline is not None and time.monotonic() > self.deadline:
                raise self._timed_out(work)
            yield chunk

    def _seconds_left(self, timeout: Optional[float]) -> Optional[float]:
        if self.deadline is None:
            return timeout
        left = max(self.deadline - time.monotonic(), 0.001)
        return left if timeout is None else min(left, timeout)
