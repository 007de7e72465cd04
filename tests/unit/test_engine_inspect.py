# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker 20.10 and podman 4.3 (API and command) say of the same container, shortened to what matters."""

from __future__ import annotations

import copy
from typing import Any, Dict

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo, PortBinding
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_inspect import container_from_inspect

ID = "ffde58d4719499a24b74094cd0cdcfecb37545ede8d15aeca0e024f2ae504173"
IMAGE = "05cac0f3f70e3d477720066080290943bcb494b7737e0e0250a97d8639a3d175"

ANY = "0.0.0.0"  # noqa: S104

PUBLISHED = {
    "5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32769"}],
    "5433/tcp": [{"HostIp": ANY, "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32768"}],
    "53/udp": [{"HostIp": ANY, "HostPort": "25997"}],
    "6000/tcp": None,
}
WANTED = {
    "5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}],
    "5433/tcp": [{"HostIp": "", "HostPort": ""}],
    "5434/tcp": [{"HostIp": "", "HostPort": "55434"}],
}

DOCKER: Dict[str, Any] = {
    "Id": ID,
    "State": {"Status": "running", "Running": True, "Paused": False, "Restarting": False, "Dead": False},
    "Image": "sha256:" + IMAGE,
    "Name": "/app-db-1",
    "HostConfig": {"NetworkMode": "app_default", "PortBindings": WANTED},
    "Config": {
        "Hostname": "dbhost",
        "ExposedPorts": {"5432/tcp": {}, "5433/tcp": {}, "6000/tcp": {}, "53/udp": {}},
        "Env": ["POSTGRES_PASSWORD=a=b c\n", "EMPTY=", "PATH=/bin"],
        "Image": "postgres:17",
        "Labels": {"com.docker.compose.service": "db"},
    },
    "NetworkSettings": {
        "Ports": PUBLISHED,
        "Networks": {"app_default": {"Aliases": ["db", "ffde58d47194", "dbhost"]}, "other": {"Aliases": None}},
    },
}

PODMAN_API: Dict[str, Any] = copy.deepcopy(DOCKER)
PODMAN_API["Config"]["Image"] = "docker.io/library/postgres:17"
PODMAN_API["NetworkSettings"]["Networks"]["app_default"]["Aliases"] = ["db", "ffde58d47194"]
PODMAN_API["NetworkSettings"]["Ports"]["5433/tcp"] = [{"HostIp": "", "HostPort": "32768"}]

PODMAN_COMMAND: Dict[str, Any] = copy.deepcopy(PODMAN_API)
PODMAN_COMMAND["Name"] = "app-db-1"
PODMAN_COMMAND["Image"] = IMAGE
PODMAN_COMMAND["ImageDigest"] = "sha256:" + "f" * 64
PODMAN_COMMAND["ImageName"] = PODMAN_COMMAND["Config"].pop("Image")
del PODMAN_COMMAND["Config"]["ExposedPorts"]

EVERYWHERE = (PortBinding(ANY, 32768, 5433),)


@pytest.mark.parametrize(
    ("data", "image", "on_5433"),
    [
        pytest.param(DOCKER, "postgres:17", EVERYWHERE + (PortBinding("::", 32768, 5433),), id="docker"),
        pytest.param(PODMAN_API, "docker.io/library/postgres:17", EVERYWHERE, id="podman-api"),
        pytest.param(PODMAN_COMMAND, "docker.io/library/postgres:17", EVERYWHERE, id="podman-command"),
    ],
)
def test_every_engine_s_form_gives_the_same(data: Dict[str, Any], image: str, on_5433: Any) -> None:
    exposed = (5432, 5433, 5434, 6000)
    assert container_from_inspect(data) == ContainerInfo(
        id=ID,
        name="app-db-1",
        image=image,
        digest="sha256:" + IMAGE,
        running=True,
        state="running",
        env={"POSTGRES_PASSWORD": "a=b c\n", "EMPTY": "", "PATH": "/bin"},
        labels={"com.docker.compose.service": "db"},
        ports=(PortBinding("127.0.0.1", 32769, 5432),) + on_5433,
        exposed=exposed,
        aliases=("db", "dbhost", "ffde58d47194"),
        networks=("app_default", "other"),
    )


