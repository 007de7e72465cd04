# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both clients of the container engine against a real one: what they see, and what goes in and out of a container."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
import select
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _engine, _engine_stream
from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo
from ansible_collections.pgfleet.backup.plugins.module_utils._engine import open_engine
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_cli import CliEngine, CliProcess
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_sdk import SdkEngine, open_sdk
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    StreamBroken,
    ToolTimeout,
    pump,
)
from ansible_collections.pgfleet.backup.tests.support.engine import Engine as Docker
from docker.models.containers import Container

ENOUGH = 120.0
LOCAL = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
SECRET = "p w='\"$;\nü"

Create = Callable[..., Container]
Client = SdkEngine | CliEngine


@pytest.fixture(scope="module")
def create(docker_engine: Docker, postgres_image: str, unique_name: Callable[[str], str]) -> Iterator[Create]:
    """Create a container that sleeps, ``start=False`` to leave it at that."""
    made: list[Container] = []

    def create_container(*, start: bool = True, **options: Any) -> Container:
        labels = {**docker_engine.labels, **options.pop("labels", {})}
        container = docker_engine.client.containers.create(
            postgres_image, ["infinity"], entrypoint="sleep", name=unique_name("eng"), labels=labels, **options
        )
        made.append(container)
        if start:
            container.start()
        return container

    yield create_container
    for container in made:
        container.remove(force=True, v=True)


@pytest.fixture(scope="module", params=["sdk", "cli"])
def engine(request: pytest.FixtureRequest, docker_engine: Docker) -> Iterator[Client]:
    """Each client in turn."""
    opened = open_client(request.param, LOCAL)
    yield opened
    opened.close()


def open_client(kind: str, host: str) -> Client:
    if kind == "cli":
        program = shutil.which("docker")
        assert program
        return CliEngine.open(program, host=host, environ=os.environ)
    opened = open_sdk(host, os.environ)
    assert opened
    return opened


@pytest.fixture(scope="module")
def sleeper(create: Create) -> Container:
    return create(environment={"OWN": "its own", "EMPTY": ""})


@pytest.fixture
def box(engine: Client, sleeper: Container) -> ContainerInfo:
    """A running container."""
    found = engine.inspect(str(sleeper.id))
    assert found
    return found


