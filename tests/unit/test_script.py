# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._script import Attached, adapted, complete, protected

HEAD = (
    b"SET statement_timeout = 0;\nSET lock_timeout = 0;\nSET idle_in_transaction_session_timeout = 0;\n"
    b"SET transaction_timeout = 0;\nSET client_encoding = 'UTF8';\nSET row_security = off;\n\n"
    b"SET default_table_access_method = heap;\n\n"
)
DROPS = (
    b'DROP INDEX IF EXISTS s.i_1;\nDROP INDEX IF EXISTS s."i\n""1";\nDROP INDEX IF EXISTS s.i;\n'
    b"ALTER TABLE IF EXISTS ONLY s.t_1 DROP CONSTRAINT IF EXISTS t_1_pkey;\n"
    b"ALTER TABLE IF EXISTS ONLY s.t DROP CONSTRAINT IF EXISTS t_pkey;\n"
    b"CREATE OR REPLACE VIEW public.v AS\nSELECT\n    NULL::integer AS n;\nDROP VIEW IF EXISTS public.v;\n"
)
BODY = (
    b"--\n-- Name: f(); Type: FUNCTION; Schema: public; Owner: -\n--\n\n"
    b"CREATE FUNCTION f() RETURNS void AS $$\nDROP INDEX IF EXISTS s.i_1;\nSET transaction_timeout = 0;\n"
    b"SET lock_timeout = 0;\n$$;\n"
)
DATA = b"COPY public.t (a) FROM stdin;\nSET transaction_timeout = 0;\nSET lock_timeout = 0;\n\\.\n"
ATTACHED = Attached(frozenset({("s", "i_1"), ("s", 'i\n"1')}), frozenset({("s", "t_1", "t_1_pkey")}))
TAIL = b"\nCOMMIT;\n\n--\n-- PostgreSQL database dump complete\n--\n\n"


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[start:start + size] for start in range(0, len(text), size)]


def never(setting: str) -> None:
    pytest.fail(f"{setting} was left out")


def let_through(chunks: Iterable[bytes]) -> tuple[bytes, str]:
    """What came through before the error, and that."""
    seen = b""
    try:
        for chunk in complete(chunks):
            seen += chunk
    except BackupError as error:
        return seen, error.what
    return seen, ""


def without(text: bytes, *starts: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(starts or (b"\0",)))


@pytest.mark.parametrize(("version", "gone"), [
    (180006, []), (170000, []), (160015, [b"SET transaction_timeout"]),
    (110022, [b"SET transaction_timeout", b"SET default_table_access_method"]),
])
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("body", [BODY, DATA, b""])
def test_settings_that_the_server_does_not_know(version: int, gone: list[bytes], size: int, body: bytes) -> None:
    left_out: list[str] = []
    script = b"".join(adapted(pieces(HEAD + body, size), server_version_num=version, left_out=left_out.append))
    assert script == without(HEAD, *gone) + body
    assert ["SET " + name for name in left_out] == [line.decode() for line in gone]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_is_attached_is_not_dropped_by_itself(size: int) -> None:
    dump = pieces(HEAD + DROPS + BODY + DATA, size)
    script = b"".join(adapted(dump, server_version_num=180000, left_out=never, attached=ATTACHED))
    drops = DROPS.replace(b"DROP INDEX IF EXISTS s.i_1;\n", b"").replace(b'DROP INDEX IF EXISTS s."i\n""1";\n', b"")
    drops = drops.replace(b"ALTER TABLE IF EXISTS ONLY s.t_1 DROP CONSTRAINT IF EXISTS t_1_pkey;\n", b"")
    assert script == HEAD + drops + BODY + DATA


def test_locks_are_waited_for_as_long_as_told() -> None:
    script = b"".join(adapted([HEAD + BODY + DATA], server_version_num=180000, left_out=never, lock_seconds=7))
    assert script == HEAD.replace(b"lock_timeout = 0", b"lock_timeout = '7s'") + BODY + DATA


