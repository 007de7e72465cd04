# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _psql_text
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._plain_scan import PlainScanner
from ansible_collections.pgfleet.backup.plugins.module_utils._psql_text import Piece, SqlSplitter
from hypothesis import given, strategies as st

HEAD = b"--\n-- PostgreSQL database dump\n--\n\n"
TRAILER = b"--\n-- PostgreSQL database dump complete\n--\n\n"
DATA = b"COPY public.t (a) FROM stdin;\n1\n\\! touch x\n\\.\n"
FRAGMENTS = ["'", "''", '"', "$$", "$a$", "$1", "$", "--", "/*", "*/", "\\", "E'", "_e", "1", "1e", ";", "\n", " ", "(", ")",
             ":", "::", ":x", ":'x'", ":USER", "create function ", "begin ", "end ", "\r", "é", "a$b$", "\\echo x\n"]


def scan(text: bytes, *, foreign: bool = True, restricted: bool = True) -> PlainScanner:
    scanner = PlainScanner(foreign=foreign, restricted=restricted)
    scanner.feed(text)
    scanner.finish()
    return scanner


def pieces(text: bytes, size: int) -> list[Piece]:
    splitter, found, rest = SqlSplitter(), [], b""
    for start in range(0, len(text) + size, size):
        data, position = rest + text[start:start + size], 0
        while True:
            position, piece = splitter.next(data, position, final=start >= len(text))
            if piece is None:
                break
            found.append(piece)
        rest = data[position:]
    return found


# A command to psql, wherever it stands.
@pytest.mark.parametrize("text", [
    b"\\! touch x\n", b"SELECT 1; \\! touch x\n", b"SELECT 1 \\gexec\n", b"SELECT \\! touch x\n1;\n", b"  \\connect shop\n",
    b"-- x\r\\! touch x\n", b"/* /* */ */ \\! x\n", b"SELECT E'\\'' \\! x\n;\n", b"SELECT 'a\\' \\! x\n;\n",
    b"SELECT $a$ $b$ $a$ \\! x\n;\n", b'SELECT "a\\" \\! x\n;\n', b"SELECT '' '\\' \\; SELECT 1;\n", b"SELECT u&'\\' \\! x\n;\n",
    b"SET standard_conforming_strings = off;\nSELECT 'a\\'' \\! x\n;\n", DATA + b"\\! x\n",
    b"SELECT a$b$ \\! x\n;\n", b"SELECT $1 \\! x\n;\n", b"\\.\n",
    b"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; COPY t FROM stdin;\n\\! x\n\\.\nEND;\n",
])
def test_commands_to_psql_are_refused_in_foreign_dumps(text: bytes) -> None:
    for whole in (text, HEAD + text + TRAILER):
        with pytest.raises(BackupError, match="is a command to psql itself") as caught:
            scan(whole)
        assert caught.value.code == "INVALID_BACKUP_FORMAT"


@pytest.mark.parametrize(("text", "why"), [
    (b"CREATE DATABASE x;\n", "outside the target"), (b"create\n/* */ role x;\n", "outside the target"),
    (b"ALTER USER x SUPERUSER;\n", "outside the target"), (b"ALTER SYSTEM SET x = 1;\n", "outside the target"),
    (b"DROP TABLESPACE x;\n", "outside the target"), (b"COPY t TO PROGRAM 'sh';\n", "does not read its rows"),
    (b"COPY t FROM PROGRAM 'sh' WHERE a IS DISTINCT FROM stdin;\n", "does not read its rows"),
    (b"COPY t FROM stdin; SELECT 1;\n1\n\\.\n", "does not read its rows"), (b"copy t from '/etc/passwd';\n", "does not read"),
    (b"SELECT a[1:USER];\n", "not read as it is meant"), (b"SELECT 1:'HOST';\n", "not read as it is meant"),
    (b"SELECT 1$a$ $a$;\n", "not read as it is meant"), (b"SELECT $1'';\n", "not read as it is meant"),
    (b"SET client_encoding = 'SJIS';\n", "names an encoding"), (b"SET Standard_Conforming_Strings TO off;\n", "changes how"),
    (b"CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public;\n", "in between timescaledb_pre_restore"),
    (b"SELECT set_config('standard_conforming_strings', 'off', false);\n", "changes how text is read"),
])
def test_what_acts_elsewhere_or_reads_two_ways_is_refused_in_foreign_dumps(text: bytes, why: str) -> None:
    with pytest.raises(BackupError, match=why) as caught:
        scan(text)
    assert caught.value.code == "INVALID_BACKUP_FORMAT"
    scan(text.replace(b"1\n\\.\n", b""), foreign=False)


@pytest.mark.parametrize("text", [
    b"SELECT 'C:\\', E'\\\\', E'it\\'s \\! x', U&'\\0041', 'a''\\! x';\n", b"SELECT $$\\! x$$, $a$\n\\! x\n$$\\! x$a$;\n",
    b'CREATE TABLE "a\\b" ("x""\\! y" int);\n', b"-- \\! x\n/* \\! x /* \\! y */ \\! z */\nSELECT 1;\n", DATA,
    b"SELECT 'x'::text, a[1:2], b[lo:hi], c := 1;\n", b"SELECT a - -1, b->>'\\';\n", b"SELECT ':USER', \":USER\";\n",
    b"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT '\\! x; CREATE DATABASE d;' $_$;\n",
    b"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\nSELECT 1;\n",
    b"CREATE USER MAPPING FOR a SERVER b;\nALTER TABLE t OWNER TO role;\nCOMMENT ON TABLE t IS 'CREATE DATABASE x;';\n",
    b"SET standard_conforming_strings = off;\nSELECT 'a\\'b\\\\';\n", b"COPY public.t  FROM stdin;\n\\.\n",
    b'COPY "s""s"."new\nline" (a, "b (c") FROM stdin;\n\\.\n',
])
def test_backslashes_that_are_text_are_no_commands(text: bytes) -> None:
    assert scan(HEAD + text + TRAILER).has_trailer


