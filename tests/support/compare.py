# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that two databases are equal: every row of every table, every sequence, every object of the catalogue.

``snapshot`` looks at a database through any way of running SQL, ``differences`` puts two of them side by side. A
snapshot holds hashes, not rows, so one taken before a disaster can be kept and compared with what came back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pgfleet.backup.tests.support.catalogue import QUERIES

__all__ = ["Snapshot", "SqlRunner", "Table", "differences", "snapshot"]

# Runs a script in one database and gives back the rows it printed, for example functools.partial(server.sql, "shop").
SqlRunner = Callable[[str], list[str]]

# The text of a value depends on these; both sides of a comparison use the same. Row security is off, so that a role
# that would see a part only fails instead of comparing that part.
_SESSION = """
    SET search_path = pg_catalog;
    SET timezone = 'UTC';
    SET datestyle = 'ISO, YMD';
    SET intervalstyle = 'iso_8601';
    SET extra_float_digits = 3;
    SET bytea_output = 'hex';
    SET row_security = off;
    SET quote_all_identifiers = off;
    SET xmloption = content;
    SET lc_monetary = 'C';
    SET statement_timeout = 0;
    SET jit = off;
"""

_TABLES = """
    SELECT json_build_array('name of a table', c.oid::regclass::text, c.relkind = 'r')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated)
    ORDER BY 1::text;
"""

_SEQUENCES = """
    SELECT json_build_array('name of a sequence', seqrelid::regclass::text, '') FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
    WHERE c.relpersistence <> 't' ORDER BY 1::text;
"""


@dataclass(frozen=True)
class Table:
    """A table's exact number of rows, and a hash of its content whatever the order of its rows."""

    rows: int
    content: str


@dataclass(frozen=True)
class Snapshot:
    """What a database held. ``catalogue`` maps a kind of object to its names, and those to all there is to say."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    sequences: Mapping[str, str] = field(default_factory=dict)
    catalogue: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


def snapshot(sql: SqlRunner, *, database_properties: bool = True) -> Snapshot:
    """Look at everything in a database.

    ``database_properties``: owner, settings, privileges and comment of the database itself; leave them out to compare
    with a restore that is not meant to bring them.
    """
    catalogue = _catalogue(sql)
    tables = catalogue.pop("name of a table")
    sequences = catalogue.pop("name of a sequence")
    if not database_properties:
        del catalogue["database"]
    content = _content(sql, tables, sequences)
    of_tables, of_sequences = content[: len(tables)], content[len(tables) :]
    return Snapshot(
        tables={name: Table(int(rows), text) for name, (rows, text) in zip(tables, of_tables, strict=True)},
        sequences={name: "|".join(value) for name, value in zip(sequences, of_sequences, strict=True)},
        catalogue=catalogue,
    )


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Every difference in one line each; empty when the two are equal."""
    found = _compare("table", {k: _say(v) for k, v in before.tables.items()}, {k: _say(v) for k, v in after.tables.items()})
    found += _compare("sequence value", before.sequences, after.sequences)
    for kind in sorted({*before.catalogue, *after.catalogue}):
        found += _compare(kind, before.catalogue.get(kind, {}), after.catalogue.get(kind, {}))
    return found


def _say(table: Table) -> str:
    return f"{table.rows} rows, content {table.content}"


def _compare(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    lost = [f"{kind} {name}: missing" for name in before if name not in after]
    new = [f"{kind} {name}: was not there before" for name in after if name not in before]
    other = [
        f"{kind} {name}: was <{before[name]}>, is <{after[name]}>"
        for name in before
        if name in after and before[name] != after[name]
    ]
    return lost + new + other


def _catalogue(sql: SqlRunner) -> dict[str, dict[str, Any]]:
    """All that takes one question: each kind of object, and by name what there is to say of it."""
    parts = [
        f"SELECT json_build_array('{kind}', name, what) FROM ({query}) AS q (name, what);"
        for kind, query in QUERIES.items()
    ]
    found: dict[str, dict[str, Any]] = {kind: {} for kind in (*QUERIES, "name of a table", "name of a sequence")}
    for row in sql(_SESSION + _TABLES + _SEQUENCES + "\n".join(parts)):
        kind, name, what = json.loads(row)
        if name in found[kind]:
            raise AssertionError(f"two objects of kind {kind} go by the name {name}; the comparison would miss one")
        found[kind][name] = what
    return found


def _content(sql: SqlRunner, tables: Mapping[str, bool], sequences: Iterable[str]) -> list[list[str]]:
    """A row for each table, and one for each sequence. ``tables`` says which of them are ordinary ones."""
    # The row goes by a name that no column has: in "t::text" a column t would win over the row.
    queries = [
        f"SELECT count(*), md5(coalesce(string_agg(md5(pgfleet_row::text), '' ORDER BY md5(pgfleet_row::text)), ''))"
        f" FROM {'ONLY ' if ordinary else ''}{name} AS pgfleet_row;"
        for name, ordinary in tables.items()
    ]
    queries += [f"SELECT last_value, is_called FROM {name};" for name in sequences]
    return [row.split("|") for row in sql(_SESSION + "\n".join(queries))] if queries else []
