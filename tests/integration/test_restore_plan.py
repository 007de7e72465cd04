# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a restore: each finding is provoked on a real server, and each blocker stops the real run as well."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.psql import SqlError
from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until

_NUMBERS = itertools.count(1)

Finding = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server that can do what the shared one is not set up for."""
    settings = {"wal_level": "logical", "max_prepared_transactions": "5", "max_replication_slots": "5",
                "wal_sender_timeout": "0"}
    with EmbeddedServer(settings=settings) as started:
        yield started


@pytest.fixture
def here(server: EmbeddedServer, backup_dir: Path) -> Iterator[Local]:
    """The modules on it. What a test makes is dropped at its end."""
    yield Local(server, backup_dir)
    for name in server.sql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'p%' AND datname <> 'postgres'"):
        server.sql("postgres", f'DROP DATABASE "{name}" WITH (FORCE)')
    for name in server.sql("postgres", "SELECT rolname FROM pg_roles WHERE rolname LIKE 'r%'"):
        server.sql("postgres", f"DROP ROLE {name}")


@pytest.fixture
def shop(here: Local) -> str:
    return here.create(f"p{next(_NUMBERS)}")


def _role(here: Local, attributes: str = "") -> str:
    name = f"r{next(_NUMBERS)}"
    here.server.sql("postgres", f"CREATE ROLE {name} LOGIN {attributes}")
    return name


def _owned(here: Local, owner: str, script: str = "") -> str:
    """A database that belongs to ``owner``, with a table of theirs; ``script`` is run by a superuser."""
    name = f"p{next(_NUMBERS)}"
    here.server.sql("postgres", f"CREATE DATABASE {name} OWNER {owner}")
    here.server.sql(name, "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3)", user=owner)
    here.server.sql(name, script or "SELECT 1")
    return name


def _plan(here: Local, database: str, **options: Any) -> dict[str, Any]:
    """The plan of a restore that is confirmed."""
    how = {"check": True, "diff": True, "confirm": database, **options}
    done = here.restore(database=database, **how).succeeded()
    plan: dict[str, Any] = done["plan"]
    codes = [(finding["code"], finding["msg"]) for finding in plan["findings"] if finding["level"] == "blocker"]
    assert [(each["code"], each["msg"]) for each in plan["blockers"]] == codes
    assert all((finding["code"] is None) == (finding["level"] == "remark") for finding in plan["findings"])
    assert all(len(line) <= 100 for line in done["diff"]["after"].splitlines() if line.startswith("  "))
    return plan


def _found(plan: dict[str, Any], subject: str) -> Finding:
    """The one finding about ``subject``."""
    [finding] = [each for each in plan["findings"] if each["subject"] == subject]
    return dict(finding)


def _stops(here: Local, database: str, **options: Any) -> Finding:
    """What the plan names as the first blocker, and the run fails with, before anything is made."""
    plan = _plan(here, database, **options)
    before = here.databases()
    failed = here.restore(database=database, **{"confirm": database, **options}).failed_with(plan["blockers"][0]["code"])
    assert failed["msg"] == "{code}: {msg}".format(**plan["blockers"][0])
    assert failed["hint"] == plan["blockers"][0]["hint"]
    assert here.databases() == before
    return next(dict(finding) for finding in plan["findings"] if finding["level"] == "blocker")


def _forge(entry: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> None:
    """Let the manifest say what this machine cannot make."""
    path = Path(entry["path"]) / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@contextmanager
def _connected(here: Local, database: str, application: str, user: str = "postgres") -> Iterator[None]:
    """A session that stays."""
    def stay() -> None:
        with suppress(SqlError):
            here.server.sql(database, f"SET application_name TO '{application}'; SELECT pg_sleep(300)", user=user)

    where = f"FROM pg_stat_activity WHERE application_name = '{application}' AND query LIKE '%pg_sleep%'"
    thread = threading.Thread(target=stay)
    thread.start()
    try:
        wait_until(lambda: here.server.sql("postgres", f"SELECT pid {where} AND pid <> pg_backend_pid()"))
        yield
    finally:
        here.server.sql("postgres", f"SELECT pg_terminate_backend(pid) {where} AND pid <> pg_backend_pid()")
        thread.join()


# -- what clings to the target --------------------------------------------------------------------------------------


def test_prepared_transactions_stop_a_swap(here: Local, shop: str) -> None:
    here.back_up(shop)
    here.server.sql(shop, "BEGIN; INSERT INTO t VALUES (4); PREPARE TRANSACTION 'half done'")
    try:
        found = _stops(here, shop)
        assert (found["code"], found["subject"]) == ("TARGET_IN_USE", "prepared")
        assert "half done" in found["msg"]
        assert _found(_plan(here, shop, strategy="in_place"), "prepared")["level"] == "remark"
        assert _plan(here, shop, strategy="drill")["findings"] == []
    finally:
        here.server.sql(shop, "ROLLBACK PREPARED 'half done'")
    assert _plan(here, shop)["findings"] == []


def test_sessions_are_told_by_application_and_by_whether_we_may_end_them(here: Local) -> None:
    owner = _role(here, "CREATEDB")
    shop = _owned(here, owner)
    here.back_up(shop)
    with _connected(here, shop, "web", owner):
        plan = _plan(here, shop, login_user=owner)
        assert plan["sessions"] == [
            {"application": "web", "user": owner, "kind": "client backend", "may_be_ended": True, "count": 1}]
        assert plan["target"]["sessions"] == {"web": 1}
        assert _found(plan, "sessions")["level"] == "remark"
        assert "web x 1" in _found(plan, "sessions")["msg"]
        with _connected(here, shop, "admin tool"):
            found = _stops(here, shop, login_user=owner)
            assert (found["code"], found["subject"]) == ("TARGET_IN_USE", "sessions")
            assert "admin tool of postgres" in found["msg"]
            assert "web" not in found["msg"]
            # A superuser may end both, and neither is in the way of a drill.
            assert _plan(here, shop)["blockers"] == []
            assert _plan(here, shop, strategy="drill", login_user=owner)["blockers"] == []


def test_the_right_to_signal_ends_the_sessions_of_others(here: Local) -> None:
    owner, other = _role(here, "CREATEDB"), _role(here)
    shop = _owned(here, owner)
    here.back_up(shop)
    with _connected(here, shop, "worker", other):
        assert _stops(here, shop, login_user=owner)["subject"] == "sessions"
        here.server.sql("postgres", f"GRANT pg_signal_backend TO {owner}")
        assert _found(_plan(here, shop, login_user=owner), "sessions")["level"] == "remark"
        here.restore(database=shop, confirm=shop, login_user=owner).succeeded()


def test_logical_slots_stay_with_the_old_database(here: Local, shop: str, tmp_path: Path) -> None:
    here.back_up(shop)
    server = here.server
    server.sql(shop, "CREATE PUBLICATION changes FOR ALL TABLES; SELECT pg_create_logical_replication_slot('feed', 'pgoutput')")
    try:
        found = _found(_plan(here, shop), "slots")
        assert found["level"] == "remark"
        assert "feed" in found["msg"]
        argv = [str(server.bin_dir / "pg_recvlogical"), "-h", str(server.socket_dir), "-p", str(server.port), "-U", "postgres",
                "-d", shop, "--slot", "feed", "--start", "-f", str(tmp_path / "changes"),
                "-o", "proto_version=1", "-o", "publication_names=changes"]
        consumer = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: server.sql("postgres", "SELECT 1 FROM pg_replication_slots WHERE active"))
            found = _stops(here, shop)
            assert (found["code"], found["subject"]) == ("TARGET_IN_USE", "slots")
        finally:
            consumer.terminate()
            consumer.wait()
    finally:
        wait_until(lambda: not server.sql("postgres", "SELECT 1 FROM pg_replication_slots WHERE active"))
        server.sql("postgres", "SELECT pg_drop_replication_slot('feed')")


def test_subscriptions_of_the_target_and_of_the_backup(here: Local, shop: str) -> None:
    here.server.sql(shop, "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere' PUBLICATION p"
                          " WITH (connect = false)")
    try:
        here.back_up(shop)
        remarks = [each for each in _plan(here, shop)["findings"] if each["subject"] == "subscriptions"]
        assert [each["level"] for each in remarks] == ["remark", "remark"]
        assert "restored disabled" in remarks[1]["msg"]
        here.server.sql(shop, "ALTER SUBSCRIPTION feed ENABLE")
        found = _stops(here, shop)
        assert (found["code"], found["subject"]) == ("TARGET_IN_USE", "subscriptions")
        # A drill touches neither the target nor a publisher.
        assert _plan(here, shop, strategy="drill")["findings"] == []
    finally:
        here.server.sql(shop, "ALTER SUBSCRIPTION feed DISABLE; ALTER SUBSCRIPTION feed SET (slot_name = NONE);"
                              " DROP SUBSCRIPTION feed")


# -- what our role may not do ---------------------------------------------------------------------------------------


def test_who_may_not_create_databases_is_told_of_in_place(here: Local) -> None:
    owner = _role(here)
    shop = _owned(here, owner)
    here.back_up(shop)
    for strategy in ("swap", "drill"):
        found = _stops(here, shop, login_user=owner, strategy=strategy)
        assert (found["code"], found["subject"]) == ("INCOMPATIBLE_TARGET", "rights")
        assert "in_place" in found["hint"]
    assert _plan(here, shop, login_user=owner, strategy="in_place")["blockers"] == []


def test_who_does_not_own_the_target_may_not_swap_it(here: Local, shop: str) -> None:
    stranger = _role(here, "CREATEDB")
    here.back_up(shop)
    found = _stops(here, shop, login_user=stranger, no_owner=True)
    assert found["code"] == "INCOMPATIBLE_TARGET"
    assert "belongs to postgres" in found["msg"]


def test_owners_that_our_role_may_not_act_as(here: Local) -> None:
    owner, other = _role(here, "CREATEDB"), _role(here)
    shop = _owned(here, owner, f"ALTER TABLE t OWNER TO {other}")
    here.back_up(shop)
    found = _stops(here, shop, login_user=owner)
    assert (found["code"], found["subject"]) == ("INCOMPATIBLE_TARGET", "owners")
    assert found["msg"].endswith(f": {other}")
    assert _plan(here, shop, login_user=owner, no_owner=True)["blockers"] == []
    here.server.sql("postgres", f"GRANT {other} TO {owner}")
    assert _plan(here, shop, login_user=owner)["blockers"] == []


def test_what_only_superusers_may_create(here: Local) -> None:
    owner = _role(here, "CREATEDB")
    shop = _owned(here, owner, """
        CREATE EXTENSION dblink; CREATE EXTENSION pg_trgm;
        CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
        CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION watch();""")
    here.back_up(shop)
    found = _stops(here, shop, login_user=owner, no_owner=True, strategy="drill")
    assert found["code"] == "INCOMPATIBLE_TARGET"
    assert found["msg"].endswith(": extension dblink, event trigger x 1")
    assert _plan(here, shop, strategy="drill")["findings"] == []


def test_settings_that_only_superusers_may_apply(here: Local) -> None:
    owner = _role(here, "CREATEDB")
    shop = _owned(here, owner)
    here.server.sql("postgres", f"ALTER DATABASE {shop} SET work_mem TO '5MB'; ALTER DATABASE {shop} SET log_statement TO 'all';"
                                f" ALTER DATABASE {shop} SET app.colour TO 'red'; ALTER ROLE {owner} IN DATABASE {shop} SET jit TO off")
    here.back_up(shop)
    found = _stops(here, shop, login_user=owner)
    assert (found["code"], found["subject"]) == ("INCOMPATIBLE_TARGET", "settings")
    assert found["msg"].endswith(": app.colour, log_statement")
    here.server.sql("postgres", f"GRANT SET ON PARAMETER log_statement, app.colour TO {owner}")
    try:
        assert _plan(here, shop, login_user=owner)["blockers"] == []
        here.restore(database=shop, confirm=shop, login_user=owner).succeeded()
    finally:
        here.server.sql("postgres", f"REVOKE SET ON PARAMETER log_statement, app.colour FROM {owner}")


# -- what the server lacks ------------------------------------------------------------------------------------------


def test_a_tablespace_that_is_missing_or_closed_to_us(here: Local) -> None:
    owner = _role(here, "CREATEDB")
    folder = here.server.base / "data" / "elsewhere"
    # In the folder of the data only a superuser of tests would put one; it belongs to the server's account there.
    here.server.sql("postgres", f"COPY (SELECT 1) TO PROGRAM 'mkdir {folder}'; CREATE TABLESPACE tfast LOCATION '{folder}'")
    shop = _owned(here, owner)
    try:
        here.server.sql("postgres", f"ALTER DATABASE {shop} SET TABLESPACE tfast")
        here.back_up(shop)
        assert _plan(here, shop)["disk"]["where"] == str(folder)
        found = _stops(here, shop, login_user=owner)
        assert found["subject"] == "tablespaces"
        assert "GRANT CREATE" in found["hint"]
        here.server.sql("postgres", f"ALTER DATABASE {shop} SET TABLESPACE pg_default")
    finally:
        here.server.sql("postgres", "DROP TABLESPACE tfast")
    found = _stops(here, shop)
    assert (found["code"], found["subject"]) == ("INCOMPATIBLE_TARGET", "tablespaces")
    assert "tfast" in found["msg"]


@pytest.mark.parametrize(("properties", "named"), [
    ({"collate": "xx_XX.UTF-8", "ctype": "xx_XX.UTF-8"}, "xx_XX.UTF-8"),
    ({"locale_provider": "icu", "locale": "de-DE"}, "ICU"),
])
def test_a_locale_that_the_server_cannot_make(here: Local, shop: str, properties: dict[str, str], named: str) -> None:
    _forge(here.back_up(shop), lambda manifest: manifest["database_properties"].update(properties))
    found = _stops(here, shop)
    assert (found["code"], found["subject"]) == ("INCOMPATIBLE_TARGET", "locale")
    assert named in found["msg"]
    # In place no database is made.
    assert _plan(here, shop, strategy="in_place")["blockers"] == []


def test_another_locale_than_the_target_s(here: Local, shop: str) -> None:
    here.back_up(shop)
    here.server.sql("postgres", f"DROP DATABASE {shop}")
    here.server.sql("postgres", f"CREATE DATABASE {shop} TEMPLATE template0 ENCODING 'LATIN1'")
    found = _found(_plan(here, shop), "locale")
    assert found["level"] == "remark"
    assert "encoding UTF8, not LATIN1" in found["msg"]


def test_extensions_by_name_and_version(here: Local, shop: str) -> None:
    here.server.sql(shop, "CREATE EXTENSION pg_trgm; CREATE EXTENSION cube")
    entry = here.back_up(shop)
    _forge(entry, lambda manifest: manifest["extensions"].update(cube="1.0"))
    found = _found(_plan(here, shop), "extensions")
    assert found["level"] == "remark"
    assert "cube 1." in found["msg"]
    assert "pg_trgm" not in found["msg"]
    here.restore(database=shop, confirm=shop).succeeded()
    _forge(entry, lambda manifest: manifest["extensions"].update(postgis="3.4"))
    found = _stops(here, shop)
    assert found["code"] == "INCOMPATIBLE_TARGET"
    assert found["msg"].endswith(": postgis")


def test_roles_that_are_missing(here: Local) -> None:
    owner = _role(here)
    shop = _owned(here, owner)
    here.back_up(shop)
    here.server.sql(shop, f"REASSIGN OWNED BY {owner} TO postgres; DROP ROLE {owner}")
    found = _stops(here, shop)
    assert (found["code"], found["subject"]) == ("INCOMPATIBLE_TARGET", "roles")
    created = _found(_plan(here, shop, create_missing_roles=True), "roles")
    assert (created["level"], "will be created" in created["msg"]) == ("remark", True)


# -- how much room, how long ----------------------------------------------------------------------------------------


def test_room_and_time(here: Local, shop: str) -> None:
    first = here.back_up(shop)
    plan = _plan(here, shop)
    assert plan["disk"]["where"] == str(here.server.base / "data")
    assert plan["disk"]["free"] > 0
    assert plan["disk"]["needed"] == 2 * first["database_bytes"] + 1024**3
    assert plan["estimate"]["bytes"] == first["database_bytes"]
    assert plan["estimate"]["basis"] == "backup"
    here.restore(database=shop, strategy="drill").succeeded()
    drilled = json.loads((Path(first["path"]) / "verification.json").read_text())[0]["seconds"]
    estimate = _plan(here, shop)["estimate"]
    assert estimate["basis"] == "drill"
    assert estimate["seconds"] == round(drilled + first["timings"]["verify_seconds"], 1)
    second = here.back_up(shop)
    _forge(second, lambda manifest: manifest.update(database_bytes=1000 * first["database_bytes"]))
    estimate = _plan(here, shop)["estimate"]
    assert estimate["basis"] == "earlier_drill"
    assert estimate["seconds"] == pytest.approx(1000 * drilled, rel=0.05)


def test_too_little_room_is_told(here: Local, shop: str) -> None:
    _forge(here.back_up(shop), lambda manifest: manifest.update(database_bytes=10**17))
    found = _found(_plan(here, shop), "disk")
    assert found["level"] == "remark"
    assert "may need" in found["msg"]


def test_what_the_server_does_not_tell_is_unknown(here: Local) -> None:
    owner = _role(here, "CREATEDB")
    shop = _owned(here, owner)
    here.back_up(shop)
    done = here.restore(database=shop, confirm=shop, check=True, diff=True, login_user=owner).succeeded()
    assert (done["plan"]["disk"]["where"], done["plan"]["disk"]["free"]) == (None, None)
    assert "cannot be seen from here" in done["diff"]["after"]


def test_a_dump_without_a_manifest(here: Local, shop: str, tmp_path: Path) -> None:
    server = here.server
    server.sql(shop, "CREATE EXTENSION dblink")
    for kind in ("-Fc", "-Fp"):
        argv = [str(server.bin_dir / "pg_dump"), "-h", str(server.socket_dir), "-p", str(server.port), "-U", "postgres",
                kind, "-f", str(tmp_path / kind), shop]
        subprocess.run(argv, check=True, capture_output=True)
        plan = _plan(here, shop, backup=str(tmp_path / kind))
        assert _found(plan, "backup")["level"] == "remark"
        assert plan["blockers"] == []
        assert plan["estimate"] == {"seconds": None, "bytes": None, "basis": None}
        assert plan["disk"]["needed"] is None
        for strategy in ("create", "drill"):
            plan = _plan(here, shop, backup=str(tmp_path / kind), target_database="p_new", strategy=strategy)
            assert (plan["target_exists"], plan["blockers"]) == (False, [])
    # An archive tells what it needs, even without a manifest.
    owner = _role(here, "CREATEDB")
    found = _stops(here, shop, backup=str(tmp_path / "-Fc"), target_database="p_new", strategy="create", login_user=owner,
                   no_owner=True)
    assert "extension dblink" in found["msg"]


# -- in a container -------------------------------------------------------------------------------------------------


def test_the_plan_of_a_server_in_a_container(postgres_container: Callable[..., Any], backup_dir: Path) -> None:
    server = postgres_container(
        database="app", tmpfs={"/var/lib/postgresql/data": "size=400m"})
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'")
    server.sql("shop", "CREATE TABLE t AS SELECT 1 AS n")
    options = {"container": server.name, "database": "shop", "backup_dir": str(backup_dir)}
    entry = run_module("pg_backup", options).succeeded()["backups"][0]
    _forge(entry, lambda manifest: manifest.update(collation_version="1.0"))
    plan = run_module("pg_restore", {**options, "confirm": "shop"}, check=True).succeeded()["plan"]
    assert plan["disk"]["where"] == "/var/lib/postgresql/data"
    assert 0 < plan["disk"]["free"] <= 400 * 1024**2
    assert "sorted by version 1.0" in _found(plan, "collation")["msg"]
    assert plan["blockers"] == []