def test_the_environment_is_not_in_the_repr() -> None:
    assert "a=b c" not in repr(container_from_inspect(DOCKER))


def _changed(**parts: Any) -> Dict[str, Any]:
    data = copy.deepcopy(DOCKER)
    for part, values in parts.items():
        data[part].update(values)
    return data


def test_a_stopped_container_has_the_ports_it_asks_for() -> None:
    data = _changed(State={"Running": False, "Status": "exited"}, NetworkSettings={"Ports": {}})
    container = container_from_inspect(data)
    assert not container.running
    assert container.state == "exited"
    assert container.ports == (PortBinding(ANY, 55434, 5434),)


@pytest.mark.parametrize(
    ("state", "running"),
    [
        ({"Running": True, "Paused": True, "Status": "paused"}, True),
        ({"Running": True, "Restarting": True, "Status": "restarting"}, False),
        ({"Running": True, "Dead": True, "Status": "dead"}, False),
        ({"Running": False, "Status": "created"}, False),
    ],
)
def test_running_means_that_processes_run_in_it(state: Dict[str, Any], running: bool) -> None:
    assert container_from_inspect(_changed(State=state)).running is running


def test_the_host_s_own_name_is_no_alias() -> None:
    data = _changed(HostConfig={"NetworkMode": "host"}, NetworkSettings={"Networks": {"host": {}}})
    assert container_from_inspect(data).aliases == ()


def test_newer_engines_list_names_apart() -> None:
    endpoint = {"Aliases": ["db"], "DNSNames": ["app-db-1", "db", "ffde58d47194", "dbhost"]}
    data = _changed(NetworkSettings={"Networks": {"app_default": endpoint}})
    assert container_from_inspect(data).aliases == ("db", "dbhost", "ffde58d47194")


@pytest.mark.parametrize("value", [None, "", 0, [], {}, "text", ["text"], {"x": None}, [None]])
@pytest.mark.parametrize("key", [*DOCKER, "Missing"])
def test_nothing_is_taken_for_granted(key: str, value: Any) -> None:
    container_from_inspect({**DOCKER, key: value})
    for inner in DOCKER.get(key, {}) if isinstance(DOCKER.get(key), dict) else ():
        container_from_inspect(_changed(**{key: {inner: value}}))
    container_from_inspect({key: value})


def test_nothing_gives_an_empty_container() -> None:
    assert container_from_inspect({}) == ContainerInfo(id="", name="", image="", digest="", running=False)


def test_ports_that_are_none_are_left_out() -> None:
    ports = {
        "": None, "tcp": [], "x/tcp": [{"HostPort": "1"}], "1/sctp": [{"HostPort": "1"}],
        "7/tcp": [None, "x", {}, {"HostPort": None}, {"HostPort": "no"}, {"HostPort": 55007}],
    }
    data = _changed(NetworkSettings={"Ports": ports}, Config={"ExposedPorts": None}, HostConfig={"PortBindings": None})
    container = container_from_inspect(data)
    assert container.exposed == (7,)
    assert container.ports == (PortBinding(ANY, 55007, 7),)


def test_names_cannot_forge_a_line_of_the_log() -> None:
    data = _changed(
        Config={"Image": "img\x1b[2J", "Hostname": "h\u202eh"},
        State={"Status": "run\r"},
        NetworkSettings={"Networks": {"n\0et": {"Aliases": ["a\nDB mode: external"]}}},
    )
    data["Name"] = "/x\n[DockerPGExecutor] fine"
    container = container_from_inspect(data)
    assert container.name == "x?[DockerPGExecutor] fine"
    assert container.image == "img?[2J"
    assert container.state == "run?"
    assert container.networks == ("n?et",)
    assert container.aliases == ("a?DB mode: external", "h?h")
