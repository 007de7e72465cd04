# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated databases come back equal: names, types, constraints, dependencies and rows that nobody thought of.

An example is a whole database, so there are few of them, each with many tables. Every format has its own, and they are the
same in every run.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted
from hypothesis import HealthCheck, given, seed, settings, strategies as st

FORMATS = ["directory", "custom", "plain", "tar"]
NUMBERS = itertools.count(1)

# Anything a name may hold: at most 63 bytes with the number that makes it the only one, no zero byte.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"])
AWKWARD = st.sampled_from(['"', "'", "\\", ".", " ", "\n", "\t", "\r", ";", "$", "%", "--", "/*", "ü", "表", "🙂", "A", "a", "0", "=", ":", "\\.", "\\N"])
NAMES = (
    st.lists(st.one_of(AWKWARD, CHARACTERS), min_size=1, max_size=20).map("".join)
    .map(lambda text: text.encode()[:60].decode(errors="ignore")).filter(bool)
)
TEXTS = st.lists(st.one_of(AWKWARD, CHARACTERS), max_size=40).map("".join)


class Type(NamedTuple):
    """A type by its SQL name, its values as text, and whether a key can be made of it."""

    name: str
    values: st.SearchStrategy[str]
    ordered: bool = True


def _interval() -> st.SearchStrategy[str]:
    part = st.integers(-99999, 99999)
    return st.builds("{} months {} days {} seconds {} microseconds".format, part, part, part, part)


TYPES = [
    Type("integer", st.integers(-(2**31), 2**31 - 1).map(str)),
    Type("bigint", st.integers(-(2**63), 2**63 - 1).map(str)),
    Type("numeric", st.one_of(st.decimals().filter(lambda d: not d.is_snan()).map(lambda d: str(d).replace("-NaN", "NaN")), st.just("-Infinity"))),
    Type("double precision", st.floats().map(repr)),
    Type("real", st.floats(width=32).map(repr)),
    Type("text", TEXTS),
    Type('text COLLATE "C"', TEXTS),
    Type("varchar(7)", TEXTS.map(lambda text: text[:7])),
    Type("bytea", st.binary(max_size=300).map(lambda data: "\\x" + data.hex())),
    Type("boolean", st.booleans().map(str)),
    Type("date", st.one_of(st.dates().map(str), st.sampled_from(["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31"]))),
    Type("timestamptz", st.one_of(st.datetimes().map(lambda at: at.isoformat() + "Z"), st.just("294276-12-31 23:59:59.999999+00"))),
    Type("time", st.times().map(str)),
    Type("interval", _interval()),
    Type("uuid", st.uuids().map(str)),
    Type("inet", st.ip_addresses().map(str)),
    Type("jsonb", st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)), max_leaves=6,
    ).map(json.dumps)),
    Type("json", st.sampled_from(['{"a" :1, "a": 2}', "[ ]", '"\\u0000"', "1e5000"]), ordered=False),
    Type("int4range", st.builds("[{},{})".format, st.integers(-99, 0), st.integers(0, 99))),
    Type("point", st.builds("({!r},{!r})".format, st.floats(), st.floats()), ordered=False),
    Type("bit varying", st.text("01", max_size=70)),
]


def _literal(text: str) -> str:
    return " E'{}'".format(text.replace("\\", "\\\\").replace("'", "''"))


class Relation(NamedTuple):
    """A table or view: its full name, its columns, and how many rows a table has, whose keys count from 1."""

    name: str
    columns: list[str]
    rows: int = 0


