# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""More than one work on the same stream."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Callable, Generic, Iterator, Optional, Type, TypeVar

from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import Stopped

__all__ = ["Branch"]

R = TypeVar("R")
_AHEAD = 8  # chunks that a stream may be ahead of one that works on it
_GLANCE = 0.25  # how long one side waits before it looks whether the other is still there


class Branch(Generic[R]):
    """Work on a stream of chunks, done by a thread of its own while somebody else reads them and hands them on.

    As a context manager it waits for the thread at the end, and after a failure tells it to stop, by ``Stopped``.
    """

    def __init__(self, work: Callable[[Iterator[bytes]], R]) -> None:
        self._chunks: queue.Queue[Optional[bytes]] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        self._done: Future[R] = Future()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def write(self, chunk: Optional[bytes]) -> None:
        """Hand a chunk on, None for the end; waits while the work is behind. Raises what the work has failed with."""
        while True:
            if self._done.done():
                self._done.result()
                return
            try:
                self._chunks.put(chunk, timeout=_GLANCE)
                return
            except queue.Full:
                continue

    def finish(self) -> R:
        """What the work comes to when it has been given everything. Raises what it fails with."""
        self.write(None)
        return self._done.result()

    def _run(self, work: Callable[[Iterator[bytes]], R]) -> None:
        try:
            self._done.set_result(work(self._read()))
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever hands the chunks on
            self._done.set_exception(error)

    def _read(self) -> Iterator[bytes]:
        while not self._stop.is_set():
            try:
                chunk = self._chunks.get(timeout=_GLANCE)
            except queue.Empty:
                continue
            if chunk is None:
                return
            yield chunk
        raise Stopped

    def __enter__(self) -> Branch[R]:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stop.set()
        self._thread.join()
