# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options of a backup do."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.local import Local, tree
from ansible_collections.pgfleet.backup.tests.support.waiting import (
    table_locked,
    wait_until,
    waiting_for_locks,
)

NewRole = Callable[..., str]


# -- all databases --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet_server() -> Iterator[EmbeddedServer]:
    """A server of its own, whose databases are all known."""
    with EmbeddedServer() as server:
        for name in ("one", "two", "secret"):
            server.sql("postgres", f"CREATE DATABASE {name}")
            server.sql(name, "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3)")
        server.sql("postgres", """
            CREATE DATABASE "one__before_20260101T000000Z"; CREATE DATABASE "one__side_20260101T000000Z";
            CREATE DATABASE "one__drill_20260101T000000Z"; CREATE DATABASE "one__before_the_war";
            CREATE DATABASE closed ALLOW_CONNECTIONS false; CREATE DATABASE moulded IS_TEMPLATE true;
            CREATE DATABASE rdsadmin; CREATE ROLE reader LOGIN PASSWORD 'p';""")
        for name in ("one", "two", "postgres"):
            server.sql(name, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        yield server


@pytest.fixture
def fleet(fleet_server: EmbeddedServer, backup_dir: Path) -> Local:
    return Local(fleet_server, backup_dir)


def _names(result: dict[str, Any]) -> list[str]:
    return sorted(item["database"] for item in result["backups"])


def test_all_databases_but_templates_closed_ones_and_our_own(fleet: Local) -> None:
    result = fleet.backup(all_databases=True).succeeded()
    assert _names(result) == ["@globals", "one", "one__before_the_war", "postgres", "secret", "two"]
    assert {item["run_id"] for item in result["backups"]} == {result["run_id"]}
    assert all(item["verified"] for item in result["backups"])


def test_excluded_databases_are_left_out(fleet: Local) -> None:
    left = ["secret", "one__before_the_war", "no_such_database"]
    result = fleet.backup(all_databases=True, exclude_databases=left, include_globals="none").succeeded()
    assert _names(result) == ["one", "postgres", "two"]
    assert not any((Path(item["path"]) / "globals.sql").exists() for item in result["backups"])


def test_one_database_that_fails_does_not_stop_the_others(fleet: Local) -> None:
    done = fleet.backup(all_databases=True, login_user="reader")
    result = done.failed_with("BACKUP_FAILED")
    assert _names(result) == ["@globals", "one", "one__before_the_war", "postgres", "two"]
    [failed] = result["failed_databases"]
    assert (failed["database"], failed["code"], failed["retryable"]) == ("secret", "BACKUP_FAILED", False)
    assert failed["msg"].startswith("BACKUP_FAILED: ")
    assert "permission denied for table t" in failed["msg"]
    assert "secret" in result["msg"]
    assert "1 of 6 backups" in result["msg"]
    assert done.changed
    assert not result["retryable"]
    assert [path.name for path in fleet.backup_dir.glob("*/secret/*")] == [".lock"]
    # The good ones count, and nothing hidden is left of the other.
    assert len(fleet.info(verified_only=True).succeeded()["backups"]) == 5
    assert list(fleet.backup_dir.rglob(".partial-*")) == []


def test_globals_are_a_set_of_their_own(fleet: Local) -> None:
    everything = ["one", "secret", "postgres", "one__before_the_war"]
    result = fleet.backup(all_databases=True, exclude_databases=everything).succeeded()
    [found] = [item for item in result["backups"] if item["kind"] == "globals"]
    assert Path(found["path"]).parent.name == "@globals"
    content = (Path(found["path"]) / "globals.sql").read_text()
    assert "CREATE ROLE reader" in content
    assert "SCRAM-SHA-256$" in content
    # A role that may not read the verifiers keeps the rest, and says so.
    limited = fleet.backup(all_databases=True, exclude_databases=everything, login_user="reader").succeeded()
    [found] = [item for item in limited["backups"] if item["kind"] == "globals"]
    content = (Path(found["path"]) / "globals.sql").read_text()
    assert "CREATE ROLE reader" in content
    assert "SCRAM-SHA-256$" not in content
    assert "verifiers" in found["warnings"][0]


def test_fresh_globals_are_left_alone_like_databases(fleet: Local) -> None:
    wish: dict[str, Any] = {"all_databases": True, "exclude_databases": ["secret"], "max_age": "1h"}
    before = {item["database"]: item["id"] for item in fleet.backup(**wish).succeeded()["backups"]}
    planned = fleet.backup(**wish, check=True).succeeded()["plan"]["databases"]
    assert {item["kind"] for item in planned if item["database"] == "@globals"} == {"globals"}
    assert {item["database"]: item["fresh"] for item in planned} == before
    again = fleet.backup(**wish).succeeded()
    assert not again["changed"]
    assert {item["database"]: (item["id"], item["status"]) for item in again["backups"]} == {
        name: (found, "fresh") for name, found in before.items()
    }
    assert "@globals" in before


def test_databases_are_dumped_side_by_side(fleet: Local) -> None:
    """Both stand before a lock at the same time; what each did is told in one piece, in the order of their names."""
    wish: dict[str, Any] = {
        "all_databases": True, "exclude_databases": ["one__before_the_war", "postgres", "secret"], "jobs": 2,
        "lock_wait_timeout": 0,
    }
    with table_locked(fleet.server, "one"), table_locked(fleet.server, "two"):
        running = fleet.start_backup(**wish)
        wait_until(lambda: len(waiting_for_locks(fleet.server)) == 2)
        names = waiting_for_locks(fleet.server)
    result = running.finish().succeeded()
    assert names == {f"pgfleet/{result['run_id']}-1", f"pgfleet/{result['run_id']}-2"}
    assert [item["database"] for item in result["backups"]] == ["one", "two", "@globals"]
    assert {item["run_id"] for item in result["backups"]} == {result["run_id"]}
    said = [next((word for word in ("one", "two") if f"{word}: published" in line), "dump" if "Executing pg_dump " in line else "")
            for line in result["log"]]
    assert [word for word in said if word] == ["dump", "one", "dump", "two"]


def test_all_that_runs_side_by_side_is_ended(fleet: Local) -> None:
    with table_locked(fleet.server, "one"), table_locked(fleet.server, "two"):
        running = fleet.start_backup(all_databases=True, exclude_databases=["postgres", "secret"], jobs=2, lock_wait_timeout=0)
        wait_until(lambda: len(waiting_for_locks(fleet.server)) == 2)
        running.process.send_signal(signal.SIGTERM)
        result = running.finish().failed_with("INTERRUPTED")
        assert fleet.sessions() == []
    assert result["backups"] == []
    assert sum("Executing pg_dump " in line for line in result["log"]) == 2, "what was begun is told"
    assert list(fleet.backup_dir.rglob(".partial-*")) == []


def test_all_databases_contradicts_one(fleet: Local) -> None:
    fleet.backup(all_databases=True, database="one").failed_with("INVALID_DB_CONFIG")


# -- how far it is proven -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verify", "level", "verified"), [
    ("none", "none", False), ("checksum", "checksum", True), ("archive", "archive", True),
])
def test_levels_of_verification(local: Local, database: str, verify: str, level: str, verified: bool) -> None:
    entry = local.back_up(database, verify=verify)
    assert entry["verification"]["level"] == level
    assert entry["verified"] is verified
    rows = None if entry["fingerprint"] is None else entry["fingerprint"]["tables"]
    assert rows == ({"public.t": 3} if verify == "archive" else None)
    latest = local.restore(database=database, confirm=database, check=True)
    assert latest.failed is not verified
    if not verified:
        assert "not verified" in latest.failed_with("BACKUP_NOT_FOUND")["msg"]


