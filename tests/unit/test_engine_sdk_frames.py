# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process inside a container, as the Docker SDK's connection shows it, when that connection misbehaves.

Faked is only what a healthy engine does not do at will: the socket pair stands for its end of the connection.
"""

from __future__ import annotations

import socket
import struct
import time
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Optional

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _engine_stream
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_stream import FrameDecoder, SdkProcess
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    STDERR,
    STDOUT,
    StreamBroken,
    ToolTimeout,
    pump,
)

ENOUGH = 60.0
ENDED = {"Running": False, "ExitCode": 0}
NOT_STARTED = b'OCI runtime exec failed: exec failed: exec: "nope": executable file not found in $PATH: unknown\r\n'


def frame(payload: bytes, stream: int = 1) -> bytes:
    return struct.pack(">BxxxL", stream, len(payload)) + payload


STREAM = frame(b"one") + frame(b"") + frame(b"error", 2) + frame(b"x" * 300)
CONTENT = {STDOUT: b"one" + b"x" * 300, STDERR: b"error"}


def joined(frames: Any) -> Dict[int, bytes]:
    content = {STDOUT: b"", STDERR: b""}
    for stream, chunk in frames:
        content[stream] += chunk
    return content


class Connection:
    """The engine's end of an exec's connection, and the SDK's answers about the exec."""

    def __init__(self) -> None:
        self.engine, self._client = socket.socketpair()
        self._reader = self._client.makefile("rb")
        self.state: Dict[str, Any] = ENDED
        self.process: Optional[SdkProcess] = None

    def exec_inspect(self, exec_id: str) -> Dict[str, Any]:
        assert exec_id == "the exec"
        return self.state

    def read_ahead(self) -> None:
        """What the HTTP client does when the headers and the first output come in one piece."""
        self._reader.peek(1)

    def open(self, stdin: bool = False) -> SdkProcess:
        response = SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=self._reader)), close=self._reader.close)
        self.process = SdkProcess(self, "the exec", SimpleNamespace(_response=response), stdin=stdin)
        return self.process

    def close(self) -> None:
        if self.process:
            self.process.close()
        for end in (self.engine, self._reader, self._client):
            end.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.close()


# -- the frames -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 11, 64, len(STREAM)])
def test_frames_may_come_in_pieces_of_any_size(size: int) -> None:
    decoder = FrameDecoder()
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert joined(one for piece in pieces for one in decoder.push(piece)) == CONTENT
    decoder.finish()


def test_every_cut_is_noticed_except_between_frames() -> None:
    between = {0, 11, 19, 32, len(STREAM)}
    for cut in range(len(STREAM) + 1):
        decoder = FrameDecoder()
        list(decoder.push(STREAM[:cut]))
        if cut in between:
            decoder.finish()
        else:
            with pytest.raises(StreamBroken):
                decoder.finish()


def test_what_is_no_frame_is_not_taken_for_one() -> None:
    with pytest.raises(StreamBroken):
        list(FrameDecoder().push(b"HTTP/1.1 500 Internal Server Error\r\n"))


def test_the_engine_s_own_messages_are_errors() -> None:
    assert list(FrameDecoder().push(frame(b"no space", 3))) == [(STDERR, b"no space")]


# -- the output -----------------------------------------------------------------------------------------------------


def test_the_first_bytes_may_have_been_read_with_the_headers(connection: Connection) -> None:
    connection.engine.sendall(STREAM[:25])
    connection.read_ahead()
    connection.engine.sendall(STREAM[25:])
    connection.engine.close()
    assert joined(connection.open().frames(None)) == CONTENT


@pytest.mark.parametrize("cut", [4, 9, 40])
def test_a_stream_that_ends_inside_a_frame_is_broken(connection: Connection, cut: int) -> None:
    connection.engine.sendall(STREAM[:cut])
    connection.engine.close()
    with pytest.raises(StreamBroken):
        list(connection.open().frames(None))


def test_a_whole_first_piece_and_nothing_more_is_broken_too(connection: Connection) -> None:
    connection.engine.sendall(STREAM[:40])
    connection.read_ahead()
    connection.engine.close()
    with pytest.raises(StreamBroken):
        list(connection.open().frames(None))


