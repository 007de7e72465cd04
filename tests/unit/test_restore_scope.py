# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a chosen part, what it needs, and what must be left alone: on tables of contents made by hand."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, TocEntry
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._live import EMPTY
from ansible_collections.pgfleet.backup.plugins.module_utils._selection import choose, lacking

# (dump id, kind, schema, name, dependencies), as pg_dump writes them.
SHOP = [
    (1, "SCHEMA", "", "s", ()), (2, "ACL", "", "SCHEMA s", (1,)), (3, "TYPE", "s", "colour", (1,)),
    (10, "TABLE", "s", "t", (1, 3)), (11, "TABLE", "s", "t u", (1,)), (12, "TABLE", "s", "p", (1,)),
    (13, "TABLE", "s", "p_1", (1, 12)), (14, "TABLE ATTACH", "s", "p_1", (13, 12)), (15, "TABLE", "x", "t", ()),
    (20, "SEQUENCE", "s", "t_n_seq", (1, 10)), (21, "SEQUENCE OWNED BY", "s", "t_n_seq", (20,)),
    (22, "DEFAULT", "s", "t n", (20, 10)), (23, "SEQUENCE SET", "s", "t_n_seq", (20,)),
    (30, "TABLE DATA", "s", "t", (10,)), (31, "TABLE DATA", "s", "t u", (11,)), (32, "TABLE DATA", "s", "p_1", (13,)),
    (40, "CONSTRAINT", "s", "t t_pkey", (10,)), (41, "CONSTRAINT", "s", "t u u_pkey", (11,)),
    (42, "INDEX", "s", "p_n", (12,)), (43, "INDEX", "s", "p_1_n", (13, 42)), (44, "INDEX ATTACH", "s", "p_1_n", (43, 42, 13, 12)),
    (50, "FK CONSTRAINT", "s", "t u t_u_fkey", (40, 11, 10)), (51, "FUNCTION", "s", "f()", (1,)),
    (52, "TRIGGER", "s", "t f", (10, 51)), (53, "COMMENT", "s", "TRIGGER f ON t", (52,)), (54, "ACL", "s", "TABLE t", (10,)),
    (55, "PUBLICATION", "", "pub", ()), (56, "PUBLICATION TABLE", "s", "pub t", (55, 10)), (57, "VIEW", "s", "v", (10,)),
]
TOC = Toc((1, 16, 0), "shop", "18", "18", tuple(
    TocEntry(kind, schema, name, "o", False, b"", "", number, needs) for number, kind, schema, name, needs in SHOP))
T = {1, 2, 10, 20, 21, 22, 23, 30, 40, 52, 53, 54}


@pytest.mark.parametrize(("tables", "chosen"), [
    (["s.t"], T), (['s."t"'], T), (["t u"], {1, 2, 11, 31, 41, 50}), (["p"], {1, 2, 12, 13, 14, 32, 42, 43, 44}),
    (["p_1"], {1, 2, 13, 14, 32, 43, 44}), (["v"], {1, 2, 57}), (["x.t"], {15}), (["x.t", "v"], {1, 2, 15, 57}),
])
def test_a_table_comes_with_all_that_is_its_own(tables: list[str], chosen: set[int]) -> None:
    found = choose(TOC, schemas=(), tables=tables, live=EMPTY)
    assert found | {2} == chosen | {2}  # the schema's privileges come with the schema or not at all


def test_a_publication_that_is_there_takes_its_table_in_again() -> None:
    live = EMPTY._replace(names=frozenset({("publication", "", "pub")}))
    assert 56 in choose(TOC, schemas=(), tables=["s.t"], live=live)
    assert 56 not in choose(TOC, schemas=["s"], tables=(), live=EMPTY)


def test_a_schema_comes_whole() -> None:
    expected = {number for number, _kind, schema, name, _needs in SHOP if schema == "s" or name in ("s", "SCHEMA s")} - {56}
    assert choose(TOC, schemas=["s"], tables=(), live=EMPTY) == expected
    assert choose(TOC, schemas=["x"], tables=["t"], live=EMPTY) == {15}


@pytest.mark.parametrize(("wish", "message", "hint"), [
    ({"tables": ["t"]}, "more than one table t: s.t, x.t", "with its schema"),
    ({"tables": ["s.tt"]}, "holds no table s.tt", "s.t"),
    ({"tables": ["q"], "schemas": ["x"]}, "holds no table q", "It holds x.t."),
    ({"schemas": ["nowhere"]}, "holds no schema nowhere", "It holds s, x."),
])
def test_names_that_are_not_there(wish: dict[str, list[str]], message: str, hint: str) -> None:
    with pytest.raises(BackupError) as caught:
        choose(TOC, **{"schemas": (), "tables": (), "live": EMPTY, **wish})  # type: ignore[arg-type]
    assert caught.value.code == "INVALID_DB_CONFIG"
    assert message in caught.value.what
    assert hint in caught.value.hint


@pytest.mark.parametrize(("tables", "needs"), [
    (["s.t"], ["function s.f()", "type s.colour"]), (["t u"], ["table s.t"]), (["p_1"], ["table s.p"]), (["x.t"], []),
    (["v"], ["table s.t"]),
])
def test_what_a_part_needs(tables: list[str], needs: list[str]) -> None:
    assert lacking(TOC, choose(TOC, schemas=(), tables=tables, live=EMPTY), EMPTY) == needs


def test_what_is_there_is_not_lacking() -> None:
    live = EMPTY._replace(names=frozenset({("function", "s", "f()"), ("type", "s", "colour")}))
    assert lacking(TOC, choose(TOC, schemas=(), tables=["s.t"], live=live), live) == []
