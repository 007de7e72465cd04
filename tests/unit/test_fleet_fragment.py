# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_fragment import fleet_fragment
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.unit.manifests import NOON, make_manifest
from jsonschema import Draft202012Validator

SCHEMA = Draft202012Validator(
    json.loads((REPOSITORY / "docs" / "schemas" / "report-fragment-1.json").read_text(encoding="utf-8")))
SET = {**make_manifest(database="shop"), "path": "/b", "verified": True, "status": "ok"}
DOWN = {"unreachable": True, "msg": "no route\nto host"}


def ran(**more: Any) -> dict[str, Any]:
    plan = {"instance": "shop_db", "databases": [], "left_out": ["blog", "postgres"]}
    item = {"index": 0, "target": "shop_db", "database": "shop", "all_databases": False, "rpo": "2h"}
    return {"results": [{"ansible_loop_var": "i", "i": item, "backups": [SET], "failed_databases": [], "plan": plan,
                         "context": {}, **more}]}


def tell(variables: dict[str, Any], **how: Any) -> dict[str, Any]:
    fragment = fleet_fragment({"h": variables}, ["h"], now=NOON, **how)
    SCHEMA.validate(fragment)
    assert fragment["generated"] == "2026-11-21T12:00:00Z"
    host: dict[str, Any] = fragment["hosts"][0]
    return host


def test_a_run_and_a_look_are_told_without_what_the_report_does_not_read() -> None:
    host = tell({
        "fleet_backup_run": ran(), "fleet_backup_seen": {"backups": [SET], "servers": []}, "fleet_backup_rpo": "1d",
        "fleet_backup_collected": {"fetched": [], "present": [{
            "id": SET["id"], "instance": "shop_db", "database": "shop", "where": "controller", "verified": True}]},
    }, ignore=["postgres"])
    done, uncovered = host["targets"]
    assert done["backups"] == [{"kind": "full", "status": "ok", "instance": "shop_db", "database": "shop"}]
    assert done["rpo"] == "2h"
    assert (uncovered["outcome"], uncovered["database"]) == ("uncovered", "blog")
    assert (host["reachable"], host["error"], host["rpo"], host["servers"]) == (True, None, "1d", [])
    assert [copy["id"] for copy in host["copies"]] == [SET["id"]]


def test_a_failed_target_keeps_its_reason() -> None:
    failed = ran(backups=[], plan={}, failed=True, code="AUTH_FAILED", msg="AUTH_FAILED: no", hint="try")
    target = tell({"fleet_backup_run": failed})["targets"][0]
    assert (target["database"], target["code"], target["hint"]) == ("shop", "AUTH_FAILED", "try")


def test_what_nobody_has_looked_at_is_missing_and_not_empty() -> None:
    host = tell({"fleet_backup_seen": DOWN, "fleet_backup_run": {"results": [{**ran()["results"][0], **DOWN}]}})
    assert host["reachable"] is False
    assert host["error"]["msg"] == "no route to host"
    assert not {"backups", "servers", "copies"} & set(host)
    assert tell({})["error"] is None
    search = tell({"fleet_backup_found": {"failed": True, "code": "X", "msg": "no"}, "fleet_backup_run": ran()})
    assert search["error"]["code"] == "X"
