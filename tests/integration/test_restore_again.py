# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores after restores: going back and forth, and backups that hold only a part, must never cost the database."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted
from ansible_collections.pgfleet.backup.tests.support.waiting import table_locked


def _comment(local: Local, database: str) -> list[str]:
    return local.server.sql(
        "postgres", f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'"
    )


def test_a_database_that_was_renamed_back_is_never_dropped(local: Local, database: str) -> None:
    local.server.sql("postgres", f"COMMENT ON DATABASE {quoted(database)} IS 'the shop'")
    local.back_up(database)
    previous = local.restore(database=database, confirm=database).succeeded()["restore"]["previous_database"]
    local.server.sql("postgres", (
        f"ALTER DATABASE {quoted(database)} RENAME TO {quoted(database + '_bad')};"
        f"ALTER DATABASE {quoted(previous)} RENAME TO {quoted(database)};"
        f"ALTER DATABASE {quoted(database)} WITH ALLOW_CONNECTIONS true;"
    ))
    # Its comment still says that it was replaced once; that is neither backed up nor taken for the truth.
    entry = local.back_up(database)
    assert entry["database_properties"]["comment"] == "the shop"
    again = local.restore(database=database, confirm=database, keep_previous=1).succeeded()
    assert not [line for line in again["log"] if line.startswith("Dropped")]
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["3"]
    assert _comment(local, database) == ["the shop"]
    third = local.restore(database=database, confirm=database, keep_previous=0).succeeded()
    assert third["restore"]["previous_database"] is None
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["3"]
    assert not [name for name in local.databases() if name.startswith(database + "__before_")]


def test_a_kept_database_that_was_given_another_name_is_never_dropped(local: Local, database: str) -> None:
    """Whoever renames it wants it, although its comment still says whose it was."""
    local.back_up(database)
    previous = local.restore(database=database, confirm=database).succeeded()["restore"]["previous_database"]
    wanted = database + "_of_last_week"
    local.server.sql("postgres", f"ALTER DATABASE {quoted(previous)} RENAME TO {quoted(wanted)}")
    local.restore(database=database, confirm=database, keep_previous=0).succeeded()
    assert wanted in local.databases()
    assert not [name for name in local.databases() if name.startswith(database + "__before_")]


def test_a_set_of_a_part_is_not_swapped_in_for_the_whole(local: Local, database: str) -> None:
    part = local.back_up(database, schema_only=True)
    refused = local.restore(database=database, backup=part["id"], confirm=database)
    assert "only a part" in refused.failed_with("INVALID_BACKUP_FORMAT")["msg"]
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["3"]
    # Beside it, it may be restored.
    local.restore(database=database, backup=part["id"], target_database=database + "_part",
                  strategy="create").succeeded()
    assert local.server.sql(database + "_part", "SELECT count(*) FROM t") == ["0"]


def test_a_drill_of_a_part_is_refused_and_leaves_the_set_its_good_name(local: Local, database: str) -> None:
    local.back_up(database)
    local.restore(database=database, strategy="drill", tables=["t"]).failed_with("INVALID_DB_CONFIG")
    assert local.info(database=database).succeeded()["backups"][0]["verified"] is True


def test_a_safety_backup_is_never_the_latest(local: Local, database: str) -> None:
    local.back_up(database)
    local.server.sql(database, "DELETE FROM t")
    first = local.restore(database=database, strategy="in_place", confirm=database).succeeded()
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["3"]
    # Of the damage there is a set now, and it is newer.
    local.server.sql(database, "DELETE FROM t")
    local.restore(database=database, strategy="in_place", confirm=database).succeeded()
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["3"]
    local.restore(
        database=database, backup=first["safety_backup"], target_database=database + "_damage", strategy="create"
    ).succeeded()
    assert local.server.sql(database + "_damage", "SELECT count(*) FROM t") == ["0"]


def test_a_foreign_dump_may_not_act_outside_its_target(local: Local, database: str, tmp_path: Path) -> None:
    victim = local.create("victim")
    for number, line in enumerate(("DROP DATABASE victim;", "\\connect victim", "\\! touch /tmp/never")):
        dump = tmp_path / f"{number}.sql"
        dump.write_text(f"--\n-- PostgreSQL database dump\n--\n{line}\n--\n-- PostgreSQL database dump complete\n--\n")
        refused = local.restore(database=database, backup=str(dump), strategy="drill")
        assert "outside" in refused.failed_with("INVALID_BACKUP_FORMAT")["msg"]
    assert local.server.sql(victim, "SELECT count(*) FROM t") == ["3"]


def test_a_swap_of_a_database_with_an_awkward_name_and_its_sessions(local: Local) -> None:
    database = local.create("a$way$b")
    local.back_up(database)
    with table_locked(local.server, database):  # somebody is connected, and stays
        local.restore(database=database, confirm=database, lock_wait_timeout=30).succeeded()
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["3"]


def test_rows_that_are_not_a_tables_own_are_compared_as_they_were_dumped(local: Local) -> None:
    database = local.create("rooted", """
        CREATE TYPE colour AS ENUM ('red', 'blue');
        CREATE TABLE p (c colour) PARTITION BY HASH (c);
        CREATE TABLE p_0 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        INSERT INTO p VALUES ('red'), ('blue');
    """)
    local.back_up(database, extra_args=["--load-via-partition-root"])
    restored = local.restore(database=database, strategy="drill").succeeded()["restore"]
    assert restored["verification"]["rows"] == 2


def test_a_clock_that_goes_back_does_not_cost_the_newest_of_the_kept(local: Local, database: str) -> None:
    local.back_up(database)
    ahead = f"{database}__before_29991231T235959Z"
    previous = local.restore(database=database, confirm=database).succeeded()["restore"]["previous_database"]
    local.server.sql("postgres", f"ALTER DATABASE {quoted(previous)} RENAME TO {quoted(ahead)}")
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    again = local.restore(database=database, confirm=database, keep_previous=1).succeeded()["restore"]
    assert [name for name in local.databases() if name.startswith(database + "__")] == [again["previous_database"]]
    local.server.sql("postgres", f"ALTER DATABASE {quoted(again['previous_database'])} ALLOW_CONNECTIONS true")
    assert local.server.sql(again["previous_database"], "SELECT count(*) FROM t") == ["4"]
