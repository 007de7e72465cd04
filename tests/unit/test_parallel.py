# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same work on many things: results, the first failure, and an end for the rest."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import Stopped, each, in_shares, until


def test_all_results_come_back() -> None:
    assert sorted(each(range(20), lambda item, stop: item * item, threads=3)) == [item * item for item in range(20)]
    assert each([], lambda item, stop: item, threads=0) == []


def test_no_more_than_asked_for_at_a_time() -> None:
    lock, running, most = threading.Lock(), [0], [0]
    both = threading.Barrier(2, timeout=10)  # proves that two do run at a time

    def work(item: int, stop: threading.Event) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        both.wait()
        with lock:
            running[0] -= 1

    each(range(10), work, threads=2)
    assert most == [2]


def test_the_first_failure_ends_the_rest() -> None:
    endless = threading.Event()
    begun: list[int] = []

    def work(item: int, stop: threading.Event) -> None:
        begun.append(item)
        if item == 0:
            endless.wait(10)
            raise ValueError("zero")
        endless.set()
        for _chunk in until(stop, iter(lambda: b"x", b"")):
            pass

    with pytest.raises(ValueError, match="zero"):
        each(range(50), work, threads=2)
    assert len(begun) < 50, "what had begun is over, and the rest never began"


def test_as_many_as_the_shares_suffice_for_in_their_order() -> None:
    lock, running, seen, begun = threading.Lock(), [0], [], []
    both = threading.Barrier(2, timeout=10)  # proves that the two do run at a time

    def work(item: int, stop: threading.Event) -> None:
        with lock:
            begun.append(item)
            running[0] += item
            seen.append(running[0])
        if item == 2:
            both.wait()
        with lock:
            running[0] -= item

    in_shares([(9, 9), (3, 3), (2, 2), (2, 2), (1, 1), (1, 1)], work, shares=4)
    assert sorted(begun, reverse=True) == [9, 3, 2, 2, 1, 1]
    assert begun[:2] == [9, 3]
    assert max(seen) == 9, "what wants more than there is runs alone"
    assert max(total for total in seen if total != 9) == 4


def test_a_failure_among_shares_ends_the_rest() -> None:
    begun: list[int] = []

    def work(item: int, stop: threading.Event) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError("zero")
        assert stop.wait(10)

    with pytest.raises(ValueError, match="zero"):
        in_shares([(1, 1), (0, 1), (2, 1)], work, shares=2)
    assert sorted(begun) == [0, 1]


def test_what_is_stopped_is_cut_off() -> None:
    stop = threading.Event()
    chunks = until(stop, iter([b"a", b"b"]))
    assert next(chunks) == b"a"
    stop.set()
    with pytest.raises(Stopped):
        next(chunks)
