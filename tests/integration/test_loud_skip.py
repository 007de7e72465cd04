# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Without an engine or a browser, tests that need one are skipped loudly, and fail where it is required."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY, clean_environment

CONTAINER_TEST = "tests/integration/test_servers.py::test_execs_are_counted"
BROWSER_TEST = "tests/integration/test_report_in_a_browser.py::test_a_state_or_a_name_can_be_picked"


def _pytest(test: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", test]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=clean_environment(env))


def test_the_last_lines_say_how_much_was_not_tested(tmp_path: Path) -> None:
    done = _pytest(CONTAINER_TEST, DOCKER_HOST=f"unix://{tmp_path}/nobody-listens", REQUIRE_ENGINE="")
    assert done.returncode == 0, done.stdout
    assert "NOT TESTED" in done.stdout
    assert "1 container tests were SKIPPED, for no container engine answered" in done.stdout


def test_a_required_engine_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    done = _pytest(CONTAINER_TEST, DOCKER_HOST=f"unix://{tmp_path}/nobody-listens", REQUIRE_ENGINE="1")
    assert done.returncode == 1, done.stdout
    assert "REQUIRE_ENGINE is set, but no container engine answered" in done.stdout
    assert "skipped" not in done.stdout


def test_a_missing_browser_is_told_as_loudly(tmp_path: Path) -> None:
    done = _pytest(BROWSER_TEST, PATH=str(tmp_path), REQUIRE_BROWSER="")
    assert done.returncode == 0, done.stdout
    assert "NOT TESTED" in done.stdout
    assert "1 tests of the report's page were SKIPPED" in done.stdout
    done = _pytest(BROWSER_TEST, PATH=str(tmp_path), REQUIRE_BROWSER="1")
    assert done.returncode == 1, done.stdout
    assert "REQUIRE_BROWSER is set, but there is no Chromium" in done.stdout
