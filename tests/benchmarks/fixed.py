# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task costs that has little or nothing to do, beside what Ansible itself takes to run any module."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.benchmarks.timing import Measured, command, median
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS

__all__ = ["fixed_cost"]

EMPTY = "empty"
Comparison = tuple[str, str, Measured, Measured, float]


def fixed_cost(server: PostgresContainer, folder: Path, times: int) -> Iterator[Comparison]:
    """What was done, beside what, both measured, and how much of its time ours may take."""
    server.sql("postgres", f"CREATE DATABASE {EMPTY}")
    ours = {"container": server.name, "database": EMPTY, "backup_dir": str(folder / "sets")}

    def backup(**options: Any) -> Measured:
        return _ansible("pgfleet.backup.pg_backup", {**ours, **options})

    made = median(backup, times)
    fresh = median(lambda: backup(max_age="1d"), times)
    yield "nothing to do: max_age, fresh", "ansible -m ping", fresh, median(lambda: _ansible("ping", {}), times), 1.5
    if _has_community_postgresql():
        theirs = {"name": EMPTY, "state": "dump", "target": str(folder / "empty.dump"), "target_opts": "-Fc",
                  "login_host": server.ip, "login_user": "postgres", "login_password": server.password}
        dumped = median(lambda: _ansible("community.postgresql.postgresql_db", theirs), times)
        yield "one empty database, with verify", "community.postgresql, dump from the host", made, dumped, 1.5


def _ansible(module: str, args: dict[str, Any]) -> Measured:
    """One module on this machine by the real command line, the interpreter and Ansible of this process."""
    text = " ".join(f"{name}={value}" for name, value in args.items())
    here = ["-i", "here,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    argv = [str(Path(sys.executable).with_name("ansible")), "here", "-m", module, *here, *(["-a", text] if text else [])]
    return command(argv, env={"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)})


def _has_community_postgresql() -> bool:
    installed = any(Path(path, "ansible_collections/community/postgresql").is_dir() for path in sys.path)
    return installed and any(importlib.util.find_spec(name) for name in ("psycopg2", "psycopg"))
