# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools on this host, all of them real processes."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Mapping, Optional, Tuple

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _process
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    STDERR,
    STDOUT,
    PopenProcess,
    StreamBroken,
    ToolTimeout,
    pump,
)

# Longer than any of the tools needs on a slow machine; only a failing test waits as long.
ENOUGH = 60.0
Start = Callable[..., PopenProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a tool that is ended with its test."""
    started: List[PopenProcess] = []

    def start_tool(*argv: str, stdin: bool = False, env: Optional[Mapping[str, str]] = None) -> PopenProcess:
        started.append(PopenProcess(argv, env=dict(os.environ) if env is None else env, stdin=stdin))
        return started[-1]

    yield start_tool
    for process in started:
        process.kill()
        process.wait()
        process.close()


def run(
    process: PopenProcess, source: Optional[Iterable[bytes]] = None, timeout: float = ENOUGH
) -> Tuple[int, bytes, bytes]:
    out: List[bytes] = []
    err: List[bytes] = []
    status = pump(process, source=source, on_stdout=out.append, on_stderr=err.append, timeout=timeout)
    return status, b"".join(out), b"".join(err)


def test_streams_stay_apart_and_the_exit_status_is_exact(start: Start) -> None:
    assert run(start("sh", "-c", "echo out; echo err >&2; exit 3")) == (3, b"out\n", b"err\n")


def test_whoever_looks_after_a_tool_may_end_the_waiting(start: Start) -> None:
    def check() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        pump(start("sleep", "600"), source=None, on_stdout=print, on_stderr=print, timeout=None, check=check)


def test_an_end_by_signal_is_a_negative_status(start: Start) -> None:
    assert run(start("sh", "-c", "kill -TERM $$"))[0] == -15


def test_no_shell_reads_the_arguments(start: Start) -> None:
    assert run(start("printf", "%s|", "$HOME", "a b", "; exit 1", "'"))[1] == b"$HOME|a b|; exit 1|'|"


def test_the_environment_is_the_given_one_and_no_more(start: Start) -> None:
    assert run(start("/usr/bin/env", env={"ONLY": "this = that"}))[1] == b"ONLY=this = that\n"


def test_without_a_source_stdin_is_empty(start: Start) -> None:
    assert run(start("cat")) == (0, b"", b"")


def test_a_tool_that_cannot_be_started_is_an_os_error(start: Start, tmp_path: Path) -> None:
    not_executable = tmp_path / "tool"
    not_executable.write_text("#!/bin/sh\n")
    with pytest.raises(FileNotFoundError):
        start(str(tmp_path / "missing"))
    with pytest.raises(PermissionError):
        start(str(not_executable))


def test_much_goes_in_and_out_at_the_same_time(start: Start) -> None:
    data = os.urandom(10_000_000)
    digest = hashlib.sha256()
    process = start("cat", stdin=True)
    pieces = (data[at : at + 100_001] for at in range(0, len(data), 100_001))
    assert pump(process, source=pieces, on_stdout=digest.update, on_stderr=print, timeout=ENOUGH) == 0
    assert digest.digest() == hashlib.sha256(data).digest()


def test_an_empty_chunk_is_no_end(start: Start) -> None:
    assert run(start("cat", stdin=True), [b"", b"a", b"", b"b"])[1] == b"ab"


def test_a_tool_that_stops_reading_tells_itself_why(start: Start) -> None:
    assert run(start("sh", "-c", "head -c 3; echo enough >&2; exit 4", stdin=True), [b"x" * 100_000] * 50) == (
        4, b"xxx", b"enough\n",
    )


def test_feeding_a_tool_without_stdin_is_refused(start: Start) -> None:
    with pytest.raises(ValueError, match="without stdin"):
        start("true").feed([b"x"])


def test_feeding_twice_is_refused(start: Start) -> None:
    process = start("cat", stdin=True)
    process.feed([b"x"])
    with pytest.raises(ValueError, match="without stdin"):
        process.feed([b"x"])


def test_a_broken_source_surfaces_and_never_looks_like_the_end_of_the_input(start: Start, tmp_path: Path) -> None:
    committed = tmp_path / "committed"

    def source() -> Iterator[bytes]:
        yield b"half of it\n"
        raise RuntimeError("the source broke")

    process = start("sh", "-c", 'cat && touch "$1"', "sh", str(committed), stdin=True)
    with pytest.raises(RuntimeError, match="the source broke"):
        pump(process, source=source(), on_stdout=print, on_stderr=print, timeout=ENOUGH)
    process.kill()
    process.close()
    process.wait()
    assert not committed.exists()


def test_a_broken_source_surfaces_although_the_tool_has_closed_its_output(start: Start) -> None:
    def source() -> Iterator[bytes]:
        yield from ()
        time.sleep(0.5)
        raise RuntimeError("the source broke")

    process = start("sh", "-c", "exec >&- 2>&-; cat", stdin=True)
    with pytest.raises(RuntimeError, match="the source broke"):
        pump(process, source=source(), on_stdout=print, on_stderr=print, timeout=None)


def test_an_exception_of_a_callback_propagates_and_close_ends_the_feeding(start: Start) -> None:
    def full(chunk: bytes) -> None:
        raise OSError(28, "No space left on device")

    before = set(threading.enumerate())
    process = start("sh", "-c", "echo x; exec sleep 1000", stdin=True)
    with pytest.raises(OSError, match="No space left"):
        pump(process, source=[b"x" * 10_000_000], on_stdout=full, on_stderr=print, timeout=ENOUGH)
    process.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(ENOUGH)
        assert not thread.is_alive()


def test_a_source_that_never_ends_does_not_outlive_its_tool(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_process, "_FEEDER_GRACE", 0.1)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as nothing, os.fdopen(writing, "wb"):
        assert run(start("true", stdin=True), iter(lambda: nothing.read(1), b"")) == (0, b"", b"")


def test_past_the_deadline_the_tool_still_runs_until_it_is_killed(start: Start) -> None:
    process = start("sleep", "1000")
    with pytest.raises(ToolTimeout):
        run(process, timeout=0.1)
    with pytest.raises(ToolTimeout):
        process.wait(time.monotonic())
    assert not process.ended()
    process.kill()
    assert process.wait() == -9
    assert process.ended()


def test_the_deadline_holds_for_a_tool_that_never_stops_writing(start: Start) -> None:
    with pytest.raises(ToolTimeout):
        run(start("yes"), timeout=0.1)


def test_the_deadline_holds_while_the_source_is_fed(start: Start) -> None:
    with pytest.raises(ToolTimeout):
        run(start("sleep", "1000", stdin=True), [b"x" * 10_000_000], timeout=0.6)


def test_an_ended_tool_has_its_status_even_past_the_deadline(start: Start) -> None:
    process = start("true")
    assert list(process.frames(None)) == []
    while not process.ended():
        time.sleep(0.01)
    assert process.wait(time.monotonic() - 1) == 0


def test_frames_go_on_after_a_timeout(start: Start) -> None:
    process = start("sh", "-c", "echo one; read line; echo two >&2", stdin=True)
    frames = process.frames(time.monotonic() + 1)
    assert next(frames) == (STDOUT, b"one\n")
    with pytest.raises(ToolTimeout):
        next(frames)
    process.feed([b"go on\n"])
    assert list(process.frames(None)) == [(STDERR, b"two\n")]


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_children_end_with_their_tool(start: Start, end: str) -> None:
    process = start("sh", "-c", "sleep 1000 & echo ready; wait")
    frames = process.frames(time.monotonic() + ENOUGH)
    assert next(frames) == (STDOUT, b"ready\n")
    getattr(process, end)()
    # The child holds the other ends of the streams, so that they end only with it.
    assert list(frames) == []
    assert process.wait() == (-15 if end == "terminate" else -9)


def test_ending_and_closing_may_be_repeated_in_any_order(start: Start) -> None:
    process = start("sh", "-c", "exit 3", stdin=True)
    for action in (process.close, process.terminate, process.close, process.kill):
        action()
    process.wait()
    for action in (process.kill, process.terminate, process.close):
        action()


def test_a_closed_output_is_not_an_ended_one(start: Start) -> None:
    process = start("sh", "-c", "echo x; exec sleep 1000")
    frames = process.frames(None)
    next(frames)
    process.close()
    with pytest.raises(StreamBroken):
        next(frames)
    with pytest.raises(StreamBroken):
        list(process.frames(None))


def test_nothing_is_left_open(start: Start) -> None:
    before = set(os.listdir("/proc/self/fd"))
    process = start("cat", stdin=True)
    run(process, [b"x"])
    process.close()
    assert set(os.listdir("/proc/self/fd")) <= before
