# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._outcome import failure, interruptible, new_run, success
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Run

LONG = "correct horse"
RESULT: dict[str, Any] = {
    "backups": [{"database": "shop", "path": "/var/lib/pgfleet/backups/shop_db/shop/1", "port": 5432, "changed": True}],
    "context": {"database": "shop", "user": "shop", "port": 5432, "trace": [{"step": "options"}]},
}


class Module:
    """What we use of AnsibleModule."""

    def __init__(self, *, verbosity: int = 0, diff: bool = False, **params: Any) -> None:
        self.params = {"login_password": None, "database": "shop", **params}
        self.argument_spec = {"login_password": {"no_log": True}, "database": {}}
        self.no_log_values = {str(params[name]) for name in ("login_password",) if params.get(name)}
        self.warnings: list[str] = []
        self._verbosity = verbosity
        self._diff = diff

    def warn(self, warning: str) -> None:
        self.warnings.append(warning)


def run_with(*secrets: str) -> Run:
    run = new_run("BACKUP_FAILED")
    for secret in secrets:
        run.redactor.add(secret)
    return run


def succeed(module: Module, run: Run, result: dict[str, Any]) -> dict[str, Any]:
    return success(module, run, result)


def fail(module: Module, run: Run, error: Exception, result: dict[str, Any] | None = None) -> dict[str, Any]:
    return failure(module, run, result or {}, error)


@pytest.mark.parametrize("password", ["shop", "5432", "a", "shop_db/shop", "/var/lib/pgfleet/backups"])
def test_a_password_that_is_part_of_the_result_leaves_it_readable(password: str) -> None:
    module = Module(login_password=password)
    returned = succeed(module, run_with(password), RESULT)
    assert module.no_log_values == set()
    assert returned["backups"] == RESULT["backups"]
    assert returned["invocation"] == {
        "module_args": {"login_password": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "database": "shop"}}


def test_a_long_password_is_ansibles_to_scrub() -> None:
    module = Module(login_password=LONG)
    returned = succeed(module, run_with(LONG, "discovered one"), RESULT)
    assert module.no_log_values == {LONG, "discovered one"}
    assert LONG not in json.dumps(returned)


@pytest.mark.parametrize(("password", "scrubbed"), [("k3ys-xy", False), ("k3ys-xyz", True)])
def test_ansible_scrubs_no_password_of_less_than_eight_characters(password: str, scrubbed: bool) -> None:
    """So short a one may be part of any word of a result; where it was typed it is masked all the same."""
    module = Module(login_password=password)
    returned = succeed(module, run_with(password), RESULT)
    assert (password in module.no_log_values) is scrubbed
    assert password not in json.dumps(returned)


@pytest.mark.parametrize("name", ['we"ird name', "back\\slash", "größe und mehr", "two\nlines here"])
def test_a_password_that_is_also_an_awkward_name(name: str) -> None:
    module = Module()
    succeed(module, run_with(name), {"context": {"database": name}})
    assert module.no_log_values == set()


def test_free_text_is_always_scrubbed() -> None:
    run = run_with("shop", LONG)
    run.log.add("password is shop")
    run.log.add_warning("careful with shop")
    module = Module()
    returned = fail(module, run, BackupError("AUTH_FAILED", "not with shop", hint="change " + LONG), dict(RESULT))
    assert returned["log"] == ["password is ********", "WARNING: careful with ********"]
    assert module.warnings == ["careful with ********"]
    assert returned["msg"] == "AUTH_FAILED: not with ********"
    assert returned["hint"] == "change ********"


def test_success_has_its_keys_and_no_trace() -> None:
    returned = succeed(Module(), run_with(), RESULT)
    assert set(returned) == {"changed", "backups", "context", "invocation", "log"}
    assert "trace" not in returned["context"]
    assert "trace" in RESULT["context"]
    assert "trace" in succeed(Module(verbosity=1), run_with(), RESULT)["context"]
    assert succeed(Module(), run_with(), {"changed": True})["changed"] is True


def test_failure_has_its_keys_the_trace_and_what_is_known() -> None:
    error = BackupError("BACKUP_TIMEOUT", "too slow", result={"failed_databases": ["x"]})
    returned = fail(Module(), run_with(), error, dict(RESULT))
    assert {key: returned[key] for key in ("msg", "code", "severity", "data_risk", "retryable", "changed")} == {
        "msg": "BACKUP_TIMEOUT: too slow", "code": "BACKUP_TIMEOUT", "severity": "error", "data_risk": "stale",
        "retryable": True, "changed": True,
    }
    assert returned["hint"]
    assert returned["failed_databases"] == ["x"]
    assert known(returned) == {"engine_client": "none", **RESULT["context"]}
    later = BackupError("AUTH_FAILED", "x", result={"context": {"user": "other"}})
    assert known(fail(Module(), run_with(), later, dict(RESULT))) == {"engine_client": "none", "user": "other"}
    nothing = fail(Module(), run_with(), error)["context"]
    assert {"mode", "executor", "engine_client", "transport", "host", "port", "socket", "database", "user", "container",
            "credential_source", "server_version", "client_version"} <= set(nothing)
    assert nothing.pop("engine_client") == "none"
    assert set(nothing.values()) == {None}


def known(returned: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in returned["context"].items() if value is not None}


@pytest.mark.parametrize(("result", "changed"), [
    ({}, False), ({"backups": [{"changed": False}]}, False),
    ({"backups": [{"changed": False}, {"changed": True}]}, True),
    ({"pruned": []}, False), ({"pruned": ["x"]}, True),
])
def test_a_failure_says_whether_something_was_changed(result: dict[str, Any], changed: bool) -> None:
    assert fail(Module(), run_with(), BackupError("BACKUP_FAILED", "x"), result)["changed"] is changed


def test_any_other_exception_is_our_defect_and_keeps_secrets() -> None:
    run = run_with(LONG)
    returned: dict[str, Any] = {}
    try:
        raise KeyError(LONG)
    except KeyError as error:
        returned = fail(Module(), run, error)
    assert returned["code"] == "INTERNAL_ERROR"
    assert returned["msg"] == "INTERNAL_ERROR: KeyError: '********'"
    assert any("Traceback" in line for line in returned["log"])
    assert LONG not in json.dumps(returned)


def test_a_diff_only_when_asked_for() -> None:
    plan = {"databases": [], "instance": "i", "format": "custom", "verify": "archive"}
    assert "diff" not in succeed(Module(), run_with(), {"plan": plan})
    assert succeed(Module(diff=True), run_with(), {"plan": plan})["diff"]["before_header"] == "backups of i"
    assert "diff" not in succeed(Module(diff=True), run_with(), {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_run_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    cleaned = []

    def work() -> None:
        with interruptible():
            try:
                os.kill(os.getpid(), number)
                signal.pause()
            finally:
                os.kill(os.getpid(), number)  # a second one does not disturb the cleaning up
                cleaned.append(True)

    with pytest.raises(BackupError, match="^INTERRUPTED: the run was ended by " + number.name):
        work()
    assert cleaned == [True]
    assert signal.getsignal(number) == before


def test_runs_have_ids_of_their_own() -> None:
    assert new_run("BACKUP_FAILED").run_id != new_run("BACKUP_FAILED").run_id
    assert SimpleNamespace(**new_run("RESTORE_FAILED")._asdict()).failure == "RESTORE_FAILED"
