# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump that takes long is not silent: what Ansible shows while it runs, over real connections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._argspec import WATCHED
from ansible_collections.pgfleet.backup.tests.support.cli import CliResult
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.modules import RunningModule
from ansible_collections.pgfleet.backup.tests.support.slow import SLOW, standing_still
from ansible_collections.pgfleet.backup.tests.support.ssh import SshHost, missing_for_ssh
from ansible_collections.pgfleet.backup.tests.support.waiting import table_locked, wait_until

SOON = 0.2  # seconds before the first line
ROWS = "CREATE TABLE more AS SELECT i, repeat('x', 100) AS x FROM generate_series(1, 9000) i"
# It has written its dump, and does not end while the gate is there.
SLOW_DUMP = """\
#!/bin/sh
'{bin}/pg_dump' "$@" || exit
case " $* " in *" --version "*) exit ;; esac
while [ -e '{gate}' ]; do sleep 0.1; done
"""


class Watched:
    """One task in a process of its own, and what Ansible has shown so far."""

    def __init__(self, run: Future[CliResult], log: Path) -> None:
        self._run = run
        self._log = log

    def shows(self, pattern: str) -> str:
        """Wait for a line; that the task ends before is a failure."""
        wait_until(lambda: re.search(pattern, self._shown()) or self._run.done())
        found = re.search(pattern + ".*", self._shown())
        assert found, self._run.result().output
        return found.group()

    def finish(self) -> CliResult:
        return self._run.result().succeeded()

    def _shown(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""


Watch = Callable[..., AbstractContextManager[Watched]]


@pytest.fixture
def watched(ansible_playbook: Callable[..., CliResult], tmp_path: Path) -> Watch:
    """``watched("pg_backup", {…}, path=…, …)``: the task while it runs; what else is given are variables of the host."""

    @contextmanager
    def start(module: str, options: dict[str, Any], *, path: str, **variables: Any) -> Iterator[Watched]:
        task = {"name": "run", f"pgfleet.backup.{module}": options, "environment": {"PATH": path}}
        log = tmp_path / "log"
        with ThreadPoolExecutor(1) as thread:
            run = thread.submit(
                ansible_playbook, [{"hosts": "all", "gather_facts": False, "tasks": [task]}],
                hosts={"db1": {"pgfleet_progress_seconds": SOON, **variables}}, env={"ANSIBLE_LOG_PATH": str(log)},
            )
            yield Watched(run, log)

    return start


@pytest.fixture
def slow_dump(local: Local, tmp_path: Path) -> tuple[str, Path]:
    """A PATH whose pg_dump does not end, and the file that must go for that."""
    gate = tmp_path / "gate"
    tool = tmp_path / "bin" / "pg_dump"
    tool.parent.mkdir()
    for name in ("pg_restore", "psql"):
        (tool.parent / name).symlink_to(local.server.bin_dir / name)
    tool.write_text(SLOW_DUMP.format(bin=local.server.bin_dir, gate=gate), encoding="utf-8")
    tool.chmod(0o755)
    gate.touch()
    return f"{tool.parent}:{local.server.path()}", gate


@pytest.mark.parametrize("way", ["local", "sudo"])
def test_a_long_dump_says_how_far_it_has_come(
    local: Local, database: str, watched: Watch, slow_dump: tuple[str, Path], way: str, tmp_path: Path
) -> None:
    if way == "sudo" and missing_for_ssh():
        pytest.skip(f"a host by SSH needs {missing_for_ssh()}")
    local.server.sql(database, ROWS)
    local.back_up(database, compression="none")
    local.server.sql(database, "DELETE FROM more WHERE i > 4500")  # so that there is less than was expected
    path, gate = slow_dump
    options = local.by_password(database=database, compression="none", jobs=1)
    with SshHost() if way == "sudo" else nullcontext() as host:
        with watched("pg_backup", options, path=path, **(host.with_sudo() if host else {})) as task:
            try:
                line = task.shows(rf"db1: dumping {database}, [45]\d\d kB of about 9\d\d kB")
            finally:
                gate.unlink()
        done = task.finish()
    assert " of 2 tables, " in line
    assert " so far" in line
    assert done.of("run")["backups"][0]["verified"]
    assert local.server.password not in done.output
    assert WATCHED not in str(done.tasks)
    assert not list(tmp_path.glob("**/pgfleet-*"))


def test_a_long_restore_says_what_it_reads(local: Local, watched: Watch) -> None:
    database = local.create("slow_progress", SLOW)
    local.back_up(database)
    options = local.options(database=database, confirm=database)
    with watched("pg_restore", options, path=local.server.path()) as task:
        with standing_still(local.server):
            task.shows(rf"db1: restoring {database}, [\d.]+ k?B")
        task.finish()


def test_a_dump_inside_a_container_can_be_watched_where_its_files_can_be_reached(
    postgres_container: Callable[..., Any], start_module: Callable[..., RunningModule], tmp_path: Path
) -> None:
    container = postgres_container()
    container.sql("postgres", "CREATE TABLE t AS SELECT 1 AS n")
    options = {
        "container": container.name, "backup_dir": str(tmp_path / "backups"), "database": "postgres",
        WATCHED: {"mark": "m", "first": 0.1},
    }
    with table_locked(container, "postgres") as stands:
        running = start_module("pg_backup", options)
        stands()
        file = running.tmp / "pgfleet-m"
        wait_until(lambda: file.exists() and '"dumping"' in file.read_text(encoding="ascii"))
        assert '"tables": 0' in file.read_text(encoding="ascii")
    assert running.finish().succeeded()["backups"][0]["verified"]
