# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report makes of what the runs have found out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time
from ansible_collections.pgfleet.backup.plugins.module_utils._report_judge import judge
from ansible_collections.pgfleet.backup.plugins.module_utils._report_merge import Problem, merge
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import Row, epoch
from ansible_collections.pgfleet.backup.tests.support.fleets import (
    NOW,
    ago,
    copies,
    fragment,
    history,
    host,
    made,
    troubled,
)

HOUR = 3600
FAILED = {"instance": "app", "database": "shop", "code": "NO_SPACE", "msg": "NO_SPACE: full", "hint": "Free some."}
SERVER = {"instance": "app", "context": {"container": {"name": "app"}}, "error": None}


def rows_of(*fragments: Any, problems: list[Problem] | None = None, expected: tuple[str, ...] = (), **how: Any) -> list[Row]:
    found: list[Problem] = [] if problems is None else problems
    hosts = merge([(f"f{number}", item) for number, item in enumerate(fragments)], found, expected=expected)
    assert problems is not None or not found, found
    return judge(hosts, now=epoch(NOW), rpo=26 * HOUR, **how)


def row_of(**known: Any) -> Row:
    """The only row of a host of which that is known."""
    rows = rows_of(fragment(host("db1", **known)))
    assert len(rows) == 1, rows
    return rows[0]


# -- the risk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "outcome", "risk"), [(0, "ok", "unsafe"), (26, "ok", "unsafe"), (26.01, "stale", "late")])
def test_the_age_is_judged_against_the_rpo(hours: float, outcome: str, risk: str) -> None:
    row = row_of(backups=[made(ago(hours=hours))])
    assert (row.outcome, row.risk) == (outcome, risk)


def test_the_nearest_rpo_holds() -> None:
    old = [made(ago(hours=30))]
    target = {"instance": "app", "database": "shop", "outcome": "fresh"}
    assert row_of(backups=old, rpo="2d").risk == "unsafe"
    assert row_of(backups=old, rpo="1h", targets=[{**target, "rpo": "31h"}]).rpo == 31 * HOUR
    assert row_of(backups=old, rpo="2d", targets=[{**target, "rpo": "29h"}]).outcome == "stale"
    assert row_of(backups=old, rpo="", targets=[{**target, "rpo": 7}]).rpo == 7


def test_only_verified_sets_protect() -> None:
    unproven = made(ago(hours=1), verified=False)
    assert row_of(backups=[unproven], targets=[{**FAILED, "code": None, "outcome": "ok"}]).risk == "lost"
    assert row_of(backups=[unproven, made(ago(days=3))]).risk == "late"
    assert [row.risk for row in rows_of(fragment(host("db1", targets=[FAILED], backups=[made(ago(hours=1), kind="filtered")])))] == ["lost"]


def test_a_set_from_the_future_tells_nothing_of_its_age() -> None:
    row = row_of(backups=[made(ago(days=3)), made(ago(days=-300))])
    assert row.risk == "late"
    assert row.last
    assert row.last.at == epoch(made(ago(days=3))["created"])


def test_a_set_is_safe_when_a_verified_copy_of_it_is_elsewhere() -> None:
    sets = [made(ago(days=1)), made(ago(hours=1))]
    assert row_of(backups=sets, copies=copies(sets)).risk == "safe"
    assert row_of(backups=sets, copies=copies(sets, verified=False)).risk == "unsafe"
    older = row_of(backups=sets, copies=copies(sets[:1]))
    assert (older.risk, older.last_off_host.at if older.last_off_host else None) == ("unsafe", epoch(sets[0]["created"]))


def test_what_pg_backup_fetch_returns_are_copies() -> None:
    sets = [made(ago(hours=5)), made(ago(hours=1))]
    fetched = [
        {key: item[key] for key in ("instance", "database", "id", "kind", "created", "bytes", "verified")} | {"path": "/srv/x", "host_path": "/x"}
        for item in sets
    ]
    row = row_of(backups=sets, copies=fetched)
    assert (row.risk, [copy.where for copy in row.copies]) == ("safe", ["controller"])
    assert row_of(reachable=False, copies=[*fetched[:1], {**fetched[1], "kind": "filtered"}]).last == row_of(
        reachable=False, copies=fetched[:1]).last


def test_a_copy_of_a_set_that_failed_its_drill_saves_nobody() -> None:
    sets = [made(ago(hours=5)), made(ago(hours=1), verified=False)]
    row = row_of(backups=sets, copies=copies(sets))
    assert (row.risk, row.last and row.last.id, row.last_off_host and row.last_off_host.id) == ("safe", sets[0]["id"], sets[0]["id"])


