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
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
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
    done = corpus.restore(database="corpus", target_database=restored, strategy="create", jobs=2).succeeded()
    restore = done["restore"]
    # A trigger on a partitioned table would otherwise be there, now and then, before the last of its partitions has its rows.
    assert [line.count("--section=post-data") for line in done["log"] if "--section=" in line] == [0, 1]
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


def test_no_event_trigger_fires_while_a_restore_is_made(local: Local) -> None:
    """A materialised view is filled after they were made, and every session of ours sets off those of the login."""
    local.create("watched", """
        CREATE TABLE seen (what text);
        CREATE MATERIALIZED VIEW filled AS SELECT 1 AS n;
        CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not allowed'; END $$;
        CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_database() <> 'watched' AND current_setting('application_name') LIKE 'pgfleet%' THEN
                INSERT INTO public.seen VALUES (tg_event);
            END IF; END $$;
        CREATE EVENT TRIGGER logins ON login EXECUTE FUNCTION note();
        CREATE EVENT TRIGGER refreshes ON ddl_command_start WHEN TAG IN ('REFRESH MATERIALIZED VIEW') EXECUTE FUNCTION forbid();
    """)
    before = local.look("watched")
    local.back_up("watched", format="plain")
    local.restore(database="watched", target_database="from plain", strategy="create").succeeded()
    assert differences(before, local.look("from plain")) == []
    local.back_up("watched", verify="restore")
    local.restore(database="watched", target_database="from archive", strategy="create").succeeded()
    assert differences(before, local.look("from archive")) == []
    local.restore(database="watched", confirm="watched", strategy="in_place", safety_backup=False).succeeded()
    assert differences(before, local.look("watched")) == []


@pytest.fixture
def role_with_umlaut(embedded_server: EmbeddedServer) -> Iterator[str]:
    embedded_server.sql("postgres", 'CREATE ROLE "Röle"')
    yield '"Röle"'
    embedded_server.sql("postgres", 'DROP ROLE "Röle"')


@pytest.mark.parametrize("kind", ["directory", "plain"])
def test_names_of_a_database_that_is_not_in_unicode(role_with_umlaut: str, local: Local, kind: str) -> None:
    """Its own, and those that it shares with the cluster, whose bytes it takes for its own encoding."""
    local.server.sql("postgres", f"""
        CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' OWNER {role_with_umlaut};
        COMMENT ON DATABASE latin IS 'Übung'; ALTER DATABASE latin SET my.word = 'Wörter';
        ALTER ROLE {role_with_umlaut} IN DATABASE latin SET my.word = 'Ä'; GRANT CONNECT ON DATABASE latin TO {role_with_umlaut};
    """)
    local.server.sql("latin", """
        CREATE TABLE "Größe" ("Maß" serial, v text);
        INSERT INTO "Größe" (v) VALUES ('½ für ÿ');
        DO $$ BEGIN
            EXECUTE format('ALTER TABLE "Größe" OWNER TO %I', (SELECT rolname FROM pg_roles WHERE rolname LIKE 'R%le'));
        END $$;
    """)
    before = local.look("latin")
    local.back_up("latin", format=kind)
    local.restore(database="latin", confirm="latin", keep_previous=0).succeeded()
    assert differences(before, local.look("latin")) == []
    assert local.server.sql("postgres", """
        SELECT datdba::regrole, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'latin'
    """) == [f"{role_with_umlaut}|Übung"]


def test_names_in_no_encoding(local: Local) -> None:
    """What a database in SQL_ASCII holds is bytes, which need not be UTF8."""
    local.server.sql("postgres", "CREATE DATABASE raw ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    local.server.sql("raw", """
        CREATE TABLE texts (v text);
        INSERT INTO texts SELECT chr(i) FROM generate_series(1, 255) AS i;
        DO $$ BEGIN
            EXECUTE format('CREATE TABLE %I (%I serial, v text)', 'Gr' || chr(246) || 'e', 'n' || chr(228));
            EXECUTE format('INSERT INTO %I (v) VALUES (%L)', 'Gr' || chr(246) || 'e', chr(252));
        END $$;
    """)
    local.back_up("raw")
    done = local.restore(database="raw", target_database="raw back", strategy="create").succeeded()["restore"]
    assert done["verification"]["rows"] == 255
    look = r"""
        SELECT md5(string_agg(v, '' ORDER BY v)) FROM texts;
        SELECT encode(relname::text::bytea, 'hex'), encode(attname::text::bytea, 'hex'), reltuples > 0
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE relname ~ '^Gr' AND attnum > 0 ORDER BY 1, 2;
        DO $$ BEGIN EXECUTE (SELECT format('CREATE TEMP TABLE odd AS SELECT encode(v::bytea, ''hex'') FROM %I', relname) FROM pg_class
            WHERE relname ~ '^Gr' AND relkind = 'r'); END $$;
        TABLE odd;
    """
    local.server.sql("raw", "ANALYZE")
    assert local.server.sql("raw back", look) == local.server.sql("raw", look)
