# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules at work on a server of the host itself: the shortest way from a test to a backup or a restore."""

from __future__ import annotations

import functools
import stat
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.support.compare import Snapshot, snapshot
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.modules import (
    ModuleResult,
    RunningModule,
    run_module,
    start_module,
)

__all__ = ["Local", "quoted", "tree"]


class Local:
    """One server and one backup folder; every call is a real run of a module with the server's own client tools.

    It logs in over the Unix socket; ``password`` makes it TCP with that password. Options given to a method win, and
    ``check``, ``diff``, ``verbosity``, ``env``, ``cwd`` and ``python`` are those of ``run_module``.
    """

    def __init__(self, server: EmbeddedServer, backup_dir: Path) -> None:
        self.server = server
        self.backup_dir = backup_dir

    def options(self, **more: Any) -> dict[str, Any]:
        """The module's options: this server, this folder, and ``more``."""
        base: dict[str, Any] = {
            "login_unix_socket": str(self.server.socket_dir),
            "login_port": self.server.port,
            "login_user": self.server.user,
            "backup_dir": str(self.backup_dir),
        }
        return {**base, **more}

    def by_password(self, **more: Any) -> dict[str, Any]:
        """The same over TCP, where the server asks for the password."""
        tcp = {"mode": "local", "login_unix_socket": "", "login_host": self.server.host,
               "login_password": self.server.password}
        return self.options(**{**tcp, **more})

    def run(self, module: str, options: dict[str, Any], **how: Any) -> ModuleResult:
        how["env"] = {"PATH": self.server.path(), **(how.get("env") or {})}
        return run_module(module, options, **how)

    def backup(self, **options: Any) -> ModuleResult:
        how = _taken_out(options)
        return self.run("pg_backup", self.options(**options), **how)

    def start_backup(self, **options: Any) -> RunningModule:
        how = _taken_out(options)
        how["env"] = {"PATH": self.server.path(), **(how.get("env") or {})}
        return start_module("pg_backup", self.options(**options), **how)

    def restore(self, **options: Any) -> ModuleResult:
        how = _taken_out(options)
        return self.run("pg_restore", self.options(**options), **how)

    def info(self, **options: Any) -> ModuleResult:
        how = _taken_out(options)
        return self.run("pg_backup_info", self.options(**options), **how)

    def back_up(self, database: str, **options: Any) -> dict[str, Any]:
        """Back up one database, which must succeed; its entry of ``backups``."""
        done = self.backup(database=database, **options).succeeded()
        entry: dict[str, Any] = done["backups"][0]
        return entry

    # -- the server ---------------------------------------------------------------------------------------------

    def look(self, database: str, *, database_properties: bool = True) -> Snapshot:
        return snapshot(functools.partial(self.server.sql, database), database_properties=database_properties)

    def databases(self) -> list[str]:
        return self.server.sql("postgres", "SELECT datname FROM pg_database ORDER BY 1")

    def create(self, database: str, script: str = "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3)") -> str:
        """A database with a little in it; its name."""
        self.server.sql("postgres", "CREATE DATABASE " + quoted(database))
        self.server.sql(database, script)
        return database

    def sessions(self) -> list[str]:
        """What is still connected under our application name."""
        return self.server.sql(
            "postgres", "SELECT application_name, query FROM pg_stat_activity WHERE application_name LIKE 'pgfleet%'"
        )


def quoted(name: str) -> str:
    """The name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def tree(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Every path below a folder with its mode, size and time of change: to see that nothing was touched."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        found[str(path.relative_to(folder))] = (stat.filemode(status.st_mode), size, status.st_mtime_ns)
    return found


def _taken_out(options: dict[str, Any]) -> dict[str, Any]:
    """What is meant for the run and not for the module, taken out of the options."""
    names = ("check", "diff", "verbosity", "env", "cwd", "python")
    return {name: options.pop(name) for name in names if name in options}