def test_a_backup_that_was_proven_by_a_restore(local: Local, database: str) -> None:
    before = local.databases()
    entry = local.back_up(database, verify="restore")
    assert entry["verified"]
    verdicts = json.loads((Path(entry["path"]) / "verification.json").read_text())
    assert [(item["level"], item["result"]) for item in verdicts] == [("restore", "ok")]
    assert local.databases() == before


def test_a_backup_that_does_not_restore_is_never_the_latest(local: Local) -> None:
    """Under the empty search_path of a restore its check does not find b."""
    database = local.create("unrestorable", """
        CREATE TABLE b (n int); INSERT INTO b VALUES (1);
        CREATE FUNCTION in_b(int) RETURNS boolean LANGUAGE plpgsql
            AS $$ BEGIN RETURN EXISTS (SELECT FROM b WHERE n = $1); END $$;
        CREATE TABLE a (n int CHECK (in_b(n))); INSERT INTO a VALUES (1);""")
    before = local.databases()
    result = local.backup(database=database, verify="restore")
    assert result.failed
    assert 'relation "b" does not exist' in result.result["msg"]
    assert local.databases() == before
    assert local.info(verified_only=True).succeeded()["backups"] == []


def test_filtered_sets_are_a_kind_of_their_own(local: Local, database: str) -> None:
    local.server.sql(database, "CREATE SCHEMA s; CREATE TABLE s.u (n int); INSERT INTO s.u VALUES (1)")
    full = local.back_up(database)
    filters: list[dict[str, Any]] = [
        {"schemas": ["s"]}, {"exclude_schemas": ["s"]}, {"tables": ["t"]}, {"exclude_tables": ["t"]},
        {"exclude_table_data": ["t"]}, {"schema_only": True},
    ]
    entries = [local.back_up(database, **filter_) for filter_ in filters]
    assert {entry["kind"] for entry in entries} == {"filtered"}
    assert [sorted(entry["fingerprint"]["tables"]) for entry in entries] == [
        ["s.u"], ["public.t"], ["public.t"], ["s.u"], ["s.u"], [],
    ]
    planned = local.restore(database=database, confirm=database, check=True).succeeded()
    assert planned["plan"]["backup"]["id"] == full["id"]
    # A young set of a part does not stand for the whole, nor one part for another; the same part does.
    assert local.back_up(database, schemas=["s"], max_age="1h")["id"] == entries[0]["id"]
    assert local.back_up(database, schemas=["public"], max_age="1h")["changed"]
    # Nor do they push full ones out.
    kept = local.backup(database=database, schemas=["s"], retention={"keep_last": 1}).succeeded()
    assert full["path"] not in kept["pruned"]
    assert Path(full["path"]).is_dir()


