# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores into the live database: everything that a script in one transaction can replace, and what must stop it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop
from ansible_collections.pgfleet.backup.tests.support.waiting import table_locked, wait_until

# Partitions of partitions, a default one, keys, indexes and a reference to them.
PARTITIONED = """
    CREATE SCHEMA s; CREATE TABLE s."the top" (n int, part text, v int, PRIMARY KEY (n, part)) PARTITION BY LIST (part);
    CREATE TABLE s.a PARTITION OF s."the top" FOR VALUES IN ('a');
    CREATE TABLE s.b PARTITION OF s."the top" FOR VALUES IN ('b') PARTITION BY RANGE (n);
    CREATE TABLE s.b_1 PARTITION OF s.b FOR VALUES FROM (0) TO (100);
    CREATE TABLE s.b_rest PARTITION OF s.b DEFAULT;
    CREATE TABLE s.rest PARTITION OF s."the top" DEFAULT;
    CREATE INDEX "by v" ON s."the top" (v); CREATE UNIQUE INDEX only_a ON s.a (v);
    CREATE TABLE s.refers (n int, part text, FOREIGN KEY (n, part) REFERENCES s."the top");
    INSERT INTO s."the top" SELECT n, chr(97 + n % 4), n FROM generate_series(1, 200) AS n;
    INSERT INTO s.refers SELECT n, part FROM s."the top";
"""


@pytest.mark.parametrize("format_", ["directory", "custom", "tar"])
def test_a_whole_shop_is_replaced_after_a_safety_backup(local: Local, format_: str) -> None:
    create_shop(local.server, "shop", size=20)
    before = local.look("shop")
    oid = local.server.sql("postgres", "SELECT oid FROM pg_database WHERE datname = 'shop'")
    local.back_up("shop", format=format_)
    local.server.sql("shop", "DELETE FROM sales.order_items; DROP VIEW sales.open_orders; SELECT lo_unlink(700001);"
                             "ALTER TABLE sales.products DROP COLUMN picture; UPDATE sales.orders SET total = 0")
    local.restore(database="shop", strategy="in_place").failed_with("RESTORE_NOT_CONFIRMED")
    done = local.restore(database="shop", strategy="in_place", confirm="shop").succeeded()
    assert done["restore"]["verification"]["result"] == "ok"
    assert done["restore"]["warnings"] == []
    assert differences(before, local.look("shop")) == []
    assert local.server.sql("postgres", "SELECT oid FROM pg_database WHERE datname = 'shop'") == oid
    assert Path(done["safety_backup"]).parent == Path(done["plan"]["backup"]["path"]).parent
    assert local.sessions() == []


def test_partitions_with_keys_and_indexes_are_replaced(local: Local) -> None:
    database = local.create("parts", PARTITIONED)
    before = local.look(database)
    local.back_up(database)
    local.server.sql(database, "DELETE FROM s.refers; DELETE FROM s.\"the top\" WHERE n < 50; DROP INDEX s.only_a")
    local.restore(database=database, strategy="in_place", confirm=database).succeeded()
    assert differences(before, local.look(database)) == []
    # What is attached in the target, and not what the dump has attached, decides what is dropped by itself.
    local.server.sql(database, "DROP TABLE s.refers; ALTER TABLE s.\"the top\" DETACH PARTITION s.a")
    local.restore(database=database, strategy="in_place", confirm=database, safety_backup=False).succeeded()
    assert differences(before, local.look(database)) == []


def test_what_the_backup_does_not_know_stays(local: Local) -> None:
    database = local.create("grown", "CREATE SCHEMA s; CREATE TABLE s.t (n int); CREATE TABLE u (n int); CREATE EXTENSION citext")
    before = local.look(database)
    local.back_up(database)
    made_later = ("CREATE TABLE s.made_later (c citext); CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
                  "CREATE TABLE u2 (n int); CREATE SCHEMA later")
    local.server.sql(database, f"INSERT INTO s.t VALUES (1); {made_later}")
    done = local.restore(database=database, strategy="in_place", confirm=database).succeeded()
    assert f"Kept as it is in {database}: schema s" in done["log"]
    assert f"Kept as it is in {database}: extension citext" in done["log"]
    assert local.server.sql(database, "SELECT count(*) FROM s.t") == ["0"]
    new = {line.split(":")[0] for line in differences(before, local.look(database))}
    assert {line for line in new if not line.endswith(("made_later", "made_later.c", "u2", "u2.n", "later", "s.f()"))} == set()
    assert local.server.sql(database, "SELECT count(*) FROM s.made_later") == ["0"]


DEPENDENTS = {
    "view": ("CREATE VIEW v AS SELECT * FROM s.t", "public.v (needs s.t)"),
    "reference": ("CREATE TABLE r (n int REFERENCES s.t)", "public.r (needs s.t)"),
    "partition": ("CREATE TABLE s.p_2 PARTITION OF s.p FOR VALUES IN (2)", "s.p_2 (needs s.p)"),
    "type": ("CREATE TABLE r (colour s.colour)", "public.r (needs s.colour)"),
    "function": ("CREATE TABLE r (n int DEFAULT s.f(1))", "public.r (needs s.f(integer))"),
    "heir": ("CREATE TABLE r () INHERITS (s.t)", "public.r (needs s.t)"),
}


