# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_scan import CopyScanner, RowCounter
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._plain_scan import PlainScanner
from hypothesis import example, given, strategies as st

TRAILER = b"--\n-- PostgreSQL database dump complete\n--\n"
# A row as COPY writes it: never a line break, and a backslash only before another character.
FIELDS = st.text(st.characters(exclude_categories=["Cs"])).map(
    lambda text: text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t"))
TRICKY = st.sampled_from(["", "\\N", "\\\\.", "\\\\", ".", "-- x", "COPY public.t0 (a) FROM stdin;"])
ROWS = st.lists(st.one_of(FIELDS, TRICKY))
NAMES = st.sampled_from([
    "public.t", 'public."We ird"', 'public."qu""ote"', 'public."new\nline"', 'public."a (b"', "größe.t",
])


def copy(name: str) -> str:
    return "COPY {0} (a, \"b (c\") FROM stdin;\n".format(name)


def data_of(name: str, rows: list[str]) -> str:
    shown = name.replace("\n", " ")
    comment = "--\n-- Data for Name: {0}; Type: TABLE DATA; Schema: public; Owner: o\n--\n\n".format(shown)
    return comment + copy(name) + "".join(row + "\n" for row in rows) + "\\.\n\n\n"


def scan(text: bytes, expected: list[str] | None = None, size: int = 0) -> RowCounter:
    """As an archive's text, of which the expected COPY statements are known; without them as a plain dump."""
    scanner: RowCounter = PlainScanner(foreign=False)
    if expected is not None:
        scanner = CopyScanner(statement.encode() for statement in expected)
    for start in range(0, len(text), size or len(text) or 1):
        scanner.feed(text[start:start + (size or len(text))])
    scanner.finish()
    return scanner


def broken(text: bytes, expected: list[str] | None = None) -> str:
    with pytest.raises(BackupError) as caught:
        scan(text, expected)
    assert caught.value.code == "VERIFY_FAILED"
    return caught.value.what


@given(st.dictionaries(NAMES, ROWS), st.integers(1, 60))
@example({"public.t": ["\\\\.", "", ""], 'public."new\nline"': []}, 1)
def test_any_content_in_any_pieces_is_counted_exactly(tables: dict[str, list[str]], size: int) -> None:
    text = "".join(data_of(name, rows) for name, rows in tables.items()).encode()
    counts = {name: len(rows) for name, rows in tables.items()}
    assert scan(text, [copy(name) for name in tables], size).tables == counts
    assert scan(text, None, size).tables == counts


NAMED = ["public.t", "public.u"]
DUMP = "".join(data_of(name, ["1\tx", "2\ty"]) for name in NAMED).encode() + TRAILER


@pytest.mark.parametrize("length", range(len(DUMP)))
def test_every_cut_is_noticed(length: int) -> None:
    ends = [DUMP.index(b"\\.\n") + 3, DUMP.rindex(b"\\.\n") + 3]
    begins = [DUMP.index(copy(name).encode()) + len(copy(name)) - 1 for name in NAMED]
    if length < ends[1]:
        broken(DUMP[:length], [copy(name) for name in NAMED])
    if any(begin < length < end for begin, end in zip(begins, ends, strict=True)):
        assert "breaks off" in broken(DUMP[:length])
    else:
        # A plain dump has no table of contents: between two statements the missing trailer tells.
        assert whole_plain(DUMP[:length]) == (length >= len(DUMP) - 4)


def whole_plain(text: bytes) -> bool:
    scanner = PlainScanner(foreign=False)
    scanner.feed(text)
    try:
        scanner.finish()
    except BackupError:
        return False
    return scanner.has_trailer


def test_a_table_that_is_swallowed_by_the_one_before() -> None:
    text = (data_of("public.t", ["1"]).replace("\\.\n", "") + data_of("public.u", ["2"])).encode()
    assert "public.u" in broken(text, [copy("public.t"), copy("public.u")])


def test_a_table_that_does_not_come() -> None:
    text = data_of("public.t", []).encode()
    assert broken(text, [copy("public.t"), copy("public.u")]).startswith("the data of 1 table(s) is missing")
    assert "public.t" in broken(text, [copy("public.t")] * 2)
    assert "public.t" in broken(b"", [copy("public.t")])


@pytest.mark.parametrize("tail", ["", "1", "1\n", "1\n\\", "1\n\\.", "\\.x\n", "\\. \n", "1\\.\n", "\\.\r\n"])
def test_data_that_does_not_end(tail: str) -> None:
    text = (copy("public.t") + tail).encode()
    assert broken(text, [copy("public.t")]) == "the data of table public.t breaks off in the middle"


def test_a_functions_body_is_no_data() -> None:
    body = (
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\n"
        "COPY public.t (a) FROM stdin;\n1\n\\.\nSELECT pg_catalog.setval('public.s', 7, true);\n$$;\n"
    )
    plain = "-- Name: f(); Type: FUNCTION; Schema: public; Owner: o\n--\n\n" + body + data_of("public.t", ["1"])
    scanner = scan(plain.encode() + TRAILER)
    assert (scanner.tables, scanner.sequences) == ({"public.t": 1}, {})
    assert scan(body.encode() + TRAILER).tables == {}
    assert scan(body.encode(), []).tables == {}


def has_trailer(text: bytes) -> bool:
    scanner = scan(text)
    assert isinstance(scanner, PlainScanner)
    return scanner.has_trailer


@pytest.mark.parametrize(("end", "has"), [
    (TRAILER, True), (TRAILER + b"\n\\unrestrict abc\n\n", True), (TRAILER.rstrip(b"-\n"), True), (TRAILER[:-6], False),
    (b"", False),
])
def test_the_trailer(end: bytes, has: bool) -> None:
    assert has_trailer(data_of("public.t", ["-- PostgreSQL database dump complete"]).encode() + end) is has


def test_sequences_and_large_objects() -> None:
    comment = b"--\n-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: o\n--\n\n"
    text = comment + (
        b"SELECT pg_catalog.setval('public.order_id_seq', 42, true);\n"
        b"SELECT pg_catalog.setval('public.\"o''clock\"', -7, false);\n"
        b"SELECT pg_catalog.setval(broken);\n"
        b"SELECT pg_catalog.lo_open('16400', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00');\nSELECT pg_catalog.lo_close(0);\n"
    )
    for scanner in (scan(text), scan(text, [])):
        assert scanner.sequences == {
            "public.order_id_seq": {"last_value": 42, "is_called": True},
            "public.\"o'clock\"": {"last_value": -7, "is_called": False},
        }
        assert scanner.large_objects == 1


def test_bytes_that_are_not_utf8() -> None:
    text = b"COPY public.t (a) FROM stdin;\n\xff\xfe\x00\n\\.\n"
    assert scan(text, ["COPY public.t (a) FROM stdin;\n"]).tables == {"public.t": 1}


@pytest.mark.parametrize(("encoding", "name"), [
    ("LATIN1", "größe"), ("WIN1251", "таблица"), ("EUC_JP", "表"), ("UTF8", "größe"),
])
def test_names_are_read_in_the_dumps_own_encoding(encoding: str, name: str) -> None:
    codec = {"EUC_JP": "euc_jp", "WIN1251": "cp1251", "LATIN1": "latin-1", "UTF8": "utf-8"}[encoding]
    statement = 'COPY public."{0}" (a) FROM stdin;\n'.format(name).encode(codec)
    archive = CopyScanner([statement], encoding)
    archive.feed(statement + b"1\n\\.\n")
    archive.finish()
    plain = PlainScanner(foreign=True)
    plain.feed("SET client_encoding = '{0}';\n".format(encoding).encode() + statement + b"1\n\\.\n")
    plain.finish()
    assert archive.tables == plain.tables == {'public."{0}"'.format(name): 1}


def test_partitions_of_one_name_are_added_up() -> None:
    text = (data_of("public.t", ["1"]) + data_of("public.t", ["2", "3"])).encode()
    assert scan(text, [copy("public.t")] * 2).tables == {"public.t": 3}
