# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every format, taken by each executor and restored by each: the data is equal, and what was said of it is true."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import Snapshot, differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

FORMATS = ["custom", "directory", "plain", "tar"]
EXECUTORS = ["docker", "host"]
# How bytes leave a container on the engine's own machine.
ACROSS = "fifo" if os.geteuid() == 0 else "stream"

DAMAGE = """
    DROP SCHEMA sales CASCADE;
    CREATE TABLE left_by_the_disaster (n integer);
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %1$I RESET ALL; COMMENT ON DATABASE %1$I IS NULL', current_database());
    END $$;
"""


@dataclass(frozen=True)
class Route:
    """A server, and the one way to it: by the options that choose the executor."""

    executor: str
    server: PostgresContainer

    @property
    def options(self) -> dict[str, Any]:
        if self.executor == "docker":
            return {"container": self.server.name}
        return {"login_host": self.server.ip, "login_user": "postgres", "login_password": self.server.password}

    @property
    def instance(self) -> str:
        return self.server.name if self.executor == "docker" else f"{self.server.ip}_5432"

    def look(self, database: str) -> Snapshot:
        return snapshot(functools.partial(self.server.sql, database))

    def databases(self) -> list[str]:
        return self.server.sql("postgres", "SELECT oid, datname FROM pg_database ORDER BY 1")


@pytest.fixture(scope="module")
def routes(module_postgres_container: Callable[..., PostgresContainer]) -> dict[str, Route]:
    """One server that is reached inside its container, and another that is reached by its address only."""
    return {executor: Route(executor, module_postgres_container()) for executor in EXECUTORS}


@pytest.mark.parametrize("restored_by", EXECUTORS)
@pytest.mark.parametrize("taken_by", EXECUTORS)
@pytest.mark.parametrize("kind", FORMATS)
def test_what_comes_back_is_what_was_there(
    kind: str, taken_by: str, restored_by: str, routes: dict[str, Route], backup_dir: Path
) -> None:
    source, target = routes[taken_by], routes[restored_by]
    database = f"shop {kind} {taken_by}-{restored_by}"
    create_shop(source.server, database, size=20)
    before = source.look(database)

    jobs = {"jobs": 2} if kind == "directory" else {}
    taken = run_module(
        "pg_backup", {**source.options, "database": database, "format": kind, "backup_dir": backup_dir, **jobs}
    )
    backup = taken.succeeded()["backups"][0]
    assert (backup["format"], backup["verified"], backup["status"]) == (kind, True, "ok")
    assert backup["transport"] == ("direct" if taken_by == "host" else ACROSS)
    assert backup["path"].startswith(f"{backup_dir}/{source.instance}/")
    check_context(taken, source, database, ACROSS)
    check_log(taken, source, "pg_dump")

    wish = {
        **target.options, "database": database, "confirm": database, "backup_dir": backup_dir, "create_missing_roles": True,
        **jobs,
    }
    if target is not source:
        target.server.sql("postgres", f'CREATE DATABASE "{database}"')
        target.server.sql(database, "CREATE SCHEMA sales")
        wish |= {"backup": backup["path"], "allow_engine_change": True}
    target.server.sql(database, DAMAGE)

    restored = run_module("pg_restore", wish)
    restore = restored.succeeded()["restore"]
    assert restored.changed
    assert differences(before, target.look(database)) == []
    assert (restore["database"], restore["target_database"], restore["strategy"]) == (database, database, "swap")
    assert restore["verification"]["rows"] == sum(backup["fingerprint"]["tables"].values())
    check_context(restored, target, database, ACROSS if kind == "directory" else "stream")
    check_log(restored, target, "psql" if kind == "plain" else "pg_restore")


