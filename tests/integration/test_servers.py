# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of the tests do what the tests take for granted."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import ContainerFile, PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine
from ansible_collections.pgfleet.backup.tests.support.psql import SqlError
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop


def _over_tcp(server: EmbeddedServer, password: str) -> subprocess.CompletedProcess[str]:
    argv = [
        str(server.bin_dir / "psql"), "--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--host", server.host,
        "--port", str(server.port), "--username", server.user, "--dbname", "postgres", "--command", "SELECT 'in'",
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "PGPASSWORD": password})


def test_the_embedded_server_asks_for_its_password_over_tcp(embedded_server: EmbeddedServer) -> None:
    assert _over_tcp(embedded_server, embedded_server.password).stdout == "in\n"
    refused = _over_tcp(embedded_server, "wrong")
    assert refused.returncode == 2
    assert "password authentication failed" in refused.stderr


def test_the_embedded_server_leaves_no_process_and_no_file() -> None:
    server = EmbeddedServer(password="p'w\\ \"d$ü")
    with server:
        base = server.base
        assert _over_tcp(server, "p'w\\ \"d$ü").stdout == "in\n"
        assert server.socket_dir.stat().st_mode & 0o077 == 0
        of_ours = f"-D\0{base / 'data'}".encode()
        assert _processes(of_ours)
    assert not base.exists()
    assert not _processes(of_ours)


def _processes(part: bytes) -> list[Path]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if part in entry.read_bytes():
                found.append(entry)
        except OSError:
            continue
    return found


def test_rows_keep_their_line_breaks_and_errors_are_raised(embedded_server: EmbeddedServer) -> None:
    assert embedded_server.sql("postgres", "SELECT E'a\\nb', 2; SELECT 1 WHERE false; SELECT 'ü'") == ["a\nb|2", "ü"]
    with pytest.raises(SqlError, match="no_such_table"):
        embedded_server.sql("postgres", "TABLE no_such_table; SELECT 1")


def test_the_shop_is_the_same_everywhere(
    embedded_server: EmbeddedServer, postgres_container: Callable[..., PostgresContainer]
) -> None:
    """Content of the same hash on another server, of another version, in a database of another name."""
    container = postgres_container(database="elsewhere")
    create_shop(container, "shop_b", size=40)
    create_shop(embedded_server, "shop_a", size=40)
    here = snapshot(functools.partial(embedded_server.sql, "shop_a"))
    there = snapshot(functools.partial(container.sql, "shop_b"))
    embedded_server.sql("postgres", "DROP DATABASE shop_a")
    assert [line for line in differences(here, there) if line.startswith(("table ", "sequence value"))] == []


def test_a_container_as_the_official_image_would_be(
    postgres_container: Callable[..., PostgresContainer], docker_network: str, tmp_path: Path
) -> None:
    server = postgres_container(
        user="app", password=None, database="we ird", network=docker_network, aliases=["db", "main-db"],
        env={"POSTGRES_PASSWORD_FILE": "/run/db-password"}, ports={5432: ("127.0.0.1", None)},
        files={
            "/run/db-password": ContainerFile("p w'\"$\n", 0o600, "postgres"),
            "/docker-entrypoint-initdb.d/first.sql": "CREATE TABLE made_at_birth AS SELECT 42 AS n",
        },
        command=["-c", "application_name=given"],
    )
    assert server.sql("we ird", "SHOW application_name; TABLE made_at_birth") == ["psql", "42"]
    assert server.sql("postgres", "SHOW listen_addresses; SHOW data_directory") == ["*", "/var/lib/postgresql/data"]
    assert {"db", "main-db"} <= set(server.attrs["NetworkSettings"]["Networks"][docker_network]["Aliases"])
    for host, port in (("127.0.0.1", server.host_port), (server.ip, 5432)):
        argv = ["psql", "-X", "-w", "-h", host, "-p", str(port), "-U", "app", "-d", "we ird", "-Atc", "SELECT 1"]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env={**os.environ, "PGPASSWORD": "p w'\"$"}
        )
        assert done.stdout == "1\n", done.stderr
        denied = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert denied.returncode == 2, "from outside, a password is needed"
    top = server.container.top()["Processes"]
    assert "postgres" in top[0][-1], "the server is the container's first process"


def test_execs_are_counted(docker_engine: Engine, postgres_container: Callable[..., PostgresContainer]) -> None:
    server = postgres_container()
    assert docker_engine.count_execs(lambda: server.attrs, server.name) == 0
    with docker_engine.watch_execs() as watch:
        server.shell("echo", "a b")
    assert watch.in_container(server.name) == ["echo a b"]
