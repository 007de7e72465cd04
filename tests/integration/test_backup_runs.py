# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that meet each other, take too long or are ended: nothing is left of them, on the host or in the container."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.modules import RunningModule, run_module
from ansible_collections.pgfleet.backup.tests.support.waiting import (
    our_sessions,
    table_locked,
    wait_until,
    waiting_for_locks,
)

ContainerFactory = Callable[..., PostgresContainer]
Starter = Callable[..., RunningModule]
FORMATS = ("directory", "custom")


def _partials(backup_dir: Path) -> list[str]:
    return [str(path) for path in backup_dir.rglob(".partial-*")]


def _processes() -> list[str]:
    """Processes of this machine that carry our application name: dumps of this run that go on, and their workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            arguments = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"PGAPPNAME=pgfleet/" in environment:
            found.append(arguments.replace(b"\0", b" ").decode(errors="replace"))
    return found


def _of(run_id_of: Path) -> list[str]:
    """Those that write to that folder, since other tests run beside this one."""
    return [command for command in _processes() if str(run_id_of) in command]


# -- locks ----------------------------------------------------------------------------------------------------------


def test_two_runs_on_one_database_never_interleave(local: Local, database: str) -> None:
    with table_locked(local.server, database) as until_it_waits:
        first = local.start_backup(database=database, lock_wait_timeout=0)
        until_it_waits()
        result = local.backup(database=database).failed_with("BACKUP_LOCKED")
        assert result["retryable"]
        assert str(first.process.pid) in result["msg"]
        patient = local.start_backup(database=database, lock_timeout=120)
    entries = [running.finish().succeeded()["backups"][0] for running in (first, patient)]
    assert [entry["sequence"] for entry in entries] == [1, 2]
    assert _partials(local.backup_dir) == []


def test_another_database_is_not_locked(local: Local, database: str) -> None:
    other = local.create(database + "_other")
    with table_locked(local.server, database) as until_it_waits:
        first = local.start_backup(database=database, lock_wait_timeout=0)
        until_it_waits()
        local.back_up(other)
    first.finish().succeeded()


def test_no_more_dumps_at_once_than_allowed(local: Local, database: str) -> None:
    other = local.create(database + "_other")
    with table_locked(local.server, database) as until_it_waits:
        first = local.start_backup(database=database, lock_wait_timeout=0, max_concurrent=1)
        until_it_waits()
        result = local.backup(database=other, max_concurrent=1).failed_with("BACKUP_LOCKED")
        assert "at once" in result["msg"]
        local.backup(database=other, max_concurrent=2).succeeded()
        patient = local.start_backup(database=other, max_concurrent=1, lock_timeout=120)
    first.finish().succeeded()
    patient.finish().succeeded()


def test_a_locked_table_is_not_waited_for_too_long(local: Local, database: str) -> None:
    with table_locked(local.server, database):
        result = local.backup(database=database, lock_wait_timeout=1).failed_with("LOCK_CONTENTION")
    assert result["retryable"]
    assert result["backups"] == []
    assert _partials(local.backup_dir) == []
    assert local.back_up(database)["sequence"] == 1


# -- too long, or ended from outside --------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
def test_a_backup_that_takes_too_long_is_ended_on_the_host(local: Local, database: str, format_: str) -> None:
    with table_locked(local.server, database):
        result = local.backup(database=database, format=format_, timeout=2, lock_wait_timeout=0).failed_with("BACKUP_TIMEOUT")
        assert result["retryable"]
        assert our_sessions(local.server) == []
        assert _of(local.backup_dir) == []
    assert _partials(local.backup_dir) == []
    assert local.back_up(database)["sequence"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_backup_that_is_ended_leaves_nothing_on_the_host(local: Local, database: str, number: signal.Signals) -> None:
    with table_locked(local.server, database) as until_it_waits:
        running = local.start_backup(database=database, lock_wait_timeout=0)
        until_it_waits()
        running.process.send_signal(number)
        result = running.finish().failed_with("INTERRUPTED")
        assert number.name in result["msg"]
        assert our_sessions(local.server) == []
        assert _of(local.backup_dir) == []
    assert _partials(local.backup_dir) == []
    assert local.back_up(database)["sequence"] == 1


def test_what_a_killed_run_left_is_swept_by_the_next(local: Local, database: str) -> None:
    with table_locked(local.server, database) as until_it_waits:
        running = local.start_backup(database=database, lock_wait_timeout=0)
        until_it_waits()
        running.process.kill()
        running.finish()
        assert len(_partials(local.backup_dir)) == 1
        assert local.info().succeeded()["backups"] == []
    # Its dump has no reader any more, and ends by itself.
    wait_until(lambda: our_sessions(local.server) == [])
    assert local.back_up(database)["sequence"] == 1
    assert _partials(local.backup_dir) == []


@pytest.fixture(scope="module")
def container(module_postgres_container: ContainerFactory) -> PostgresContainer:
    return module_postgres_container()


class _InContainer:
    """A server in a container with a database of its own, for one test."""

    def __init__(self, server: PostgresContainer, backup_dir: Path) -> None:
        self.server = server
        server.sql("postgres", "DROP DATABASE IF EXISTS d WITH (FORCE)")
        server.sql("postgres", "CREATE DATABASE d")
        server.sql("d", "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3)")
        self.options: dict[str, Any] = {
            "container": server.name, "database": "d", "backup_dir": str(backup_dir), "lock_wait_timeout": 0,
        }

    def left_behind(self) -> list[str]:
        """Sessions, processes and staged files of a run, and a server that took its end for a crash of its own."""
        dumps = self.server.shell("sh", "-c", "grep -lz pg_dump /proc/[0-9]*/cmdline 2>/dev/null || true")
        staged = self.server.shell("sh", "-c", "ls -d /tmp/.pgfleet-* 2>/dev/null || true")
        own = [line for line in dumps.split() if "/self/" not in line]
        crashes = [line for line in self.server.logs().splitlines() if "terminated by signal" in line]
        return crashes + our_sessions(self.server) + [line for line in own if self._runs(line)] + staged.split()

    def _runs(self, file: str) -> bool:
        return "pg_dump" in self.server.shell("sh", "-c", 'cat "$1" 2>/dev/null || true', "sh", file).split("\0")[0]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_backup_that_takes_too_long_is_ended_in_the_container(
    container: PostgresContainer, backup_dir: Path, format_: str
) -> None:
    inside = _InContainer(container, backup_dir)
    with table_locked(inside.server, "d"):
        done = run_module("pg_backup", {**inside.options, "format": format_, "timeout": 5})
        assert done.failed_with("BACKUP_TIMEOUT")["retryable"]
        assert inside.left_behind() == []
    assert _partials(backup_dir) == []
    assert run_module("pg_backup", inside.options).succeeded()["backups"][0]["sequence"] == 1
    assert inside.left_behind() == []


@pytest.mark.parametrize("format_", FORMATS)
def test_a_backup_that_is_ended_leaves_nothing_in_the_container(
    container: PostgresContainer, start_module: Starter, backup_dir: Path, format_: str
) -> None:
    inside = _InContainer(container, backup_dir)
    with table_locked(inside.server, "d") as until_it_waits:
        running = start_module("pg_backup", {**inside.options, "format": format_})
        until_it_waits()
        running.process.send_signal(signal.SIGTERM)
        running.finish().failed_with("INTERRUPTED")
        assert inside.left_behind() == []
    assert _partials(backup_dir) == []
    assert run_module("pg_backup", inside.options).succeeded()["backups"][0]["sequence"] == 1


def test_databases_that_are_backed_up_side_by_side_are_ended_together(
    container: PostgresContainer, start_module: Starter, backup_dir: Path
) -> None:
    inside = _InContainer(container, backup_dir)
    container.sql("postgres", "CREATE DATABASE e TEMPLATE d")
    wish = {**inside.options, "database": None, "all_databases": True, "exclude_databases": ["postgres"], "jobs": 2}
    with table_locked(container, "d"), table_locked(container, "e"):
        running = start_module("pg_backup", wish)
        wait_until(lambda: len(waiting_for_locks(container)) == 2)
        running.process.send_signal(signal.SIGTERM)
        running.finish().failed_with("INTERRUPTED")
        assert inside.left_behind() == []
    assert _partials(backup_dir) == []
    backups = run_module("pg_backup", wish).succeeded()["backups"]
    assert [(item["database"], item["fingerprint"] and item["fingerprint"]["tables"]) for item in backups] == [
        ("d", {"public.t": 3}), ("e", {"public.t": 3}), ("@globals", None)]
