# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transfer of pg_backup_fetch: what Ansible's connection to the host can do, put at the disposal of the story."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, Optional, Tuple

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.pgfleet.backup.plugins.module_utils._argspec import RETENTION, given_options, shared_spec
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._fetch import check_dest, fetch
from ansible_collections.pgfleet.backup.plugins.module_utils._fetch_plan import read_fetch_options
from ansible_collections.pgfleet.backup.plugins.module_utils._outcome import describe_error, known_error, new_run
from ansible_collections.pgfleet.backup.plugins.module_utils._remote_files import RemoteFiles
from ansible_collections.pgfleet.backup.plugins.plugin_utils._on_host import run_on_host

_LISTING = "pgfleet.backup.pg_backup_info"
_FOR_THE_LISTING = ("instance", "database", "signing_key")
_ERROR_KEYS = ("msg", "code", "hint", "severity", "data_risk", "retryable", "log", "exception", "module_stderr")


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """Lists the sets by pg_backup_info on the host, then reads them from there, as the user that the task becomes."""

    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The result of the task; ``tmp`` is Ansible's of old."""
        del tmp
        super().run(None, task_vars)
        variables = task_vars or {}
        of_both: Dict[str, Dict[str, Any]] = {
            **shared_spec(),
            "database": {"type": "str", "aliases": ["db", "name"]},
            "signing_key": {"type": "str", "no_log": True},
        }
        own: Dict[str, Dict[str, Any]] = {
            "dest": {"type": "path", "required": True},
            "backup": {"type": "str", "default": "latest"},
            "retention": RETENTION,
            "lock_timeout": {"type": "int", "default": 0},
        }
        spec = {**of_both, **own}
        # What the dictionary of options says of the retention is said of the host's sets, not of their copies.
        given = self._task.args = given_options(given_options(self._task.args, of_both), spec)
        params = self.validate_argument_spec(spec)[1]
        run = new_run("BACKUP_FAILED", [str(params.get("signing_key") or "")])
        result: Dict[str, Any] = {"changed": False}
        try:
            options = read_fetch_options(params, str(variables["inventory_hostname"]))
            check_dest(options, os.environ)
            listing = self._list(given, params, variables)
            if listing.get("failed"):
                known = {key: listing[key] for key in _ERROR_KEYS if key in listing}
                return {**known, "failed": True, "changed": False}
            fetch(
                options, listing["backups"], RemoteFiles(self._execute), run=run, check=self._task.check_mode,
                result=result,
            )
        except AnsibleError:  # the host could not be reached, or not become: that is Ansible's to tell
            raise
        except Exception as error:  # noqa: BLE001  # the one place where everything ends up
            result.update(describe_error(run, known_error(run, error)), failed=True)
        for warning in run.log.warnings:
            Display().warning(warning)
        if self._task.diff and result.get("plan"):
            result["diff"] = _diff(result)
        result["log"] = run.log.lines
        return result

    def _list(self, given: Mapping[str, Any], params: Mapping[str, Any], variables: Dict[str, Any]) -> Dict[str, Any]:
        """The result of pg_backup_info on the host."""
        arguments = {name: params[name] for name in _FOR_THE_LISTING if params.get(name) is not None}
        if "backup_dir" in given:  # as it was given: a ~ in it is the host's
            arguments["backup_dir"] = given["backup_dir"]
        listing: Dict[str, Any] = self._execute_module(
            module_name=_LISTING, module_args=arguments, task_vars=variables
        )
        # Now, since at the end the host may be gone, and Ansible would tell nothing but that it could not clean up.
        self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001
        return listing

    def _execute(self, command: str, stdin: bytes) -> Tuple[int, bytes, bytes]:
        """Run ``command`` on the host as the task's user."""
        try:
            return run_on_host(self, self._connection, command, stdin)
        except AnsibleError as error:
            raise BackupError(
                "CONNECTION_FAILED", "the connection to the host broke: {0}".format(error),
                hint="Run the task again: it goes on where this one stopped.",
            ) from error


def _diff(result: Mapping[str, Any]) -> Dict[str, str]:
    texts = {"before_header": "copies", "after_header": "copies", "before": "", "after": ""}
    for plan in result["plan"]:
        here = {*plan["present"], *plan["prune"]}
        for text, names in (("before", here), ("after", {*here, *plan["fetch"]}.difference(plan["prune"]))):
            texts[text] += "".join("{0}/{1}\n".format(plan["folder"], name) for name in sorted(names))
    return texts
