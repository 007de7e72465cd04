# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
r"""The corpus: a database with everything in it that is known to be lost or changed by backups and restores.

It is plain SQL in ``corpus/``, one file a theme, for PostgreSQL 14 and newer. What a server cannot do (by its version,
or as it was built) is left out by psql's ``\if``; :class:`Features` says what that is.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple, Protocol

from ansible_collections.pgfleet.backup.tests.support.local import quoted
from ansible_collections.pgfleet.backup.tests.support.psql import SqlError

__all__ = ["Features", "create_corpus", "drop_corpus", "features_of", "prepare_server", "writable"]

FILES = Path(__file__).with_name("corpus")
NEWEST = 18
EXTENSIONS = frozenset((
    "btree_gist", "citext", "cube", "earthdistance", "hstore", "isn", "ltree", "pg_trgm", "postgres_fdw", "unaccent",
))
PARTS = frozenset(("icu", "labels", "lz4", "xml"))
# What shows only when it is tried.
ATTEMPTS = {"labels": "SECURITY LABEL FOR fidelity ON SCHEMA public IS 'x'", "xml": "SELECT '<a/>'::xml"}


class SqlServer(Protocol):
    """What all the servers of the tests can do: run a script in a database and give back the rows."""

    def sql(self, database: str, text: str) -> list[str]: ...


class Features(NamedTuple):
    """What the corpus may use: a major version, and those of the ``PARTS`` and of the extensions that are there."""

    major: int
    parts: frozenset[str]

    def common(self, other: Features) -> Features:
        """What both servers can do: for a corpus that is to be moved from one to the other."""
        return Features(min(self.major, other.major), self.parts & other.parts)


def features_of(server: SqlServer) -> Features:
    """What this server can do."""
    rows = server.sql("postgres", """
        SELECT current_setting('server_version_num')::integer / 10000;
        SELECT 'icu' WHERE EXISTS (SELECT FROM pg_collation WHERE collname = 'de-x-icu');
        SELECT 'lz4' FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals);
        SELECT name FROM pg_available_extensions;
    """)
    parts = {row for row in rows[1:] if row in EXTENSIONS | {"icu", "lz4"}}
    for part, attempt in ATTEMPTS.items():
        with contextlib.suppress(SqlError):
            server.sql("postgres", f"BEGIN; {attempt}; ROLLBACK")
            parts.add(part)
    return Features(int(rows[0]), frozenset(parts))


def prepare_server(server: SqlServer, *, with_roles: bool = True) -> None:
    """Make what the corpus needs beside its database: a tablespace and roles, unless a restore is to make those."""
    if with_roles:
        server.sql("postgres", (FILES / "server.sql").read_text(encoding="utf-8"))
    major, there = server.sql("postgres", """
        SELECT current_setting('server_version_num')::integer / 10000;
        SELECT count(*) FROM pg_tablespace WHERE spcname = 'fidelity_space';
    """)
    if int(major) >= 15 and there == "0":
        # In the data folder, so that the server of a test leaves nothing elsewhere.
        server.sql("postgres", "SET allow_in_place_tablespaces = on; CREATE TABLESPACE fidelity_space LOCATION ''")


def create_corpus(server: SqlServer, database: str, features: Features) -> None:
    """Create the database on a prepared server and fill it, as far as ``features`` go."""
    server.sql("postgres", f"CREATE DATABASE {quoted(database)} TEMPLATE template0 ENCODING 'UTF8' {_locale(features)}")
    guards = [f"\\set since_{major} {int(features.major >= major)}" for major in range(15, NEWEST + 1)]
    guards += [f"\\set has_{part} {int(part in features.parts)}" for part in sorted(EXTENSIONS | PARTS)]
    script = [*guards, "SET client_min_messages = error;"]
    script += [path.read_text(encoding="utf-8") for path in sorted(FILES.glob("[0-9]*.sql"))]
    server.sql(database, "\n".join(script))


def _locale(features: Features) -> str:
    """That of the provider which a restore can most easily get wrong."""
    words = ["LC_COLLATE 'C' LC_CTYPE 'C'"]
    if "icu" in features.parts and features.major >= 15:
        words.append("LOCALE_PROVIDER icu ICU_LOCALE 'de-u-kn-true'")
        if features.major >= 16:
            words.append("ICU_RULES '&a < g'")
    elif features.major >= 17:
        words.append("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
    return " ".join(words)


def writable(script: str) -> str:
    """The script as it can run in the corpus, which is read-only unless one says otherwise."""
    return "SET default_transaction_read_only = off;\n" + script


def drop_corpus(server: SqlServer, database: str) -> None:
    """Drop it, or a restored one. A subscription stands in the way of that, even one without a slot."""
    if not server.sql("postgres", "SELECT 1 FROM pg_database WHERE datname = '" + database.replace("'", "''") + "'"):
        return
    for subscription in server.sql(database, """
        SELECT quote_ident(subname) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE datname = current_database()
    """):
        server.sql(database, writable(f"DROP SUBSCRIPTION {subscription}"))
    server.sql("postgres", f"DROP DATABASE {quoted(database)} WITH (FORCE)")
