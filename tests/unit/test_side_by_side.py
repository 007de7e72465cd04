# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the jobs of a run are shared among its databases."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._side_by_side import at_once, shares
from hypothesis import given, strategies as st

GIB = 2**30


@pytest.mark.parametrize(("sizes", "jobs", "most", "expected"), [
    ([7, 7, 7, 7], 4, 4, [1, 1, 1, 1]),
    ([50, 25, 25], 4, 3, [2, 2, 2]),  # three at once would leave one job idle
    ([100 * GIB, 8], 4, 2, [4, 2]),  # what takes longest gets them all, and the small one waits
    ([60, 20, 10, 10], 4, 4, [2, 1, 1, 1]),
    ([5, 5, 5], 4, 1, [4, 4, 4]),
    ([0, 0], 2, 2, [1, 1]),
    ([9], 4, 1, [4]),
])
def test_shares_by_size(sizes: list[int], jobs: int, most: int, expected: list[int]) -> None:
    assert shares(sizes, jobs=jobs, most=most) == expected


@given(st.lists(st.integers(0, 10**12), min_size=1), st.integers(1, 40), st.integers(1, 40))
def test_never_too_many_and_never_nothing(sizes: list[int], jobs: int, most: int) -> None:
    found = shares(sizes, jobs=jobs, most=min(most, jobs))
    assert all(1 <= share <= jobs for share in found)
    assert jobs // min(found) <= most, "as many as fit into the jobs are no more than allowed"


def plan(sizes: list[int], backup_dir: Path, room: Optional[int] = None, **options: Any) -> int:
    wish: dict[str, Any] = {"jobs": 4, "max_concurrent": 0, "format": "directory", "verify": "archive", **options}
    session: Any = SimpleNamespace(executor=SimpleNamespace(staging=lambda: nullcontext(room)))
    return at_once(session, SimpleNamespace(backup_dir=backup_dir, **wish), sizes)  # type: ignore[arg-type]


def test_how_many_at_once(tmp_path: Path) -> None:
    assert plan([1] * 9, tmp_path) == 4
    assert plan([1] * 3, tmp_path) == 3
    assert plan([1] * 9, tmp_path, max_concurrent=2) == 2
    assert plan([1] * 9, tmp_path, max_concurrent=9, jobs=1) == 1
    assert plan([1] * 9, tmp_path, verify="restore") == 1


def test_no_more_than_there_is_room_for(tmp_path: Path) -> None:
    assert plan([3, 9, 5, 4], tmp_path, room=100) == 4
    assert plan([3, 9, 5, 4], tmp_path, room=18) == 3
    assert plan([3, 9, 5, 4], tmp_path, room=17) == 2
    assert plan([3, 9, 5, 4], tmp_path, room=8) == 1
    assert plan([3, 9, 5, 4], tmp_path, room=8, format="custom") == 4, "a stream needs no room"
    assert plan([3, 9, 5, 4], tmp_path, room=0) == 4, "and where nothing can be staged, all is streamed"
    assert plan([2**70, 2**70], tmp_path) == 1, "nor is there so much beside the sets"