def run(
    engine: Client,
    container: ContainerInfo,
    argv: Sequence[str],
    *,
    source: Iterable[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    user: str = "",
    timeout: float = ENOUGH,
) -> tuple[int, bytes, bytes]:
    out: list[bytes] = []
    err: list[bytes] = []
    process = engine.exec(container, argv, env=env or {}, stdin=source is not None, user=user)
    try:
        status = pump(process, source=source, on_stdout=out.append, on_stderr=err.append, timeout=timeout)
    finally:
        process.close()
    return status, b"".join(out), b"".join(err)


# -- what is there --------------------------------------------------------------------------------------------------


def test_everything_about_a_container_is_seen(
    engine: Client, create: Create, docker_engine: Docker, docker_network: str, postgres_image: str
) -> None:
    endpoint = docker_engine.client.api.create_endpoint_config(aliases=["db", "primary"])
    made = create(
        environment={"POSTGRES_PASSWORD": SECRET, "EMPTY": ""},
        labels={"tier": "gold"},
        hostname="dbhost",
        ports={"5432/tcp": ("127.0.0.1", None), "5433/tcp": None, "6000/udp": ("127.0.0.1", None)},
        network=docker_network,
        networking_config={docker_network: endpoint},
    )
    made.reload()
    bindings = made.attrs["NetworkSettings"]["Ports"]
    image = docker_engine.client.images.get(postgres_image)
    found = engine.inspect(str(made.name))
    assert found
    assert (found.id, found.name, found.image, found.digest) == (made.id, made.name, postgres_image, image.id)
    assert found.running
    assert found.state == "running"
    assert found.env["POSTGRES_PASSWORD"] == SECRET
    assert found.env["EMPTY"] == ""
    assert found.labels["tier"] == "gold"
    assert {"db", "primary", "dbhost"} <= set(found.aliases)
    assert found.networks == (docker_network,)
    assert {5432, 5433} <= set(found.exposed)
    assert 6000 not in found.exposed
    published = {(port.host_ip, port.host_port, port.container_port) for port in found.ports}
    assert ("127.0.0.1", int(bindings["5432/tcp"][0]["HostPort"]), 5432) in published
    assert int(bindings["5433/tcp"][0]["HostPort"]) in {port for _ip, port, inside in published if inside == 5433}


def test_a_container_is_found_by_its_names_and_by_no_other(engine: Client, box: ContainerInfo) -> None:
    for name in (box.name, "/" + box.name, box.id, box.id[:12], f" {box.name} "):
        assert engine.inspect(name) == box
    for name in ("", "no-such-container", box.name + "x", box.name[:-1], "--help", "../images/json", "a/b", "a b", "x\n"):
        assert engine.inspect(name) is None


def test_all_containers_are_listed_in_order_stopped_ones_too(engine: Client, create: Create, box: ContainerInfo) -> None:
    stopped = create(start=False)
    found = engine.containers()
    assert [container.name for container in found] == sorted(container.name for container in found)
    assert box in found
    assert [container.running for container in found if container.id == stopped.id] == [False]


def test_a_shortened_id_that_fits_several_is_ambiguous(engine: Client, create: Create) -> None:
    first_digits: list[str] = []
    while len(first_digits) == len(set(first_digits)):  # sixteen digits: seventeen at most
        first_digits.append(str(create(start=False).id)[0])
    with pytest.raises(BackupError) as failure:
        engine.inspect(first_digits[-1])
    assert failure.value.code == "CONTAINER_AMBIGUOUS"


# -- running something ----------------------------------------------------------------------------------------------


def test_streams_stay_apart_and_the_exit_status_is_exact(engine: Client, box: ContainerInfo) -> None:
    assert run(engine, box, ["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, b"out\n", b"err\n")
    assert run(engine, box, ["true"]) == (0, b"", b"")


def test_arguments_arrive_as_they_are(engine: Client, box: ContainerInfo) -> None:
    assert run(engine, box, ["printf", "%s|", "$HOME", "a b", "", "--user", "\n'\""])[1] == b"$HOME|a b||--user|\n'\"|"


def test_binary_output_arrives_whole(engine: Client, box: ContainerInfo) -> None:
    script = "{ head -c 20000000 /dev/urandom | tee /dev/fd/3 | sha256sum >&2; } 3>&1"
    status, out, err = run(engine, box, ["bash", "-c", script])
    assert status == 0
    assert len(out) == 20_000_000
    assert hashlib.sha256(out).hexdigest() == err.split()[0].decode()


def test_input_arrives_whole_and_ends(engine: Client, box: ContainerInfo) -> None:
    data = os.urandom(20_000_000)
    pieces = (data[at : at + 99_999] for at in range(0, len(data), 99_999))
    status, out, err = run(engine, box, ["sha256sum"], source=pieces)
    assert (status, out.split()[0].decode(), err) == (0, hashlib.sha256(data).hexdigest(), b"")


def test_input_and_output_at_the_same_time(engine: Client, box: ContainerInfo) -> None:
    data = os.urandom(5_000_000)
    assert run(engine, box, ["cat"], source=[data]) == (0, data, b"")


def test_without_a_source_stdin_is_empty(engine: Client, box: ContainerInfo) -> None:
    assert run(engine, box, ["cat"]) == (0, b"", b"")


def test_a_tool_that_stops_reading_tells_itself_why(engine: Client, box: ContainerInfo) -> None:
    script = "head -c 3; echo enough >&2; exit 4"
    assert run(engine, box, ["sh", "-c", script], source=[b"x" * 100_000] * 100) == (4, b"xxx", b"enough\n")


def test_the_environment_is_added_to_the_container_s(engine: Client, box: ContainerInfo) -> None:
    script = 'printf "%s|%s|%s" "$OWN" "$PGPASSWORD" "${EMPTY-unset}"'
    status, out, _err = run(engine, box, ["sh", "-c", script], env={"PGPASSWORD": SECRET, "EMPTY": ""})
    assert (status, out.decode()) == (0, f"its own|{SECRET}|")


def test_a_tool_runs_as_the_user_asked_for(engine: Client, box: ContainerInfo) -> None:
    assert run(engine, box, ["id", "-un"])[1] == b"root\n"
    assert run(engine, box, ["id", "-un"], user="postgres")[1] == b"postgres\n"


@pytest.mark.parametrize("argv", [["no-such-tool"], ["/etc/passwd"]])
def test_a_tool_that_cannot_be_started_says_so_on_stderr(engine: Client, box: ContainerInfo, argv: list[str]) -> None:
    status, out, err = run(engine, box, argv)
    assert status in {126, 127}
    assert out == b""
    assert b"executable file not found" in err or b"permission denied" in err.lower()


def test_output_that_reads_like_the_engine_s_complaint_stays_output(engine: Client, box: ContainerInfo) -> None:
    complaint = 'OCI runtime exec failed: exec: "psql": executable file not found in $PATH: unknown'
    assert run(engine, box, ["echo", complaint]) == (0, complaint.encode() + b"\n", b"")


def test_only_a_running_container_runs_something(engine: Client, create: Create, box: ContainerInfo) -> None:
    stopped = create(start=False)
    paused = create()
    paused.pause()
    for container, state in ((stopped, "created"), (paused, "paused")):
        info = engine.inspect(str(container.id))
        assert info
        with pytest.raises(BackupError, match=f"{container.name} is {state}") as failure:
            engine.exec(info, ["true"], env={})
        assert failure.value.code == "CONTAINER_NOT_RUNNING"
    paused.unpause()
    with pytest.raises(BackupError) as failure:
        engine.exec(dataclasses.replace(box, id="f" * 64), ["true"], env={})
    assert failure.value.code == "CONTAINER_NOT_FOUND"


def test_the_deadline_holds(engine: Client, box: ContainerInfo) -> None:
    with pytest.raises(ToolTimeout):
        run(engine, box, ["sleep", "5"], timeout=0.5)


def test_a_broken_source_surfaces_before_the_tool_sees_an_end(engine: Client, box: ContainerInfo) -> None:
    def source() -> Iterator[bytes]:
        yield b"half of it\n"
        raise RuntimeError("the source broke")

    out: list[bytes] = []
    process = engine.exec(box, ["sh", "-c", "cat; echo committed"], env={}, stdin=True)
    with pytest.raises(RuntimeError, match="the source broke"):
        pump(process, source=source(), on_stdout=out.append, on_stderr=out.append, timeout=ENOUGH)
    assert b"committed" not in b"".join(out)
    process.close()


def test_no_value_of_a_variable_is_in_the_command_line(sleeper: Container) -> None:
    engine = open_client("cli", LOCAL)
    box = engine.inspect(str(sleeper.id))
    assert box
    process = engine.exec(box, ["sh", "-c", 'echo "$PGPASSWORD"; sleep 1'], env={"PGPASSWORD": SECRET})
    assert isinstance(process, CliProcess)
    assert next(process.frames(time.monotonic() + ENOUGH))[1].decode() == SECRET + "\n"
    arguments = Path(f"/proc/{process._popen.pid}/cmdline").read_bytes().decode().split("\0")
    assert process.wait() == 0
    process.close()
    assert arguments[arguments.index("--env") + 1] == "PGPASSWORD"
    assert not [argument for argument in arguments if SECRET in argument or "PGPASSWORD=" in argument]


# -- a connection that is cut ---------------------------------------------------------------------------------------


class Cable:
    """A TCP port that leads to the engine's socket, and can be cut after so many bytes of an exec's output."""

    def __init__(self, cut_after: int) -> None:
        self.cut_after = cut_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://127.0.0.1:{}".format(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(LOCAL.partition("://")[2])
            passed = 0
            while True:
                for readable in select.select([client, engine], [], [])[0]:
                    data = readable.recv(65536)
                    if readable is engine and passed + len(data) > self.cut_after:
                        client.sendall(data[: self.cut_after - passed])
                        return
                    if not data:
                        return
                    passed += len(data) if readable is engine else 0
                    (engine if readable is client else client).sendall(data)


@pytest.mark.skipif(not LOCAL.startswith("unix:"), reason="the cable leads to a local socket")
def test_output_that_is_cut_off_is_never_whole(create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine_stream, "_EXIT_GRACE", 1.0)
    container = create()
    cable = Cable(cut_after=1_000_000)
    client = open_client("sdk", cable.url)
    info = client.inspect(str(container.id))
    assert info
    with pytest.raises(StreamBroken):
        run(client, info, ["sh", "-c", "head -c 5000000 /dev/zero; sleep 60"])
    client.close()
    cable.close()


# -- which engine ---------------------------------------------------------------------------------------------------


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which only the docker command is to be found, and that sets nothing about the engine."""
    program = shutil.which("docker")
    assert program
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").symlink_to(program)
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}


def without_sdk(host: str, environ: Mapping[str, str]) -> None:
    return None


def test_the_sdk_is_preferred(docker_engine: Docker, environ: dict[str, str]) -> None:
    opened = open_engine(LOCAL, environ=environ)
    assert opened.client == "sdk"
    opened.close()


def test_the_command_serves_without_the_sdk(
    docker_engine: Docker, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.pgfleet.backup.plugins.module_utils._engine_sdk.open_sdk", without_sdk)
    opened = open_engine("", environ={**environ, "DOCKER_HOST": LOCAL})
    assert opened.client == "cli"
    assert opened.containers() is not None


def test_another_socket_serves_when_docker_s_is_not_there(
    docker_engine: Docker, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_engine, "DOCKER_SOCKET", str(tmp_path / "none.sock"))
    monkeypatch.setattr(_engine, "PODMAN_SOCKET", str(tmp_path / "none.sock"))
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").symlink_to(LOCAL.partition("://")[2])
    opened = open_engine("", environ={**environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    assert opened.client == "sdk"
    opened.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("client", ["sdk", "cli"])
def test_an_engine_that_does_not_answer_is_named_with_the_reason(
    docker_engine: Docker, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    if client == "cli":
        monkeypatch.setattr("ansible_collections.pgfleet.backup.plugins.module_utils._engine_sdk.open_sdk", without_sdk)
    with pytest.raises(BackupError) as failure:
        open_engine("", environ={**environ, "DOCKER_HOST": f"unix://{tmp_path}/gone.sock"})
    assert failure.value.code == "ENGINE_UNAVAILABLE"
    assert f"{tmp_path}/gone.sock" in failure.value.what
    assert "\n" not in failure.value.what
    del failure
    gc.collect()  # the SDK leaves the socket open that it could not connect


def test_no_client_at_all_is_said_with_both_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ansible_collections.pgfleet.backup.plugins.module_utils._engine_sdk.open_sdk", without_sdk)
    with pytest.raises(BackupError, match=r"Docker SDK for Python.*docker or podman command") as failure:
        open_engine("", environ={"PATH": str(tmp_path)})
    assert failure.value.code == "ENGINE_UNAVAILABLE"


# -- a container of our own -----------------------------------------------------------------------------------------


def test_a_throwaway_container_is_made_and_removed(engine: Client, docker_engine: Docker, postgres_image: str) -> None:
    image = str(docker_engine.client.images.get(postgres_image).id)
    made = engine.run_throwaway(image, env={"POSTGRES_PASSWORD": SECRET}, labels={**docker_engine.labels, "of": "this test"})
    try:
        assert (made.running, made.digest, made.networks, made.ports) == (True, image, ("none",), ())
        assert made.labels["of"] == "this test"
        assert made.env["POSTGRES_PASSWORD"] == SECRET
        volumes = [mount["Name"] for mount in docker_engine.client.api.inspect_container(made.id)["Mounts"]]
        assert volumes
    finally:
        engine.remove(made)
    assert engine.inspect(made.id) is None
    assert not {volume.name for volume in docker_engine.client.volumes.list()} & set(volumes)
    engine.remove(made)


def test_an_image_that_is_not_there_is_not_pulled(engine: Client) -> None:
    for image in ("sha256:" + "0" * 64, "pgfleet-no-such-image:1"):
        with pytest.raises(BackupError) as failure:
            engine.run_throwaway(image, env={}, labels={})
        assert failure.value.code == "CONTAINER_NOT_FOUND"
        assert "drill_location" in failure.value.hint
