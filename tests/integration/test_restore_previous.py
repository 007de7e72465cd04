# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back after a swap: one task, and back again by the same."""

from __future__ import annotations

import json

from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted


def _row(local: Local, database: str) -> dict[str, object]:
    rows = local.server.sql("postgres", f"""
        SELECT to_jsonb(d) - 'datfrozenxid' - 'datminmxid' FROM pg_database d WHERE datname = '{database}'""")
    found: dict[str, object] = json.loads(rows[0])
    return found


def _kept(local: Local, database: str) -> list[str]:
    return [name for name in local.databases() if name.startswith(database + "__")]


def test_there_and_back_and_there_again(local: Local, database: str) -> None:
    local.back_up(database)
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    local.server.sql("postgres", f"COMMENT ON DATABASE {quoted(database)} IS 'two\nlines'")
    before, row = local.look(database), _row(local, database)
    first = local.restore(database=database, confirm=database).succeeded()["restore"]["previous_database"]
    restored = local.look(database)

    back = local.restore(database=database, backup="previous", confirm=database)
    told = back.succeeded()["restore"]
    assert back.changed
    assert told["backup"]["path"] == first
    assert differences(before, local.look(database)) == []
    assert _row(local, database) == row
    assert _kept(local, database) == [told["previous_database"]]
    assert _row(local, told["previous_database"])["datallowconn"] is False

    again = local.restore(database=database, backup="previous", confirm=database).succeeded()["restore"]
    assert differences(restored, local.look(database)) == []
    assert _kept(local, database) == [again["previous_database"]]


def test_a_database_that_is_gone_comes_back_without_a_confirmation(local: Local, database: str) -> None:
    local.back_up(database)
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    local.restore(database=database, confirm=database).succeeded()
    local.server.sql("postgres", f"DROP DATABASE {quoted(database)}")
    told = local.restore(database=database, backup="previous").succeeded()["restore"]
    assert told["previous_database"] is None
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["4"]
    assert _kept(local, database) == []


def test_check_mode_and_a_missing_name_change_nothing(local: Local, database: str) -> None:
    local.back_up(database)
    kept = local.restore(database=database, confirm=database).succeeded()["restore"]["previous_database"]
    databases = local.databases()
    planned = local.restore(database=database, backup="previous", confirm=database, check=True, diff=True)
    assert planned.changed
    assert kept in planned.succeeded()["diff"]["after"]
    assert planned.result["plan"]["backup"]["path"] == kept
    refused = local.restore(database=database, backup="previous").failed_with("RESTORE_NOT_CONFIRMED")
    assert kept in refused["msg"]
    assert local.databases() == databases


def test_what_cannot_be_gone_back_to(local: Local, database: str) -> None:
    local.back_up(database)
    missing = local.restore(database=database, backup="previous", confirm=database).failed_with("BACKUP_NOT_FOUND")
    assert "keep_previous" in missing["hint"]
    local.restore(database=database, backup="previous", strategy="in_place", confirm=database).failed_with("INVALID_DB_CONFIG")
