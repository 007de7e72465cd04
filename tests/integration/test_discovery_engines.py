# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both engine clients do the whole job, and an engine that cannot be used is told from a container that is not there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

NOWHERE = "unix:///nonexistent.sock"
CLIENTS = ["sdk", "cli"]


@pytest.fixture
def client_env(request: pytest.FixtureRequest, without_sdk: dict[str, str]) -> dict[str, str]:
    """The environment in which the client of the test's parameter is the one that serves."""
    return without_sdk if request.getfixturevalue("client") == "cli" else {}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("kind", ["directory", "custom"])
def test_each_client_does_the_whole_job(
    kind: str, client: str, client_env: dict[str, str], postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    server = postgres_container(user="app", database="app")
    create_shop(server, "shop", size=20)
    before = snapshot(functools.partial(server.sql, "shop"))
    wish = {"container": server.name, "database": "shop", "backup_dir": backup_dir}
    taken = run_module("pg_backup", {**wish, "format": kind}, env=client_env).succeeded()
    server.sql("postgres", "DROP DATABASE shop")
    restored = run_module("pg_restore", wish, env=client_env).succeeded()
    assert {taken["context"]["engine_client"], restored["context"]["engine_client"]} == {client}
    assert differences(before, snapshot(functools.partial(server.sql, "shop"))) == []
    assert server.shell("sh", "-c", "ls -A /tmp") == "", "nothing is left in the container"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("module", ["pg_backup", "pg_restore"])
@pytest.mark.parametrize(
    ("options", "env"),
    [
        ({"container": "app", "docker_host": NOWHERE}, {}),
        ({"container": "app"}, {"DOCKER_HOST": NOWHERE}),
        ({"docker_host": NOWHERE}, {"POSTGRES_HOST": "localhost"}),
        ({"docker_host": NOWHERE}, {}),
    ],
    ids=["named container", "by DOCKER_HOST", "localhost", "nothing named"],
)
def test_an_engine_that_is_down_is_reported(
    options: dict[str, Any], env: dict[str, str], module: str, client: str, client_env: dict[str, str], backup_dir: Path
) -> None:
    done = run_module(module, {"backup_dir": backup_dir, **options}, env={**client_env, **env})
    failed = done.failed_with("ENGINE_UNAVAILABLE")
    assert "nonexistent.sock" in failed["msg"]
    steps = {step["step"]: step for step in failed["context"]["trace"]}
    assert "nonexistent.sock" in steps["container"]["reason"]
    named = bool(env.get("POSTGRES_HOST") or options.get("container"))
    assert steps["container"]["outcome"] == ("rejected" if named else "skipped")
    assert ("file" in steps) is not named
    assert not backup_dir.exists() or not list(backup_dir.iterdir())


def test_neither_sdk_nor_command(backup_dir: Path, without_sdk: dict[str, str], tmp_path: Path) -> None:
    env = {**without_sdk, "PATH": str(tmp_path)}
    failed = run_module("pg_backup", {"container": "app", "backup_dir": backup_dir}, env=env).failed_with("ENGINE_UNAVAILABLE")
    assert failed["context"]["engine_client"] == "none"
    assert "docker" in failed["hint"]
