# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ``ansible`` and ``ansible-playbook``, run as users run them, and what every task returned."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS, clean_environment

__all__ = ["Ansible", "CliResult", "TaskResult"]

CALLBACKS = Path(__file__).with_name("callbacks")
CLI_SECONDS = 300.0


@dataclass(frozen=True)
class TaskResult:
    """One task on one host. ``status``: ok, failed, ignored (failed, and let pass), skipped or unreachable."""

    host: str
    task: str
    status: str
    result: dict[str, Any]


@dataclass(frozen=True)
class CliResult:
    rc: int
    stdout: str
    stderr: str
    tasks: tuple[TaskResult, ...]

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def of(self, task: str, host: str | None = None) -> dict[str, Any]:
        """The result of the one task of that name (on that host)."""
        found = [item for item in self.tasks if item.task == task and host in (None, item.host)]
        assert len(found) == 1, f"{len(found)} results of task {task!r}:\n{self.output}"
        return found[0].result

    def succeeded(self) -> CliResult:
        assert self.rc == 0, self.output
        return self


class Ansible:
    """Ansible in a scratch folder, which holds its inventory, its temporary files and its configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs = 0

    def adhoc(
        self,
        module: str,
        args: str | Mapping[str, Any] = "",
        *,
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
        **how: Any,
    ) -> CliResult:
        """``ansible all -m MODULE -a ARGS``; ``how`` is as for :meth:`playbook`."""
        text = args if isinstance(args, str) else json.dumps(args)
        argv = ["adhoc", "all", "-m", module, *(["-a", text] if text else [])]
        return self._run(argv, hosts, **how)

    def playbook(
        self,
        playbook: Path | str | Sequence[Mapping[str, Any]],
        *,
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
        **how: Any,
    ) -> CliResult:
        """``ansible-playbook`` on a file, on the YAML text of one, on a list of plays, or on a collection's own.

        ``hosts``: their names and variables; the default is this machine. ``switches`` are further arguments,
        ``extra_vars`` a mapping, ``env`` changes to the environment, ``config`` an ``ansible.cfg``, ``cwd`` where it
        runs, ``timeout`` how long it may take.
        """
        if isinstance(playbook, str) and "\n" not in playbook:
            target = playbook  # a path, or a name such as pgfleet.backup.restore
        elif isinstance(playbook, Path):
            target = str(playbook)
        else:
            text = playbook if isinstance(playbook, str) else json.dumps(list(playbook))
            target = str(self._write(f"playbook-{self._runs}.yml", text))
        return self._run(["playbook", target], hosts, **how)

    def _run(
        self,
        argv: list[str],
        hosts: Mapping[str, Mapping[str, Any]] | None,
        *,
        switches: Sequence[str] = (),
        extra_vars: Mapping[str, Any] | None = None,
        env: Mapping[str, str | None] | None = None,
        config: Path | None = None,
        cwd: Path | None = None,
        timeout: float = CLI_SECONDS,
    ) -> CliResult:
        self._runs += 1
        record = self.folder / f"record-{self._runs}.jsonl"
        record.touch()
        argv = [*argv, "-i", str(self._inventory(hosts)), *switches]
        if extra_vars:
            argv += ["-e", "@" + str(self._write(f"vars-{self._runs}.json", json.dumps(extra_vars)))]
        done = subprocess.run(
            [sys.executable, "-m", "ansible", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            encoding="utf-8", check=False, timeout=timeout, cwd=cwd or self.folder,
            env=clean_environment({**self._settings(record, config), **(env or {})}),
        )
        tasks = [TaskResult(**json.loads(line)) for line in record.read_text(encoding="utf-8").splitlines()]
        return CliResult(done.returncode, done.stdout, done.stderr, tuple(tasks))

    def _settings(self, record: Path, config: Path | None) -> dict[str, str]:
        return {
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CONFIG": str(config or self._write("ansible.cfg", "")),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_REMOTE_TMP": str(self.folder / "remote"),
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",  # for ad hoc, which loads none by itself
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "PGFLEET_RECORD": str(record),
        }

    def _inventory(self, hosts: Mapping[str, Mapping[str, Any]] | None) -> Path:
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        named = {name: {**here, **variables} for name, variables in (hosts or {"localhost": {}}).items()}
        return self._write(f"inventory-{self._runs}.yml", json.dumps({"all": {"hosts": named}}))

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path