@pytest.mark.parametrize("kind", DEPENDENTS)
def test_what_depends_on_the_replaced_is_named_before_anything_is_touched(local: Local, kind: str) -> None:
    database = local.create("needed", """
        CREATE SCHEMA s; CREATE TABLE s.t (n int PRIMARY KEY); CREATE TABLE s.p (n int) PARTITION BY LIST (n);
        CREATE TYPE s.colour AS ENUM ('red'); CREATE FUNCTION s.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';""")
    local.back_up(database)
    statement, named = DEPENDENTS[kind]
    local.server.sql(database, statement)
    before = local.look(database)
    options = {"database": database, "strategy": "in_place", "confirm": database}
    planned = local.restore(**options, check=True).succeeded()
    assert named in planned["plan"]["blockers"][0]["msg"]
    refused = local.restore(**options).failed_with("INCOMPATIBLE_TARGET")
    assert named in refused["msg"]
    assert "safety_backup" not in refused
    assert differences(before, local.look(database)) == []


def test_what_only_the_server_finds_rolls_everything_back_and_is_named(local: Local, database: str) -> None:
    local.back_up(database)
    local.server.sql(database, """
        INSERT INTO t VALUES (4);
        CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF tg_tag = 'CREATE TABLE' THEN RAISE EXCEPTION 'no tables today'; END IF; END $$;
        CREATE EVENT TRIGGER no ON ddl_command_end EXECUTE FUNCTION no();""")
    before = local.look(database)
    result = local.restore(database=database, strategy="in_place", confirm=database).failed_with("RESTORE_FAILED")
    assert "no tables today" in result["msg"]
    assert any("CREATE TABLE public.t" in line for line in result["log"])  # the statement that failed
    assert any(line.startswith("CONTEXT:") for line in result["log"])
    assert Path(result["safety_backup"]).is_dir()
    assert differences(before, local.look(database)) == []


def test_it_needs_a_database(local: Local, database: str) -> None:
    local.back_up(database)
    local.restore(database=database, target_database="not_there", strategy="in_place").failed_with("DATABASE_NOT_FOUND")


def test_it_waits_for_locks_no_longer_than_told(local: Local, database: str) -> None:
    local.back_up(database)
    with table_locked(local.server, database):
        result = local.restore(database=database, strategy="in_place", confirm=database, safety_backup=False, lock_wait_timeout=1)
    assert "lock timeout" in result.failed_with("LOCK_CONTENTION")["msg"]
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["3"]


# -- failures midway ------------------------------------------------------------------------------------------------


def _children(pid: int, tool: str) -> list[int]:
    """The processes below one that run a tool."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = status.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if int(fields.split()[1]) == pid and name == tool:
            found.append(int(status.parent.name))
    return found


def _end_backend(local: Local, _module: int) -> None:
    local.server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                 " WHERE application_name LIKE 'pgfleet/%' AND wait_event_type = 'Lock'")


def _kill(tool: str, number: signal.Signals = signal.SIGKILL) -> Callable[[Local, int], None]:
    def kill(_local: Local, module: int) -> None:
        for pid in _children(module, tool) if tool else [module]:
            os.kill(pid, number)

    return kill


# What goes wrong, the code that tells it, and whether the lock must go for it to be seen.
FAILURES = {
    "the server ends the session": (_end_backend, "CONNECTION_FAILED", False),
    "psql is killed": (_kill("psql"), "RESTORE_FAILED", False),
    "pg_restore is killed": (_kill("pg_restore"), "RESTORE_FAILED", True),
    "pg_restore is asked to end": (_kill("pg_restore", signal.SIGTERM), "RESTORE_FAILED", True),
    "the module is asked to end": (_kill("", signal.SIGTERM), "INTERRUPTED", False),
    "the module is killed": (_kill(""), None, False),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_midway_leaves_the_database_as_it_was(
    local: Local, start_module: Callable[..., Any], failure: str
) -> None:
    # More than fits between the two tools, so that both are at work when it happens.
    database = local.create("midway", """
        CREATE TABLE a (n int PRIMARY KEY, text text); CREATE TABLE t (n int REFERENCES a); SELECT lo_create(4711);
        INSERT INTO a SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 12000) AS n; INSERT INTO t VALUES (1)""")
    local.back_up(database)
    local.server.sql(database, "UPDATE a SET text = 'now'; SELECT lo_unlink(4711); CREATE TABLE made_later (n int)")
    before = local.look(database)
    inject, code, unlock = FAILURES[failure]
    with ExitStack() as stack:
        wait = stack.enter_context(table_locked(local.server, database))
        running = start_module("pg_restore", local.options(
            database=database, strategy="in_place", confirm=database, safety_backup=False,
        ), env={"PATH": local.server.path()})
        wait()
        pids = _children(running.process.pid, "psql") + _children(running.process.pid, "pg_restore")
        assert len(pids) == 2
        inject(local, running.process.pid)
        if unlock:
            stack.close()
        done = running.finish()
    if code is not None:
        done.failed_with(code)
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    wait_until(lambda: local.sessions() == [])
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert differences(before, local.look(database)) == []
