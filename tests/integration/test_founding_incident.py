# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incident that this collection was written for.

A container is published as ``127.0.0.1:55432->5432``, and the environment says ``POSTGRES_HOST=localhost``. The backup was
taken by the host's pg_dump of another version, and the restore by the container's: nothing came back.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

LITERAL_PORT = 55432
DATABASE = "payram"
USER = "payram"
PASSWORD = "p4yr4m's secret"


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start(make: Callable[..., PostgresContainer], port: int | None = None) -> PostgresContainer:
    server = make(user=USER, password=PASSWORD, database=DATABASE, ports={5432: ("127.0.0.1", port)})
    create_shop(server, "shop", size=20)
    return server


@pytest.mark.parametrize(
    ("host", "credentials"),
    [
        ("localhost", {"POSTGRES_USER": USER, "POSTGRES_PASSWORD": PASSWORD}),
        ("127.0.0.1", {}),  # the container's own fill what the environment leaves open
        ("LocalHost", {"POSTGRES_USER": USER}),
    ],
)
def test_it_cannot_happen_again(
    host: str, credentials: dict[str, str], incident: PostgresContainer, backup_dir: Path
) -> None:
    env = {"POSTGRES_HOST": host, "POSTGRES_PORT": str(incident.host_port), **credentials}
    survives(incident, env, backup_dir)


@pytest.fixture(scope="module")
def incident(module_postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    return start(module_postgres_container)


@pytest.mark.skipif(not is_free(LITERAL_PORT), reason=f"port {LITERAL_PORT} of this machine is taken")
def test_it_cannot_happen_again_to_the_letter(
    postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    server = start(postgres_container, LITERAL_PORT)
    survives(server, {"POSTGRES_HOST": "localhost", "POSTGRES_PORT": str(LITERAL_PORT)}, backup_dir)


def survives(server: PostgresContainer, env: dict[str, str], backup_dir: Path) -> None:
    """Backup, loss, restore, with nothing but the environment to go by: the option names a database, not a server."""
    look = functools.partial(snapshot, functools.partial(server.sql, "shop"))
    before = look()
    wish = {"database": "shop", "backup_dir": backup_dir}

    taken = run_module("pg_backup", wish, env=env)
    check(taken, server, "pg_dump")
    backup = taken.result["backups"][0]
    assert (backup["mode"], backup["executor"]) == ("in_container", "docker")

    server.sql("shop", "DROP TABLE sales.payments, sales.order_items, sales.orders, sales.customers CASCADE")
    assert any("sales.customers: missing" in line for line in differences(before, look()))

    check(run_module("pg_restore", {**wish, "confirm": "shop"}, env=env), server, "pg_restore")
    assert differences(before, look()) == []


def check(done: ModuleResult, server: PostgresContainer, tool: str) -> None:
    context = done.succeeded()["context"]
    assert (context["mode"], context["executor"]) == ("in_container", "docker")
    assert context["credential_source"] == "CredFromEnv"
    assert context["container"]["name"] == server.name
    assert (context["host"], context["port"], context["user"]) == (None, 5432, USER)
    assert f"[DockerPGExecutor] Executing {tool} inside container: {server.name}" in done.result["log"]
    assert PASSWORD not in done.stdout + done.stderr
