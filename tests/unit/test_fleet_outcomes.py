# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_outcomes import fleet_outcomes
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import parse_time
from ansible_collections.pgfleet.backup.tests.unit.manifests import make_manifest

MADE = make_manifest(database="shop")
NOW = parse_time(MADE["created"]) + timedelta(hours=3)


def entry(database: str, status: str = "ok") -> dict[str, Any]:
    return {**MADE, "database": database, "path": "/b/" + database, "verified": True, "status": status}


def result(
    *made: dict[str, Any], index: int = 0, database: str = "", rpo: str = "", left: tuple[str, ...] = (),
    host: str | None = "db", **more: Any,
) -> dict[str, Any]:
    item = {"index": index, "target": "db:5432", "database": database, "all_databases": False, "rpo": rpo}
    return {
        "ansible_loop_var": "one", "one": item, "backups": list(made), "failed_databases": [],
        "context": {"host": host, "port": 5432, "container": None},
        "plan": {"instance": "db_5432", "databases": [], "left_out": list(left)}, **more,
    }


def told(*results: dict[str, Any], **how: Any) -> list[tuple[str, str]]:
    outcomes = fleet_outcomes({"results": list(results)}, now=NOW, **how)
    assert [row["outcome"] in ("unreachable", "failed", "uncovered", "stale") for row in outcomes["rows"]] == [
        row in outcomes["bad"] for row in outcomes["rows"]]
    assert len(outcomes["lines"]) == len(outcomes["rows"])
    return [(row["outcome"], row["database"]) for row in outcomes["rows"]]


def test_the_worst_comes_first() -> None:
    failing = {"database": "b", "code": "NO_SPACE", "msg": "NO_SPACE: full", "retryable": True}
    assert told(
        result(entry("a"), entry("c", "fresh"), failed_databases=[failing], failed=True, code="NO_SPACE", left=("d",)),
    ) == [("failed", "b"), ("uncovered", "d"), ("fresh", "c"), ("ok", "a")]


def test_a_fresh_backup_is_stale_beyond_the_rpo_and_a_targets_own_rpo_wins() -> None:
    fresh = entry("a", "fresh")
    assert told(result(fresh)) == [("fresh", "a")]
    assert told(result(fresh), rpo="2h") == [("stale", "a")]
    assert told(result(fresh, rpo="4h"), rpo="2h") == [("fresh", "a")]
    assert told(result(fresh, rpo="2h"), rpo="") == [("stale", "a")]
    with pytest.raises(BackupError, match="rpo"):
        told(result(fresh), rpo="soon")


def test_a_suspicious_backup_says_its_numbers_and_fails_no_host() -> None:
    why = "BACKUP_SUSPICIOUS: a has shrunk since the backup x: 0 rows, and 5,000 before"
    doubtful = {**entry("a", "suspicious"), "verified": False, "warnings": [why]}
    assert told(result(doubtful, entry("b"))) == [("suspicious", "a"), ("ok", "b")]
    [row] = fleet_outcomes({"results": [result(doubtful)]}, now=NOW)["rows"]
    assert row["msg"] == why


def test_uncovered_is_what_every_target_of_that_server_leaves_out() -> None:
    one, two = result(entry("a"), left=("b", "c", "postgres")), result(entry("b"), left=("a", "c", "postgres"))
    assert told(one, two, ignore=["postgres"]) == [("uncovered", "c"), ("ok", "a"), ("ok", "b")]
    elsewhere = result(entry("b"), host="db2", left=("a",))
    assert told(one, elsewhere, ignore=["postgres"]) == [
        ("uncovered", "a"), ("uncovered", "b"), ("uncovered", "c"), ("ok", "a"), ("ok", "b")]
    # A target that never came to its server is told as failed, and not once more as uncovered.
    lost = {**result(database="b", failed=True, code="AUTH_FAILED", msg="AUTH_FAILED: no"), "plan": {}}
    assert told(one, lost, ignore=["postgres"]) == [("failed", "b"), ("uncovered", "c"), ("ok", "a")]


@pytest.mark.parametrize("broken", [
    {"failed": True, "msg": "MODULE FAILURE", "rc": 1},
    {"failed": False, "msg": "", "module_stdout": "?"},
    {"backups": [], "failed_databases": [], "plan": {}},
])
def test_only_a_result_that_says_what_was_made_is_a_success(broken: dict[str, Any]) -> None:
    assert [outcome for outcome, _database in told(broken)] == ["failed"]


def test_nothing_to_do_is_a_failure_as_are_failures_on_the_way() -> None:
    assert told() == [("failed", "")]
    assert [row["outcome"] for row in fleet_outcomes({})["rows"]] == ["failed"]
    before = [{"skipped": True}, {"unreachable": True, "msg": "no route"}, {"failed": True, "msg": "no", "code": "X"}]
    assert [row["outcome"] for row in fleet_outcomes({"results": [result(entry("a"))]}, before, now=NOW)["rows"]] == [
        "unreachable", "failed", "ok"]
    assert fleet_outcomes({"unreachable": True, "msg": "gone"})["lines"] == ["unreachable: gone"]


def test_check_mode_says_what_is_planned() -> None:
    planned = [{"database": "a", "fresh": None, "folder": "/b/a"}, {"database": "b", "fresh": "id", "folder": "/b/b"}]
    assert told(result(plan={"instance": "db", "databases": planned, "left_out": []})) == [("planned", "a"), ("fresh", "b")]