def test_a_copy_counts_while_its_host_is_down() -> None:
    row = row_of(reachable=False, copies=copies([made(ago(hours=1))]))
    assert (row.outcome, row.risk, row.database) == ("unreachable", "failing", "shop")
    assert row_of(reachable=False, copies=copies([made(ago(days=9))])).risk == "late"


def test_what_nobody_could_look_at_is_unknown_and_what_is_not_there_is_lost() -> None:
    row = row_of(reachable=False)
    assert (row.outcome, row.risk, row.last) == ("unreachable", "unknown", None)
    assert row_of(targets=[FAILED]).risk == "unknown"
    assert row_of(targets=[FAILED], backups=[]).risk == "lost"
    assert row_of(backups=[]).risk == "unknown"
    assert rows_of(fragment(host("db1", backups=[], servers=[]))) == []


def test_a_failure_within_the_rpo_is_told_with_its_hint() -> None:
    row = row_of(targets=[FAILED], backups=[made(ago(hours=1))])
    assert (row.outcome, row.risk, row.code, row.msg, row.hint) == ("failed", "failing", "NO_SPACE", "NO_SPACE: full", "Free some.")
    assert row_of(targets=[FAILED], backups=[made(ago(days=9))]).risk == "late"


def test_a_failed_drill_is_trouble_until_one_succeeds() -> None:
    def drill(result: str, hours: float) -> dict[str, Any]:
        return {"at": made(ago(hours=hours))["created"], "result": result, "seconds": 3.5, "message": "a row is missing"}

    row = row_of(backups=[made(ago(hours=2), drill=drill("failed", 1))])
    assert (row.risk, row.code, row.msg) == ("failing", "VERIFY_FAILED", "the last drill failed: a row is missing")
    both = [made(ago(hours=5), drill=drill("failed", 4)), made(ago(hours=2), drill=drill("ok", 1))]
    later = row_of(backups=both)
    assert (later.risk, later.drill.seconds if later.drill else None) == ("unsafe", 3.5)


# -- what there should be -------------------------------------------------------------------------------------------


def test_a_database_that_nothing_protects_is_uncovered() -> None:
    server = {**SERVER, "databases": [{"name": "shop", "bytes": 5}, {"name": "crm", "bytes": 7}, {"name": "postgres", "bytes": 1}]}
    known = fragment(host("db1", backups=[made(ago(hours=1))], servers=[server]))
    rows = rows_of(known, exclude=["postgres"])
    assert [(row.database, row.outcome, row.risk, row.bytes) for row in rows] == [("crm", "uncovered", "lost", 7), ("shop", "ok", "unsafe", 1000)]
    assert [row.database for row in rows_of(known)] == ["crm", "postgres", "shop"]


@pytest.mark.parametrize(("manifest", "context"), [
    ({"container": {"name": "app"}, "port": 5432}, {"container": {"name": "app", "id": "x"}, "port": 5432, "host": None}),
    ({"container": None, "host": "db.example.com", "port": 5432}, {"container": None, "host": "db.example.com", "port": 5432}),
    ({"container": None, "host": None, "port": 5433}, {"container": None, "host": None, "port": 5433}),
])
def test_a_server_whose_sets_have_an_instance_of_their_own_is_covered(manifest: dict[str, Any], context: dict[str, Any]) -> None:
    server = {"instance": "compose_db", "context": context, "error": None, "databases": [{"name": "shop", "bytes": 1}]}
    sets = [made(ago(hours=1), instance="mine", **manifest)]
    assert [row.instance for row in rows_of(fragment(host("db1", backups=sets, servers=[server])))] == ["mine"]
    other = {**server, "context": {**context, "container": {"name": "other"}}}
    assert [row.instance for row in rows_of(fragment(host("db1", backups=sets, servers=[other])))] == ["compose_db", "mine"]


def test_a_server_that_cannot_be_looked_into_is_told_of() -> None:
    server: dict[str, Any] = {**SERVER, "databases": [], "error": {"code": "AUTH_FAILED", "msg": "AUTH_FAILED: no", "hint": "Try."}}
    row = row_of(backups=[], servers=[server])
    assert (row.instance, row.database, row.outcome, row.code, row.risk) == ("app", "", "uncovered", "AUTH_FAILED", "lost")
    assert [row.outcome for row in rows_of(fragment(host("db1", backups=[made(ago(hours=1))], servers=[server])))] == ["ok"]


