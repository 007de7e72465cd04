# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and modules, timed: wall clock, and the most memory that they and the engine took."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS, clean_environment

__all__ = ["Measured", "command", "median", "module", "together"]

SCRIPT = COLLECTIONS / "ansible_collections/pgfleet/backup/tests/support/run_module.py"
ENGINES = ("dockerd",)


class Measured(NamedTuple):
    """Seconds, and the bytes of what was made.

    ``memory`` is the peak of the largest process that was started (0 when that is less than our own, since a process
    begins as a copy of us), and ``engine`` by how much the engine's own process grew meanwhile (0 where that cannot be
    seen), both in MiB.
    """

    seconds: float
    memory: float
    engine: float
    size: int


def command(
    argv: Sequence[str], *, output: Path | None = None, source: Path | None = None, env: Mapping[str, str] | None = None
) -> Measured:
    """Run a command to its end, its output to ``output``, its input from ``source``. Raises when it fails."""
    before = _engine_memory(reset=True)
    started = time.monotonic()
    with open(output or os.devnull, "wb") as out, open(source or os.devnull, "rb") as stdin:
        process = subprocess.Popen(list(argv), stdin=stdin, stdout=out, env={**os.environ, **(env or {})})
        _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}")
    engine = max(0.0, _engine_memory() - before)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = usage.ru_maxrss / 1024 if usage.ru_maxrss > own else 0.0
    return Measured(seconds, memory, engine, output.stat().st_size if output else 0)


def module(name: str, args: Mapping[str, Any], *, env: Mapping[str, str] | None = None) -> Measured:
    """Run one of our modules as Ansible starts it on a host; the size is that of its backups."""
    with tempfile.TemporaryDirectory(prefix="pgfleet-benchmark-") as folder:
        arguments, answer = Path(folder) / "arguments.json", Path(folder) / "answer.json"
        internal = {"_ansible_tmpdir": folder, "_ansible_remote_tmp": folder}
        arguments.write_text(json.dumps({**args, **internal}, default=os.fspath), encoding="utf-8")
        argv = [sys.executable, str(SCRIPT), name, str(arguments)]
        try:
            measured = command(argv, output=answer, env={**clean_environment(), **(env or {})})
        except RuntimeError as error:
            raise RuntimeError(f"{name}: {answer.read_text(encoding='utf-8')[-2000:]}") from error
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8").splitlines()[-1])
    return measured._replace(size=sum(file["size"] for backup in result.get("backups", ()) for file in backup["files"]))


def median(run: Callable[[], Measured], times: int) -> Measured:
    """The median of each number over several runs."""
    runs = [run() for _time in range(times)]
    return Measured(*(statistics.median(values) for values in zip(*runs, strict=True)))


def together(parts: Iterable[Measured]) -> Measured:
    """Several commands, one after another, as one."""
    seconds, memory, engine, sizes = zip(*parts, strict=True)
    return Measured(sum(seconds), max(memory), max(engine), sum(sizes))


def _engine_memory(*, reset: bool = False) -> float:
    """The peak memory of the engine's process since the last reset, in MiB; 0 where it cannot be seen."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "comm").read_text().strip() in ENGINES:
                if reset:
                    (folder / "clear_refs").write_text("5")  # the kernel's word for: forget the peak
                lines = (folder / "status").read_text().splitlines()
                return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    return 0.0