# -- when, how many, how --------------------------------------------------------------------------------------------


def test_a_young_backup_makes_a_new_one_unnecessary(local: Local, database: str) -> None:
    first = local.back_up(database)
    assert (first["status"], first["changed"]) == ("ok", True)
    files = tree(local.backup_dir)
    done = local.backup(database=database, max_age="1h", start_jitter=3600)  # nothing to do, so nothing to wait for
    [entry] = done.succeeded()["backups"]
    assert (entry["status"], entry["changed"], entry["id"]) == ("fresh", False, first["id"])
    assert not done.changed
    assert set(tree(local.backup_dir)) == set(files)
    again = local.backup(database=database, max_age=0, start_jitter=1).succeeded()
    assert again["backups"][0]["changed"]
    assert any("(start_jitter)" in line for line in again["log"])
    # One that proves nothing is no reason to make none.
    other = local.create(database + "_other")
    local.back_up(other, verify="none")
    assert local.back_up(other, max_age="1h")["changed"]


def test_retention_keeps_what_it_is_told_and_only_then(local: Local, database: str) -> None:
    first, second = local.back_up(database), local.back_up(database)
    # Unproven sets make nothing else dispensable, and never count towards keeping.
    unproven = [local.back_up(database, verify="none", retention={"keep_last": 1}) for _run in range(2)]
    assert Path(first["path"]).is_dir()
    assert Path(second["path"]).is_dir()
    done = local.backup(database=database, retention={"keep_last": 2})
    [third] = done.succeeded()["backups"]
    assert sorted(done.result["pruned"]) == sorted(item["path"] for item in [first, *unproven])
    assert [item["id"] for item in local.info().succeeded()["backups"]] == [second["id"], third["id"]]
    # A run that fails removes nothing.
    with table_locked(local.server, database):
        local.backup(database=database, lock_wait_timeout=1, retention={"keep_last": 1}).failed_with("LOCK_CONTENTION")
    assert Path(second["path"]).is_dir()


