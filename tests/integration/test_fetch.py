# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing sets to the controller by real Ansible over real connections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.support.cli import CliResult
from ansible_collections.pgfleet.backup.tests.support.local import Local

KEY = "a key of more than sixteen characters"


def play(*, check: bool = False, **options: Any) -> list[dict[str, Any]]:
    task = {"name": "fetch", "pgfleet.backup.pg_backup_fetch": options, "check_mode": check}
    return [{"hosts": "all", "gather_facts": False, "tasks": [task]}]


def test_a_backup_comes_home_and_restores_from_there(
    local: Local, database: str, tmp_path: Path, ansible_playbook: Callable[..., CliResult]
) -> None:
    made = local.back_up(database, signing_key=KEY)
    options: dict[str, Any] = {"backup_dir": str(local.backup_dir), "dest": str(tmp_path / "dest"), "database": database}
    planned = ansible_playbook(play(check=True, **options), switches=["--diff"]).succeeded()
    assert planned.of("fetch")["changed"]
    assert made["id"] in planned.stdout
    assert not (tmp_path / "dest").exists()

    done = ansible_playbook(play(**options, signing_key=KEY), switches=["-vvv"]).succeeded()
    (copy,) = done.of("fetch")["fetched"]
    assert KEY not in done.output
    assert copy["verified"]
    home = tmp_path / "dest" / "localhost"
    assert Path(copy["path"]) == home / made["instance"] / database / made["id"]

    again = ansible_playbook(play(**options, signing_key=KEY)).succeeded().of("fetch")
    assert not again["changed"]
    assert [item["id"] for item in again["present"]] == [made["id"]]

    before = local.look(database)
    local.server.sql(database, "DROP TABLE t")
    local.restore(
        backup_dir=str(home), instance=made["instance"], database=database, confirm=database, signing_key=KEY,
        login_host=local.server.host, login_unix_socket="", mode="local", login_password=local.server.password,
    ).succeeded()
    assert local.look(database) == before


def test_a_failure_has_what_every_failure_has(tmp_path: Path, ansible_playbook: Callable[..., CliResult]) -> None:
    empty: dict[str, Any] = {"backup_dir": str(tmp_path / "none"), "dest": str(tmp_path / "dest"), "retention": ""}
    done = ansible_playbook(play(**empty))
    result = done.of("fetch")
    assert done.rc == 2
    assert result["msg"].startswith("BACKUP_NOT_FOUND: ")
    assert result["code"] == "BACKUP_NOT_FOUND"
    assert {"hint", "severity", "data_risk", "retryable", "log"} <= set(result)
    wrong = ansible_playbook(play(**empty, login_port="x", nonsense=1)).of("fetch")
    assert "nonsense" in wrong["msg"]
