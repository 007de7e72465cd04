# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same work on many things, a few at a time."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Callable, Dict, Iterable, Iterator, List, Tuple, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Stopped", "each", "in_shares", "processors", "until"]

T = TypeVar("T")
R = TypeVar("R")


class Stopped(Exception):  # noqa: N818
    """Raised in work that need not be finished, because something else failed."""


def processors() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(items: Iterable[T], work: Callable[[T, threading.Event], R], *, threads: int) -> List[R]:
    """The results of ``work(item, stop)``, in no order, by at most ``threads`` threads.

    The first exception is raised here, and so is one of a signal; ``stop`` is then set, and all work has ended when
    this returns. ``work`` looks at ``stop`` (see :func:`until`), or is short.
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed  # noqa: PLC0415

    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        futures = [pool.submit(work, item, stop) for item in items]
        try:
            return [future.result() for future in as_completed(futures)]
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise


def in_shares(items: Iterable[Tuple[T, int]], work: Callable[[T, threading.Event], None], *, shares: int) -> None:
    """``work(item, stop)`` for each ``(item, share)``, begun in this order, as many at once as ``shares`` suffice for.

    One that wants more than all of them runs alone. The first exception is raised here, and so is one of a signal;
    ``stop`` is then set, and all work has ended when this returns.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    stop = threading.Event()
    running: Dict[Future[None], int] = {}
    with ThreadPoolExecutor(max_workers=max(1, shares)) as pool:
        try:
            for item, share in items:
                while running and sum(running.values()) + share > shares:
                    _collect(running)
                running[pool.submit(work, item, stop)] = share
            while running:
                _collect(running)
        except BaseException:
            stop.set()
            raise


def _collect(running: Dict[Future[None], int]) -> None:
    """Wait until some of it has ended, and raise what it raised."""
    from concurrent.futures import FIRST_COMPLETED, wait  # noqa: PLC0415

    for future in wait(running, return_when=FIRST_COMPLETED).done:
        del running[future]
        future.result()


def until(stop: threading.Event, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks``, cut off by ``Stopped`` once ``stop`` is set."""
    for chunk in chunks:
        if stop.is_set():
            raise Stopped
        yield chunk
