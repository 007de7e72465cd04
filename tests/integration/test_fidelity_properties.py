# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated databases come back equal: names, types, defaults, constraints and rows that nobody thought of.

An example is a whole database, so there are few of them, each with many tables; they are the same in every run.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted
from hypothesis import HealthCheck, given, settings, strategies as st

NUMBERS = itertools.count(1)

# Anything a name may hold: at most 63 bytes, no zero byte. Those that begin with pg_ belong to the server.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"])
AWKWARD = st.sampled_from(['"', "'", "\\", ".", " ", "\n", "\t", "\r", ";", "$", "%", "--", "/*", "ü", "表", "🙂", "A", "a", "0", "=", ":", "\\.", "\\N"])
NAMES = (
    st.lists(st.one_of(AWKWARD, CHARACTERS), min_size=1, max_size=20).map("".join)
    .map(lambda text: text.encode()[:63].decode(errors="ignore")).filter(lambda text: text and not text.startswith("pg_"))
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


@st.composite
def tables(draw: st.DrawFn, schema: str) -> str:
    """One table as SQL, with its rows."""
    name = f"{quoted(schema)}.{quoted(draw(NAMES))}"
    columns = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    types = [draw(st.sampled_from(TYPES)) for _column in columns]
    array = [draw(st.integers(0, 5)) == 0 for _column in columns]
    rows = draw(st.lists(st.tuples(*(st.one_of(st.none(), kind.values) for kind in types)), max_size=8))
    parts = []
    for column, kind, many in zip(columns, types, array, strict=True):
        spelled = kind.name.replace(" COLLATE", "[] COLLATE") if many and "COLLATE" in kind.name else kind.name + "[]" * many
        default = ""
        if not many and draw(st.booleans()):
            default = f" DEFAULT {_literal(draw(kind.values))}"
        parts.append(f"{quoted(column)} {spelled}{default}")
        if draw(st.integers(0, 3)) == 0:
            parts.append(f"CONSTRAINT {quoted(column)} CHECK ({quoted(column)} IS NOT NULL OR {quoted(column)} IS NULL)")
    script = [f"CREATE TABLE {name} ({', '.join(parts)});"]
    for row in rows:
        values = [
            "NULL" if value is None else f"ARRAY[{_literal(value)}, NULL]::{kind.name.partition(' COLLATE')[0]}[]" if many else _literal(value)
            for value, kind, many in zip(row, types, array, strict=True)
        ]
        script.append(f"INSERT INTO {name} VALUES ({', '.join(values)});")
    for column, kind in zip(columns, types, strict=True):
        if draw(st.integers(0, 2)) == 0:
            script.append(f"COMMENT ON COLUMN {name}.{quoted(column)} IS {_literal(draw(TEXTS))};")
        if kind.ordered and draw(st.integers(0, 2)) == 0:
            script.append(f"CREATE INDEX ON {name} ({quoted(column)}) WHERE {quoted(column)} IS NOT NULL;")
    return "\n".join(script)


@st.composite
def databases(draw: st.DrawFn) -> str:
    """A whole database as SQL: schemas, and tables that may have any name in them."""
    script = []
    for schema in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        script.append(f"CREATE SCHEMA {quoted(schema)};")
        made = draw(st.lists(tables(schema), max_size=5, unique_by=lambda table: table.partition("(")[0]))
        script += made
    return "\n".join(script)


@pytest.mark.parametrize("kind", ["directory", "custom", "plain", "tar"])
def test_a_generated_database_comes_back(embedded_server: EmbeddedServer, tmp_path: Path, kind: str) -> None:
    local = Local(embedded_server, tmp_path / "backups")

    @settings(max_examples=5, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(databases())
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
