# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tool that lives as long as we do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._hold import Hold
from ansible_collections.pgfleet.backup.plugins.module_utils._process import PopenProcess, ToolTimeout
from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until
from ansible_collections.pgfleet.backup.tests.unit.processes import start

ENV = {"PATH": os.environ["PATH"]}


def shell(script: str, *args: str) -> PopenProcess:
    return PopenProcess(["sh", "-c", script, "sh", *args], env=ENV, stdin=True)


def test_it_stays_until_it_is_let_go(tmp_path: Path) -> None:
    process = shell('read word; echo "$word" one; echo ready; cat; touch "$1"/ended', str(tmp_path))
    hold = Hold(process)
    assert hold.tell(b"word\n", 60.0)
    assert hold.output == "word one\n"
    assert not process.ended()
    hold.let_go()
    assert hold.status == 0
    assert (tmp_path / "ended").exists()


def test_it_ends_when_we_are_killed(tmp_path: Path) -> None:
    def child() -> None:
        hold = Hold(shell('echo ready; cat >/dev/null; touch "$1"/ended', str(tmp_path)))
        hold.tell(b"", 60.0)
        os.kill(os.getpid(), signal.SIGKILL)

    start(child).join()
    wait_until((tmp_path / "ended").exists)


@pytest.mark.parametrize(("script", "status"), [("echo already; exit 3", 3), ("echo oops >&2; kill -9 $$", -9)])
def test_one_that_ends_without_being_ready(script: str, status: int) -> None:
    hold = Hold(shell(script))
    try:
        assert not hold.tell(b"", 60.0)
        assert hold.status == status
        assert (hold.output, hold.errors) in {("already\n", ""), ("", "oops\n")}
    finally:
        hold.let_go()


def test_one_that_does_not_get_ready_in_time_is_ended() -> None:
    process = shell("cat >/dev/null")
    hold = Hold(process)
    with pytest.raises(ToolTimeout):
        hold.tell(b"", 0.01)
    hold.let_go()
    assert process.ended()
