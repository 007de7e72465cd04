# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same work on many things, a few at a time."""

from __future__ import annotations

import os
import threading
from typing import Callable, Iterable, Iterator, List, TypeVar

__all__ = ["Stopped", "each", "processors", "until"]

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


def until(stop: threading.Event, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks``, cut off by ``Stopped`` once ``stop`` is set."""
    for chunk in chunks:
        if stop.is_set():
            raise Stopped
        yield chunk
