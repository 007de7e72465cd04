# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo, PortBinding
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._find_container import (
    binding_for,
    by_network_name,
    choose_container,
    is_postgres_server,
    matches_image,
    require_running,
    split_image,
)
from ansible_collections.pgfleet.backup.tests.unit.servers import container, published


def chosen(containers: list[ContainerInfo], **wish: Any) -> str | None:
    found, reason = choose_container(containers, **wish)
    assert reason
    assert found is None or found.name in reason
    return found.name if found else None


def refusal(containers: list[ContainerInfo], **wish: Any) -> BackupError:
    with pytest.raises(BackupError) as caught:
        choose_container(containers, **wish)
    return caught.value


@pytest.mark.parametrize(("image", "more"), [
    ("mine:1", {"env": {"PGDATA": "/x"}}),
    ("mine:1", {"env": {"PG_MAJOR": "17"}}),
    ("mine:1", {"env": {}, "exposed": (5432,)}),
    ("mine:1", {"env": {}, "ports": published(55432)}),
    *[(image, {"env": {}}) for image in (
        "postgres", "postgres:17-alpine", "docker.io/library/postgres:17", "registry:5000/team/my-postgres:1",
        "bitnami/postgresql", "postgis/postgis:17-3.5", "timescale/timescaledb:latest-pg17", "pgvector/pgvector:pg17",
        "supabase/postgres@sha256:00",
    )],
])
def test_servers(image: str, more: dict[str, Any]) -> None:
    assert is_postgres_server(container("x", image, **more))


@pytest.mark.parametrize("image", [
    "nginx", "postgres/nginx", "prometheuscommunity/postgres-exporter:v0.15", "wrouesnel/postgres_exporter",
    "postgrest/postgrest", "prodrigestivill/postgres-backup-local", "mysql:5432", "postgres.example.com/app",
])
def test_other_containers(image: str) -> None:
    app = container("x", image, env={"POSTGRES_HOST": "db"}, exposed=(80,), ports=published(5432, 80))
    assert not is_postgres_server(app)


@pytest.mark.parametrize(("image", "parts"), [
    ("postgres", ("postgres", "")),
    ("postgres:17", ("postgres", "17")),
    ("docker.io/library/postgres:17@sha256:ab", ("postgres", "17")),
    ("localhost:5000/team/postgres", ("localhost:5000/team/postgres", "")),
    ("localhost:5000/team/postgres:17", ("localhost:5000/team/postgres", "17")),
    ("docker.io/bitnami/postgresql:16", ("bitnami/postgresql", "16")),
])
def test_image_references(image: str, parts: tuple[str, str]) -> None:
    assert split_image(image) == parts


@pytest.mark.parametrize(("image", "wanted", "fits"), [
    ("postgres:17", "postgres", True), ("postgres:17", "postgres:17", True), ("postgres:17", "postgres:16", False),
    ("docker.io/library/postgres:17", "postgres", True), ("my/postgres:17", "postgres", False),
    ("postgres-exporter", "postgres", False), ("postgres", "postgres:17", False),
])
def test_which_image_is_wanted(image: str, wanted: str, fits: bool) -> None:
    assert matches_image(image, wanted) is fits


def test_the_published_port_comes_first() -> None:
    containers = [container("a", ports=published(55432)), container("b", "mine", ports=published(55433))]
    assert chosen(containers, host_port=55433) == "b"
    assert chosen(containers, host_port=55433, image="postgres") == "b"
    assert binding_for(containers[1], 55433) == PortBinding("127.0.0.1", 55433, 5432)
    assert binding_for(containers[1], 5432) is None
    assert binding_for(containers[1], 0) is None


@pytest.mark.parametrize("wish", [{}, {"image": "postgres"}, {"labels": {"role": "db"}}])
def test_a_port_that_nobody_publishes_is_not_answered_with_the_only_candidate(wish: dict[str, Any]) -> None:
    only = container("a", ports=published(55432), labels={"role": "db"})
    assert chosen([only], host_port=55433, **wish) is None
    assert chosen([only], **wish) == "a"


@pytest.mark.parametrize(("port", "more"), [
    (5432, {}), (5433, {"env": {"PGDATA": "x", "PGPORT": "5433"}}), (5433, {"exposed": (5433,)}),
    (5433, {"ports": published(55432, 5433)}),
])
def test_the_servers_own_port_does_not_contradict_it(port: int, more: dict[str, Any]) -> None:
    assert chosen([container("a", **more)], host_port=port) == "a"


def test_two_that_publish_one_port() -> None:
    twins = [container("a", ports=published(5432)), container("b", ports=published(5432))]
    error = refusal(twins, host_port=5432)
    assert error.code == "CONTAINER_AMBIGUOUS"
    assert error.what == "several running containers publish port 5432: a (postgres:17), b (postgres:17)"