def test_the_result_of_pg_backup_goes_in_as_it_is() -> None:
    result = {
        "changed": True, "failed": True, "code": "BACKUP_FAILED", "msg": "BACKUP_FAILED: 1 of 3", "hint": "Read.", "log": ["x"],
        "plan": {"instance": "app"},
        "backups": [made(ago(hours=1), status="fresh"), made(ago(hours=1), database="wiki", status="suspicious"),
                    made(ago(hours=1), database="@globals", kind="globals")],
        "failed_databases": [{"database": "crm", "code": "LOCK_CONTENTION", "msg": "LOCK_CONTENTION: busy", "retryable": True}],
    }
    rows = rows_of(fragment(host("db1", targets=[result], backups=result["backups"])))
    assert {(row.instance, row.database, row.outcome, row.code) for row in rows} == {
        ("app", "crm", "failed", "LOCK_CONTENTION"), ("app", "wiki", "suspicious", None), ("app", "shop", "fresh", None)}


def test_a_database_that_has_collapsed_is_told_of_with_and_without_the_run() -> None:
    sets = [made(ago(hours=9)), made(ago(hours=1), status="suspicious", verified=False)]
    result = {"plan": {"instance": "app"}, "backups": [{**sets[1], "warnings": ["BACKUP_SUSPICIOUS: shrunk"]}]}
    row = row_of(targets=[result], backups=sets)
    assert (row.outcome, row.risk, row.msg) == ("suspicious", "failing", "BACKUP_SUSPICIOUS: shrunk")
    assert row.last is not None
    assert row.last.at == epoch(sets[0]["created"]), "what holds the data still counts"
    looked = row_of(backups=sets)
    assert (looked.outcome, looked.risk, looked.msg) == ("suspicious", "failing", None)
    assert row_of(backups=[*sets, made(ago(minutes=5))]).outcome == "ok"


def test_a_run_that_failed_early_finds_its_database() -> None:
    """It could not say which instance it was about; where it can only be one, there is no second row."""
    early = {**FAILED, "instance": None}
    assert row_of(targets=[early], backups=[made(ago(hours=1))]).instance == "app"
    two = [made(ago(hours=1)), made(ago(hours=1), instance="other")]
    assert len(rows_of(fragment(host("db1", targets=[early], backups=two)))) == 3


def test_an_instance_that_failed_as_a_whole_fails_each_of_its_databases() -> None:
    whole = {**FAILED, "database": None}
    sets = [made(ago(hours=1)), made(ago(hours=1), database="crm"), made(ago(hours=1), instance="other")]
    rows = rows_of(fragment(host("db1", targets=[whole], backups=sets)))
    assert {(row.instance, row.database, row.outcome) for row in rows} == {
        ("app", "shop", "failed"), ("app", "crm", "failed"), ("other", "shop", "ok")}
    alone = row_of(targets=[whole], backups=[])
    assert (alone.database, alone.risk) == ("", "unknown")


# -- merging --------------------------------------------------------------------------------------------------------

EARLIER = format_time(ago(days=2))


def test_the_newest_word_on_a_host_counts_in_whatever_order_it_comes() -> None:
    old = fragment(host("db1", backups=[made(ago(days=2.2))]), generated=EARLIER)
    new = fragment(host("db1", backups=[made(ago(hours=1))]))
    for order in ([old, new], [new, old]):
        assert [row.risk for row in rows_of(*order)] == ["unsafe"]


def test_a_host_that_went_down_keeps_its_history_and_one_that_lost_its_backups_does_not() -> None:
    old = fragment(host("db1", backups=[made(ago(hours=3))]), generated=EARLIER)
    down = rows_of(old, fragment(host("db1", reachable=False)))
    assert [(row.outcome, row.risk, row.database) for row in down] == [("unreachable", "failing", "shop")]
    target = {"instance": "app", "database": "shop", "outcome": "ok"}
    gone = rows_of(old, fragment(host("db1", targets=[target], backups=[])))
    assert [row.risk for row in gone] == ["lost"]


def test_outcomes_of_two_jobs_for_one_host_stand_side_by_side() -> None:
    one = fragment(host("db1", targets=[{**FAILED, "database": "crm"}]), generated=EARLIER)
    two = fragment(host("db1", targets=[{**FAILED, "code": None, "outcome": "ok"}], backups=[made(ago(hours=1))]))
    assert {(row.database, row.outcome) for row in rows_of(one, two)} == {("crm", "failed"), ("shop", "ok")}


