# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each strategy of a restore does to the server, and what it leaves alone."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted, tree
from ansible_collections.pgfleet.backup.tests.support.psql import SqlError

# Restoring table a fails: under the empty search_path of a restore its check does not find b.
UNRESTORABLE = """
    CREATE TABLE b (n int); INSERT INTO b VALUES (1);
    CREATE FUNCTION in_b(int) RETURNS boolean LANGUAGE plpgsql
        AS $$ BEGIN RETURN EXISTS (SELECT FROM b WHERE n = $1); END $$;
    CREATE TABLE a (n int CHECK (in_b(n))); INSERT INTO a VALUES (1);
"""


def _rows(local: Local, database: str) -> list[str]:
    return local.server.sql(database, "SELECT n FROM t ORDER BY n")


def _ours(local: Local) -> list[str]:
    """Side and drill databases that were left behind."""
    return [name for name in local.databases() if "__side_" in name or "__drill_" in name]


def _kept(local: Local, database: str) -> list[str]:
    return [name for name in local.databases() if name.startswith(database + "__before_")]


# -- create ---------------------------------------------------------------------------------------------------------


def test_create_makes_a_database_that_was_not_there(local: Local, database: str) -> None:
    local.back_up(database)
    done = local.restore(database=database, target_database=database + "_2", strategy="create")
    restored = done.succeeded()["restore"]
    assert done.changed
    assert (restored["database"], restored["target_database"]) == (database, database + "_2")
    assert (restored["strategy"], restored["previous_database"]) == ("create", None)
    assert restored["verification"] == {"result": "ok", "tables": 1, "rows": 3, "sequences": 0}
    assert _rows(local, database + "_2") == ["1", "2", "3"]


def test_create_leaves_alone_what_is_there(local: Local, database: str) -> None:
    local.back_up(database)
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    before = local.databases()
    # Confirmed or not: create never replaces.
    local.restore(database=database, strategy="create", confirm=database).failed_with("TARGET_EXISTS")
    assert local.databases() == before
    assert _rows(local, database) == ["1", "2", "3", "4"]


# -- swap -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm", [None, "", "yes", "true", "D1"])
def test_nothing_is_replaced_unless_its_name_was_typed(local: Local, database: str, confirm: str | None) -> None:
    local.back_up(database)
    before = local.databases()
    result = local.restore(database=database, confirm=confirm).failed_with("RESTORE_NOT_CONFIRMED")
    assert f"replace the database {database} " in result["msg"]
    assert local.server.user in result["msg"]
    assert f"confirm: {database} " in result["hint"]
    assert local.databases() == before


