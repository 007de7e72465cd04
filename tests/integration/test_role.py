# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role fleet_backup on several hosts at once, with real servers: one for all never happens, and nothing is hidden."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.cli import CliResult
from ansible_collections.pgfleet.backup.tests.support.local import Local

Run = Callable[..., CliResult]

SAY = "pgfleet.backup.fleet_backup : Say what came of every database"
BACK_UP = "pgfleet.backup.fleet_backup : Back up"
VERDICT = "pgfleet.backup.fleet_backup : Say what the report says of the host"
RESTORE = "pgfleet.backup.fleet_backup : Restore each"
# Nothing listens there, so that ssh is refused at once.
DOWN = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
SECRET = "wrong-horse-battery"
PING = "a1b2c3d4-ping"


def role(entry: str = "main") -> list[dict[str, Any]]:
    """A play of one's own, as people write it."""
    task = {"name": "Run", "ansible.builtin.import_role": {"name": "pgfleet.backup.fleet_backup", "tasks_from": entry}}
    return [{"name": "Fleet", "hosts": "all", "gather_facts": False, "tasks": [task]}]


@pytest.fixture
def others(local: Local) -> list[str]:
    """The databases that the server has beside the test's own, which nobody needs to back up here."""
    return local.databases()


@pytest.fixture
def host(local: Local, tmp_path: Path, others: list[str]) -> Callable[..., dict[str, Any]]:
    """``host("name", target, …)``: the variables of a host with a backup folder of its own."""

    def make(name: str, *targets: dict[str, Any], **more: Any) -> dict[str, Any]:
        reach = {
            "login_unix_socket": str(local.server.socket_dir), "login_port": str(local.server.port),
            "login_user": local.server.user,
            "docker_host": "unix:///nonexistent",  # other tests' containers are no servers of these hosts
        }
        return {
            "fleet_backup_targets": list(targets), "fleet_backup_options": reach,
            "fleet_backup_dir": str(tmp_path / name / "backups"), "fleet_backup_ignore": others,
            "fleet_backup_retry_delay": 0, **more,
        }

    return make


@contextmanager
def monitoring() -> Iterator[tuple[str, dict[str, Any]]]:
    """An address to post to, and what was posted below it."""
    posted: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted[self.path] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", posted
        finally:
            server.shutdown()
            thread.join()


def rows(done: CliResult, host: str) -> list[str]:
    lines: list[str] = done.of(SAY, host)["msg"]
    return lines


def outcomes(done: CliResult, host: str) -> list[tuple[str, str]]:
    """Outcome and database of every row."""
    return [(where.split()[0], where.rpartition("/")[2]) for where in (row.split(": ")[0] for row in rows(done, host))]


