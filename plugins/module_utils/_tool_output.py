# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tool left when it ended: its status, its output within bounds, and the line that names the cause."""

from __future__ import annotations

import re
import threading
from typing import Callable, Generator, Iterator, List, NamedTuple, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import STDOUT, StreamBroken

__all__ = ["OneReader", "ToolResult", "bounded", "first_error", "ignore", "is_missing", "only_stdout"]

_MAX_BYTES = 256 * 1024 * 1024
# In English, or in any language with its SQLSTATE, of which 00 to 02 are no errors.
_ERROR = re.compile(r"error:|ERROR:|FATAL:|: +[^\s:]+:  (?!0[0-2])[0-9A-Z]{5}: ")
_READER_GRACE = 5.0  # how long a reader may take to see that its tool has ended


class ToolResult(NamedTuple):
    """A finished tool: its exit status, collected stdout (empty when it was streamed), last stderr lines, seconds."""

    status: int
    stdout: bytes
    stderr: str
    seconds: float


def ignore(_chunk: bytes) -> None:
    """For output that does not matter."""


def is_missing(text: str) -> bool:
    """Whether a container engine's message says that the program does not exist there."""
    return "executable file not found" in text or "no such file or directory" in text.lower()


def bounded(collected: List[bytes]) -> Callable[[bytes], None]:
    """Collect stdout up to a bound: endless output must not fill the memory."""
    size = 0

    def collect(chunk: bytes) -> None:
        nonlocal size
        size += len(chunk)
        if size > _MAX_BYTES:
            raise BackupError("INTERNAL_ERROR", "a tool printed more than {0} bytes".format(_MAX_BYTES))
        collected.append(chunk)

    return collect


def first_error(stderr: str) -> str:
    """The line that names the cause: the first with an error in it, else the last."""
    lines = stderr.splitlines()
    telling = [line for line in lines if _ERROR.search(line)]
    return (telling or lines[-1:] or ["no message"])[0]


def only_stdout(
    frames: Generator[Tuple[int, bytes], None, int], on_stderr: Callable[[bytes], None]
) -> Generator[bytes, None, int]:
    """The stdout among a tool's frames, ended by its exit status; stderr is handed on."""
    while True:
        try:
            stream, chunk = next(frames)
        except StopIteration as end:
            return int(end.value)
        if stream == STDOUT:
            yield chunk
        else:
            on_stderr(chunk)


class OneReader(Iterator[bytes]):
    """Chunks that one thread reads, while another may say stop: then nobody is left reading.

    Descriptors must not be closed, and their numbers given to other files, under somebody who reads from them.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._lock = threading.Lock()
        self._stopped = False
        self.finished = False

    def __next__(self) -> bytes:
        with self._lock:
            if self._stopped:
                raise StreamBroken("nobody wants to read it any more")
            try:
                return next(self._chunks)
            except StopIteration:
                self.finished = True
                raise

    def stop(self) -> None:
        """Wait until nobody reads, and let nobody begin. The tool must have been told to end."""
        self._stopped = True
        if self._lock.acquire(timeout=_READER_GRACE):
            self._lock.release()
