# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as a task makes it: from real backups to the files, and what it does to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.fleets import NOW, ago, fragment, healthy, host, made, troubled
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module

FILES = ["metrics.prom", "report.html", "report.json"]


@pytest.fixture
def report_dir(tmp_path: Path) -> Path:
    return tmp_path / "www" / "pgfleet"


def report(folder: Path, *fragments: Any, **how: Any) -> ModuleResult:
    check = how.pop("check", False)
    how = {"report_dir": folder, "fragments": fragments, "generated": NOW, **how}
    return run_module("pg_backup_report", how, check=check)


def written(report_dir: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((report_dir / "report.json").read_text(encoding="utf-8"))
    return document


def test_what_the_modules_return_goes_in_as_it_is(local: Local, database: str, report_dir: Path) -> None:
    backup = local.backup(database=database, verify="restore").succeeded()
    backup.pop("warnings", None)  # Ansible takes them out of what it hands on
    brief = local.info(detail="brief").succeeded()["backups"]
    whole = local.info().succeeded()["backups"]
    assert set(brief[0]) < set(whole[0])
    assert "fingerprint" not in brief[0]
    seen = []
    for sets in (brief, whole):
        known = fragment(host("db1", targets=[backup], backups=sets), generated=backup["backups"][0]["finished"])
        report(report_dir, known, generated="").succeeded()
        row = written(report_dir)["rows"][0]
        assert (row["host"], row["database"], row["outcome"], row["risk"]) == ("db1", database, "ok", "unsafe")
        assert row["last_drill"]["result"] == "ok"
        assert row["last_backup"]["level"] == "restore"
        seen.append((row["bytes"], row["last_backup"]["id"], row["last_drill"]["at"], row["last_drill"]["seconds"]))
    assert seen[0] == seen[1]
    assert seen[0][:2] == (sum(item["size"] for item in whole[0]["files"]), whole[0]["id"])


def test_what_it_returns_is_small_and_names_who_needs_somebody(report_dir: Path) -> None:
    done = report(report_dir, troubled())
    result = done.succeeded()
    assert result["summary"] == written(report_dir)["summary"]
    assert [row["database"] for row in result["rows"]] == ["invoices", "forum", "", "wiki", "ledger", "mail"]
    assert sorted(result["verdicts"]) == [f"app{number}.example.com" for number in (1, 2, 3, 4, 5, 7)]
    assert result["verdicts"]["app4.example.com"] == "app/mail: failed, CONNECTION_FAILED: the server closed the connection unexpectedly"
    assert "invoices: uncovered" in result["verdicts"]["app1.example.com"]
    assert "sizes" not in result["rows"][0]
    assert "fragments" not in result["invocation"]["module_args"]
    assert len(done.stdout) < 10_000
    assert {key: Path(path).name for key, path in result["paths"].items()} == {
        "html": "report.html", "json": "report.json", "metrics": "metrics.prom"}


def test_a_second_time_changes_nothing(report_dir: Path) -> None:
    assert report(report_dir, healthy()).changed
    before = {path.name: path.stat() for path in report_dir.iterdir()}
    assert sorted(before) == FILES
    assert {status.st_mode & 0o7777 for status in before.values()} == {0o644}
    assert not report(report_dir, healthy()).changed
    assert {path.name: path.stat().st_ino for path in report_dir.iterdir()} == {name: status.st_ino for name, status in before.items()}
    assert report(report_dir, healthy(), mode="0600").changed
    assert {path.stat().st_mode & 0o7777 for path in report_dir.iterdir()} == {0o600}
    assert report(report_dir, troubled(), mode=0o640).changed
    assert {path.stat().st_mode & 0o7777 for path in report_dir.iterdir()} == {0o640}


def test_check_mode_writes_nothing(report_dir: Path) -> None:
    done = report(report_dir, troubled(), check=True)
    assert done.succeeded()["summary"]["risks"]["lost"] == 2
    assert done.changed
    assert not report_dir.exists()


def test_fragments_of_a_folder(report_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frag[ments]"
    folder.mkdir()
    for number in (1, 2):
        text = json.dumps(fragment(host(f"db{number}", backups=[made(ago(hours=1))])))
        (folder / f"slice-{number}.json").write_text(text, encoding="utf-8")
    (folder / "broken.json").write_text('{"schema_version": 1, "gener', encoding="utf-8")
    (folder / "notes.txt").write_text("no fragment", encoding="utf-8")
    given = fragment(host("db3", backups=[made(ago(hours=1))]))
    result = report(report_dir, given, fragments_dir=folder, expected_hosts=["db1", "db4"]).succeeded()
    assert [row["host"] for row in written(report_dir)["rows"]] == ["db4", "db1", "db2", "db3"]
    assert [problem["source"] for problem in result["problems"]] == ["broken.json"]
    assert "broken.json" in json.dumps(result["warnings"])


@pytest.mark.parametrize(("options", "code", "named"), [
    ({"rpo": "soon"}, "INVALID_DB_CONFIG", "rpo"), ({"rpo": "0"}, "INVALID_DB_CONFIG", "rpo"),
    ({"mode": "rw"}, "INVALID_DB_CONFIG", "mode"), ({"mode": "01777"}, "INVALID_DB_CONFIG", "mode"),
    ({"generated": "now"}, "INVALID_DB_CONFIG", "generated"),
    ({"fragments_dir": "/nowhere"}, "BACKUP_DIR_UNUSABLE", "fragments_dir=/nowhere"),
    ({"report_dir": "/dev/null/x"}, "BACKUP_DIR_UNUSABLE", "/dev/null/x"),
])
def test_what_is_wrong_is_named(report_dir: Path, options: dict[str, Any], code: str, named: str) -> None:
    failure = report(report_dir, healthy(), **options).failed_with(code)
    assert named in failure["msg"]
    assert "backup_dir" not in failure["hint"]
    assert not report_dir.exists()
