# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process inside a container, over the raw connection that the Docker SDK opens for it.

The SDK's own frame reader ends silently when the connection breaks in the middle of a frame, so that half a dump
looks complete. Here every byte of a frame is counted.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import Any, Iterator, Mapping, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._engine import one_line, says_not_started
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    CHUNK,
    STDERR,
    STDOUT,
    StreamBroken,
    ToolProcess,
    ToolTimeout,
    remaining,
)

__all__ = ["FrameDecoder", "SdkProcess", "reason"]

# How long the engine may take to note that a process whose output has ended has ended as well.
_EXIT_GRACE = 15.0
_EXIT_POLL = 0.05

_HEADER = struct.Struct(">BxxxL")
# The engine's numbers for streams; 3 carries its own error messages.
_STREAMS = {0: STDOUT, 1: STDOUT, 2: STDERR, 3: STDERR}


class FrameDecoder:
    """The engine's multiplexed stream, taken apart: 8 bytes of header, then as many as it says."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    def push(self, data: bytes) -> Iterator[Tuple[int, bytes]]:
        """``(STDOUT or STDERR, chunk)`` for what ``data`` brings, wherever it was cut. Exhaust it before the next."""
        rest = memoryview(data)
        while rest:
            if not self._left:
                missing = _HEADER.size - len(self._header)
                self._header += rest[:missing]
                rest = rest[missing:]
                if len(self._header) == _HEADER.size:
                    self._stream, self._left = _HEADER.unpack(self._header)
                    self._header = b""
                    if self._stream not in _STREAMS:
                        raise StreamBroken("what came is not a frame of the engine's stream")
                continue
            chunk = bytes(rest[: self._left])
            rest = rest[self._left :]
            self._left -= len(chunk)
            yield _STREAMS[self._stream], chunk

    def finish(self) -> None:
        """The stream has ended; raises StreamBroken when that was inside a frame."""
        if self._left:
            raise StreamBroken("the engine's stream ended {0} bytes before the end of a frame".format(self._left))
        if self._header:
            raise StreamBroken("the engine's stream ended inside the header of a frame")


class SdkProcess(ToolProcess):
    """A process inside a container. The API cannot signal it: ``terminate`` and ``kill`` only close the connection."""

    def __init__(self, api: Any, exec_id: str, handle: Any, *, stdin: bool) -> None:
        """``handle``: what the SDK's ``exec_start(socket=True)`` returned."""
        self._api = api
        self._exec_id = exec_id
        # The SDK hands out the file below the buffer of the HTTP response, so the output's first bytes, if they came
        # along with the headers, would be lost. They are fetched from that buffer; what follows, from the socket.
        self._response = handle._response  # noqa: SLF001
        reader = self._response.raw._fp.fp  # noqa: SLF001
        self._socket = reader.raw._sock  # noqa: SLF001
        self._socket.settimeout(0)
        self._early = _buffered(reader)
        self._decoder = FrameDecoder()
        self._heard = False
        self._fed = stdin
        super().__init__(self._socket.fileno() if stdin else -1)

    def frames(self, deadline: Optional[float]) -> Iterator[Tuple[int, bytes]]:
        while True:
            data = self._early or self._receive(deadline)
            self._early = b""
            if not data:
                self._decoder.finish()
                return
            for stream, chunk in self._decoder.push(data):
                yield STDOUT if self._is_output(stream, chunk) else STDERR, chunk

    def _is_output(self, stream: int, chunk: bytes) -> bool:
        if stream == STDOUT and not self._heard:
            self._heard = True
            return not (says_not_started(chunk) and self._inspect().get("ExitCode") in (126, 127))
        return stream == STDOUT

    def _receive(self, deadline: Optional[float]) -> bytes:
        while True:
            left = remaining(deadline)
            if self._closed:
                raise StreamBroken("the output was closed before its end")
            try:
                data: bytes = self._socket.recv(CHUNK)
                return data
            except (BlockingIOError, ssl.SSLWantReadError):
                poller = select.poll()
                poller.register(self._socket, select.POLLIN)
                poller.poll(None if left is None else int(left * 1000) + 1)
            except OSError as error:
                # So a local socket ends when the engine closes it with some of our input unread, because the tool
                # wanted no more of it. All output has come by then; over a network some of it could be lost.
                if isinstance(error, ConnectionResetError) and self._socket.family == socket.AF_UNIX and self._fed:
                    return b""
                raise StreamBroken("the connection to the engine broke: {0}".format(reason(error))) from error

    def wait(self, deadline: Optional[float] = None) -> int:
        last_chance = time.monotonic() + _EXIT_GRACE
        while True:
            state = self._inspect()
            if not state.get("Running"):
                break
            now = time.monotonic()
            if now >= last_chance:
                raise StreamBroken("the engine's stream has ended, but the process is still running")
            if deadline is not None and now >= deadline:
                raise ToolTimeout("the time allowed is over")
            time.sleep(_EXIT_POLL)
        status = state.get("ExitCode")
        if not isinstance(status, int):
            raise StreamBroken("the engine does not know the exit status of the process")
        return status

    def _inspect(self) -> Mapping[str, Any]:
        try:
            state: Mapping[str, Any] = self._api.exec_inspect(self._exec_id)
            return state
        except OSError as error:
            raise StreamBroken("the engine cannot say how the process ended: {0}".format(reason(error))) from error

    def ended(self) -> bool:
        with suppress(StreamBroken):
            return not self._inspect().get("Running")
        return False

    def terminate(self) -> None:
        self.close()

    def kill(self) -> None:
        self.close()

    def _write(self, data: memoryview) -> int:
        sent: int = self._socket.send(data)
        return sent

    def _end_input(self) -> None:
        with suppress(OSError):  # the other side has closed already
            self._socket.shutdown(socket.SHUT_WR)

    def _release(self) -> None:
        self._response.close()
        self._socket.close()


def _buffered(reader: Any) -> bytes:
    """What the HTTP response's buffered reader, over a socket that does not block, has read ahead."""
    try:
        return bytes(reader.read1(len(reader.peek())))
    except OSError:
        return b""  # nothing is there yet; what is wrong, if anything, the socket will say again


def reason(error: BaseException) -> str:
    """The engine's explanation, else the operating system's below all wrappers, else the error's own words."""
    explanation = getattr(error, "explanation", None)
    if explanation:
        return one_line(str(explanation))
    inner: Optional[BaseException] = error
    while inner:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return one_line(str(error))
