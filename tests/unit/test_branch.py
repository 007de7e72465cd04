# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._branch import Branch
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import Stopped


def test_it_gets_every_chunk_and_gives_back_what_came_of_it() -> None:
    with Branch(b"".join) as branch:
        for number in range(100):
            branch.write(b"%d," % number)
        assert branch.finish() == b"".join(b"%d," % number for number in range(100))


def test_who_hands_on_hears_of_a_failure() -> None:
    def work(chunks: Iterator[bytes]) -> None:
        next(chunks)
        raise OSError("no more")

    def hand_on() -> None:
        with Branch(work) as branch:
            for _number in range(1000):
                branch.write(b"x")

    with pytest.raises(OSError, match="no more"):
        hand_on()


def test_a_failure_elsewhere_stops_the_work() -> None:
    seen: list[BaseException] = []

    def work(chunks: Iterator[bytes]) -> None:
        try:
            for _chunk in chunks:
                pass
        except Stopped as error:
            seen.append(error)
            raise

    def fail() -> None:
        with Branch(work) as branch:
            branch.write(b"x")
            raise ValueError("elsewhere")

    before = threading.active_count()
    with pytest.raises(ValueError, match="elsewhere"):
        fail()
    assert len(seen) == 1, "it must not take this for the end of the stream"
    assert threading.active_count() == before


def test_work_that_needs_no_more_is_no_failure() -> None:
    with Branch(next) as branch:
        for _number in range(100):
            branch.write(b"x")
        assert branch.finish() == b"x"


def test_it_is_never_far_ahead_of_the_work() -> None:
    gate, sent = threading.Event(), []

    def work(chunks: Iterator[bytes]) -> int:
        gate.wait()
        return sum(1 for _chunk in chunks)

    with Branch(work) as branch:
        def feed() -> None:
            for _number in range(50):
                branch.write(b"x")
                sent.append(1)

        feeder = threading.Thread(target=feed)
        feeder.start()
        feeder.join(0.5)
        assert len(sent) < 20
        gate.set()
        feeder.join()
        assert branch.finish() == 50
