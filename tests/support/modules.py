# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules run as real processes, and what they answered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS, clean_environment

__all__ = ["ModuleResult", "RunningModule", "run_module", "start_module"]

SCRIPT = COLLECTIONS / "ansible_collections/pgfleet/backup/tests/support/run_module.py"
MODULE_SECONDS = 300.0


@dataclass(frozen=True)
class ModuleResult:
    """``result`` is the module's answer as parsed; ``stdout`` and ``stderr`` are what it wrote, to the byte."""

    rc: int
    result: dict[str, Any]
    stdout: str
    stderr: str

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed", False))

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed", False))

    def succeeded(self) -> dict[str, Any]:
        """The answer of a module that must not have failed."""
        assert not self.failed, json.dumps(self.result, indent=2, ensure_ascii=False)
        return self.result

    def failed_with(self, code: str) -> dict[str, Any]:
        """The answer of a module that must have failed with that code, in ``code`` and at the head of ``msg``."""
        shown = json.dumps(self.result, indent=2, ensure_ascii=False)
        assert self.failed, shown
        assert self.result.get("code") == code, shown
        assert str(self.result["msg"]).startswith(f"{code}: "), shown
        return self.result


class RunningModule:
    """A module at work: to look at, or to send a signal to, before ``finish`` gives its result.

    ``tmp`` is where it may keep temporary files.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self._folder = folder
        self.tmp = folder / "tmp"

    def finish(self, timeout: float = MODULE_SECONDS) -> ModuleResult:
        """Wait for its end. Output that is not a module's answer, a traceback for example, is an error."""
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        lines = stdout.strip().splitlines()
        try:
            result = json.loads(lines[-1]) if lines else {}
        except ValueError:
            raise AssertionError(f"not a module's answer:\n{stdout}\n{stderr}") from None
        if not result and self.process.returncode >= 0:
            raise AssertionError(f"the module ended with {self.process.returncode} and without an answer:\n{stderr}")
        return ModuleResult(self.process.returncode, result, stdout, stderr)


def start_module(
    module: str,
    args: Mapping[str, Any],
    *,
    check: bool = False,
    diff: bool = False,
    verbosity: int = 0,
    env: Mapping[str, str | None] | None = None,
    cwd: str | Path | None = None,
    python: str | Path | None = None,
) -> RunningModule:
    """Start a module of the collection, by its short name.

    ``env`` changes the environment (``None`` takes a variable out). ``python`` is another interpreter that has
    ansible-core 2.19 or newer.
    """
    folder = Path(tempfile.mkdtemp(prefix="pgfleet-module-"))
    scratch = folder / "tmp"
    scratch.mkdir(0o700)
    internal = {
        "_ansible_check_mode": check,
        "_ansible_diff": diff,
        "_ansible_verbosity": verbosity,
        "_ansible_tmpdir": str(scratch),
        "_ansible_remote_tmp": str(scratch),
    }
    arguments = folder / "arguments.json"
    arguments.write_text(json.dumps({**args, **internal}, default=os.fspath), encoding="utf-8")
    process = subprocess.Popen(
        [str(python or sys.executable), str(SCRIPT), module, str(arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        cwd=cwd or folder, env=clean_environment(env),
    )
    return RunningModule(process, folder)


def run_module(module: str, args: Mapping[str, Any], *, timeout: float = MODULE_SECONDS, **how: Any) -> ModuleResult:
    """Run a module to its end; ``how`` is as for :func:`start_module`."""
    return start_module(module, args, **how).finish(timeout)
