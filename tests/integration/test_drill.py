# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills: what they prove and say, and that nobody notices them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.cli import CliResult
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted

SUBSCRIPTIONS = "SELECT subname, subenabled, subslotname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = '{0}'"
HEAD, TAIL = "--\n-- PostgreSQL database dump\n--\n", "--\n-- PostgreSQL database dump complete\n--\n"


class Publisher:
    """Counts who comes; nobody should."""

    def __init__(self) -> None:
        self.visits = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _address = self._listener.accept()
                self.visits += 1
                visitor.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    there = Publisher()
    yield there
    there.close()


@pytest.fixture
def subscriber(local: Local, publisher: Publisher) -> Iterator[str]:
    """A database that subscribes, as a restore would leave it, and publishes."""
    database = local.create("subscriber", f"""
        CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3);
        CREATE PUBLICATION out FOR TABLE t;
        CREATE SUBSCRIPTION inward CONNECTION 'host=127.0.0.1 port={publisher.port} dbname=x connect_timeout=3'
            PUBLICATION p WITH (connect = false, slot_name = 'theirs');
    """)
    yield database
    for name in local.databases():
        if name.startswith("subscriber"):
            local.server.sql("postgres", f"ALTER DATABASE {quoted(name)} WITH ALLOW_CONNECTIONS true")
            local.server.sql(name, "ALTER SUBSCRIPTION inward SET (slot_name = NONE); DROP SUBSCRIPTION inward")


def verdicts(entry: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((Path(entry["path"]) / "verification.json").read_text(encoding="utf-8"))
    return found


def test_a_drill_says_how_long_and_how_fast(local: Local, database: str) -> None:
    entry = local.back_up(database)
    verification = local.restore(database=database, strategy="drill").succeeded()["restore"]["verification"]
    assert verification["bytes"] > 1_000_000
    assert verification["seconds"] > 0
    assert verification["bytes_per_second"] == pytest.approx(verification["bytes"] / verification["seconds"], abs=1)
    assert verification["rows_per_second"] == round(3 / verification["seconds"])
    shown = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("verification:\n")[2].partition("```")[0]
    assert {line.split(":")[0].strip() for line in shown.splitlines()} == set(verification)
    (verdict,) = verdicts(entry)
    assert (verdict["level"], verdict["result"]) == ("restore", "ok")
    assert {name: verdict[name] for name in verification} == verification


@pytest.mark.parametrize("format_", ["directory", "plain"])
def test_a_drill_never_contacts_a_publisher(
    local: Local, subscriber: str, publisher: Publisher, format_: str
) -> None:
    local.back_up(subscriber, format=format_)
    before = local.databases()
    done = local.restore(database=subscriber, strategy="drill").succeeded()
    assert done["restore"]["verification"]["result"] == "ok"
    assert local.databases() == before
    assert publisher.visits == 0
    assert local.server.sql("postgres", SUBSCRIPTIONS.format(subscriber)) == ["inward|f|theirs"]


@pytest.mark.parametrize("how", [{"confirm": "subscriber"}, {"strategy": "create", "target_database": "subscriber 2"}])
def test_subscriptions_are_restored_disabled_and_it_is_said(
    local: Local, subscriber: str, publisher: Publisher, how: dict[str, str]
) -> None:
    local.back_up(subscriber)
    done = local.restore(database=subscriber, **how).succeeded()
    assert [line for line in done["log"] if line.startswith("Subscriptions are restored disabled")]
    target = how.get("target_database", subscriber)
    assert local.server.sql("postgres", SUBSCRIPTIONS.format(target)) == ["inward|f|theirs"]
    assert local.server.sql(target, "SELECT pubname FROM pg_publication") == ["out"]
    assert publisher.visits == 0


def test_a_restore_that_fails_drops_its_side_database_with_subscriptions_in_it(
    local: Local, subscriber: str, publisher: Publisher, tmp_path: Path
) -> None:
    foreign = tmp_path / "broken.sql"
    foreign.write_text(f"{HEAD}CREATE SUBSCRIPTION inward CONNECTION 'port={publisher.port}' PUBLICATION p "
                       f"WITH (connect = false, slot_name = 'theirs');\nSELECT 1/0;\n{TAIL}")
    before = local.databases()
    local.restore(database=subscriber, backup=str(foreign), confirm=subscriber).failed_with("RESTORE_FAILED")
    assert local.databases() == before
    assert publisher.visits == 0


@pytest.mark.parametrize("statement", [
    "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p;", "  alter\nsubscription s ENABLE;",
])
def test_a_foreign_plain_dump_with_subscriptions_is_not_drilled(
    local: Local, database: str, tmp_path: Path, statement: str
) -> None:
    dump = tmp_path / "their.sql"
    dump.write_text(f"{HEAD}CREATE TABLE a (n int);\n{statement}\n{TAIL}")
    before = local.databases()
    refused = local.restore(database=database, backup=str(dump), strategy="drill").failed_with("INVALID_BACKUP_FORMAT")
    assert "subscriptions" in refused["msg"]
    assert local.databases() == before


def test_a_set_that_does_not_restore_is_returned_all_the_same(local: Local) -> None:
    # Under the empty search_path of a restore its check does not find b.
    database = local.create("unprovable", """
        CREATE TABLE b (n int); INSERT INTO b VALUES (1);
        CREATE FUNCTION in_b(int) RETURNS boolean LANGUAGE plpgsql
            AS $$ BEGIN RETURN EXISTS (SELECT FROM b WHERE n = $1); END $$;
        CREATE TABLE a (n int CHECK (in_b(n))); INSERT INTO a VALUES (1);
    """)
    failed = local.backup(database=database, verify="restore").failed_with("VERIFY_FAILED")
    assert failed["changed"]
    (entry,) = failed["backups"]
    assert (entry["database"], entry["status"], entry["verified"]) == (database, "ok", False)
    assert [(item["database"], item["code"]) for item in failed["failed_databases"]] == [(database, "VERIFY_FAILED")]
    assert Path(entry["path"], "manifest.json").is_file()
    assert [item["result"] for item in verdicts(entry)] == ["failed"]


def test_what_is_no_fault_of_the_set_leaves_it_its_good_name(
    local: Local, database: str, role: Callable[..., str]
) -> None:
    """Whoever may not make a database can take a backup, and cannot drill it."""
    name = role("LOGIN")
    local.server.sql("postgres", f"ALTER DATABASE {quoted(database)} OWNER TO {name}")
    local.server.sql(database, f"ALTER TABLE t OWNER TO {name}; GRANT ALL ON SCHEMA public TO {name}")
    failed = local.backup(database=database, verify="restore", login_user=name, include_globals="none")
    assert failed.failed
    (entry,) = failed.result["backups"]
    assert entry["verified"]
    assert not (Path(entry["path"]) / "verification.json").exists()


def test_the_playbook(local: Local, database: str, ansible_playbook: Callable[..., CliResult]) -> None:
    local.back_up(database)
    variables = {f"pgfleet_{name}": value for name, value in local.options(database=database).items()}
    done = ansible_playbook(
        REPOSITORY / "playbooks" / "drill.yml", extra_vars=variables, env={"PATH": local.server.path()}
    ).succeeded()
    restored = done.of("Drill")["restore"]
    assert (restored["strategy"], restored["verification"]["result"]) == ("drill", "ok")
