# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which container is meant, on a real engine: by name, id, port, image, labels, or because it is the only one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module

GROUP = "pgfleet.test.group"
Names = Callable[[str], str]


@pytest.fixture(scope="module")
def group(unique_name: Names) -> str:
    """The value of a label that only the two servers of this file have."""
    return unique_name("group")


@pytest.fixture(scope="module")
def server(module_postgres_container: Callable[..., PostgresContainer], group: str) -> PostgresContainer:
    return module_postgres_container(
        ports={5432: ("127.0.0.1", None)},
        labels={
            GROUP: group, "tier": "gold",
            "com.docker.compose.project": "my-shop", "com.docker.compose.service": "db",
        },
    )


@pytest.fixture(scope="module")
def other(module_postgres_container: Callable[..., PostgresContainer], group: str) -> PostgresContainer:
    labels = {GROUP: group, "pgfleet.test.only": group, "com.docker.swarm.service.name": "stack_db"}
    return module_postgres_container(labels=labels)


def discover(backup_dir: Path, env: dict[str, str] | None = None, **options: Any) -> ModuleResult:
    """What a backup would use: in check mode, and with the trace."""
    wish = {"database": "postgres", "backup_dir": backup_dir, **options}
    return run_module("pg_backup", wish, env=env, check=True, verbosity=1)


def trace(done: ModuleResult) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in done.result["context"]["trace"]}


@pytest.mark.parametrize(
    "named_by",
    ["name", "slashed name", "id", "short id", "published port", "port of localhost", "labels", "label of any value"],
)
def test_found_by(named_by: str, server: PostgresContainer, other: PostgresContainer, group: str, backup_dir: Path) -> None:
    ways: dict[str, dict[str, Any]] = {
        "name": {"container": server.name},
        "slashed name": {"container": f"/{server.name}"},
        "id": {"container": server.id},
        "short id": {"container": server.id[:12]},
        "published port": {"login_port": server.host_port},
        "port of localhost": {"login_host": "localhost", "login_port": server.host_port},
        "labels": {"container_labels": {GROUP: group, "tier": "gold"}},
        "label of any value": {"container_labels": {GROUP: group, "com.docker.compose.service": ""}},
    }
    found = discover(backup_dir, **ways[named_by])
    context = found.succeeded()["context"]
    assert context["container"]["id"] == server.id
    assert (context["mode"], context["port"], context["host"]) == ("in_container", 5432, None)
    assert context["credential_source"] == "CredFromRunningContainer"
    assert trace(found)["container"] == "found"
    assert trace(found)["file"] == "skipped"


def test_orchestrators_name_the_instance(server: PostgresContainer, other: PostgresContainer, backup_dir: Path) -> None:
    def instance(**options: Any) -> str:
        return str(discover(backup_dir, **options).succeeded()["plan"]["instance"])

    assert instance(container=server.name) == "my-shop_db"
    assert instance(container=other.name) == "stack_db"
    assert instance(container=other.name, instance="mine") == "mine"


def test_without_an_orchestrator_the_container_names_it(
    postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    plain = postgres_container()
    assert discover(backup_dir, container=plain.name).succeeded()["plan"]["instance"] == plain.name


def test_several_candidates_are_named_and_none_is_taken(
    server: PostgresContainer, other: PostgresContainer, group: str, narrow_engine: Callable[[str], str], backup_dir: Path
) -> None:
    both = f"{GROUP}={group}"
    ways: list[dict[str, Any]] = [{"container_labels": {GROUP: group}}, {"docker_host": narrow_engine(both)}]
    for options in ways:
        refused = discover(backup_dir, **options).failed_with("CONTAINER_AMBIGUOUS")
        assert server.name in refused["msg"]
        assert other.name in refused["msg"]
    assert list(backup_dir.parent.rglob("manifest.json")) == []


def test_the_only_server_needs_no_name(
    server: PostgresContainer, other: PostgresContainer, narrow_engine: Callable[[str], str], backup_dir: Path,
    group: str, without_sdk: dict[str, str],
) -> None:
    only = narrow_engine(f"pgfleet.test.only={group}")
    for client, env in (("sdk", None), ("cli", without_sdk)):
        context = discover(backup_dir, env, docker_host=only).succeeded()["context"]
        assert (context["container"]["name"], context["engine_client"]) == (other.name, client)
    # A port that it does not have is a contradiction, not a detail.
    discover(backup_dir, docker_host=only, login_host="localhost", login_port=server.host_port).failed_with(
        "CONTAINER_NOT_FOUND"
    )


def test_where_no_server_runs_everything_that_was_looked_at_is_told(
    narrow_engine: Callable[[str], str], backup_dir: Path
) -> None:
    empty = narrow_engine("pgfleet.test.nobody=has-this")
    nothing = discover(backup_dir, docker_host=empty)
    nothing.failed_with("CREDENTIALS_UNAVAILABLE")
    assert trace(nothing) == dict.fromkeys(("options", "environment", "container", "file"), "skipped")
    local = discover(backup_dir, docker_host=empty, env={"POSTGRES_HOST": "localhost"})
    local.failed_with("CONTAINER_NOT_FOUND")
    assert trace(local)["container"] == "rejected"


@pytest.fixture
def repository(docker_engine: Engine, postgres_image: str, unique_name: Names) -> Iterator[str]:
    """The test's image under three tags of a name of its own; asked for before the containers, removed after them."""
    name, image = unique_name("image"), docker_engine.client.images.get(postgres_image)
    tags = [f"{name}:{tag}" for tag in ("9.6", "10.1-alpine", "latest")]
    for tag in tags:
        image.tag(tag)
    yield name
    for tag in tags:
        docker_engine.client.images.remove(tag)


def test_of_one_image_the_highest_version_is_taken(
    repository: str, postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    latest = postgres_container(image=f"{repository}:latest", wait=False)
    old = postgres_container(image=f"{repository}:9.6", wait=False)
    new = postgres_container(image=f"{repository}:10.1-alpine")
    old.wait_until_ready()
    latest.wait_until_ready()

    def found(image: str) -> str:
        return str(discover(backup_dir, container_image=image).succeeded()["context"]["container"]["name"])

    assert found(repository) == new.name
    assert found(f"{repository}:9.6") == old.name
    assert found(f"docker.io/{repository}:latest") == latest.name
    new.container.kill()
    assert found(repository) == old.name
    old.container.kill()
    assert found(repository) == latest.name
    discover(backup_dir, container_image=f"{repository}:11").failed_with("CONTAINER_NOT_FOUND")


def test_a_stopped_container_is_not_an_unknown_one(
    postgres_container: Callable[..., PostgresContainer], unique_name: Names, backup_dir: Path
) -> None:
    label = {GROUP: unique_name("stopped")}
    stopped = postgres_container(labels=label, wait=False)
    stopped.container.kill()
    for options in ({"container": stopped.name}, {"container": stopped.id[:12]}, {"container_labels": label}):
        refused = discover(backup_dir, **options).failed_with("CONTAINER_NOT_RUNNING")
        assert stopped.name in refused["msg"]
        assert refused["retryable"] is True


def test_an_unknown_name_is_told_with_those_that_run(server: PostgresContainer, backup_dir: Path) -> None:
    refused = discover(backup_dir, container=server.name + "-x").failed_with("CONTAINER_NOT_FOUND")
    assert f"'{server.name}-x'" in refused["msg"]
    assert f"{server.name}," in refused["msg"] + ","
    assert trace(discover(backup_dir, container="../json"))["container"] == "rejected"
