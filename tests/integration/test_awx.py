# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as AWX runs them: by ansible-runner, with a survey's answers and a credential's secrets as extra variables."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pgfleet.backup.tests.support.environment import COLLECTIONS, REPOSITORY, clean_environment
from ansible_collections.pgfleet.backup.tests.support.local import Local

AWX = REPOSITORY / "docs" / "awx"
SECRETS = {"login_password": "wrong-horse-battery", "signing_key": "a key of more than sixteen characters"}


class Runner:
    """Jobs of one project and one inventory."""

    def __init__(self, folder: Path, hosts: dict[str, dict[str, Any]]) -> None:
        self._folder = folder
        self._runs = 0
        shutil.copytree(AWX / "project", folder / "project")
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"hosts": {name: {**here, **variables} for name, variables in hosts.items()}}}
        (folder / "inventory").mkdir()
        (folder / "inventory" / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")

    def run(self, playbook: str, answers: dict[str, Any], *switches: str, path: str) -> tuple[int, list[dict[str, Any]], str]:
        """Exit status and events of a job, and everything that it has left behind, as text."""
        self._runs += 1
        injected = yaml.safe_load((AWX / "credential_type.yml").read_text(encoding="utf-8"))["injectors"]["extra_vars"]
        secrets = {name: SECRETS[value.strip("{ }")] for name, value in injected.items()}
        survey = json.loads((AWX / "surveys" / f"{playbook}.json").read_text(encoding="utf-8"))["spec"]
        assert {question["variable"] for question in survey} >= set(answers)
        blank = {question["variable"]: "" for question in survey}
        shutil.rmtree(self._folder / "env", ignore_errors=True)  # where ansible-runner keeps the switches, too
        (self._folder / "env").mkdir()
        (self._folder / "env" / "extravars").write_text(json.dumps({**blank, **secrets, **answers}), encoding="utf-8")
        job = str(self._runs)
        done = subprocess.run(
            [sys.executable, "-m", "ansible_runner", "run", self._folder, "-p", f"{playbook}.yml", "--ident", job, "-q",
             "-vvv", *(f"--cmdline={switch}" for switch in switches)],
            check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
            env=clean_environment({
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(self._folder / "home"),
                "PATH": f"{Path(sys.executable).parent}:{path}",
            }),
        )
        left = self._folder / "artifacts" / job
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in sorted(left.rglob("*")) if file.is_file()]
        events = [json.loads(file.read_text(encoding="utf-8")) for file in (left / "job_events").glob("*.json")]
        assert events, done.stdout + done.stderr
        return done.returncode, [event for event in events if event.get("event_data")], "".join(texts)


def said(events: list[dict[str, Any]], host: str) -> str:
    """What a job said at its end of every database of a host."""
    told = [
        event["event_data"]["res"]["msg"] for event in events
        if event["event_data"].get("host") == host and event["event"] in ("runner_on_ok", "runner_on_failed")
        and event["event_data"]["task"] == "Say what came of every database"
    ]
    return "\n".join(str(line) for line in told)


def test_jobs_take_a_survey_s_blanks_and_keep_a_credential_s_secrets(local: Local, tmp_path: Path) -> None:
    others = local.databases()
    one = local.create("awx_one")
    reach = {
        "login_unix_socket": str(local.server.socket_dir), "login_port": str(local.server.port),
        "login_user": local.server.user, "docker_host": "unix:///nonexistent",
        "signing_key": "{{ pgfleet_signing_key }}",
    }
    shared = {"fleet_backup_ignore": others, "fleet_backup_options": reach, "fleet_backup_retry_delay": 0}
    wrong = {"mode": "local", "login_unix_socket": "", "login_host": "127.0.0.1", "login_password": "{{ pgfleet_login_password }}"}
    runner = Runner(tmp_path / "job", {
        "good": {**shared, "fleet_backup_targets": [{"database": one}], "fleet_backup_dir": str(tmp_path / "good"),
                 **{f"pgfleet_{name}": value for name, value in reach.items() if name != "signing_key"},
                 "pgfleet_backup_dir": str(tmp_path / "good")},
        "wrong": {**shared, "fleet_backup_targets": [{"database": one, **wrong}], "fleet_backup_dir": str(tmp_path / "wrong"),
                  "fleet_backup_report_dir": str(tmp_path / "report")},
    })
    path = local.server.path()

    status, events, left = runner.run("fleet", {"pgfleet_hosts": "good"}, "--check", path=path)
    assert status == 0, left[-3000:]
    assert "planned" in said(events, "good")
    assert not (tmp_path / "good").exists()

    status, events, left = runner.run("fleet", {}, path=path)
    assert status == 2
    assert f"/{one}: proven by archive" in said(events, "good")
    assert "AUTH_FAILED" in said(events, "wrong")
    assert not [name for name, secret in SECRETS.items() if secret in left]
    (manifest,) = (tmp_path / "good").glob(f"*/{one}/*/manifest.json")
    assert json.loads(manifest.read_text(encoding="utf-8"))["signature"]

    # A check says what would stop a restore.
    status, events, left = runner.run("restore", {"pgfleet_hosts": "good", "pgfleet_database": one}, "--check", path=path)
    (plan,) = [event["event_data"]["res"]["plan"] for event in events if "plan" in event["event_data"].get("res", {})]
    assert "RESTORE_NOT_CONFIRMED" in str(plan)
    assert not [name for name, secret in SECRETS.items() if secret in left]


@pytest.mark.parametrize("survey", sorted(AWX.glob("surveys/*.json")), ids=lambda path: path.stem)
def test_a_survey_asks_for_what_its_playbook_knows(survey: Path) -> None:
    spec = json.loads(survey.read_text(encoding="utf-8"))["spec"]
    role = REPOSITORY / "roles" / "fleet_backup" / "meta" / "argument_specs.yml"
    known = role.read_text(encoding="utf-8") + (REPOSITORY / "playbooks" / f"{survey.stem}.yml").read_text(encoding="utf-8")
    for question in spec:
        assert question["variable"] in known
        assert question["required"] or question["default"] == ""
