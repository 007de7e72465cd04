# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman: the Docker SDK through its compatible socket, and its own command where nothing else is installed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.podman import Podman, why_not

SERVER = "pgfleet-t-podman"
PASSWORD = "s3cret-of-the-podman-test"


@pytest.fixture(scope="module")
def podman(postgres_image: str) -> Iterator[Podman]:
    reason = why_not()
    if reason and os.environ.get("REQUIRE_PODMAN", "") not in ("", "0"):
        pytest.fail(f"REQUIRE_PODMAN is set, but {reason}", pytrace=False)
    if reason:
        pytest.skip(f"needs Podman: {reason}")
    # A short path: that of a socket has little room.
    with Podman(Path(tempfile.mkdtemp(prefix="pgfleet-podman-"))) as here:
        env = {"POSTGRES_USER": "app", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "shop"}
        here.start_server(here.load(postgres_image), SERVER, env)
        yield here


@pytest.mark.parametrize(("client", "kind"), [("sdk", "directory"), ("cli", "custom")])
def test_a_server_in_podman_is_backed_up_and_restored(
    client: str, kind: str, podman: Podman, without_sdk: dict[str, str], backup_dir: Path
) -> None:
    podman.sql(SERVER, "app", "shop", "DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
    wish = {"container": SERVER, "database": "shop", "backup_dir": backup_dir}
    env: dict[str, str | None] = {"DOCKER_HOST": podman.url}
    if client == "cli":
        env = {**without_sdk, "DOCKER_HOST": None, "PATH": str(podman.command_folder())}
    taken = run_module("pg_backup", {**wish, "format": kind}, env=env).succeeded()
    podman.sql(SERVER, "app", "shop", "DELETE FROM t WHERE id > 10")
    restored = run_module("pg_restore", {**wish, "confirm": "shop"}, env=env).succeeded()
    for result in (taken, restored):
        assert result["context"]["engine_client"] == client
        assert result["context"]["executor"] == "docker"
        assert result["context"]["container"]["name"] == SERVER
        assert PASSWORD not in str(result)
    assert taken["backups"][0]["format"] == kind
    assert podman.sql(SERVER, "app", "shop", "SELECT count(*), max(id) FROM t") == ["1000|1000"]
    assert podman.run("exec", SERVER, "ls", "-A", "/tmp") == "", "nothing is left in the container"


def test_a_drill_in_a_throw_away_container(podman: Podman, backup_dir: Path) -> None:
    podman.sql(SERVER, "app", "shop", "DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
    wish = {"container": SERVER, "database": "shop", "backup_dir": backup_dir}
    env = {"DOCKER_HOST": podman.url}
    run_module("pg_backup", wish, env=env).succeeded()
    done = run_module("pg_restore", {**wish, "strategy": "drill", "drill_location": "container"}, env=env).succeeded()
    verification = done["restore"]["verification"]
    assert (verification["result"], verification["rows"], verification["location"]) == ("ok", 1000, "container")
    assert podman.run("ps", "--all", "--format", "{{.Names}}").split() == [SERVER]
