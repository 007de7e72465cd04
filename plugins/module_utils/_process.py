# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running tool, wherever it runs: bytes go in, two byte streams come out, an exit status ends it.

Nothing is buffered whole: a dump of any size passes through in chunks. This is the only file that starts a process.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Callable, Generator, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

__all__ = [
    "CHUNK", "STDERR", "STDOUT", "PopenProcess", "StreamBroken", "ToolProcess", "ToolTimeout", "follow", "pump",
    "remaining",
]

STDOUT = 1
STDERR = 2

CHUNK = 256 * 1024  # the most that is read at once
_GLANCE = 0.25  # how long something waits before it looks whether it should still be waiting
_FEEDER_GRACE = 5.0  # how long a feeder may go on once its tool has ended
_CLOSE_GRACE = 1.0  # how long a tool that lost its streams may take to end before nobody looks any more


class StreamBroken(Exception):  # noqa: N818
    """The tool's output was cut off, or its exit status cannot be known. It must never pass for success."""


class ToolTimeout(Exception):  # noqa: N818
    """The deadline passed. The tool is still running."""


def remaining(deadline: Optional[float]) -> Optional[float]:
    """Seconds until ``deadline`` (of ``time.monotonic()``), ``None`` when there is none; raises ToolTimeout past it."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise ToolTimeout("the time allowed is over")
    return left


class ToolProcess(ABC):
    """A started tool.

    One thread may feed it while another reads its frames. Whoever started it closes it, whatever happened.
    """

    def __init__(self, input_fd: int) -> None:
        """``input_fd``: the non-blocking descriptor that leads to the tool's stdin, -1 when it has none."""
        self._input_fd = input_fd
        self._closed = False
        # A descriptor must not be closed, and its number given to another file, while the feeder writes to it.
        self._lock = threading.Lock()

    def feed(self, source: Iterable[bytes], *, end: bool = True) -> None:
        """Write all of ``source`` to the tool's stdin, then with ``end`` close that (the outputs stay open).

        A tool that no longer reads is no error here: its own stderr and exit status tell why. When ``source`` raises,
        stdin is left open and the exception propagates: to the tool an early end would look like a complete input,
        and it might commit half of it. Kill the tool, then close.
        """
        if self._input_fd < 0:
            raise ValueError("the tool was started without stdin")
        poller = select.poll()
        poller.register(self._input_fd, select.POLLOUT)
        for chunk in source:
            rest = memoryview(chunk)
            while rest:
                sent = self._offer(rest)
                if sent is None:
                    return
                rest = rest[sent:]
                if rest:
                    poller.poll(_GLANCE * 1000)
        with self._lock:
            if end and not self._closed:
                self._end_input()
                self._input_fd = -1

    def _offer(self, data: memoryview) -> Optional[int]:
        """Write what fits now; ``None`` when nobody will ever read it."""
        with self._lock:
            if self._closed:
                return None
            try:
                return self._write(data)
            except BlockingIOError:
                return 0
            except (BrokenPipeError, ConnectionResetError):
                return None

    def close(self) -> None:
        """Let go of the streams and end a feeder that waits. It does not end the tool. May be called again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._release()

    @abstractmethod
    def frames(self, deadline: Optional[float]) -> Iterator[Tuple[int, bytes]]:
        """``(STDOUT or STDERR, chunk)`` as they come, until both streams have ended.

        Raises ToolTimeout past ``deadline``, after which it may be called again and goes on where it was, and
        StreamBroken when the output was cut off.
        """

    @abstractmethod
    def wait(self, deadline: Optional[float] = None) -> int:
        """The exact exit status, negative for a signal. Raises StreamBroken when it is not known, and ToolTimeout."""

    @abstractmethod
    def ended(self) -> bool:
        """Whether the tool is known to have ended; asks, and does not wait."""

    @abstractmethod
    def terminate(self) -> None:
        """Ask the tool to end, as far as this side can reach it. May be called again, and after its end."""

    @abstractmethod
    def kill(self) -> None:
        """End the tool, as far as this side can reach it. May be called again, and after its end."""

    @abstractmethod
    def _write(self, data: memoryview) -> int:
        """Write without blocking, as ``os.write`` does."""

    @abstractmethod
    def _end_input(self) -> None:
        """Close stdin only. Called under the lock, at most once."""

    @abstractmethod
    def _release(self) -> None:
        """Close all streams. Called under the lock, once."""


class PopenProcess(ToolProcess):
    """A tool on this host, in a session and process group of its own."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], stdin: bool = False) -> None:
        """Start ``argv`` (never through a shell) with exactly ``env``; raises OSError when it cannot be started."""
        self._popen = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            list(argv),
            env=dict(env),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        super().__init__(self._popen.stdin.fileno() if self._popen.stdin else -1)
        if stdin:
            os.set_blocking(self._input_fd, False)
        self._selector = selectors.DefaultSelector()
        for stream, number in ((self._popen.stdout, STDOUT), (self._popen.stderr, STDERR)):
            if stream:
                self._selector.register(stream, selectors.EVENT_READ, number)

    def frames(self, deadline: Optional[float]) -> Iterator[Tuple[int, bytes]]:
        while not self._closed and self._selector.get_map():
            for key, _events in self._selector.select(remaining(deadline)):
                chunk = os.read(key.fd, CHUNK)
                if chunk:
                    yield key.data, chunk
                else:
                    self._selector.unregister(key.fileobj)
        if self._closed:
            raise StreamBroken("the output was closed before its end")

    def wait(self, deadline: Optional[float] = None) -> int:
        try:  # a tool that has ended has a status, however late it is asked for
            return self._popen.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ToolTimeout("the time allowed is over") from None

    def ended(self) -> bool:
        return self._popen.poll() is not None

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # Until wait() or ended() has seen the leader's end, its pid, hence the group's, cannot be anybody else's.
        if self._popen.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)

    def _write(self, data: memoryview) -> int:
        return os.write(self._input_fd, data)

    def _end_input(self) -> None:
        if self._popen.stdin:
            self._popen.stdin.close()

    def _release(self) -> None:
        self._selector.close()
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if stream:
                stream.close()
        with suppress(subprocess.TimeoutExpired):  # one that was just killed is collected here
            self._popen.wait(_CLOSE_GRACE)