def test_the_deadline_holds_and_frames_go_on_where_they_were(connection: Connection) -> None:
    process = connection.open()
    connection.engine.sendall(STREAM[:45])
    frames = process.frames(time.monotonic() + 1)
    seen = [next(frames), next(frames), next(frames)]
    with pytest.raises(ToolTimeout):
        next(frames)
    connection.engine.sendall(STREAM[45:])
    connection.engine.close()
    assert joined(seen + list(process.frames(time.monotonic() + ENOUGH))) == CONTENT


def test_a_closed_output_is_not_an_ended_one(connection: Connection) -> None:
    process = connection.open()
    process.kill()
    process.terminate()
    with pytest.raises(StreamBroken):
        list(process.frames(None))


# -- the input ------------------------------------------------------------------------------------------------------


def test_the_end_of_the_input_leaves_the_output_open(connection: Connection) -> None:
    process = connection.open(stdin=True)
    process.feed([b"in", b"put"])
    with connection.engine.makefile("rb") as received:
        assert received.read() == b"input"
    connection.engine.sendall(STREAM)
    connection.engine.close()
    assert joined(process.frames(None)) == CONTENT


def test_output_is_whole_when_the_engine_did_not_want_all_of_the_input(connection: Connection) -> None:
    process = connection.open(stdin=True)
    process.feed([b"too much"])
    connection.engine.sendall(STREAM)
    connection.engine.close()  # with unread input: a reset, and no end, is what this side sees
    assert joined(process.frames(None)) == CONTENT


def test_a_reset_is_no_end_where_nothing_was_sent(connection: Connection) -> None:
    process = connection.open()
    connection._client.sendall(b"x")
    connection.engine.sendall(STREAM)
    connection.engine.close()
    with pytest.raises(StreamBroken):
        list(process.frames(None))


# -- the end --------------------------------------------------------------------------------------------------------


def test_the_exit_status_is_the_engine_s(connection: Connection) -> None:
    connection.state = {"Running": False, "ExitCode": 3}
    connection.engine.close()
    out: List[bytes] = []
    assert pump(connection.open(), source=None, on_stdout=out.append, on_stderr=out.append, timeout=ENOUGH) == 3


def test_no_exit_status_is_not_success(connection: Connection) -> None:
    connection.state = {"Running": False, "ExitCode": None}
    with pytest.raises(StreamBroken):
        connection.open().wait()


def test_a_process_that_outlives_its_stream_is_not_success(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy that closes an idle connection does so between two frames: only the engine can tell.
    monkeypatch.setattr(_engine_stream, "_EXIT_GRACE", 0.2)
    connection.state = {"Running": True, "ExitCode": 0}  # podman's way to say that there is none yet
    with pytest.raises(StreamBroken):
        connection.open().wait()
    assert not connection.open().ended()


def test_an_engine_that_cannot_tell_is_not_success(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(exec_id: str) -> Dict[str, Any]:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(connection, "exec_inspect", lost)
    with pytest.raises(StreamBroken, match="Connection refused"):
        connection.open().wait()


def test_waiting_has_a_deadline(connection: Connection) -> None:
    connection.state = {"Running": True, "ExitCode": None}
    with pytest.raises(ToolTimeout):
        connection.open().wait(time.monotonic() + 0.1)


# -- a tool that was not started ------------------------------------------------------------------------------------


def test_the_engine_s_complaint_is_not_output(connection: Connection) -> None:
    connection.state = {"Running": False, "ExitCode": 126}
    connection.engine.sendall(frame(NOT_STARTED))
    connection.engine.close()
    assert list(connection.open().frames(None)) == [(STDERR, NOT_STARTED)]


def test_output_that_reads_like_the_complaint_stays_output(connection: Connection) -> None:
    connection.engine.sendall(frame(NOT_STARTED) + frame(b"more"))
    connection.engine.close()
    assert list(connection.open().frames(None)) == [(STDOUT, NOT_STARTED), (STDOUT, b"more")]
