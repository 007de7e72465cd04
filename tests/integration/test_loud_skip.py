# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Without an engine, container tests are skipped loudly, and fail where one is required."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY, clean_environment

CONTAINER_TEST = "tests/integration/test_servers.py::test_execs_are_counted"


def _pytest(tmp_path: Path, required: str) -> subprocess.CompletedProcess[str]:
    env = clean_environment({"DOCKER_HOST": f"unix://{tmp_path}/nobody-listens", "REQUIRE_ENGINE": required})
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", CONTAINER_TEST]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=env)


def test_the_last_lines_say_how_much_was_not_tested(tmp_path: Path) -> None:
    done = _pytest(tmp_path, "")
    assert done.returncode == 0, done.stdout
    assert "NOT TESTED" in done.stdout
    assert "1 container tests were SKIPPED, for no container engine answered" in done.stdout


def test_a_required_engine_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    done = _pytest(tmp_path, "1")
    assert done.returncode == 1, done.stdout
    assert "REQUIRE_ENGINE is set, but no container engine answered" in done.stdout
    assert "skipped" not in done.stdout
