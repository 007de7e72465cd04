# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database in a container is touched by the container's tools only, and every other one by the host's only.

Nobody's word is taken for it: the tools that must not be used are replaced by traps that leave a mark.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

CLIENT_TOOLS = ("pg_dump", "pg_dumpall", "pg_restore", "psql", "vacuumdb", "pg_isready", "createdb", "dropdb")
SCHEMA = "Ärger & Co"  # of the shop
FORMATS = ("custom", "directory", "plain", "tar")


class Traps:
    """Programs that come first on PATH and note that they were started."""

    def __init__(self, folder: Path, programs: tuple[str, ...]) -> None:
        self._marks = folder / "started"
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True)
        for name in programs:
            trap = self._bin / name
            trap.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self._marks}"\nexit 99\n', encoding="utf-8")
            trap.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": os.pathsep.join([str(self._bin), os.environ["PATH"]])}

    @property
    def sprung(self) -> list[str]:
        return self._marks.read_text(encoding="utf-8").splitlines() if self._marks.exists() else []


class EngineTrap:
    """A socket that looks like an engine's, and counts who comes."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self.visits = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _address = self._listener.accept()
                self.visits += 1
                visitor.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    """No client tool of the host can be started unnoticed."""
    return Traps(tmp_path / "traps", CLIENT_TOOLS)


@pytest.fixture
def engine_trap(tmp_path: Path) -> Iterator[EngineTrap]:
    trap = EngineTrap(tmp_path / "engine.sock")
    yield trap
    trap.close()


@pytest.fixture(scope="module")
def server(module_postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    return module_postgres_container(ports={5432: ("127.0.0.1", None)})


def external(server: PostgresContainer) -> dict[str, Any]:
    return {"login_host": server.ip, "login_user": "postgres", "login_password": server.password}


def is_a_look_around(command: str) -> bool:
    """Another test, running at the same time, lists every server on the engine by the server's own tables."""
    return command.startswith("psql ") and "dbname=postgres " in command


# -- in a container: never a tool of the host -----------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "client"), [*((kind, "sdk") for kind in FORMATS), ("directory", "cli")])
def test_no_tool_of_the_host_touches_a_container_s_database(
    kind: str, client: str, server: PostgresContainer, traps: Traps, backup_dir: Path, without_sdk: dict[str, str]
) -> None:
    """Backup, drill, restore over the old one; for one format also check mode, restore beside it, looking and proving."""
    database = f"{kind} {client}"
    create_shop(server, database, size=10)
    before = snapshot(functools.partial(server.sql, database))
    env = traps.env | (without_sdk if client == "cli" else {})
    wish = {"container": server.name, "backup_dir": backup_dir, "database": database}

    def run(module: str, check: bool = False, **options: Any) -> dict[str, Any]:
        result = run_module(module, {**wish, **options}, env=env, check=check).succeeded()
        if module != "pg_backup_info":
            assert (result["context"]["executor"], result["context"]["engine_client"]) == ("docker", client)
        return result

    restored = [database]
    run("pg_backup", format=kind, verify="restore")
    run("pg_restore", confirm=database)
    if kind != "plain":
        run("pg_restore", strategy="in_place", confirm=database, schemas=[SCHEMA])
    if kind == "directory":
        run("pg_backup", check=True, format=kind)
        run("pg_restore", check=True, confirm=database)
        run("pg_restore", strategy="create", target_database=f"{database} 2")
        run("pg_restore", strategy="drill")
        run("pg_backup_info", verify="archive", discover=True, mode="in_container")
        restored.append(f"{database} 2")
    assert traps.sprung == []
    for name in restored:
        assert differences(before, snapshot(functools.partial(server.sql, name))) == []


def test_all_databases_and_globals_stay_inside_too(server: PostgresContainer, traps: Traps, backup_dir: Path) -> None:
    wish = {"container": server.name, "backup_dir": backup_dir, "all_databases": True}
    backups = run_module("pg_backup", wish, env=traps.env).succeeded()["backups"]
    assert {"postgres", "@globals"} <= {Path(backup["path"]).parent.name for backup in backups}
    assert traps.sprung == []