def test_swap_keeps_the_previous_database_and_one_rename_goes_back(local: Local, database: str) -> None:
    local.back_up(database)
    local.server.sql(database, "INSERT INTO t VALUES (4); COMMENT ON DATABASE {0} IS 'mine'".format(quoted(database)))
    before = local.look(database)
    done = local.restore(database=database, confirm=database).succeeded()
    previous = done["restore"]["previous_database"]
    assert _rows(local, database) == ["1", "2", "3"]
    assert _kept(local, database) == [previous]
    with pytest.raises(SqlError, match="not currently accepting connections"):
        _rows(local, previous)

    local.server.sql("postgres", f'ALTER DATABASE {database} RENAME TO spoilt; ALTER DATABASE "{previous}" RENAME TO {database};'
                                 f" ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    after = local.look(database)
    # Its comment says where it comes from, and still holds what it was.
    assert [line.split(":")[0] for line in differences(before, after)] in ([], ["database properties"])
    comment = local.server.sql("postgres", f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'")
    assert comment[0].endswith("mine")
    assert _rows(local, database) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_as_many_previous_databases_are_kept_as_wanted(local: Local, database: str, keep: int) -> None:
    local.back_up(database)
    # Databases that only look like kept ones are nobody's to drop.
    neighbour = local.create(database + "__before_20200101T000000Z")
    names = []
    for _run in range(3):
        done = local.restore(database=database, confirm=database, keep_previous=keep, analyze=False).succeeded()
        names.append(done["restore"]["previous_database"])
    kept = [name for name in _kept(local, database) if name != neighbour]
    assert kept == sorted(name for name in names if name)[-keep:] if keep else kept == []
    assert neighbour in local.databases()
    assert _rows(local, database) == ["1", "2", "3"]


def test_swap_creates_a_target_that_is_not_there(local: Local, database: str) -> None:
    local.back_up(database)
    local.server.sql("postgres", f"DROP DATABASE {database}")
    restored = local.restore(database=database).succeeded()["restore"]
    assert restored["previous_database"] is None
    assert _rows(local, database) == ["1", "2", "3"]
    assert _kept(local, database) == []


def test_swap_replaces_another_target(local: Local, database: str) -> None:
    local.back_up(database)
    other = local.create(database + "_other", "CREATE TABLE t (n int); INSERT INTO t VALUES (9)")
    local.restore(database=database, target_database=other, confirm=database).failed_with("RESTORE_NOT_CONFIRMED")
    local.restore(database=database, target_database=other, confirm=other).succeeded()
    assert _rows(local, other) == ["1", "2", "3"]
    assert _rows(local, database) == ["1", "2", "3"]
    assert _kept(local, database) == []
    assert len(_kept(local, other)) == 1


def test_swap_under_clients_that_reconnect_all_the_time(local: Local, database: str) -> None:
    local.back_up(database)
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    stop = threading.Event()
    argv = [str(local.server.bin_dir / "psql"), "-XAtq", "-h", str(local.server.socket_dir), "-p", str(local.server.port),
            "-U", local.server.user, "-d", database, "-c", "SELECT count(*) FROM t"]
    seen: list[str] = []

    def client() -> None:
        for _attempt in range(500):
            if stop.is_set():
                return
            seen.append(subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip())

    clients = [threading.Thread(target=client) for _number in range(10)]
    for thread in clients:
        thread.start()
    try:
        local.restore(database=database, confirm=database).succeeded()
    finally:
        stop.set()
        for thread in clients:
            thread.join()
    # Whoever came at the moment of the swap was turned away; nobody ever saw a half restored database.
    assert set(seen) <= {"4", "3", ""}
    assert _rows(local, database) == ["1", "2", "3"]


def test_an_owner_who_may_create_databases_can_swap(local: Local, role: Callable[..., str]) -> None:
    owner = role("LOGIN CREATEDB")
    database = local.create("d_of_owner", f"ALTER DATABASE d_of_owner OWNER TO {owner}; ALTER SCHEMA public OWNER TO {owner};"
                            f"SET ROLE {owner}; CREATE TABLE t AS SELECT generate_series(1, 3) AS n")
    local.back_up(database, login_user=owner)
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    before = local.look(database)
    local.server.sql(database, "DELETE FROM t")
    local.server.sql(database, "INSERT INTO t VALUES (1), (2), (3)")
    restored = local.restore(database=database, confirm=database, login_user=owner).succeeded()["restore"]
    assert restored["previous_database"] in local.databases()
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    assert differences(before, local.look(database)) == []


# -- drill, and what failed -----------------------------------------------------------------------------------------


def test_a_drill_proves_the_backup_and_leaves_nothing(local: Local, database: str) -> None:
    entry = local.back_up(database, verify="checksum")
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    before = local.databases()
    restored = local.restore(database=database, strategy="drill").succeeded()["restore"]
    assert restored["verification"]["rows"] == 3
    assert local.databases() == before
    assert _rows(local, database) == ["1", "2", "3", "4"]
    assert (Path(entry["path"]) / "verification.json").stat().st_mode & 0o777 == 0o600
    assert local.info().succeeded()["backups"][0]["verified"]


@pytest.mark.parametrize("strategy", ["swap", "create", "drill"])
def test_a_failed_restore_leaves_nothing_behind(local: Local, strategy: str) -> None:
    database = local.create("unrestorable", UNRESTORABLE)
    local.back_up(database)
    before, databases = local.look(database), local.databases()
    target = {"target_database": "unrestorable_2"} if strategy == "create" else {}
    result = local.restore(database=database, strategy=strategy, confirm=database, **target).failed_with("RESTORE_FAILED")
    assert 'relation "b" does not exist' in result["msg"]
    assert local.databases() == databases
    assert _ours(local) == []
    assert differences(before, local.look(database)) == []


def test_a_failed_drill_takes_the_backup_s_good_name(local: Local) -> None:
    database = local.create("unrestorable", UNRESTORABLE)
    local.back_up(database)
    local.restore(database=database, strategy="drill").failed_with("RESTORE_FAILED")
    assert not local.info().succeeded()["backups"][0]["verified"]
    local.restore(database=database, strategy="drill").failed_with("BACKUP_NOT_FOUND")


# -- check mode -----------------------------------------------------------------------------------------------------


def test_check_mode_shows_plan_and_blockers_and_changes_nothing(local: Local, database: str) -> None:
    local.back_up(database)
    databases, files, before = local.databases(), tree(local.backup_dir), local.look(database)

    def planned(**options: Any) -> dict[str, Any]:
        return local.restore(database=database, check=True, diff=True, **options).succeeded()

    blocked = planned()
    assert [item["code"] for item in blocked["plan"]["blockers"]] == ["RESTORE_NOT_CONFIRMED"]
    free = planned(confirm=database)
    assert free["plan"]["blockers"] == []
    assert free["plan"]["replaces"] is True
    assert free["changed"]
    assert database in free["diff"]["before"] + free["diff"]["after"]
    assert planned(strategy="create")["plan"]["blockers"][0]["code"] == "TARGET_EXISTS"
    assert planned(strategy="in_place", confirm=database)["plan"]["safety_backup"] is True
    planned(strategy="drill")
    assert local.databases() == databases
    assert tree(local.backup_dir) == files
    assert differences(before, local.look(database)) == []