def test_another_reading_of_text_is_refused_where_psql_has_no_protection_against_it() -> None:
    text = b"SET standard_conforming_strings = off;\n"
    with pytest.raises(BackupError, match="no protection"):
        scan(text, restricted=False)
    scan(text)
    scan(text, foreign=False, restricted=False)
    scan(text.replace(b"off", b"on"), restricted=False)


def protected(head: bytes, tail: bytes, between: bytes = b"SELECT 1;\n") -> bytes:
    return HEAD + head + b"\n" + between + TRAILER + tail


def test_the_protection_that_pg_dump_writes_is_known_in_its_place() -> None:
    whole = protected(b"\\restrict aZ9\n", b"\\unrestrict aZ9\n\n")
    assert scan(whole).has_trailer
    assert scan(whole + whole.replace(b"aZ9", b"b")).has_trailer
    assert not scan(whole + whole[:-60].replace(b"aZ9", b"b")).has_trailer


@pytest.mark.parametrize("text", [
    protected(b"\\restrict a\n", b"\\unrestrict b\n"), protected(b"", b"\\unrestrict a\n"),
    protected(b"\\restrict a\n\\restrict b\n", b""), protected(b"SELECT 1;\n\\restrict a\n", b""),
    protected(b"\\restrict a\n", b"", b"SELECT 1;\n\\unrestrict a\n"), protected(b" \\restrict a\n", b""),
    protected(b"\\restrict a\\! x\n", b""), protected(b"\\restrict\n", b""), protected(b"\\restrict a b\n", b""),
    protected(b"\\restrict a\n", b"\\unrestrict a\n\\! x\n"), protected(b"SELECT\n\\restrict a\n;\n", b""),
])
def test_the_protection_anywhere_else_is_refused(text: bytes) -> None:
    with pytest.raises(BackupError, match="INVALID_BACKUP_FORMAT"):
        scan(text)


@pytest.mark.parametrize("text", [b"SELECT 'a", b'SELECT "a', b"/* a", b"SELECT $x$ a", b"SELECT E'a\\", b"SELECT 1", b"(\n",
                                  b"COPY public.t (a) FROM stdin;\n1\n", b"SELECT '\0';\n"])
def test_what_breaks_off_is_damage(text: bytes) -> None:
    with pytest.raises(BackupError, match="VERIFY_FAILED"):
        scan(HEAD + text)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join), st.integers(1, 7))
def test_pieces_do_not_depend_on_how_the_text_arrives(text: str, size: int) -> None:
    assert pieces(text.encode(), size) == pieces(text.encode(), len(text) * 2 + 1)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    code = "INVALID_BACKUP_FORMAT"
    try:
        scan(text.encode())
    except BackupError as error:
        code = error.code
    assert code in ("INVALID_BACKUP_FORMAT", "VERIFY_FAILED")


def test_rows_of_inserts_are_counted() -> None:
    scanner = scan(
        b"INSERT INTO public.a VALUES (1, '(');\nINSERT INTO public.a (x, y) VALUES\n\t(f(1), 2),\n\t(3, 'VALUES (');\n"
        b"INSERT INTO public.\"We ird\" DEFAULT VALUES;\nINSERT INTO public.c OVERRIDING SYSTEM VALUE VALUES (1);\n"
        b"INSERT INTO public.d VALUES (1) ON CONFLICT DO NOTHING;\nINSERT INTO public.d VALUES (2);\n"
        b"INSERT INTO public.e SELECT 1;\n"
    )
    assert scanner.tables == {"public.a": 3, 'public."We ird"': 1, "public.c": 1}


def test_names_without_a_schema_are_those_of_the_search_path() -> None:
    """As PostgreSQL 10 and older wrote them."""
    scanner = scan(
        b"SET search_path = \"We ird\", pg_catalog;\nCOPY t (a) FROM stdin;\n1\n\\.\n"
        b"SELECT pg_catalog.setval('s', 3, true);\nCOPY public.u (a) FROM stdin;\n\\.\n"
    )
    assert scanner.tables == {'"We ird".t': 1, "public.u": 0}
    assert list(scanner.sequences) == ['"We ird".s']


def test_a_literal_of_any_length_is_not_kept() -> None:
    scanner = PlainScanner(foreign=True)
    scanner.feed(b"INSERT INTO public.t VALUES ('")
    for _piece in range(64):
        scanner.feed(b"x" * (1 << 20))
    assert len(scanner._pending) < 1 << 20
    scanner.feed(b"');\n")
    scanner.finish()
    assert scanner.tables == {"public.t": 1}


def test_the_end_of_a_piece_is_looked_for_once_however_many_statements_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A very long word at its end made every statement cost as much as that word."""
    looked: list[int] = []
    look = _psql_text._complete_until

    def counted(data: bytes) -> int:
        looked.append(len(data))
        return look(data)

    monkeypatch.setattr(_psql_text, "_complete_until", counted)
    found = pieces(b"SELECT 1;\n" * 500 + b"SELECT " + b"9" * 5000 + b";\n", 6000)
    assert len([piece for piece in found if piece.kind == "statement"]) == 501
    assert len(looked) <= 4
