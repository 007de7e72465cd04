# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills in a throw-away container: of the backup's own image, alone, and gone whatever happens."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.modules import RunningModule, run_module
from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until
from docker.errors import NotFound
from docker.models.containers import Container

pytestmark = pytest.mark.usefixtures("drilling_alone")

LABEL = "pgfleet.drill"
ALIVE = "20260102T000000Z-here"


@pytest.fixture(scope="module")
def server(module_postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    container = module_postgres_container()
    container.sql("postgres", "CREATE ROLE owner LOGIN; CREATE DATABASE shop OWNER owner")
    container.sql("shop", "CREATE TABLE t (n int); ALTER TABLE t OWNER TO owner; INSERT INTO t SELECT generate_series(1, 1000)")
    return container


@pytest.fixture
def wish(server: PostgresContainer, backup_dir: Path) -> dict[str, Any]:
    """The options of a drill."""
    options = {"container": server.name, "database": "shop", "backup_dir": str(backup_dir)}
    run_module("pg_backup", options).succeeded()
    return {**options, "strategy": "drill", "drill_location": "container"}


@pytest.fixture
def drills(docker_engine: Engine) -> Iterator[Callable[[], list[Container]]]:
    """The throw-away containers that are there."""
    def find() -> list[Container]:
        return list(docker_engine.client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True))

    yield find
    for left in find():
        left.remove(force=True, v=True)


@pytest.mark.parametrize("client", ["sdk", "cli"])
def test_a_drill_in_a_container_of_its_own(
    client: str, server: PostgresContainer, wish: dict[str, Any], drills: Callable[[], list[Container]],
    docker_engine: Engine, start_module: Callable[..., RunningModule], without_sdk: dict[str, str],
) -> None:
    with docker_engine.watch_execs() as watch:
        running = start_module("pg_restore", wish, env=without_sdk if client == "cli" else {})
        wait_until(drills)
        volumes = [mount["Name"] for mount in drills()[0].attrs["Mounts"]]
        done = running.finish().succeeded()
    assert done["context"]["engine_client"] == client
    verification = done["restore"]["verification"]
    assert (verification["result"], verification["rows"], verification["location"]) == ("ok", 1000, "container")
    digest = server.attrs["Image"]
    assert [line for line in done["log"] if line.startswith(f"Drilling in a throw-away container of {digest}")]
    # The server itself was asked what it is, and nothing else was done there.
    assert not [command for command in watch.in_container(server.name) if command.startswith(("pg_restore", "tar"))]
    wait_until(lambda: drills() == [])
    assert volumes
    for volume in volumes:
        with pytest.raises(NotFound):
            docker_engine.client.volumes.get(volume)


def test_it_has_no_network_and_is_taken_for_nobodys_server(
    wish: dict[str, Any], start_module: Callable[..., RunningModule], drills: Callable[[], list[Container]],
) -> None:
    running = start_module("pg_restore", wish)
    wait_until(drills)
    (container,) = drills()
    container.reload()
    assert container.attrs["HostConfig"]["NetworkMode"] == "none"
    assert not container.attrs["HostConfig"]["PortBindings"]
    found = run_module("pg_backup_info", {"discover": True, "backup_dir": wish["backup_dir"]}).result
    assert container.name not in [item["context"]["container"]["name"] for item in found.get("servers", ())]
    running.finish().succeeded()
    wait_until(lambda: drills() == [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_goes_when_its_run_is_ended(
    number: int, wish: dict[str, Any], start_module: Callable[..., RunningModule],
    drills: Callable[[], list[Container]],
) -> None:
    running = start_module("pg_restore", wish)
    wait_until(lambda: [drill for drill in drills() if _has_lifeline(drill)])
    running.process.send_signal(number)
    running.finish()
    wait_until(lambda: drills() == [])


def _has_lifeline(container: Container) -> bool:
    container.reload()
    if container.status != "running":
        return False
    processes: Any = container.top()
    return any("cat >/dev/null" in " ".join(line) for line in processes["Processes"])


def test_what_was_left_all_the_same_is_removed(
    wish: dict[str, Any], drills: Callable[[], list[Container]], docker_engine: Engine, postgres_image: str
) -> None:
    left = docker_engine.client.containers.create(
        postgres_image, ["-c", "exit 0"], entrypoint="sh", labels={LABEL: "20260101T000000Z-dead"}
    )
    left.start()
    left.wait()
    for run, name in (("20260101T000000Z-none", "pgfleet/20260101T000000Z-dead"), (ALIVE, f"pgfleet/{ALIVE}")):
        docker_engine.client.containers.run(
            postgres_image, ["600"], entrypoint="sleep", labels={LABEL: run}, environment={"PGAPPNAME": name}, detach=True
        )
    done = run_module("pg_restore", wish).succeeded()
    removed = [line.split()[-2] for line in done["log"] if line.startswith("Removed the container")]
    assert sorted(removed) == ["20260101T000000Z-dead", "20260101T000000Z-none"]
    wait_until(lambda: [drill.labels[LABEL] for drill in drills()] == [ALIVE])


def test_a_set_without_its_roles_is_drilled_without_owners(wish: dict[str, Any]) -> None:
    options = {name: wish[name] for name in ("container", "database", "backup_dir")}
    run_module("pg_backup", {**options, "include_globals": "none"}).succeeded()
    done = run_module("pg_restore", wish).succeeded()
    assert [line for line in done["log"] if "leaves owners and privileges out" in line]


def test_what_cannot_be_is_said_before(local: Local, database: str, wish: dict[str, Any]) -> None:
    local.back_up(database)
    away = {"strategy": "drill", "drill_location": "container"}
    refused = local.restore(database=database, check=True, **away).succeeded()
    assert [item["code"] for item in refused["plan"]["blockers"]] == ["INVALID_DB_CONFIG"]
    local.restore(database=database, **away).failed_with("INVALID_DB_CONFIG")
    assert run_module("pg_restore", wish, check=True).succeeded()["plan"]["blockers"] == []
