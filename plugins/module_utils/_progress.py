# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is doing right now: said by the stories, and written to a small file for whoever watches from outside.

It changes nothing of what is done. A run that is not watched writes nothing, and neither does one that is soon over.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

__all__ = ["UNKNOWN", "Expected", "Measure", "Progress", "read_by_children", "written_to"]

_SHARE = 20  # looking takes at most this part of the time
_GRACE = 2.0  # seconds that a look may still take when the run is over

# The bytes and the tables so far, None for what is not known. It may raise OSError.
Measure = Callable[[], Tuple[Optional[int], Optional[int]]]


class Expected(NamedTuple):
    """What a step is going to come to, by what it came to the last time."""

    bytes: Optional[int] = None
    tables: Optional[int] = None
    seconds: Optional[float] = None


UNKNOWN = Expected()


class _Step(NamedTuple):
    name: str
    database: str
    measure: Optional[Measure]
    expected: Expected
    started: float


class Progress:
    """The step that a run is at; of parts that go on side by side, the one that has taken longest."""

    def __init__(self) -> None:
        self._parts: List[Progress] = []
        self._step: Optional[_Step] = None
        self._passed = 0
        self._lock = threading.Lock()

    def part(self) -> Progress:
        """Of what goes on beside other work."""
        self._parts.append(Progress())
        return self._parts[-1]

    @contextmanager
    def step(
        self, name: str, database: str = "", *, measure: Optional[Measure] = None, expected: Expected = UNKNOWN
    ) -> Iterator[None]:
        """Say what happens inside, as in ``dumping``. Without a database it is that of the step around this one.

        ``measure`` is called by another thread; without it the bytes are those that :meth:`count` saw.
        """
        around = self._step
        self._begin(_Step(name, database or (around.database if around else ""), measure, expected, 0.0))
        try:
            yield
        finally:
            self._begin(around)

    def count(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """``chunks``, whose bytes are counted; several threads may do so."""
        for chunk in chunks:
            with self._lock:
                self._passed += len(chunk)
            yield chunk

    def look(self) -> Optional[Dict[str, Any]]:
        """The step with its figures, None between steps."""
        step = self._step
        if step is None:
            seen = [part.look() for part in self._parts]
            return max(filter(None, seen), key=lambda one: float(one["seconds"]), default=None)
        size: Optional[int] = self._passed or None
        tables: Optional[int] = None
        if step.measure is not None:
            size = None
            with suppress(OSError):
                size, tables = step.measure()
        return {
            "step": step.name, "database": step.database, "seconds": round(time.monotonic() - step.started, 1),
            "bytes": size, "tables": tables, "expected": step.expected._asdict(),
        }

    def _begin(self, step: Optional[_Step]) -> None:
        with self._lock:
            self._passed = 0
            self._step = step and step._replace(started=time.monotonic())


@contextmanager
def written_to(
    path: str, progress: Progress, *, mark: str, first: float, clean: Callable[[str], str]
) -> Iterator[None]:
    """Write what happens inside to the file ``path``, 0600, from ``first`` seconds on and at most once a second.

    Behind ``mark`` it is one line of JSON, each name as ``clean`` gives it back. The file goes with the end.
    """
    over = threading.Event()
    arguments = (path, progress, mark, first, clean, over)
    thread = threading.Thread(target=_write_on, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_GRACE)
        for name in (path, path + ".new"):
            with suppress(OSError):
                os.unlink(name)


def _write_on(
    path: str, progress: Progress, mark: str, first: float, clean: Callable[[str], str], over: threading.Event
) -> None:
    wait = first
    while not over.wait(wait):
        started = time.monotonic()
        seen = progress.look()
        if seen is not None:
            seen["database"] = clean(seen["database"])
        with suppress(OSError):  # without room for it, or a folder, there is just nothing to see
            _replace(path, (mark + json.dumps(seen) + "\n").encode("ascii"), over)
        wait = max(min(1.0, first), _SHARE * (time.monotonic() - started))


def _replace(path: str, content: bytes, over: threading.Event) -> None:
    """As at one stroke, and without waiting for the disk: after a crash nobody asks for it."""
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    draft = path + ".new"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    if not over.is_set():
        os.replace(draft, path)


def read_by_children(program: str) -> int:
    """The bytes that the running processes of that name below this one have read from files."""
    found, pids = 0, [os.getpid()]
    for pid in pids:
        with suppress(OSError, ValueError):
            for thread in os.listdir("/proc/{0}/task".format(pid)):
                pids += [int(child) for child in _read("/proc/{0}/task/{1}/children".format(pid, thread)).split()]
            if _read("/proc/{0}/comm".format(pid)).strip() == program:
                found += int(_read("/proc/{0}/io".format(pid)).split()[1])  # rchar, the first line
    return found


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()
