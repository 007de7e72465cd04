# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that may run for hours, and say meanwhile how far they have come."""

from __future__ import annotations

import copy
import re
import secrets
import shlex
import threading
from typing import Any, Dict, Mapping, Optional

from ansible.errors import AnsibleError
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display
from ansible_collections.pgfleet.backup.plugins.module_utils._argspec import WATCHED
from ansible_collections.pgfleet.backup.plugins.module_utils._progress_line import intervals, progress_line
from ansible_collections.pgfleet.backup.plugins.plugin_utils._on_host import run_on_host

__all__ = ["WatchedModule"]

_VARIABLE = "pgfleet_progress_seconds"
_SECONDS = 10.0
_MOST = 4096  # bytes that are read
_GRACE = 5.0  # seconds that a look may still take when the module has ended


class WatchedModule(NormalAction):  # type: ignore[misc]  # ansible-core ships no types
    """Runs the module as any module is run. Beside that a thread looks, from time to time, at what it has written.

    The first look comes after ten seconds, so a run that is shorter costs nothing.
    """

    def _execute_module(self, *args: Any, task_vars: Optional[Dict[str, Any]] = None, **how: Any) -> Dict[str, Any]:
        seconds = self._seconds(task_vars or {})
        task = self._task
        if args or how.get("module_args") or how.get("wrap_async") or task.check_mode or task.no_log or not seconds:
            result: Dict[str, Any] = super()._execute_module(*args, task_vars=task_vars, **how)
            return result
        watch = _Watch(self, str((task_vars or {}).get("inventory_hostname", "")), seconds)
        how["module_args"] = {**self._task.args, WATCHED: {"mark": watch.mark, "first": seconds / 2}}
        watch.start()
        try:
            result = super()._execute_module(task_vars=task_vars, **how)
        finally:
            watch.stop()
        return result

    def _seconds(self, variables: Mapping[str, Any]) -> float:
        """Before the first line; 0 is never."""
        given = self._templar.template(variables.get(_VARIABLE, ""))
        try:
            return _SECONDS if given is None or given == "" else max(0.0, float(given))
        except (TypeError, ValueError):  # a backup is not to fail for this
            Display().warning("{0} is no number of seconds, so it is {1:.0f}".format(_VARIABLE, _SECONDS))
            return _SECONDS


class _Watch(threading.Thread):
    """Reads the file by a connection of its own, and shows it. It ends with the module, and never raises."""

    def __init__(self, action: WatchedModule, host: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self.mark = secrets.token_hex(16)
        self._action = action
        self._host = host
        self._seconds = seconds
        # What a connection and a way to become keep while a command runs must not be shared with the module's.
        self._connection = copy.copy(action._connection)  # noqa: SLF001  # Ansible gives it no other name
        self._connection.become = copy.copy(self._connection.become)
        self._over = threading.Event()
        # A worker that ended while this thread holds the way to the screen would close it for all the others.
        self._showing = threading.Lock()

    def stop(self) -> None:
        with self._showing:
            self._over.set()
        self.join(_GRACE)

    def run(self) -> None:
        for wait in intervals(self._seconds):
            if self._over.wait(wait):
                return
            line = progress_line(self._host, self._read(), self.mark)
            with self._showing:
                if line and not self._over.is_set():
                    Display().display(line)

    def _read(self) -> str:
        """What is in the file; nothing when it is not there, or cannot be read now."""
        folder = str(self._action.get_shell_option("remote_tmp", default="~/.ansible/tmp"))
        home = re.match(r"~[\w.-]*(?=/)", folder, re.ASCII)
        start = home.group() if home else ""
        path = "{0}{1}".format(start, shlex.quote("{0}/pgfleet-{1}".format(folder[len(start):], self.mark)))
        try:
            # With any input at all, Ansible asks for no terminal.
            _status, output, _errors = run_on_host(
                self._action, self._connection, "head -c {0} {1}".format(_MOST, path), b"\n")
        except (AnsibleError, OSError):
            return ""
        return output.decode("utf-8", "replace")
