# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus comes back equal: the part of ``make fidelity`` that always runs, and the defects that it brought to light."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.tests.fidelity.corpus import (
    create_corpus,
    drop_corpus,
    features_of,
    prepare_server,
)
from ansible_collections.pgfleet.backup.tests.fidelity.trips import in_container, there_and_back
from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.local import Local


@pytest.fixture
def restored(corpus: Local) -> Iterator[str]:
    """The name of a database that goes with its subscriptions."""
    yield "corpus restored"
    drop_corpus(corpus.server, "corpus restored")


def test_the_corpus_comes_back_on_the_host(corpus: Local, restored: str) -> None:
    backup = corpus.back_up("corpus")
    assert (backup["status"], backup["verified"]) == ("ok", True)
    restore = corpus.restore(database="corpus", target_database=restored, strategy="create").succeeded()["restore"]
    assert restore["warnings"] == [], "nothing had to be tolerated"
    assert differences(corpus.look("corpus"), corpus.look(restored)) == []


def test_the_corpus_comes_back_in_a_container(
    postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    place = in_container(postgres_container())
    prepare_server(place.server)
    create_corpus(place.server, "corpus", features_of(place.server))
    assert there_and_back(place, "corpus", place.look("corpus"), "directory", backup_dir) == []


def test_a_failed_restore_leaves_no_database_behind_for_its_subscriptions(local: Local) -> None:
    """They stand in the way of dropping the database, and their publisher cannot be reached."""
    local.create("subscriber", """
        CREATE TABLE t AS SELECT 1 AS n;
        CREATE SUBSCRIPTION far CONNECTION 'host=publisher.invalid' PUBLICATION p WITH (connect = false, slot_name = 'live_slot');
    """)
    local.server.sql("subscriber", "CREATE FUNCTION n() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t'; "
                                   "CREATE VIEW v AS SELECT n(); CREATE MATERIALIZED VIEW m AS TABLE v WITH NO DATA")
    # What relies on the search_path cannot be filled by a restore, which comes after the subscription.
    local.server.sql("subscriber", "SET search_path = public; UPDATE pg_class SET relispopulated = true WHERE relname = 'm'")
    try:
        local.back_up("subscriber")
        before = local.databases()
        failed = local.restore(database="subscriber", target_database="other", strategy="create").failed_with("RESTORE_FAILED")
        assert 'relation "t" does not exist' in failed["msg"]
        assert local.databases() == before
        assert local.server.sql("subscriber", "SELECT subslotname FROM pg_subscription WHERE subname = 'far'") == ["live_slot"]
    finally:
        local.server.sql("subscriber", "ALTER SUBSCRIPTION far SET (slot_name = NONE); DROP SUBSCRIPTION far")


@pytest.mark.parametrize("setting", [
    "client_encoding = 'LATIN1'", "standard_conforming_strings = off", "quote_all_identifiers = on",
    "default_transaction_read_only = on", "statement_timeout = 1", "search_path = evil, pg_catalog",
])
@pytest.mark.parametrize("of_the", ["database", "role"])
def test_no_setting_of_a_database_or_role_changes_what_we_read_and_write(
    local: Local, role: Callable[..., str], setting: str, of_the: str
) -> None:
    local.create("set", r"""
        CREATE TABLE "表\t" ("C:\x" serial PRIMARY KEY, v text DEFAULT 'C:\x'); INSERT INTO "表\t" VALUES (DEFAULT, '表'), (DEFAULT, 'x\y');
        CREATE SCHEMA evil;
        CREATE VIEW evil.pg_database AS SELECT 1/0 AS oid;
        CREATE VIEW evil.pg_class AS SELECT 1/0 AS oid;
    """)
    user = role("LOGIN SUPERUSER")
    local.server.sql("postgres", f"ALTER DATABASE set SET {setting}" if of_the == "database" else f"ALTER ROLE {user} SET {setting}")
    before = local.look("set")
    local.backup(database="set", login_user=user).succeeded()
    local.restore(database="set", target_database="back", strategy="create", login_user=user).succeeded()
    assert differences(before, local.look("back")) == []
    in_place = local.restore(database="set", target_database="set", confirm="set", strategy="in_place", login_user=user)
    in_place.succeeded()
    assert not in_place.result.get("warnings"), "statistics were made, and the content compared"