class Maker:
    """Makes one database, statement by statement, of what is drawn."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.script: list[str] = []
        self._draw = draw
        self._numbers = itertools.count(1)

    def name(self) -> str:
        """A name that no other thing has, odd at both ends."""
        text = self._draw(NAMES)
        return quoted(f"{text[0]}{next(self._numbers)}{text[1:]}")

    def chance(self, of: int) -> bool:
        return self._draw(st.integers(1, of)) == 1

    def schema(self) -> str:
        name = self.name()
        self.script.append(f"CREATE SCHEMA {name};")
        return name

    def enum(self, schema: str) -> Type:
        name, labels = f"{schema}.{self.name()}", self._draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
        self.script.append(f"CREATE TYPE {name} AS ENUM ({', '.join(map(_literal, labels))});")
        return Type(name, st.sampled_from(labels))

    def domain(self, schema: str) -> Type:
        name, of = f"{schema}.{self.name()}", self._draw(st.sampled_from(TYPES))
        self.script.append(f"CREATE DOMAIN {name} AS {of.name} CONSTRAINT {self.name()} CHECK (VALUE IS NULL OR VALUE::text <> 'never');")
        return of._replace(name=name)

    def table(self, schema: str, types: list[Type]) -> Relation:
        """With a key that counts, and rows; it may be partitioned."""
        name, key = f"{schema}.{self.name()}", self.name()
        columns: list[tuple[str, Type, bool]] = [
            (self.name(), self._draw(st.sampled_from(types)), self.chance(6)) for _column in range(self._draw(st.integers(1, 6)))
        ]
        parts = [f"{key} integer GENERATED {self._draw(st.sampled_from(['ALWAYS', 'BY DEFAULT']))} AS IDENTITY PRIMARY KEY"]
        for column, kind, many in columns:
            default = f" DEFAULT {_literal(self._draw(kind.values))}" if not many and self.chance(2) else ""
            parts.append(f"{column} {_spelled(kind, many)}{default}")
            if self.chance(4):
                parts.append(f"CONSTRAINT {column} CHECK ({column} IS NOT NULL OR {column} IS NULL)")
        partitions = self._draw(st.sampled_from([0, 0, 1, 3]))
        self.script.append(f"CREATE TABLE {name} ({', '.join(parts)}){f' PARTITION BY HASH ({key})' if partitions else ''};")
        for remainder in range(partitions):
            self.script.append(f"CREATE TABLE {schema}.{self.name()} PARTITION OF {name} FOR VALUES WITH (MODULUS {partitions}, REMAINDER {remainder});")
        rows = self._draw(st.integers(0, 8))
        for _row in range(rows):
            values = ", ".join(self._value(kind, many) for _column, kind, many in columns)
            self.script.append(f"INSERT INTO {name} VALUES (DEFAULT, {values});")
        for column, kind, _many in columns:
            if self.chance(3):
                self.script.append(f"COMMENT ON COLUMN {name}.{column} IS {_literal(self._draw(TEXTS))};")
            if kind.ordered and self.chance(3):
                self.script.append(f"CREATE INDEX ON {name} ({column}) WHERE {column} IS NOT NULL;")
        return Relation(name, [key, *(column for column, _kind, _many in columns)], rows)

    def _value(self, kind: Type, many: bool) -> str:
        value = self._draw(st.one_of(st.none(), kind.values))
        if value is None:
            return "NULL"
        return f"ARRAY[{_literal(value)}, NULL]::{kind.name.partition(' COLLATE')[0]}[]" if many else _literal(value)

    def foreign_key(self, tables: list[Relation]) -> None:
        """From any table to any, itself included, so that they go in circles."""
        one, other, column = self._draw(st.sampled_from(tables)), self._draw(st.sampled_from(tables)), self.name()
        how = self._draw(st.sampled_from(["", "ON DELETE CASCADE", "DEFERRABLE INITIALLY DEFERRED", "ON UPDATE SET NULL"]))
        self.script.append(f"ALTER TABLE {one.name} ADD COLUMN {column} integer REFERENCES {other.name} {how};")
        if other.rows:
            self.script.append(f"UPDATE {one.name} SET {column} = {self._draw(st.integers(1, other.rows))};")

    def view(self, schema: str, sources: list[Relation]) -> Relation:
        source, name = self._draw(st.sampled_from(sources)), f"{schema}.{self.name()}"
        columns = self._draw(st.lists(st.sampled_from(source.columns), min_size=1, unique=True))
        kind = self._draw(st.sampled_from(["VIEW", "MATERIALIZED VIEW"]))
        self.script.append(f"CREATE {kind} {name} AS SELECT {', '.join(columns)} FROM {source.name};")
        return Relation(name, columns)


def _spelled(kind: Type, many: bool) -> str:
    return kind.name.replace(" COLLATE", "[] COLLATE") if many and "COLLATE" in kind.name else kind.name + "[]" * many


@st.composite
def databases(draw: st.DrawFn) -> str:
    """A whole database as SQL, in which anything may have any name."""
    make = Maker(draw)
    schemas = [make.schema() for _schema in range(draw(st.integers(1, 4)))]
    schema: Callable[[], str] = functools.partial(draw, st.sampled_from(schemas))
    types = [*TYPES, make.enum(schema()), make.domain(schema())]
    tables = [make.table(schema(), types) for _table in range(draw(st.integers(3, 12)))]
    for _key in range(draw(st.integers(1, 6))):
        make.foreign_key(tables)
    relations = [*tables]
    for _view in range(draw(st.integers(1, 5))):
        relations.append(make.view(schema(), relations))
    return "\n".join(make.script)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_generated_database_comes_back(embedded_server: EmbeddedServer, tmp_path: Path, kind: str) -> None:
    local = Local(embedded_server, tmp_path / "backups")

    @seed(FORMATS.index(kind))
    @settings(max_examples=2, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(databases().filter(lambda script: "INSERT" in script))  # the first one drawn is as good as empty
    def check(script: str) -> None:
        name = f"generated_{kind}_{next(NUMBERS)}"
        try:
            local.create(name, script)
            local.back_up(name, format=kind)
            local.restore(database=name, target_database=name + "_back", strategy="create").succeeded()
            assert differences(local.look(name), local.look(name + "_back")) == []
        finally:
            for database in (name, name + "_back"):
                embedded_server.sql("postgres", f"DROP DATABASE IF EXISTS {database}")

    check()
