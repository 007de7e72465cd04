# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._progress import (
    Expected,
    Progress,
    read_by_children,
    written_to,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._progress_line import intervals, progress_line
from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until

MARK = "0123456789abcdef"


def seen(progress: Progress) -> dict[str, Any]:
    found = progress.look()
    assert found is not None
    return found


def test_a_step_is_what_happens_now_and_the_one_around_it_comes_back() -> None:
    progress = Progress()
    assert progress.look() is None
    with progress.step("storing", "shop", expected=Expected(bytes=9)):
        with progress.step("dumping", measure=lambda: (7, 2)):
            found = seen(progress)
            assert (found["step"], found["database"], found["bytes"], found["tables"]) == ("dumping", "shop", 7, 2)
        assert seen(progress)["step"] == "storing"
        assert list(progress.count([b"abc", b"de"])) == [b"abc", b"de"]
        assert seen(progress)["bytes"] == 5
        assert seen(progress)["expected"]["bytes"] == 9
        with progress.step("verifying"):
            assert seen(progress)["bytes"] is None
    assert progress.look() is None


def test_of_parts_the_one_is_shown_that_takes_longest() -> None:
    progress = Progress()
    small, large, idle = progress.part(), progress.part(), progress.part()
    assert progress.look() is None
    with large.step("dumping", "large"):
        began = time.monotonic()
        wait_until(lambda: time.monotonic() > began + 0.2)  # it is told in tenths of a second
        with small.step("verifying", "small"):
            assert seen(progress)["database"] == "large"
    with small.step("verifying", "small"):
        assert seen(progress)["database"] == "small"
    assert idle.look() is None


def test_what_cannot_be_measured_is_not_known() -> None:
    def gone() -> tuple[int, int]:
        raise FileNotFoundError

    progress = Progress()
    with progress.step("dumping", "shop", measure=gone):
        assert seen(progress)["bytes"] is None


def test_the_file_is_private_and_tells_what_happens_until_it_is_over(tmp_path: Path) -> None:
    progress, path = Progress(), tmp_path / "tmp" / "pgfleet-x"
    umask = os.umask(0)
    try:
        with written_to(str(path), progress, mark=MARK, first=0.01, clean=lambda name: name.replace("shop", "****")):
            with progress.step("dumping", "shop"):
                wait_until(lambda: path.exists() and "dumping" in path.read_text(encoding="ascii"))
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                line = path.read_text(encoding="ascii")
                assert line.startswith(MARK)
                assert json.loads(line[len(MARK):])["database"] == "****"
            wait_until(lambda: progress_line("h", path.read_text(encoding="ascii"), MARK) is None)
    finally:
        os.umask(umask)
    assert list(path.parent.iterdir()) == []


def test_a_run_that_is_soon_over_writes_nothing(tmp_path: Path) -> None:
    progress = Progress()
    with written_to(str(tmp_path / "tmp" / "x"), progress, mark=MARK, first=600, clean=str), progress.step("dumping"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_tool_reads_is_seen_from_outside(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(3_000_000))
    with subprocess.Popen(["cat", tmp_path / "data", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        wait_until(lambda: read_by_children("cat") > 3_000_000)
        assert read_by_children("nothing of this name") == 0
        child.communicate(b"")


def text(**values: Any) -> str:
    full = {"step": "dumping", "database": "shop", "seconds": 60.0, "bytes": None, "tables": None, "expected": {}}
    return f"a banner\n{MARK}{json.dumps({**full, **values})}\n"


@pytest.mark.parametrize(("values", "line"), [
    ({}, "db1: dumping shop, 1 min so far"),
    ({"bytes": 1_200_000_000, "tables": 41, "expected": {"bytes": 3_600_000_000, "tables": 60, "seconds": 5}},
     "db1: dumping shop, 1.2 GB of about 3.6 GB, 41 of 60 tables, 20.0 MB/s, 1 min so far, about 2 min left"),
    ({"expected": {"seconds": 90}}, "db1: dumping shop, 1 min so far, about 30 s left"),
    # What came out differently than the last time is said no more.
    ({"expected": {"seconds": 50}}, "db1: dumping shop, 1 min so far"),
    ({"bytes": 600, "expected": {"bytes": 500, "seconds": 90}}, "db1: dumping shop, 600 B, 10 B/s, 1 min so far"),
    ({"tables": 3}, "db1: dumping shop, 3 tables, 1 min so far"),
    # From a host comes what may.
    ({"database": "a\x1b[2Jb" + "x" * 999}, "db1: dumping a?[2Jb" + "x" * 74 + ", 1 min so far"),
    ({"bytes": "many", "seconds": None, "expected": []}, "db1: dumping shop"),
    ({"bytes": float("nan"), "seconds": float("inf"), "tables": -1}, "db1: dumping shop"),
])
def test_a_line_says_what_is_known(values: dict[str, Any], line: str) -> None:
    assert progress_line("db1", text(**values), MARK) == line


@pytest.mark.parametrize("what", ["", "no mark", MARK, MARK + "null", MARK + "[]", MARK + '{"step": 1}', MARK + "{" * 99])
def test_nothing_is_said_of_what_is_not_known(what: str) -> None:
    assert progress_line("db1", what, MARK) is None


def test_lines_come_at_first_often_and_then_once_a_minute() -> None:
    assert list(itertools.islice(intervals(10), 9)) == [10, 10, 20, 30, 40, 50, 60, 60, 60]
