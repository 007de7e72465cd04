# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus comes back equal: the part of ``make fidelity`` that always runs, and the defects that it brought to light."""

from __future__ import annotations

import subprocess
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

SETTINGS = (
    "client_encoding = 'LATIN1'", "standard_conforming_strings = off", "quote_all_identifiers = on",
    "default_transaction_read_only = on", "search_path = evil, pg_catalog",
)


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


@pytest.mark.parametrize("of_the", ["database", "role"])
def test_no_setting_of_a_database_or_role_changes_what_we_read_and_write(
    local: Local, role: Callable[..., str], of_the: str
) -> None:
    """That its owner's schema comes before the system's, too: we may be a superuser, and it holds what he likes."""
    local.create("set", r"""
        CREATE TABLE "表\t" ("C:\x" serial PRIMARY KEY, v text DEFAULT 'C:\x');
        INSERT INTO "表\t" VALUES (DEFAULT, '表'), (DEFAULT, 'x\y');
        CREATE SCHEMA evil;
        CREATE VIEW evil.pg_database AS SELECT 1 / 0 AS oid;
        CREATE VIEW evil.pg_class AS SELECT 1 / 0 AS oid;
    """)
    user = role("LOGIN SUPERUSER")
    of = "DATABASE set" if of_the == "database" else f"ROLE {user}"
    local.server.sql("postgres", "".join(f"ALTER {of} SET {setting};" for setting in SETTINGS))
    before = local.look("set")
    local.backup(database="set", login_user=user).succeeded()
    local.restore(database="set", target_database="back", strategy="create", login_user=user).succeeded()
    assert differences(before, local.look("back")) == []
    in_place = local.restore(database="set", target_database="set", confirm="set", strategy="in_place", login_user=user)
    in_place.succeeded()
    told = [line for line in in_place.result["log"] if line.startswith("WARNING") and "CLIENT_UNPATCHED" not in line]
    assert not told, "statistics were made, and the content compared"


def test_no_timeout_of_a_role_ends_a_backup(local: Local, role: Callable[..., str], database: str) -> None:
    user = role("LOGIN SUPERUSER")
    local.server.sql("postgres", f"ALTER ROLE {user} SET statement_timeout = 1")
    local.backup(database=database, login_user=user).succeeded()


def test_an_archive_that_the_client_was_not_built_for_is_not_called_damaged(
    local: Local, database: str, tmp_path: Path
) -> None:
    """A newer client without zstd is not rare, and a new backup would not help."""
    dump = tmp_path / "zstd.dump"
    argv = [
        str(local.server.bin_dir / "pg_dump"), "-Fc", "-h", str(local.server.socket_dir), "-p", str(local.server.port),
        "-U", local.server.user, "-d", database, "-f", str(dump),
    ]
    subprocess.run(argv, check=True)
    content = bytearray(dump.read_bytes())
    assert content[:5] == b"PGDMP"
    assert content[11] == 1, "gzip"
    content[11] = 3  # zstd
    dump.write_bytes(content)
    refused = local.restore(database=database, backup=str(dump), target_database="other", strategy="create")
    assert "zstd" in refused.failed_with("UNSUPPORTED_BY_CLIENT")["msg"]
    assert "other" not in local.databases()


@pytest.mark.parametrize("kind", ["directory", "plain"])
def test_names_of_a_database_that_is_not_in_unicode(local: Local, kind: str) -> None:
    local.server.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    local.server.sql("latin", 'CREATE TABLE "Größe" ("Maß" serial, v text); INSERT INTO "Größe" (v) VALUES (\'½ für ÿ\')')
    local.back_up("latin", format=kind)
    local.restore(database="latin", target_database="latin back", strategy="create").succeeded()
    assert differences(local.look("latin"), local.look("latin back")) == []
