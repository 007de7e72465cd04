# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _clients
from ansible_collections.pgfleet.backup.plugins.module_utils._context import DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._executor_docker import DockerPGExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._executor_host import HostPGExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._guard import executor_for, guard
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.tests.unit.servers import container

TOOLS = ["pg_dump", "pg_restore", "psql"]
FAILURES = ["BACKUP_FAILED", "RESTORE_FAILED"]
APP = container("app")
WRONG = [
    ("in_container", "host", "BUG: host {0} attempted for container database (mode=in_container, executor=host)"),
    ("external", "docker", "BUG: docker exec {0} attempted for external database (mode=external, executor=docker)"),
    ("local", "docker", "BUG: docker exec {0} attempted for local database (mode=local, executor=docker)"),
]


def context(mode: str, **more: Any) -> DbContext:
    # With a version known, an announcement asks for the client that fits.
    return DbContext(mode=mode, database="shop", user="shop", host="db.example.com", server_version_num=170011, **more)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("mode", "executor", "message"), WRONG)
def test_every_wrong_pair_is_refused(mode: str, executor: str, message: str, tool: str, failure: str) -> None:
    with pytest.raises(BackupError) as caught:
        guard(context(mode, container=APP), executor=executor, tool=tool, failure=failure)
    assert caught.value.code == "PARITY_VIOLATION"
    assert caught.value.msg == "PARITY_VIOLATION: " + message.format(tool)


@pytest.mark.parametrize(("mode", "executor"), [("in_container", "docker"), ("external", "host"), ("local", "host")])
def test_every_right_pair_passes(mode: str, executor: str) -> None:
    assert executor_for(mode) == executor
    guard(context(mode, container=APP), executor=executor, tool="pg_dump", failure="BACKUP_FAILED")


@pytest.mark.parametrize(("mode", "executor"), [
    ("", "host"), ("", "docker"), ("external", ""), ("in_container", "podman"),
])
def test_unknown_pairs_are_refused(mode: str, executor: str) -> None:
    with pytest.raises(BackupError, match=r"^PARITY_VIOLATION"):
        guard(context(mode, container=APP), executor=executor, tool="pg_dump", failure="BACKUP_FAILED")


# --- real executors, built by hand


class ClosedDoor:
    """Whoever opens it would have reached a container."""

    def open(self) -> object:
        raise AssertionError("the engine was reached")

    def read_file(self, *_args: object) -> str:
        raise AssertionError("the engine was reached")