def test_neither_a_host_nor_a_database_stops_or_hides_another(
    ansible_playbook: Run, local: Local, host: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    one, two, three = (local.create(name) for name in ("fleet_one", "fleet_two", "fleet_three"))
    wrong = {"mode": "local", "login_unix_socket": "", "login_host": "127.0.0.1", "login_password": SECRET}
    path = {"PATH": local.server.path()}
    hosts = {
        "down": {**host("down", {"database": one}), **DOWN},
        "good": host("good", {"database": one}, {"all_databases": True}),
        "mixed": host("mixed", {"database": one, **wrong}, {"database": two}),
        "none": host("none", fleet_backup_ping_url="http://127.0.0.1:1/" + PING),  # where nobody listens
    }
    with monitoring() as (address, posted):
        for name in ("down", "good", "mixed"):
            hosts[name]["fleet_backup_ping_url"] = f"{address}/{PING}/{name}"
        done = ansible_playbook("pgfleet.backup.fleet", hosts=hosts, env=path, switches=["-vvv"])
    assert done.rc == 2
    assert {url: body["ok"] for url, body in posted.items()} == {
        f"/{PING}/down/fail": False, f"/{PING}/good": True, f"/{PING}/mixed/fail": False}
    assert posted[f"/{PING}/mixed/fail"]["host"] == "mixed"
    assert "AUTH_FAILED" in posted[f"/{PING}/mixed/fail"]["outcomes"][0]
    assert PING not in done.output + str(done.tasks)
    assert {item.host: item.status for item in done.tasks if item.task == SAY} == {
        "down": "failed", "good": "ok", "mixed": "failed", "none": "failed"}
    assert rows(done, "down")[0].startswith("unreachable")
    assert {("ok", one), ("ok", two), ("ok", three)} <= set(outcomes(done, "good"))
    assert outcomes(done, "mixed") == [("failed", one), ("uncovered", three), ("ok", two)], rows(done, "mixed")
    assert "AUTH_FAILED" in rows(done, "mixed")[0]
    assert "no target is configured" in rows(done, "none")[0]
    assert SECRET not in done.output + str(done.tasks)
    # What is reported is there.
    assert len(list(tmp_path.glob("mixed/backups/*/fleet_two/*/manifest.json"))) == 1
    assert not list(tmp_path.glob("mixed/backups/*/fleet_one/*/manifest.json"))


def test_a_rerun_does_only_what_is_missing_and_what_it_finds_may_be_too_old(
    ansible_playbook: Run, local: Local, host: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    one, two = (local.create(name) for name in ("again_one", "again_two"))
    targets: list[dict[str, Any]] = [{"database": one}, {"database": two, "max_concurrent": 1}]
    path = {"PATH": local.server.path()}
    first = ansible_playbook(role(), hosts={"h": host("h", targets[0], fleet_backup_ignore=[*local.databases()])}, env=path)
    assert outcomes(first.succeeded(), "h") == [("ok", one)]
    # A survey's blank answers are unset; a target's own RPO wins.
    blank = dict.fromkeys(("fleet_backup_rpo", "fleet_backup_per_host", "fleet_backup_retries", "fleet_backup_discover"), "")
    hosts = {"h": host("h", {**targets[0], "rpo": 1}, targets[1], **blank)}
    again = ansible_playbook("pgfleet.backup.fleet", hosts=hosts, env=path, extra_vars={"fleet_backup_max_age": "20h"})
    assert again.rc == 2
    assert outcomes(again, "h") == [("stale", one), ("ok", two)]
    assert len(list(tmp_path.glob("h/backups/*/again_*/*/manifest.json"))) == 2


def test_drills_and_restores_take_the_same_targets(
    ansible_playbook: Run, local: Local, host: Callable[..., dict[str, Any]]
) -> None:
    one, two = (local.create(name) for name in ("back_one", "back_two"))
    path = {"PATH": local.server.path()}
    # What is about making backups, or would replace something, is nothing to a drill.
    whole = {"all_databases": True, "exclude_databases": [two], "strategy": "swap", "confirm": one, "retention": {"keep_last": 3}}
    hosts = {"h": host("h", whole)}
    ansible_playbook(role(), hosts=hosts, env=path).succeeded()
    local.server.sql(one, "DROP TABLE t")
    drilled = ansible_playbook(role("drill"), hosts=hosts, env=path).succeeded()
    assert ("ok", one) in outcomes(drilled, "h")
    assert two not in str(outcomes(drilled, "h"))
    assert local.server.sql(one, "SELECT count(*) FROM pg_tables WHERE tablename = 't'") == ["0"]
    targets = {"database": one, "confirm": one}, {"database": two, "confirm": two}
    hosts = {"h": host("h", *targets), "other": host("other")}
    many = ansible_playbook(role("restore"), hosts=hosts, env=path)
    assert many.rc == 2
    assert "restores on 2 hosts" in many.output
    assert not [item for item in many.tasks if item.task == RESTORE]
    restored = ansible_playbook(role("restore"), hosts={"h": hosts["h"]}, env=path)
    assert outcomes(restored, "h") == [("failed", two), ("ok", one)]  # the other one was never backed up
    assert local.server.sql(one, "SELECT count(*) FROM t") == ["3"]


def test_a_name_that_no_module_knows_is_refused_and_not_passed_over(
    ansible_playbook: Run, local: Local, host: Callable[..., dict[str, Any]]
) -> None:
    one = local.create("typing")
    done = ansible_playbook(role(), hosts={"h": host("h", {"databse": one})}, env={"PATH": local.server.path()})
    assert done.rc == 2
    assert "databse" in rows(done, "h")[0]
    assert not local.backup_dir.exists()


def test_the_fleet_is_reported_whatever_happened_and_copies_are_brought_home(
    ansible_playbook: Run, local: Local, host: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    one, two = (local.create(name) for name in ("told_one", "told_two"))
    report = tmp_path / "report"
    everything = {
        "fleet_backup_report_dir": str(report), "fleet_backup_collect": "controller",
        "fleet_backup_collect_dir": str(tmp_path / "home"), "fleet_backup_ignore": ["postgres"],
    }
    hosts = {
        "down": {**host("down", {"database": one}), **DOWN},
        "good": host("good", {"all_databases": True}),
        "part": host("part", {"database": one}),
    }
    done = ansible_playbook("pgfleet.backup.fleet", hosts=hosts, env={"PATH": local.server.path()}, extra_vars=everything)
    assert done.rc == 2
    said = {item.host: item.status for item in done.tasks if item.task == VERDICT}
    assert said == {"down": "failed", "good": "ok", "part": "failed"}, done.output
    document = json.loads((report / "report.json").read_text(encoding="utf-8"))
    rows = {(row["host"], row["database"]): row for row in document["rows"]}
    assert rows["good", one]["safe"]
    assert rows["good", two]["safe"]
    assert rows["part", one]["risk"] == "safe"
    assert rows["part", two]["outcome"] == "uncovered"
    assert {row["outcome"] for (name, _database), row in rows.items() if name == "down"} == {"unreachable"}
    assert len(list(tmp_path.glob(f"home/good/*/{two}/*/manifest.json"))) == 1
    # Alone it backs up nothing, and tells the same of the backups that there are.
    (report / "report.json").unlink()
    alone = ansible_playbook("pgfleet.backup.report", hosts={"good": hosts["good"]}, extra_vars=everything).succeeded()
    assert alone.of(VERDICT)["msg"] == "nothing to do"
    again = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert {row["database"] for row in again["rows"]} >= {one, two}


def test_every_server_that_a_host_has_is_found_and_kept_apart(
    ansible_playbook: Run, postgres_container: Callable[..., Any], narrow_engine: Callable[[str], str],
    unique_name: Callable[[str], str], tmp_path: Path,
) -> None:
    label = unique_name("fleet")
    shop, blog = (postgres_container(database=name, labels={label: ""}) for name in ("shop", "blog"))
    done = ansible_playbook("pgfleet.backup.fleet", extra_vars={
        "fleet_backup_discover": True, "fleet_backup_dir": str(tmp_path / "backups"),
        "fleet_backup_options": {"docker_host": narrow_engine(label), "persist_credentials": True},
    }).succeeded()
    assert {("ok", "shop"), ("ok", "blog")} <= set(outcomes(done, "localhost"))
    for container, database in ((shop, "shop"), (blog, "blog")):
        assert len(list(tmp_path.glob(f"backups/{container.name}/{database}/*/manifest.json"))) == 1
        kept = (tmp_path / "state" / f"{container.name}.env").read_text(encoding="utf-8")
        assert f"POSTGRES_CONTAINER={container.name}" in kept
