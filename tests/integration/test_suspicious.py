# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that was emptied: its backup is there, and pushes nothing out until somebody accepts it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.pgfleet.backup.tests.support.local import Local

KEEP_ONE = {"keep_last": 1}


def test_a_collapse_pushes_nothing_out_until_it_is_accepted(local: Local, database: str) -> None:
    local.server.sql(database, "CREATE TABLE orders AS SELECT generate_series(1, 5000) AS n")
    good = local.back_up(database, fail_on_suspicious=True)
    assert good["status"] == "ok"
    local.server.sql(database, "DELETE FROM orders")

    done = local.backup(database=database, retention=KEEP_ONE).succeeded()
    [first] = done["backups"]
    told = (f"BACKUP_SUSPICIOUS: {database} has shrunk since the backup {good['id']}: "
            f"3 rows, and 5,003 before; public.orders is empty, and had 5,000 rows")
    assert (first["status"], first["verified"], first["warnings"]) == ("suspicious", False, [told])
    assert "WARNING: " + told in done["log"]
    assert done["pruned"] == []

    failed = local.backup(database=database, retention=KEEP_ONE, fail_on_suspicious=True)
    result = failed.failed_with("BACKUP_SUSPICIOUS")
    assert failed.changed
    [second] = result["backups"]
    assert second["status"] == "suspicious"
    assert (Path(second["path"]) / "manifest.json").exists(), "it is there all the same"
    assert result["failed_databases"][0]["msg"] == result["msg"] == told

    planned = local.restore(database=database, confirm=database, check=True).succeeded()["plan"]
    assert planned["backup"]["id"] == good["id"], "latest stays with what holds the data"
    planned = local.backup(database=database, max_age="1h", check=True).succeeded()["plan"]
    assert planned["databases"][0]["fresh"] == good["id"]
    summary = local.info().succeeded()["summary"]
    assert summary["suspicious"] == summary["unverified"] == [first["path"], second["path"]]

    done = local.backup(database=database, retention=KEEP_ONE, accept_shrinkage=True).succeeded()
    [accepted] = done["backups"]
    assert (accepted["status"], accepted["verified"]) == ("ok", True)
    assert "accepted" in accepted["warnings"][0]
    assert done["pruned"] == [good["path"], first["path"], second["path"]]