class Traps:
    """Programs first on PATH that leave a mark when they are started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.mark = folder / "started"
        self.folder.mkdir()
        for tool in [*TOOLS, "vacuumdb", "pg_dumpall"]:
            program = self.folder / tool
            program.write_text("#!/bin/sh\necho started >>'{0}'\necho 'pg_dump (PostgreSQL) 17.11'\n".format(self.mark))
            program.chmod(0o755)

    @property
    def started(self) -> bool:
        return self.mark.exists()


@pytest.fixture
def traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traps:
    traps = Traps(tmp_path)
    monkeypatch.setattr(_clients, "_FOLDERS", (str(traps.folder),))
    monkeypatch.setenv("PATH", str(traps.folder) + os.pathsep + os.environ["PATH"])
    return traps


def build(executor: str, its_context: DbContext, failure: str) -> PgExecutor:
    redactor = Redactor()
    log = RunLog(redactor)
    if executor == "host":
        return HostPGExecutor(
            its_context, log=log, redactor=redactor, run_id="r", failure=failure, environ=dict(os.environ))
    return DockerPGExecutor(
        its_context, log=log, redactor=redactor, run_id="r", failure=failure, door=cast(EngineDoor, ClosedDoor()))


def beside(executor: PgExecutor, tool: str) -> None:
    with executor.beside("SELECT 1", database="shop"):
        raise AssertionError("it began")


WAYS: dict[str, Callable[[PgExecutor, str], object]] = {
    "run": lambda executor, tool: executor.run(tool, ["-V"]),
    "announced": lambda executor, tool: executor.run(tool, ["-V"], database="shop", announce=True),
    "fed": lambda executor, tool: executor.run(tool, [], database="shop", source=[b"SELECT 1"], announce=True),
}
OTHER_WAYS: dict[str, Callable[[PgExecutor], object]] = {
    "query": lambda executor: executor.query("SELECT 1", database="shop"),
    "beside": lambda executor: beside(executor, "psql"),
    "client": lambda executor: executor.client,
    "require_client": lambda executor: executor.require_client(15),
}


def refusal(way: Callable[[], object]) -> BackupError:
    with pytest.raises(BackupError) as caught:
        way()
    return caught.value


def test_the_traps_work(traps: Traps) -> None:
    assert build("host", context("external"), "BACKUP_FAILED").run("pg_dump", ["-V"]).status == 0
    assert traps.started


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tool", [*TOOLS, "vacuumdb", "pg_dumpall"])
@pytest.mark.parametrize(("mode", "executor", "message"), WRONG)
def test_a_wrong_pair_starts_no_process(
    traps: Traps, mode: str, executor: str, message: str, tool: str, way: str, failure: str
) -> None:
    wrong = build(executor, context(mode, container=APP if mode == "in_container" else None), failure)
    error = refusal(lambda: WAYS[way](wrong, tool))
    assert error.msg == "PARITY_VIOLATION: " + message.format(tool)
    assert wrong.log.lines == []
    assert not traps.started


@pytest.mark.parametrize("way", OTHER_WAYS)
@pytest.mark.parametrize(("mode", "executor"), [(mode, executor) for mode, executor, _message in WRONG])
def test_no_other_way_starts_one_either(traps: Traps, mode: str, executor: str, way: str) -> None:
    wrong = build(executor, context(mode, container=APP if mode == "in_container" else None), "BACKUP_FAILED")
    assert refusal(lambda: OTHER_WAYS[way](wrong)).code == "PARITY_VIOLATION"
    assert not traps.started


@pytest.mark.parametrize("nameless", [None, container(""), container(" ")])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("way", [*WAYS, *OTHER_WAYS])
def test_a_container_without_a_name(traps: Traps, way: str, failure: str, nameless: Any) -> None:
    executor = build("docker", context("in_container", container=nameless), failure)
    ways = [partial(WAYS[way], executor, tool) for tool in TOOLS] if way in WAYS else [partial(OTHER_WAYS[way], executor)]
    for each in ways:
        assert refusal(each).msg == failure + ": DBModeInContainer requires container name"
    assert not traps.started


@pytest.mark.parametrize("way", ["readable", "writable", "room"])
def test_nothing_is_staged_for_a_wrong_pair(tmp_path: Path, way: str) -> None:
    executor = build("docker", context("external"), "BACKUP_FAILED")
    place: AbstractContextManager[object] = {
        "readable": lambda: executor.readable(str(tmp_path)),
        "writable": lambda: executor.writable(str(tmp_path), lambda name, size, chunks: None),
        "room": executor.staging,
    }[way]()
    with pytest.raises(BackupError, match=r"^PARITY_VIOLATION"), place:
        raise AssertionError("it began")


# --- the environment of the host's tools


def test_an_inherited_password_is_never_used_for_another_server(tmp_path: Path, traps: Traps) -> None:
    seen = tmp_path / "seen"
    (traps.folder / "psql").write_text("#!/bin/sh\nenv >'{0}'\n".format(seen))
    environ = {**os.environ, "PGPASSWORD": "of another", "PGSERVICE": "x", "PGHOSTADDR": "10.0.0.1", "PGDATABASE": "x"}
    executor = HostPGExecutor(
        context("external"), log=RunLog(Redactor()), redactor=Redactor(), run_id="r", failure="BACKUP_FAILED",
        environ=environ,
    )
    executor.run("psql", [], database="shop")
    variables = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    assert variables["PGPASSWORD"] == ""
    assert "PGSERVICE" not in variables
    assert "PGDATABASE" not in variables
    assert (variables["PGHOST"], variables["PGHOSTADDR"], variables["PGUSER"]) == ("db.example.com", "", "shop")
    assert variables["PGAPPNAME"] == "pgfleet/r"


def test_a_client_that_does_not_answer_is_passed_over(
    traps: Traps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.pgfleet.backup.plugins.module_utils import _executor_host

    silent = tmp_path / "silent"
    silent.mkdir()
    (silent / "pg_dump").write_text("#!/bin/sh\nexec sleep 60\n")
    (silent / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", str(silent) + os.pathsep + os.environ["PATH"])
    monkeypatch.setattr(_executor_host, "_VERSION_SECONDS", 3.0)
    assert build("host", context("external"), "BACKUP_FAILED").client.folder == str(traps.folder)
