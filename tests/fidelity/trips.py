# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trips of the corpus through the modules: there and back on one server, or on to a newer one, and what was lost on it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.fidelity.corpus import (
    Features,
    SqlServer,
    create_corpus,
    drop_corpus,
    writable,
)
from ansible_collections.pgfleet.backup.tests.support.compare import Snapshot, differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.local import quoted
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module

__all__ = ["FORMATS", "Place", "in_container", "move_up", "on_host", "outside", "there_and_back"]

FORMATS = ("directory", "custom", "plain", "tar")

# What a restore has to bring back: data, whole schemas, and what belongs to the database itself.
DAMAGE = writable("""
    DROP SCHEMA tables, names CASCADE;
    TRUNCATE types.text, rights.secrets;
    CREATE TABLE left_by_the_disaster (n integer);
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %1$I RESET ALL', current_database());
        EXECUTE format('COMMENT ON DATABASE %1$I IS NULL', current_database());
    END $$;
""")

ROLES = """
    SELECT to_jsonb(r) - '{oid,rolpassword,rolconfig}'::text[], shobj_description(oid, 'pg_authid') FROM pg_roles r
    WHERE rolname ~* '^fidelity' ORDER BY rolname;
    SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members
    WHERE member::regrole::text ~* 'fidelity' ORDER BY 1, 2;
"""

# Without statistics the first queries after a restore would be planned badly.
NOT_ANALYZED = """
    SELECT 'no statistics: ' || oid::regclass FROM pg_class
    WHERE relkind = 'r' AND oid >= 16384 AND relpersistence = 'p' AND reltuples < 0 ORDER BY 1
"""


@dataclass(frozen=True)
class Place:
    """A server, and the one way to it: the modules' options that choose the executor."""

    server: SqlServer
    options: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, module: str, **options: Any) -> ModuleResult:
        return run_module(module, {**self.options, **options}, env=self.env)

    def look(self, database: str) -> Snapshot:
        return snapshot(functools.partial(self.server.sql, database))


def on_host(server: EmbeddedServer) -> Place:
    """A server of this machine, by its socket and with its own tools."""
    options = {"login_unix_socket": str(server.socket_dir), "login_port": server.port, "login_user": server.user}
    return Place(server, options, {"PATH": server.path()})


def in_container(server: PostgresContainer) -> Place:
    """A server in a container, by the tools inside."""
    return Place(server, {"container": server.name})


def outside(server: PostgresContainer, env: Mapping[str, str]) -> Place:
    """The same from outside, as an external server, by the tools of this machine."""
    return Place(
        server, {"login_host": server.ip, "login_user": server.user, "login_password": server.password}, dict(env)
    )


def there_and_back(place: Place, database: str, before: Snapshot, kind: str, backup_dir: Path) -> list[str]:
    """Back up the corpus in this format, damage it, and restore it: every difference to what it was.

    Raises ``AssertionError`` when a module fails.
    """
    taken = place.run("pg_backup", database=database, format=kind, backup_dir=backup_dir).succeeded()["backups"][0]
    assert taken["verified"], taken
    place.server.sql(database, DAMAGE)
    restored = place.run(
        "pg_restore", database=database, backup=taken["path"], confirm=database, backup_dir=backup_dir
    ).succeeded()["restore"]
    found = differences(before, place.look(database)) + place.server.sql(database, NOT_ANALYZED)
    previous = restored["previous_database"]
    place.server.sql("postgres", f"ALTER DATABASE {quoted(previous)} ALLOW_CONNECTIONS true")
    drop_corpus(place.server, previous)
    return found


def move_up(source: Place, target: Place, features: Features, kind: str, backup_dir: Path) -> list[str]:
    """Back up the corpus ``up`` on one server and restore it on a newer one: every difference to what it should be.

    The content must be that of the older server. What the catalogue should be is shown by the corpus itself, made on the
    newer server by its SQL: definitions are written differently by each version. Gzip is what the tools of every build can read.
    """
    compression = "none" if kind == "tar" else "gzip"
    taken = source.run(
        "pg_backup", database="up", format=kind, compression=compression, backup_dir=backup_dir
    ).succeeded()["backups"][0]
    target.run(
        "pg_restore", database="up", backup=taken["path"], strategy="create", backup_dir=backup_dir,
        create_missing_roles=True, allow_engine_change=True,
    ).succeeded()
    roles = differences(_roles(source), _roles(target)) + target.server.sql("up", NOT_ANALYZED)
    restored = _unnamed_not_nulls(target.look("up"), features)
    drop_corpus(target.server, "up")
    create_corpus(target.server, "up", features)
    native = _unnamed_not_nulls(target.look("up"), features)
    drop_corpus(target.server, "up")
    was = source.look("up")
    content = differences(Snapshot(was.tables, was.sequences), Snapshot(restored.tables, restored.sequences))
    return roles + content + differences(native, restored)


def _unnamed_not_nulls(seen: Snapshot, features: Features) -> Snapshot:
    """Before 18, NOT NULL was a property of the column alone, which had no name to keep."""
    if features.major >= 18:
        return seen
    named = {name: what for name, what in seen.catalogue["constraint"].items() if not what.startswith("NOT NULL")}
    return Snapshot(seen.tables, seen.sequences, {**seen.catalogue, "constraint": named})


def _roles(place: Place) -> Snapshot:
    return Snapshot(catalogue={"role": dict.fromkeys(place.server.sql("postgres", ROLES), "")})