def test_statements_of_ours_come_when_all_is_dropped_and_nothing_made() -> None:
    dump = pieces(HEAD + DROPS + BODY + DATA, 7)
    script = b"".join(adapted(dump, server_version_num=180000, left_out=never, before_data=["DELETE FROM c.job ;", "x;"]))
    assert script == HEAD + DROPS + b"--\nDELETE FROM c.job ;\nx;\n" + BODY[3:] + DATA


def test_nothing_of_nothing() -> None:
    assert b"".join(adapted([], server_version_num=150000, left_out=never)) == b""


@pytest.mark.parametrize("size", [1, 100, 5000, 100000])
@pytest.mark.parametrize("tail", [TAIL, TAIL + b"\\unrestrict aB9\n\n"])
def test_a_whole_script_passes(size: int, tail: bytes) -> None:
    script = b"BEGIN;\n" + b"x" * 9000 + tail
    assert b"".join(complete(pieces(script, size))) == script


@pytest.mark.parametrize("size", [1, 100, 5000, 100000])
def test_the_commit_is_held_back_until_the_tool_has_ended_well(size: int) -> None:
    def failing() -> Iterator[bytes]:
        yield from pieces(b"BEGIN;\n" + b"x" * 9000 + TAIL, size)
        raise BackupError("RESTORE_FAILED", "the tool failed")

    seen, error = let_through(failing())
    assert b"COMMIT" not in seen
    assert "the tool failed" in error


@pytest.mark.parametrize("script", [
    b"", b"BEGIN;\n", b"BEGIN;\n" + b"x" * 5000, b"BEGIN;\n" + b"x" * 5000 + TAIL[:-1], b"BEGIN;\n" + TAIL + b"\n",
    b"BEGIN;\nx\n--\n-- PostgreSQL database dump complete\n--\n\n",
])
def test_a_script_that_does_not_end_as_it_should_is_not_committed(script: bytes) -> None:
    seen, error = let_through(pieces(script, 600))
    assert b"COMMIT" not in seen
    assert "breaks off" in error


FRONT = b"--\n-- PostgreSQL database dump\n--\n\n"
# Data, and a text, that hold what the lines of another dump look like.
LIKE_ONE = (
    FRONT + b"\\restrict other\nCOPY public.t (a) FROM stdin;\n\\restrict key\n\\unrestrict other\n\\.\n"
    + b"INSERT INTO t VALUES ('\n" + FRONT + b"\\restrict other\n');\n"
)


def guarded(key: bytes, body: bytes) -> tuple[bytes, bytes]:
    """A dump with its own protection, and without."""
    parts = (FRONT, b"\\restrict " + key + b"\n", b"\n" + body + b"--\n-- PostgreSQL database dump complete\n--\n\n",
             b"\\unrestrict " + key + b"\n", b"\n")
    return b"".join(parts), b"".join(parts[::2])


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("dumps", [
    [guarded(b"key", BODY + LIKE_ONE)], [guarded(b"key", BODY), guarded(b"another", LIKE_ONE)], [guarded(b"key", b"")],
])
def test_a_protection_of_ours_is_in_the_place_of_the_dump_s_own(dumps: list[tuple[bytes, bytes]], size: int) -> None:
    own, bare = (b"".join(parts) for parts in zip(*dumps, strict=True))
    ours, rest = b"".join(protected(pieces(own, size), restrict=True)).split(b"\n", 1)
    assert re.fullmatch(rb"\\restrict [0-9a-f]{64}", ours)
    assert rest == bare
    assert b"".join(protected(pieces(own, size), restrict=False)) == bare
    # Somebody took the last line breaks away.
    assert b"".join(protected(pieces(own.rstrip(), size), restrict=False)).rstrip() == bare.rstrip()
    assert next(protected([], restrict=True)) != ours + b"\n"


@pytest.mark.parametrize("dump", [b"", FRONT + BODY + DATA, FRONT.rstrip(), BODY + guarded(b"key", BODY)[0], b"--" + b"x" * 9000 + DATA])
def test_a_dump_without_one_is_not_changed(dump: bytes) -> None:
    assert b"".join(protected(pieces(dump, 100), restrict=False)) == dump