@pytest.mark.parametrize("taken_by", EXECUTORS)
def test_the_other_executor_is_refused_and_nothing_is_touched(
    taken_by: str, routes: dict[str, Route], backup_dir: Path
) -> None:
    source, target = routes[taken_by], routes["host" if taken_by == "docker" else "docker"]
    database = f"stays as it is {taken_by}"
    for server in (source.server, target.server):
        server.sql("postgres", f'CREATE DATABASE "{database}"')
    source.server.sql(database, "CREATE TABLE t AS SELECT 'new' AS what")
    target.server.sql(database, "CREATE TABLE t AS SELECT 'old' AS what")
    taken = run_module("pg_backup", {**source.options, "database": database, "backup_dir": backup_dir}).succeeded()
    databases, before = target.databases(), target.look(database)
    for strategy in ("swap", "in_place", "create", "drill"):
        wish = {
            **target.options, "database": database, "backup": taken["backups"][0]["path"], "backup_dir": backup_dir,
            "confirm": database, "strategy": strategy,
        }
        refused = run_module("pg_restore", wish).failed_with("PARITY_MISMATCH")
        assert f"made by the {source.executor} executor" in refused["msg"]
        assert f"this restore would use {target.executor}" in refused["msg"]
        assert not any("Executing" in line for line in refused["log"])
    assert target.databases() == databases
    assert differences(before, target.look(database)) == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_backup_of_another_instance_is_found_by_its_name(
    executor: str, routes: dict[str, Route], backup_dir: Path
) -> None:
    """Named by instance instead of by path, and into a database that does not exist there."""
    source = routes[executor]
    target = routes["host" if executor == "docker" else "docker"]
    database = f"moved by {executor}"
    create_shop(source.server, database, size=10)
    run_module("pg_backup", {**source.options, "database": database, "backup_dir": backup_dir}).succeeded()
    wish = {
        **target.options, "database": database, "backup_dir": backup_dir, "strategy": "create",
        "create_missing_roles": True, "allow_engine_change": True,
    }
    lost = run_module("pg_restore", wish).failed_with("BACKUP_NOT_FOUND")
    assert source.instance in lost["msg"] + lost["hint"], "it says where there are some"
    run_module("pg_restore", {**wish, "instance": source.instance}).succeeded()
    assert differences(source.look(database), target.look(database)) == []


def check_context(done: ModuleResult, route: Route, database: str, across: str) -> None:
    """Everything that ``context`` promises, and nothing more at this verbosity. ``across``: a container's wall."""
    server, context = route.server, done.result["context"]
    version = server.sql("postgres", "SHOW server_version")[0].split()[0]
    expected = {"database": database, "user": "postgres", "port": 5432, "socket": None, "server_version": version}
    if route.executor == "docker":
        attrs = server.attrs
        expected |= {
            "mode": "in_container", "executor": "docker", "engine_client": "sdk", "host": None,
            "container": {
                "id": server.id, "name": server.name, "image": attrs["Config"]["Image"], "digest": attrs["Image"],
            },
            "credential_source": "CredFromRunningContainer",
            "client_version": version_of(server.shell("pg_dump", "--version")),
            "transport": across,
        }
    else:
        program = running(done).partition("Running: ")[2].split()[0]
        expected |= {
            "mode": "external", "executor": "host", "engine_client": "none", "host": server.ip, "container": None,
            "credential_source": "CredFromOptions",
            "client_version": version_of(subprocess.check_output([program, "--version"], text=True)),
            "transport": "direct",
        }
    assert context == expected


def check_log(done: ModuleResult, route: Route, tool: str) -> None:
    """The lines that tell which way a tool went: the first one of all, and three in a row for the tool."""
    log, name, place = done.result["log"], route.server.name, f"{route.server.ip}:5432"
    if route.executor == "docker":
        mode = f"DB mode: in_container, Executor: docker, Container: {name}"
        said = [
            f"[DockerPGExecutor] Executing {tool} inside container: {name}",
            f"[DockerPGExecutor] This will use 'docker exec' - NO host {tool}",
            f"[DockerPGExecutor] Running: docker exec {name} {tool} ",
        ]
    else:
        mode = f"DB mode: external, Executor: host, Host: {place}"
        said = [
            f"[HostPGExecutor] Executing {tool} from host to external database: {place}",
            f"[HostPGExecutor] This will use host {tool} binary - NOT docker exec",
            "[HostPGExecutor] Running: /",
        ]
    assert log[0] == mode
    at = log.index(said[0])
    assert log[at + 1] == said[1]
    assert log[at + 2].startswith(said[2])
    assert f"{tool} --no-password " in log[at + 2]
    other = "[HostPGExecutor]" if route.executor == "docker" else "[DockerPGExecutor]"
    assert not [line for line in log if other in line]
    assert not [line for line in log if route.server.password in line]


def running(done: ModuleResult) -> str:
    return next(str(line) for line in done.result["log"] if "] Running: " in line)


def version_of(said: str) -> str:
    return said.split()[2]
