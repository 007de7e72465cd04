# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server in a container, made for one test and removed with everything it wrote."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import docker.types
from ansible_collections.pgfleet.backup.tests.support.engine import Engine
from ansible_collections.pgfleet.backup.tests.support.psql import PSQL_SWITCHES, SqlError, dbname, split_rows
from docker.models.containers import Container

__all__ = ["ContainerFile", "PostgresContainer"]

READY_SECONDS = 60.0
FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class ContainerFile(NamedTuple):
    """A file to lay into the container before it starts. ``owner`` is an account of the image, by name."""

    content: bytes | str | Path
    mode: int = 0o644
    owner: str = "root"

    def read(self) -> bytes:
        if isinstance(self.content, Path):
            return self.content.read_bytes()
        return self.content.encode() if isinstance(self.content, str) else self.content


class PostgresContainer:
    """One server in a container.

    ``user``, ``password`` and ``database`` become the image's ``POSTGRES_*`` variables; with ``None`` the variable is
    not set, and the image's default (or what ``env`` says) holds. ``ports`` is as in the SDK: ``{5432: ("127.0.0.1",
    55432)}``; a port of ``None`` leaves the choice to the engine. ``command`` holds further arguments of the server.
    ``options`` goes to the SDK's ``containers.create`` as it is.
    """

    def __init__(
        self,
        engine: Engine,
        image: str,
        name: str,
        *,
        user: str | None = "postgres",
        password: str | None = "s3cret-of-the-tests",
        database: str | None = None,
        env: Mapping[str, str] | None = None,
        ports: Mapping[int, int | tuple[str, int | None] | None] | None = None,
        network: str | None = None,
        aliases: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        files: Mapping[str, ContainerFile | bytes | str | Path] | None = None,
        command: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.engine = engine
        self.image = image
        self.name = name
        self.user = user or "postgres"
        self.password = password or ""
        self.database = database or self.user
        named = {"POSTGRES_USER": user, "POSTGRES_PASSWORD": password, "POSTGRES_DB": database}
        self._env = {**{key: value for key, value in named.items() if value is not None}, **(env or {})}
        self._ports: Any = {f"{inside}/tcp": outside for inside, outside in (ports or {}).items()}
        self._network = network
        self._aliases = list(aliases)
        self._labels = {**engine.labels, **(labels or {})}
        self._files = {
            path: item if isinstance(item, ContainerFile) else ContainerFile(item)
            for path, item in (files or {}).items()
        }
        self._command = [*FAST, *command]
        self._options = options
        self._container: Container | None = None

    # -- its life -----------------------------------------------------------------------------------------------

    def start(self, *, wait: bool = True) -> PostgresContainer:
        """Create and start it. ``wait``: until the real server answers, not the one that initialises."""
        if self._network is not None:
            endpoint = docker.types.EndpointConfig("1.40", aliases=self._aliases)
            self._options.update(network=self._network, networking_config={self._network: endpoint})
        try:
            self._container = self.engine.client.containers.create(
                self.image, self._command, name=self.name, environment=self._env, ports=self._ports,
                labels=self._labels, **self._options,
            )
            self._lay_files()
            self._container.start()
            if wait:
                self.wait_until_ready()
        except BaseException:
            self.remove()
            raise
        return self

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait for a query over TCP: while it initialises, the official image serves its Unix socket only."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done = self._psql("postgres", "SELECT 1", ["--host", "127.0.0.1"])
            if done.returncode == 0:
                return
            self.container.reload()
            if self.container.status in ("exited", "dead"):
                break
            time.sleep(0.1)
        raise RuntimeError(f"the server in {self.name} does not answer:\n{self.logs()}")

    def stop(self) -> None:
        """Stop it, to be found stopped; ``remove`` still has to follow."""
        self.container.stop()

    def remove(self) -> None:
        """Remove it with its volumes; harmless when it is gone already."""
        container, self._container = self._container, None
        if container is not None:
            container.remove(force=True, v=True)

    def __enter__(self) -> PostgresContainer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _lay_files(self) -> None:
        for path, item in self._files.items():
            uid, gid = self._account(item.owner)
            content = item.read()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.uid, entry.gid = len(content), item.mode, uid, gid
            archive = io.BytesIO()
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.addfile(entry, io.BytesIO(content))
            self.container.put_archive("/", archive.getvalue())

    def _account(self, name: str) -> tuple[int, int]:
        """The numbers of an account of the image, read without starting anything in it."""
        if name == "root":
            return 0, 0
        chunks, _stat = self.container.get_archive("/etc/passwd")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            member = tar.extractfile("passwd")
            assert member is not None
            for line in member.read().decode().splitlines():
                fields = line.split(":")
                if fields[0] == name:
                    return int(fields[2]), int(fields[3])
        raise KeyError(f"the image {self.image} has no account {name}")

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def container(self) -> Container:
        if self._container is None:
            raise RuntimeError(f"the container {self.name} is not started")
        return self._container

    @property
    def id(self) -> str:
        found = self.container.id
        assert found is not None
        return found

    @property
    def attrs(self) -> dict[str, Any]:
        """What the engine's inspect says of it now."""
        self.container.reload()
        attrs: dict[str, Any] = self.container.attrs
        return attrs

    @property
    def ip(self) -> str:
        """Its own address: to reach it as an external server."""
        networks = self.attrs["NetworkSettings"]["Networks"].values()
        return next(str(network["IPAddress"]) for network in networks if network["IPAddress"])

    @property
    def host_port(self) -> int:
        """The port of the host that leads to its 5432."""
        bindings = self.attrs["NetworkSettings"]["Ports"]["5432/tcp"]
        return int(bindings[0]["HostPort"])

    def logs(self) -> str:
        text: bytes = self.container.logs()
        return text.decode(errors="replace")

    # -- talking to it ------------------------------------------------------------------------------------------

    def sql(self, database: str, text: str, *, user: str | None = None) -> list[str]:
        """Run a script through the psql inside the container; the rows it printed, columns joined by ``|``."""
        done = self._psql(database, text, [], user)
        if done.returncode != 0:
            raise SqlError(done.stderr.decode(errors="replace"))
        return split_rows(done.stdout)

    def shell(self, *argv: str) -> str:
        """Run a command inside the container as root; its output. Raises when it fails."""
        done = subprocess.run(["docker", "exec", self.id, *argv], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{argv} in {self.name}: {done.returncode}: {done.stderr}")
        return done.stdout

    def _psql(
        self, database: str, text: str, switches: list[str], user: str | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        # The command line, for it can end standard input. What the container sets for libpq must not lead elsewhere.
        argv = [
            "docker", "exec", "--interactive", "--env", "PGCLIENTENCODING=UTF8", "--env", "PGHOST=", self.id,
            "psql", *PSQL_SWITCHES, *switches, "--username", user or self.user, "--dbname", dbname(database),
        ]
        return subprocess.run(argv, input=text.encode(), capture_output=True, check=False)