def test_sets_of_different_parts_do_not_push_each_other_out(local: Local, database: str) -> None:
    rows = local.back_up(database, tables=["t"], retention={"keep_last": 1})
    local.back_up(database, schema_only=True, retention={"keep_last": 1})
    assert Path(rows["path"]).is_dir()


def test_max_age_asks_for_the_level_too(local: Local, database: str) -> None:
    local.back_up(database, verify="checksum")
    assert local.back_up(database, verify="checksum", max_age="1h")["status"] == "fresh"
    assert local.back_up(database, verify="archive", max_age="1h")["status"] == "ok"


def test_label_and_jobs(local: Local, database: str) -> None:
    done = local.backup(database=database, label="before the ⇑ upgrade", jobs=3).succeeded()
    assert done["backups"][0]["label"] == "before the ⇑ upgrade"
    assert any("pg_dump" in line and "-j 3" in line for line in done["log"])
    [found] = local.info(label="before the ⇑ upgrade").succeeded()["backups"]
    assert found["id"] == done["backups"][0]["id"]


def test_extra_args_reach_pg_dump(local: Local, database: str) -> None:
    local.server.sql(database, "COMMENT ON TABLE t IS 'not to be kept'")
    folder = Path(local.back_up(database, format="plain", compression="none", extra_args=["--no-comments"])["path"])
    assert "not to be kept" not in (folder / "database.sql").read_text()


@pytest.mark.parametrize("exists", [False, True])
def test_check_and_diff_mode_change_nothing_at_all(local: Local, database: str, exists: bool) -> None:
    if exists:
        local.back_up(database)
    databases, files = local.databases(), tree(local.backup_dir.parent)
    done = local.backup(database=database, check=True, diff=True, retention={"keep_last": 1}, persist_credentials=True)
    result = done.succeeded()
    assert done.changed
    assert result["backups"] == []
    [planned] = result["plan"]["databases"]
    assert (planned["database"], len(planned["existing"])) == (database, int(exists))
    assert database in json.dumps(result["diff"])
    assert local.databases() == databases
    assert tree(local.backup_dir.parent) == files
    if exists:
        assert not local.backup(database=database, check=True, max_age="1h").changed


def test_the_host_s_zstd_stands_in_for_a_client_s(local: Local) -> None:
    """The wheel's pg_dump and pg_restore know no zstd: the host packs the large files, and unpacks them again."""
    database = local.create("packed", "CREATE TABLE wide AS SELECT n, md5(n::text) AS body FROM generate_series(1, 20000) n")
    backup = local.back_up(database, compression="zstd:3")
    assert backup["compression"] == "zstd:3"
    assert [file["path"] for file in backup["files"] if file["path"].endswith(".dat.zst")]
    assert "zstd -dq" in (Path(backup["path"]) / "RESTORE.md").read_text()
    local.server.sql(database, "DELETE FROM wide")
    restored = local.restore(database=database, confirm=database, keep_previous=0).succeeded()
    assert restored["restore"]["verification"]["rows"] == 20000
    assert local.server.sql(database, "SELECT count(*), min(n), max(n) FROM wide") == ["20000|1|20000"]
