# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import (
    conninfo,
    ident,
    literal,
    name_parts,
    truncate_name,
)
from hypothesis import example, given, strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.mark.parametrize(("name", "quoted"), [
    ("shop", '"shop"'), ('we"ird $(touch x) näme', '"we""ird $(touch x) näme"'), ('"', '""""'),
    ("a\\b'c", '"a\\b\'c"'), ("a\nb", '"a\nb"'),
])
def test_identifiers(name: str, quoted: str) -> None:
    assert ident(name) == quoted


@pytest.mark.parametrize(("name", "parts"), [
    ("t", ["t"]), ("s.t", ["s", "t"]), ('"s.x"."t""y"', ["s.x", 't"y']), ('größe."A b"', ["größe", "A b"]), ("", []),
])
def test_the_parts_of_a_name(name: str, parts: list[str]) -> None:
    assert name_parts(name) == parts


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=3))
def test_quoted_parts_come_back(parts: list[str]) -> None:
    assert name_parts(".".join(map(ident, parts))) == parts


@pytest.mark.parametrize(("value", "quoted"), [
    ("", "''"), ("x", "'x'"), ("o'clock", "'o''clock'"), ("a\\b", " E'a\\\\b'"), ("\\'", " E'\\\\'''"),
    ("a\nb", "'a\nb'"), ("$$;--", "'$$;--'"),
])
def test_string_constants(value: str, quoted: str) -> None:
    assert literal(value) == quoted


def parse_conninfo(text: str) -> dict[str, str]:
    """The rules of libpq (conninfo_parse)."""
    pairs = {}
    position = 0
    while position < len(text):
        match = re.compile(r"\s*([^=\s]+)\s*=\s*").match(text, position)
        assert match, text[position:]
        position, value = match.end(), ""
        quoted = text[position:position + 1] == "'"
        position += quoted
        while position < len(text) and (text[position] != "'" if quoted else not text[position].isspace()):
            position += text[position] == "\\"
            value += text[position]
            position += 1
        position += quoted
        pairs[match.group(1)] = value
    return pairs


@given(TEXT, TEXT)
@example("a=b", "shop\n")
@example("postgresql://evil/x", "")
@example("x' host='evil", "\\")
def test_a_connection_string_comes_back(database: str, value: str) -> None:
    assert parse_conninfo(conninfo(database, {"keepalives": value})) == {"dbname": database, "keepalives": value}


@pytest.mark.parametrize(("database", "text"), [
    ("shop", "dbname=shop"), ("", "dbname=''"), ("a b", "dbname='a b'"), ("shop\n", "dbname='shop\n'"),
    ("größe", "dbname='größe'"),
    ("a=b", "dbname='a=b'"), ("it's\\", "dbname='it\\'s\\\\'"),
])
def test_connection_strings(database: str, text: str) -> None:
    assert conninfo(database, {}) == text
    assert conninfo(database, {"sslcrl": "/x", "dbname": "evil", "a": "1"}) == "a=1 {0} sslcrl=/x".format(text)


@given(TEXT)
@example("ä" * 63)
@example("😀" * 40)
def test_names_are_cut_at_a_character(name: str) -> None:
    cut = truncate_name(name, "__before_20261121T231500Z")
    stem = cut[:-len("__before_20261121T231500Z")]
    assert cut == stem + "__before_20261121T231500Z"
    assert name.startswith(stem)
    assert len(cut.encode()) <= 63
    assert stem == name or len((stem + name[len(stem)]).encode()) > 63 - 25
