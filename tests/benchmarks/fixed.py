# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task costs that has little or nothing to do, beside what Ansible itself takes to run any module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.benchmarks.peers import CommunityPostgresql
from ansible_collections.pgfleet.backup.tests.benchmarks.table import Row
from ansible_collections.pgfleet.backup.tests.benchmarks.timing import Measured, command, median
from ansible_collections.pgfleet.backup.tests.benchmarks.workloads import Workload
from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS

__all__ = ["fixed_cost"]

EMPTY = "empty"


def fixed_cost(work: Workload, community: CommunityPostgresql | None, times: int) -> Iterator[Row]:
    """Whole tasks by the real command line; ``community`` is None where it is left out."""
    work.fresh(EMPTY)
    ours = {"container": work.server.name, "database": EMPTY, "backup_dir": str(work.folder / "sets")}
    python = Path(sys.executable)

    def backup(**options: Any) -> Measured:
        return _ansible(python, "pgfleet.backup.pg_backup", {**ours, **options})

    made = median(backup, times)
    fresh = median(lambda: backup(max_age="1d"), times)
    yield Row("nothing to do: max_age, fresh", "ansible -m ping", fresh, median(lambda: _ansible(python, "ping", {}), times), 1.5)
    if community is not None:
        args = {**community.arguments(EMPTY, "dump", community.folder / "empty.pgc")}
        theirs = community.venv.absolute() / "bin/python"
        dumped = median(lambda: _ansible(theirs, "community.postgresql.postgresql_db", args, work.environment), times)
        yield Row("one empty database, with verify", f"{community.name}, a task", made, dumped, 1.5)
    work.drop(EMPTY)


def _ansible(python: Path, module: str, args: dict[str, Any], env: dict[str, str] | None = None) -> Measured:
    """One module on this machine, by the Ansible that is installed beside ``python``, which runs both."""
    text = " ".join(f"{name}={value}" for name, value in args.items())
    here = ["-i", "here,", "-c", "local", "-e", f"ansible_python_interpreter={python}"]
    argv = [str(python.with_name("ansible")), "here", "-m", module, *here, *(["-a", text] if text else [])]
    return command(argv, env={"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), **(env or {})})
