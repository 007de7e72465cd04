# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw commands, as people type them."""

from __future__ import annotations

from ansible_collections.pgfleet.backup.tests.benchmarks.timing import Measured, command, together
from ansible_collections.pgfleet.backup.tests.benchmarks.workloads import SHOP, Workload

__all__ = ["Raw"]

_TARGET = "usual"


class Raw:
    """PostgreSQL's own tools and nothing else. What they write is proven by nobody."""

    def __init__(self, work: Workload) -> None:
        self._work = work

    def docker_dump(self, database: str = SHOP) -> Measured:
        """``docker exec C pg_dump -Fc > file``."""
        argv = ["docker", "exec", self._work.server.id, "pg_dump", "-U", "postgres", "-Fc", database]
        return command(argv, output=self._work.folder / f"{database}.dump")

    def docker_dump_all(self) -> Measured:
        return together(map(self.docker_dump, self._work.databases))

    def limit(self) -> Measured:
        """``pg_dump -Fc -Z0 -f /tmp/x`` inside: nothing is compressed, and nothing leaves the container."""
        server = self._work.server
        argv = ["docker", "exec", server.id, "pg_dump", "-U", "postgres", "-Fc", "-Z0", "-f", "/tmp/x", SHOP]
        measured = command(argv)
        server.shell("rm", "-f", "/tmp/x")
        return measured

    def host_dump(self) -> Measured:
        argv = [self._client("pg_dump"), *self._login(), "-Fc", SHOP]
        return command(argv, output=self._work.folder / "host.dump", env=self._work.environment)

    def docker_restore(self) -> Measured:
        """``docker exec -i C pg_restore -d db < file``, of what :meth:`docker_dump` has written."""
        self._work.fresh(_TARGET)
        argv = ["docker", "exec", "-i", self._work.server.id, "pg_restore", "-U", "postgres", "-d", _TARGET]
        return self._restored(command(argv, source=self._work.folder / f"{SHOP}.dump"))

    def host_restore(self) -> Measured:
        self._work.fresh(_TARGET)
        argv = [self._client("pg_restore"), *self._login(), "-d", _TARGET, str(self._work.folder / "host.dump")]
        return self._restored(command(argv, env=self._work.environment))

    def _restored(self, measured: Measured) -> Measured:
        self._work.drop(_TARGET)
        return measured

    def _login(self) -> list[str]:
        return ["-h", self._work.server.ip, "-U", "postgres"]

    def _client(self, tool: str) -> str:
        return str(self._work.client / tool) if self._work.client else tool
