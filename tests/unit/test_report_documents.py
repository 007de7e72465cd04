# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's documents against their published schemas, and its summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._report_document import describe
from ansible_collections.pgfleet.backup.plugins.module_utils._report_judge import judge
from ansible_collections.pgfleet.backup.plugins.module_utils._report_merge import Problem, merge
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import OUTCOMES, RISKS, epoch
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.support.fleets import (
    NOW,
    ago,
    copies,
    fragment,
    healthy,
    host,
    large,
    made,
    troubled,
)
from ansible_collections.pgfleet.backup.tests.unit.manifests import make_set

FLEETS = {"healthy": [healthy()], "troubled": [troubled()], "empty": [], "large": large(20, 90)}


def document_of(*fragments: Any) -> dict[str, Any]:
    problems: list[Problem] = []
    hosts = merge([(f"f{number}", item) for number, item in enumerate(fragments)], problems)
    rows = judge(hosts, now=epoch(NOW), rpo=26 * 3600)
    return describe(hosts, rows, problems, title="Backups", now=epoch(NOW))


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((REPOSITORY / "docs" / "schemas" / f"{name}-1.json").read_text(encoding="utf-8"))
    return loaded


def faults(name: str, document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema(name)).iter_errors(document)]


def properties_in(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict):
        yield from part.get("properties", {}).items()
        for inner in part.values():
            yield from properties_in(inner)


@pytest.mark.parametrize("name", ["report", "report-fragment"])
def test_the_schemas_describe_every_key(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert not [key for key, field in properties_in(schema(name)) if not field.get("description", "x.").endswith(".")]


def test_schema_and_code_know_the_same_words() -> None:
    definitions = schema("report")["$defs"]
    assert definitions["risk"]["enum"] == list(RISKS)
    assert definitions["outcome"]["enum"] == list(OUTCOMES)
    assert schema("report-fragment")["$defs"]["target"]["properties"]["outcome"]["enum"] == list(OUTCOMES)


@pytest.mark.parametrize("fleet", FLEETS)
def test_the_documents_are_valid(fleet: str) -> None:
    for item in FLEETS[fleet]:
        assert faults("report-fragment", item) == []
    assert faults("report", document_of(*FLEETS[fleet])) == []


def test_what_the_modules_return_is_a_valid_fragment() -> None:
    entry = make_set(created=made(ago(hours=1))["created"]).describe()
    target = {"changed": True, "backups": [{**entry, "changed": True}], "failed_databases": [], "plan": {"instance": "shop_db"}}
    whole = fragment(host("db1", backups=[entry], targets=[target]))
    assert faults("report-fragment", whole) == []
    row = document_of(whole)["rows"][0]
    assert (row["instance"], row["database"], row["bytes"], row["last_backup"]["seconds"]) == ("shop_db", "shop", 4, 5.25)


@pytest.mark.parametrize(("fragments", "headline"), [
    ([], "There is nothing to report on yet"),
    ([healthy()], "Every database is safe"),
    ([troubled()], "2 databases would be lost tonight"),
    ([fragment(host("db1", reachable=False))], "Nothing is known of 1 target"),
    ([fragment(host("db1", backups=[made(ago(days=9))]))], "1 database would lose more than its RPO"),
    ([fragment(host("db1", backups=[made(ago(hours=1))], error={"msg": "no"}))], "The last run failed for 1 database"),
    ([fragment(host("db1", backups=[made(ago(hours=1))]))], "1 database would be lost together with its host"),
    ([healthy(), None], "Not all that was reported could be read"),
])
def test_the_headline_is_the_worst_that_is_true(fragments: list[Any], headline: str) -> None:
    assert document_of(*fragments)["summary"]["headline"] == headline


def test_the_summary_counts() -> None:
    summary = document_of(troubled())["summary"]
    assert summary["risks"] == {"lost": 2, "unknown": 1, "late": 2, "failing": 1, "unsafe": 1, "safe": 3}
    assert (summary["hosts"], summary["databases"], summary["drilled"]) == (7, 10, 6)
    assert summary["worst"] == {"host": "app1.example.com", "instance": "app", "database": "invoices", "risk": "lost"}
    assert summary["oldest"]["database"] == "wiki"
    assert document_of(healthy())["summary"]["worst"] is None


def test_what_would_be_lost() -> None:
    rows = {row["database"]: row for row in document_of(troubled())["rows"]}
    assert (rows["invoices"]["loss_now"], rows["invoices"]["loss_now_seconds"], rows["invoices"]["loss_with_host_seconds"]) == (
        "everything", None, None)
    assert rows[""]["loss_now"] == "unknown"
    assert (rows["shop"]["loss_now"], rows["shop"]["loss_now_seconds"], rows["shop"]["safe"]) == ("since", 3 * 3600, True)
    assert (rows["photos"]["loss_now_seconds"], rows["photos"]["loss_with_host_seconds"]) == (6 * 3600, None)


def test_the_fleets_curve_adds_up_what_was_newest_each_time() -> None:
    one = [made(ago(days=20), bytes=100), made(ago(days=10), bytes=300)]
    two = [made(ago(days=15), bytes=1000, database="crm")]
    curve = document_of(fragment(host("db1", backups=one + two, copies=copies(one))))["sizes"]
    assert len(curve) == 60
    assert [size for _at, size in curve][::12] == [100, 100, 1100, 1300, 1300]
    assert curve[-1] == [NOW, 1300]
