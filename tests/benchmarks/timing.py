# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and modules, timed: wall clock, and the most memory that any of their processes took."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS, clean_environment

__all__ = ["Measured", "command", "median", "module"]

SCRIPT = COLLECTIONS / "ansible_collections/pgfleet/backup/tests/support/run_module.py"


class Measured(NamedTuple):
    """Seconds, the peak resident memory of the started process in MiB, and the bytes of what it made."""

    seconds: float
    memory: float
    size: int


def command(argv: Sequence[str], *, output: Path | None = None, source: Path | None = None,
            env: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end, its output to ``output``, its input from ``source``. Raises when it fails."""
    started = time.monotonic()
    with open(output or os.devnull, "wb") as out, open(source or os.devnull, "rb") as stdin:
        process = subprocess.Popen(list(argv), stdin=stdin, stdout=out, env={**os.environ, **(env or {})})
        _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}")
    return Measured(time.monotonic() - started, usage.ru_maxrss / 1024, output.stat().st_size if output else 0)


def module(name: str, args: Mapping[str, Any]) -> tuple[Measured, dict[str, Any]]:
    """Run one of our modules as Ansible starts it on a host; its answer beside."""
    with tempfile.TemporaryDirectory(prefix="pgfleet-benchmark-") as folder:
        arguments, answer = Path(folder) / "arguments.json", Path(folder) / "answer.json"
        internal = {"_ansible_tmpdir": folder, "_ansible_remote_tmp": folder}
        arguments.write_text(json.dumps({**args, **internal}, default=os.fspath), encoding="utf-8")
        argv = [sys.executable, str(SCRIPT), name, str(arguments)]
        try:
            measured = command(argv, output=answer, env=clean_environment())
        finally:
            text = answer.read_text(encoding="utf-8") if answer.exists() else ""
        result: dict[str, Any] = json.loads(text.splitlines()[-1])
    if result.get("failed"):
        raise RuntimeError(result["msg"])
    backups = result.get("backups", ())
    size = sum(file["size"] for backup in backups for file in backup["files"])
    return measured._replace(size=size), result


def median(run: Callable[[], Measured], times: int) -> Measured:
    """The median of each number over several runs."""
    runs = [run() for _time in range(times)]
    return Measured(*(statistics.median(values) for values in zip(*runs, strict=True)))