def test_a_trap_that_is_stepped_on_leaves_a_mark(server: PostgresContainer, traps: Traps, backup_dir: Path) -> None:
    """What the tests above rest on: a server outside containers is asked for by the host's tools."""
    wish = {**external(server), "database": "postgres", "backup_dir": backup_dir}
    run_module("pg_backup", wish, env=traps.env)
    assert traps.sprung


# -- outside: never an exec in a container, never even a word with the engine ---------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_an_external_server_needs_no_engine(
    kind: str, server: PostgresContainer, docker_engine: Engine, engine_trap: EngineTrap, tmp_path: Path, backup_dir: Path
) -> None:
    """Although the address is that of a container on this very engine."""
    traps = Traps(tmp_path / "engines", ("docker", "podman"))
    database = f"external {kind}"
    create_shop(server, database, size=10)
    before = snapshot(functools.partial(server.sql, database))
    env = traps.env | {"DOCKER_HOST": engine_trap.url}
    wish = {**external(server), "database": database, "backup_dir": backup_dir}
    restored = [database]
    runs: list[tuple[str, dict[str, Any]]] = [
        ("pg_backup", {"format": kind, "verify": "restore"}),
        ("pg_restore", {"confirm": database}),
    ]
    if kind != "plain":
        runs.append(("pg_restore", {"strategy": "in_place", "confirm": database, "schemas": [SCHEMA]}))
    if kind == "directory":
        restored.append(f"{database} 2")
        runs += [
            ("pg_restore", {"strategy": "create", "target_database": restored[-1]}),
            ("pg_backup_info", {"verify": "archive"}),
        ]
    with docker_engine.watch_execs() as watch:
        for module, options in runs:
            result = run_module(module, {**wish, **options}, env=env).succeeded()
            assert result["context"]["engine_client"] in {"none", None}
        # By the engine's usual address as well, where nothing would keep it from being found.
        run_module("pg_backup", {**wish, "format": kind}).succeeded()
    assert [command for command in watch.in_container(server.name) if not is_a_look_around(command)] == []
    assert traps.sprung == []
    assert engine_trap.visits == 0
    for name in restored:
        assert differences(before, snapshot(functools.partial(server.sql, name))) == []


def test_an_engine_that_is_talked_to_is_noticed(engine_trap: EngineTrap, backup_dir: Path) -> None:
    """What the test above rests on."""
    wish = {"container": "anything", "backup_dir": backup_dir}
    run_module("pg_backup", wish, env={"DOCKER_HOST": engine_trap.url}).failed_with("ENGINE_UNAVAILABLE")
    assert engine_trap.visits


# -- a local host means a container, never a server that happens to listen there ------------------------------------


@pytest.mark.parametrize("module", ["pg_backup", "pg_restore"])
@pytest.mark.parametrize(
    ("narrowed", "codes"),
    [
        ({}, {"CONTAINER_NOT_FOUND", "CONTAINER_AMBIGUOUS"}),  # whoever else has containers on this engine
        ({"container_labels": {"pgfleet.test.nobody": "has this"}}, {"CONTAINER_NOT_FOUND"}),
        ({"docker_host": "unix:///nonexistent.sock"}, {"ENGINE_UNAVAILABLE"}),
    ],
    ids=["any container", "a label that none has", "no engine"],
)
def test_localhost_without_a_container_is_an_error(
    module: str, narrowed: dict[str, Any], codes: set[str], docker_engine: Engine, embedded_server: EmbeddedServer,
    traps: Traps, backup_dir: Path,
) -> None:
    """The server is there, listens, and would let us in; it is not touched, for nobody said that it is meant."""
    env = traps.env | {
        "POSTGRES_HOST": "localhost", "POSTGRES_PORT": str(embedded_server.port),
        "POSTGRES_USER": embedded_server.user, "POSTGRES_PASSWORD": embedded_server.password,
    }
    done = run_module(module, {"database": "postgres", "backup_dir": backup_dir, **narrowed}, env=env)
    assert done.result["code"] in codes
    done.failed_with(done.result["code"])
    assert [step["step"] for step in done.result["context"]["trace"] if step["outcome"] == "rejected"] == ["container"]
    assert traps.sprung == []
    assert list(backup_dir.rglob("*")) == []
