# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman with a storage of its own: its Docker-compatible socket, its command, and a PostgreSQL server inside it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from types import TracebackType

__all__ = ["Podman", "why_not"]

READY_SECONDS = 60.0
# What an unprivileged machine grants to a container without asking.
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def why_not() -> str | None:
    """Why Podman cannot be used here; None when it can."""
    if os.geteuid() != 0:
        return "podman's own storage is set up by root only"
    missing = [program for program in ("podman", "runc", "docker") if shutil.which(program) is None]
    return f"{missing[0]} is not installed" if missing else None


class Podman:
    """One Podman for a test: everything it stores lies in ``folder``, and it serves its socket while it is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._command = [
            str(shutil.which("podman")), "--root", str(folder / "root"), "--runroot", str(folder / "run"),
            "--runtime", str(shutil.which("runc")),
        ]
        self._service: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of its Docker-compatible socket."""
        return f"unix://{self._folder / 'podman.sock'}"

    def command_folder(self) -> Path:
        """A folder for PATH that holds nothing but this ``podman``."""
        folder = self._folder / "bin"
        folder.mkdir(exist_ok=True)
        script = folder / "podman"
        words = " ".join(self._command)
        script.write_text(f'#!/bin/sh\nPATH={os.environ["PATH"]} exec {words} "$@"\n', encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return folder

    def load(self, image: str) -> str:
        """Bring an image over from the Docker engine; its name here."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run([*self._command, "load", "--quiet"], stdin=saved.stdout, check=True, capture_output=True)
        return f"localhost/{image}"

    def start_server(self, image: str, name: str, env: dict[str, str]) -> None:
        """A PostgreSQL server in a container without a network, which has ended initialising when this returns."""
        variables = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
        self.run("run", "--detach", "--name", name, "--network", "none", *_LIMITS, *variables, image, "-c", "fsync=off")
        deadline = time.monotonic() + READY_SECONDS
        while self._ask(name).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server in {name} does not answer")
            time.sleep(0.2)

    def _ask(self, name: str) -> subprocess.CompletedProcess[bytes]:
        # Over TCP, for the server that initialises listens on its Unix socket only.
        argv = [*self._command, "exec", name, "pg_isready", "--quiet", "--host", "127.0.0.1"]
        return subprocess.run(argv, capture_output=True, check=False)

    def sql(self, name: str, user: str, database: str, text: str) -> list[str]:
        """Run SQL by the container's own psql; the lines that it printed."""
        return self.run("exec", name, "psql", "-XAtq", "-U", user, "-d", database, "-c", text).splitlines()

    def run(self, *args: str) -> str:
        done = subprocess.run([*self._command, *args], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"podman {args[0]}: {done.returncode}: {done.stderr}")
        return done.stdout

    def __enter__(self) -> Podman:
        config = self._folder / "containers.conf"
        limits = ", ".join(f'"{limit}"' for limit in _LIMITS[1::2])
        config.write_text(f"[containers]\ndefault_ulimits = [{limits}]\n", encoding="utf-8")
        self._service = subprocess.Popen(
            [*self._command, "system", "service", "--time=0", self.url],
            env={**os.environ, "CONTAINERS_CONF": str(config)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )
        deadline = time.monotonic() + READY_SECONDS
        while not (self._folder / "podman.sock").exists():
            if self._service.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("podman does not serve its socket")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        service, self._service = self._service, None
        self.run("rm", "--all", "--force", "--volumes", "--time", "0")
        if service is not None:
            service.send_signal(signal.SIGTERM)
            service.wait(READY_SECONDS)
        # Its layers are mounted and belong to other accounts: only Podman itself takes them down cleanly.
        self.run("rmi", "--all", "--force")
        subprocess.run(["umount", "--quiet", str(self._folder / "root" / "overlay")], check=False)
        shutil.rmtree(self._folder)
