# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._plan_diff import plan_diff

TARGET = {"bytes": 10, "owner": "shop", "sessions": {"psql": 2, "app": 1}}


def backup_plan(**database: Any) -> dict[str, Any]:
    item = {"folder": "/b/i/shop", "kind": "full", "existing": ["one", "two"], "removable": [], "fresh": False, **database}
    return {"databases": [item], "instance": "i", "format": "directory", "verify": "archive"}


def restore_plan(**changes: Any) -> dict[str, Any]:
    return {
        "target_database": "shop", "backup": {"path": "/b/one"}, "target": TARGET, "strategy": "swap", "blockers": [],
        "keep_previous": 1, "findings": [], "estimate": {"seconds": None}, "disk": {"needed": None, "free": None}, **changes,
    }


@pytest.mark.parametrize(("database", "after"), [
    ({}, ["/b/i/shop/one", "/b/i/shop/two", "/b/i/shop/<new full backup, directory, verified by archive>"]),
    ({"removable": ["one"]}, ["/b/i/shop/two", "/b/i/shop/<new full backup, directory, verified by archive>"]),
    ({"fresh": True}, ["/b/i/shop/one", "/b/i/shop/two"]),
    ({"existing": []}, ["/b/i/shop/<new full backup, directory, verified by archive>"]),
    ({"existing": [], "kind": "filtered"}, ["/b/i/shop/<new filtered backup, directory, verified by archive>"]),
    ({"existing": [], "kind": "globals"}, ["/b/i/shop/<new globals>"]),
])
def test_backups(database: dict[str, Any], after: list[str]) -> None:
    diff = plan_diff(backup_plan(**database))
    assert diff["after"].splitlines() == after
    assert diff["before"].splitlines() == ["/b/i/shop/" + name for name in database.get("existing", ["one", "two"])]
    assert diff["before_header"] == diff["after_header"] == "backups of i"


def test_a_backup_that_proves_nothing_is_not_called_verified() -> None:
    diff = plan_diff({**backup_plan(existing=[]), "verify": "none"})
    assert diff["after"] == "/b/i/shop/<new full backup, directory, not verified>\n"


STATE = "10 bytes, owner shop, sessions: app x 1, psql x 2"
BLOCKED = {"level": "blocker", "code": "TARGET_EXISTS", "subject": "target", "msg": "it is there", "hint": "take another"}
REMARK = {"level": "remark", "code": None, "subject": "locale", "msg": "the backup differs", "hint": ""}
REST = ["  time     unknown", "  disk     needs an unknown amount; how much is free cannot be seen from here"]


@pytest.mark.parametrize(("changes", "before", "after"), [
    ({}, STATE, ["shop: restored from /b/one", "shop__before_<stamp>: 10 bytes, owner shop, closed to connections"]),
    ({"keep_previous": 0}, STATE, ["shop: restored from /b/one"]),
    ({"target": None, "keep_previous": 0}, "does not exist", ["shop: restored from /b/one"]),
    ({"target": {**TARGET, "bytes": None, "sessions": {}}, "keep_previous": 0}, "size unknown, owner shop, sessions: none",
     ["shop: restored from /b/one"]),
    ({"strategy": "drill"}, STATE,
     ["shop: " + STATE, "(a scratch database: restored from /b/one, compared, dropped)"]),
    ({"blockers": [{}], "findings": [BLOCKED, REMARK]}, STATE,
     ["shop: " + STATE, "  BLOCKER  TARGET_EXISTS: it is there", "           -> take another",
      "  remark   the backup differs"]),
])
def test_restores(changes: dict[str, Any], before: str, after: list[str]) -> None:
    diff = plan_diff(restore_plan(**changes))
    assert diff["before"] == "shop: {0}\n".format(before)
    assert diff["after"].splitlines() == after + REST
    assert diff["after_header"] == "database shop"


def test_long_findings_are_broken_into_aligned_lines() -> None:
    long = {**REMARK, "msg": "word " * 40, "hint": "do " * 50}
    lines = plan_diff(restore_plan(findings=[long]))["after"].splitlines()[2:-2]
    assert all(len(line) <= 100 for line in lines)
    assert {len(line) - len(line.lstrip()) for line in lines if "word" in line and "remark" not in line} == {11}
    assert {len(line) - len(line.lstrip()) for line in lines if "do" in line and "->" not in line} == {14}


@pytest.mark.parametrize(("guess", "text"), [
    ({"seconds": 0.2, "basis": "backup"}, "about 1 s, guessed from how long the backup took"),
    ({"seconds": 600, "basis": "drill"}, "about 10 min, as its last drill took"),
    ({"seconds": 7500, "basis": "earlier_drill"}, "about 2 h 05 min, as an earlier drill took"),
])
def test_time_and_room(guess: dict[str, Any], text: str) -> None:
    room = {"needed": 2048, "free": 1024**3, "where": "/data"}
    lines = plan_diff(restore_plan(estimate=guess, disk=room))["after"].splitlines()[-2:]
    assert lines == ["  time     " + text, "  disk     needs up to 2.0 KiB; 1.0 GiB free in /data"]