def pump(
    process: ToolProcess,
    *,
    source: Optional[Iterable[bytes]],
    on_stdout: Callable[[bytes], object],
    on_stderr: Callable[[bytes], None],
    timeout: Optional[float],
    check: Optional[Callable[[], None]] = None,
) -> int:
    """Run a started tool to its end: feed it ``source``, hand out what it writes, return its exit status.

    ``source`` is iterated in a thread; its exception is raised here, soon after it happened. ``check`` is called now
    and then, and may raise. Exceptions of the callbacks, ToolTimeout and StreamBroken propagate. In all of these cases
    the tool still runs: the caller kills it, and closes ``process`` only then, which also ends the feeding. When it
    returns, ``process`` is closed.
    """
    frames = follow(process, source=source, timeout=timeout, check=check)
    while True:
        try:
            stream, chunk = next(frames)
        except StopIteration as end:
            return int(end.value)
        if stream == STDOUT:
            on_stdout(chunk)
        else:
            on_stderr(chunk)


def follow(
    process: ToolProcess, *, source: Optional[Iterable[bytes]], timeout: Optional[float],
    check: Optional[Callable[[], None]] = None,
) -> Generator[Tuple[int, bytes], None, int]:
    """What :func:`pump` does, as a generator: it yields each frame as it comes, and returns the exit status."""
    deadline = None if timeout is None else time.monotonic() + timeout
    feeder = _Feeder(process, source) if source is not None else None
    checks = ([feeder.check] if feeder else []) + ([check] if check else [])
    yield from _frames(process, deadline, checks)
    status = _wait(process, deadline, checks)
    process.close()
    if feeder:
        feeder.finish()
    return status


class _Feeder:
    """Feeds in a thread, and keeps what went wrong there."""

    def __init__(self, process: ToolProcess, source: Iterable[bytes]) -> None:
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, args=(process, source), daemon=True)
        self._thread.start()

    def _run(self, process: ToolProcess, source: Iterable[bytes]) -> None:
        try:
            process.feed(source)
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits for the tool
            self._error = error

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        self._thread.join(_FEEDER_GRACE)
        self.check()


def _deadlines(deadline: Optional[float], checks: Sequence[Callable[[], None]]) -> Iterator[Optional[float]]:
    """Deadlines to wait for in turn, the last one ``deadline``. With something to look after they are close."""
    while checks:
        for check in checks:
            check()
        soon = time.monotonic() + _GLANCE
        if deadline is not None and deadline <= soon:
            break
        yield soon
    yield deadline


def _frames(
    process: ToolProcess, deadline: Optional[float], checks: Sequence[Callable[[], None]]
) -> Iterator[Tuple[int, bytes]]:
    for moment in _deadlines(deadline, checks):
        try:
            yield from process.frames(moment)
            return
        except ToolTimeout:
            if moment == deadline:
                raise


def _wait(process: ToolProcess, deadline: Optional[float], checks: Sequence[Callable[[], None]]) -> int:
    for moment in _deadlines(deadline, checks):
        try:
            return process.wait(moment)
        except ToolTimeout:
            if moment == deadline:
                raise
    raise AssertionError("the last deadline ends the loop")