def test_a_newer_failure_is_not_hidden_by_an_older_success_under_a_better_name() -> None:
    early = {**FAILED, "instance": None}
    fine = {"instance": "app", "database": "shop", "outcome": "ok"}
    told = [fragment(host("db1", targets=[target], backups=[made(ago(hours=1))]), generated=format_time(ago(days=3 - number)))
            for number, target in enumerate([early, fine, early])]
    assert [row.outcome for row in rows_of(*told)] == ["failed"]
    assert [row.outcome for row in rows_of(*told[:2])] == ["ok"]


def test_a_host_that_nobody_reported_is_in_the_report() -> None:
    rows = rows_of(fragment(host("db1", backups=[], servers=[])), expected=("db1", "db2"))
    assert [(row.host, row.outcome, row.risk, row.msg) for row in rows] == [("db2", "unreachable", "unknown", "no run has reported this host")]


@pytest.mark.parametrize("broken", [
    None, [], {}, {"schema_version": 2}, {"schema_version": 1}, {"schema_version": 1, "generated": "now", "hosts": []},
    {"schema_version": 1, "generated": NOW, "hosts": {}}, {"schema_version": 1, "generated": NOW, "hosts": ["db9"]},
    fragment({"host": ""}), fragment({"host": 5}), fragment(host("db9", error="x")), fragment(host("db9", targets={})),
    fragment(host("db9", targets=[{"outcome": "great"}])), fragment(host("db9", targets=[{"rpo": "soon"}])),
    fragment(host("db9", backups=[made(ago(hours=1), created="yesterday")])), fragment(host("db9", backups=["x"])),
    fragment(host("db9", backups=[made(ago(hours=1), bytes=float("nan"))])), fragment(host("db9", backups=[made(ago(hours=1), timings=3)])),
    fragment(host("db9", copies=[{"id": "x"}])), fragment(host("db9", servers=[{"context": 4}, 5])),
    fragment(host("db9", backups=[made(ago(hours=1), created="2026-02-30T00:00:00Z")])),
])
def test_what_cannot_be_understood_is_told_and_hides_nothing_else(broken: Any) -> None:
    problems: list[Problem] = []
    rows = rows_of(broken, fragment(host("db1", backups=[made(ago(hours=1))])), problems=problems)
    assert "db1" in [row.host for row in rows]
    assert {problem.source for problem in problems} == {"f0"}
    assert all(problem.msg for problem in problems)


def test_a_broken_fragment_does_not_drown_the_others_problems() -> None:
    problems: list[Problem] = []
    rows_of(fragment(host("db1", backups=["x"] * 3 + [made(ago(hours=1), created=5)] * 300)), problems=problems)
    assert len(problems) == 21
    assert problems[-1].msg == "and 281 more"


# -- the order and the curve ----------------------------------------------------------------------------------------


def test_the_worst_is_on_top() -> None:
    rows = rows_of(troubled())
    assert [(row.host[:4], row.database, row.outcome, row.risk) for row in rows] == [
        ("app1", "invoices", "uncovered", "lost"),
        ("app7", "forum", "failed", "lost"),
        ("app3", "", "unreachable", "unknown"),
        ("app2", "wiki", "failed", "late"),
        ("app5", "ledger", "stale", "late"),
        ("app4", "mail", "failed", "failing"),
        ("app6", "photos", "ok", "unsafe"),
        ("app4", "auth", "ok", "safe"),
        ("app1", "shop", "ok", "safe"),
        ("app1", "crm", "ok", "safe"),
    ]


def test_a_year_becomes_a_curve_of_at_most_sixty_points() -> None:
    sets = history("shop", daily=True)
    row = row_of(backups=sets)
    assert 50 <= len(row.sizes) <= 60
    assert row.sizes == sorted(row.sizes)
    assert row.sizes[-1] == (epoch(sets[-1]["created"]), sets[-1]["bytes"])
    assert row_of(backups=sets[-20:]).sizes == [(epoch(item["created"]), item["bytes"]) for item in sets[-20:]]
    assert row_of(backups=[made(ago(hours=1), bytes=None)]).sizes == []


def test_growth_is_against_a_month_before() -> None:
    sets = [made(ago(days=31), bytes=1000), made(ago(days=10), bytes=1), made(ago(hours=1), bytes=1250)]
    assert row_of(backups=sets).growth == 0.25
    assert row_of(backups=sets[1:]).growth is None
