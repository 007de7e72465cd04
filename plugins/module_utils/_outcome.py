# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a story's result to what a module returns: the same keys on success and failure, and no secret in any."""

from __future__ import annotations

import json
import os
import signal
import traceback
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, Mapping

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import new_set_id
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._progress import written_to
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

__all__ = ["describe_error", "failure", "interruptible", "known_error", "new_run", "success", "watched"]

_MIN_SECRET = 8
# What a context always has, null where a run did not come to know it.
_CONTEXT_KEYS = (
    "mode", "executor", "engine_client", "transport", "host", "port", "socket", "database", "user", "container",
    "credential_source", "server_version", "client_version",
)
_MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def new_run(failure_code: str, secrets: Iterable[str] = ()) -> Run:
    """A run with an id of its own. ``failure_code`` is what fails without a more precise code.

    ``secrets`` are the typed ones, which no free text shall repeat.
    """
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret.strip())
    return Run(new_set_id(datetime.now(timezone.utc)), RunLog(redactor), redactor, failure_code)


class _Interrupted(BaseException):
    """On its way to the frame: no handler of failures may take it for one, and go on."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM, SIGINT and SIGHUP into ``INTERRUPTED``, once everything begun is ended and removed."""
    caught = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def interrupt(number: int, _frame: object) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)  # a second one must not disturb the cleaning up
        raise _Interrupted(signal.Signals(number).name)

    before = {each: signal.signal(each, interrupt) for each in caught}
    try:
        yield
    except _Interrupted as stop:
        raise BackupError("INTERRUPTED", "the run was ended by {0}".format(stop)) from stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def watched(module: AnsibleModule, run: Run) -> Iterator[None]:
    """Let the action that started the module see how far it has come, if it asked for that."""
    asked = module.watched
    if not asked:
        yield
        return
    mark = str(asked["mark"])
    folder = os.path.expanduser(os.path.expandvars(module._remote_tmp))  # noqa: SLF001  # where Ansible keeps its own
    path = os.path.join(folder, "pgfleet-{0}".format(os.path.basename(mark)))
    with written_to(path, run.log.progress, mark=mark, first=float(asked["first"]), clean=run.redactor):
        yield


def success(module: AnsibleModule, run: Run, result: Mapping[str, Any]) -> Dict[str, Any]:
    """The keywords for ``exit_json``."""
    returned = _common(module, run, result)
    if not module._verbosity and not module.params.get("discover"):  # noqa: SLF001  # Ansible gives it no other name
        # At every run the trace would only make the job's events larger.
        returned.get("context", {}).pop("trace", None)
    return returned


def failure(module: AnsibleModule, run: Run, result: Mapping[str, Any], error: Exception) -> Dict[str, Any]:
    """The keywords for ``fail_json``, for our own errors and for any other."""
    error = known_error(run, error)
    merged = dict(result, **error.result)
    merged["context"] = error.result.get("context") or result.get("context") or {}
    changed = any(backup.get("changed") for backup in merged.get("backups", ()))
    merged.update(changed=bool(merged.get("changed") or changed or merged.get("pruned")))
    returned = _common(module, run, merged)
    returned.update(describe_error(run, error))
    return returned


def known_error(run: Run, error: Exception) -> BackupError:
    """``error`` itself, or INTERNAL_ERROR for one that is not ours, with its traceback in the log."""
    if isinstance(error, BackupError):
        return error
    for line in traceback.format_exc().splitlines()[-12:]:
        run.log.add(line)
    return BackupError("INTERNAL_ERROR", "{0}: {1}".format(type(error).__name__, error))


def describe_error(run: Run, error: BackupError) -> Dict[str, Any]:
    """What every failure returns of its error."""
    return {
        "msg": run.redactor(error.msg),
        "code": error.code,
        "hint": run.redactor(error.hint),
        "severity": error.severity,
        "data_risk": error.data_risk,
        "retryable": error.retryable,
    }


def _common(module: AnsibleModule, run: Run, result: Mapping[str, Any]) -> Dict[str, Any]:
    returned = dict({"changed": False}, **result)
    if "login_password" not in module.argument_spec:
        returned.pop("context", None)  # a module that reaches no server
    else:
        returned["context"] = {**dict.fromkeys(_CONTEXT_KEYS), "engine_client": "none", **result.get("context", {})}
    if module._diff and returned.get("plan"):  # noqa: SLF001
        from ansible_collections.pgfleet.backup.plugins.module_utils._plan_diff import plan_diff  # noqa: PLC0415

        returned["diff"] = plan_diff(returned["plan"])
    _protect(module, run, returned)
    for warning in run.log.warnings:
        module.warn(warning)
    returned["log"] = run.log.lines
    return returned


def _protect(module: AnsibleModule, run: Run, returned: Dict[str, Any]) -> None:
    """Let Ansible scrub the secrets that it can scrub without destroying the result.

    A password such as ``shop`` would turn every path of a database of that name into asterisks. Such a one is masked
    where it was typed instead; structured values never hold a password in the first place.
    """
    values = json.dumps(returned, default=str, ensure_ascii=False)
    secrets = run.redactor.secrets | {str(value) for value in module.no_log_values}
    for secret in secrets:
        if len(secret) >= _MIN_SECRET and json.dumps(secret, ensure_ascii=False)[1:-1] not in values:
            module.no_log_values.add(secret)
        else:
            module.no_log_values.discard(secret)
    typed = {
        name: _MASK if value and module.argument_spec.get(name, {}).get("no_log") else value
        for name, value in module.params.items()
    }
    returned["invocation"] = {"module_args": typed}