def test_a_stopped_one_that_publishes_the_port() -> None:
    stopped = container("a", ports=published(5432), running=False)
    assert refusal([stopped], host_port=5432).code == "CONTAINER_NOT_RUNNING"
    assert chosen([stopped, container("b", ports=published(5432))], host_port=5432) == "b"


@pytest.mark.parametrize(("tags", "expected"), [
    (["9.6", "16", "15.8"], "16"), (["16.2", "16.10"], "16.10"), (["16", "16.1"], "16.1"),
    (["17-alpine", "16"], "17-alpine"),
    (["v2", "v10"], "v10"), (["latest", "13"], "13"), (["latest"], "latest"), (["", "13"], "13"),
])
def test_the_highest_version_tag_wins_and_latest_never(tags: list[str], expected: str) -> None:
    containers = [container("of-" + tag, "postgres" + (":" + tag if tag else "")) for tag in tags]
    assert chosen(containers, image="postgres") == "of-" + expected
    assert chosen(containers[::-1], image="postgres") == "of-" + expected


@pytest.mark.parametrize("tags", [["17", "17"], ["latest", "latest"], ["17", "17.0", "17.0"]])
def test_versions_that_do_not_tell(tags: list[str]) -> None:
    containers = [container("c{0}".format(number), "postgres:" + tag) for number, tag in enumerate(tags)]
    error = refusal(containers, image="postgres")
    assert error.code == "CONTAINER_AMBIGUOUS"
    assert error.what.startswith("several running containers match image postgres: c")


def test_a_stopped_higher_version_does_not_win() -> None:
    stopped = container("new", "postgres:18", running=False)
    assert chosen([stopped, container("old", "postgres:16")], image="postgres") == "old"
    assert refusal([stopped], image="postgres").code == "CONTAINER_NOT_RUNNING"


def test_labels() -> None:
    containers = [
        container("a", labels={"role": "db", "project": "shop"}), container("b", labels={"role": "db"}),
        container("c", "postgres:16", labels={"role": "cache"}),
    ]
    assert chosen(containers, labels={"project": ""}) == "a"
    assert chosen(containers, labels={"role": "db", "project": "shop"}) == "a"
    assert chosen(containers, labels={"role": "cache"}, image="postgres") == "c"
    assert chosen(containers, labels={"role": "web"}) is None
    assert chosen(containers, labels={"role": "cache"}, image="postgres:17") is None
    error = refusal(containers, labels={"role": "db"})
    assert "label role=db" in error.what
    assert error.what.endswith("a (postgres:17), b (postgres:17)")


def test_the_only_running_server() -> None:
    web, stopped = container("web", "nginx", env={}), container("old", running=False)
    assert chosen([web, stopped, container("db")]) == "db"
    assert chosen([web]) is None
    assert chosen([]) is None
    assert refusal([web, stopped]).code == "CONTAINER_NOT_RUNNING"
    error = refusal([web, container("db"), container("db2")])
    assert error.code == "CONTAINER_AMBIGUOUS"
    assert error.what == "several running containers are PostgreSQL servers: db (postgres:17), db2 (postgres:17)"


def test_a_stopped_server_is_not_blamed_for_a_port_of_somebody_elses() -> None:
    assert chosen([container("old", running=False, ports=published(5432))], host_port=6000) is None


def test_running() -> None:
    assert require_running(container("a")) == container("a")
    with pytest.raises(BackupError, match=r"^CONTAINER_NOT_RUNNING: container a .*paused"):
        require_running(container("a", running=False, state="paused"))


APP = container("app", "app", networks=("shop", "front"))


@pytest.mark.parametrize(("host", "more", "found"), [
    ("db", {}, True), ("DB", {}, True), ("database", {"aliases": ("database", "db1")}, True),
    ("elsewhere", {}, False), ("db", {"networks": ("other",)}, False), ("db", {"networks": ()}, False),
    ("db", {"networks": ("other", "front")}, True), ("db", {"running": False}, True),
])
def test_network_names_count_within_shared_networks(host: str, more: dict[str, Any], found: bool) -> None:
    db = container("db", **more)
    assert by_network_name([APP, db, container("x")], host, APP) == (db if found else None)


def test_a_namesake_in_another_project_is_passed_over() -> None:
    ours, theirs = container("a", aliases=("db",)), container("b", aliases=("db",), networks=("other",))
    assert by_network_name([theirs, ours, APP], "db", APP) == ours


def test_a_scaled_service() -> None:
    one, two = container("one", aliases=("db",)), container("two", aliases=("db",), running=False)
    assert by_network_name([two, one], "db", APP) == one
    stopped = container("one", aliases=("db",), running=False)
    assert by_network_name([stopped, two], "db", APP) == stopped
    with pytest.raises(BackupError, match=r"^CONTAINER_AMBIGUOUS: .*network name db.*one.*three"):
        by_network_name([one, two, container("three", aliases=("db",))], "db", APP)
