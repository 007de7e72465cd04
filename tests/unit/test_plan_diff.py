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
        "keep_previous": 1, **changes,
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


STATE = "10 bytes, owner shop, sessions: 1 x app, 2 x psql"


@pytest.mark.parametrize(("changes", "before", "after"), [
    ({}, STATE, ["shop: restored from /b/one", "shop__before_<stamp>: {0}, closed to connections".format(STATE)]),
    ({"keep_previous": 0}, STATE, ["shop: restored from /b/one"]),
    ({"target": None, "keep_previous": 0}, "does not exist", ["shop: restored from /b/one"]),
    ({"target": {**TARGET, "sessions": {}}, "keep_previous": 0}, "10 bytes, owner shop, sessions: none",
     ["shop: restored from /b/one"]),
    ({"strategy": "drill"}, STATE,
     ["shop: " + STATE, "(a scratch database, filled from /b/one, compared, dropped)"]),
    ({"blockers": [{"code": "TARGET_EXISTS", "msg": "it is there"}]}, STATE,
     ["shop: " + STATE, "blocked by TARGET_EXISTS: it is there"]),
])
def test_restores(changes: dict[str, Any], before: str, after: list[str]) -> None:
    diff = plan_diff(restore_plan(**changes))
    assert diff["before"] == "shop: {0}\n".format(before)
    assert diff["after"].splitlines() == after
    assert diff["after_header"] == "database shop"
