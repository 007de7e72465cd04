# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor
from ansible_collections.pgfleet.backup.plugins.module_utils._stderr import StderrLines, classify
from hypothesis import given, strategies as st

AT = 'psql: error: connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(("stderr", "code"), [
    (AT + 'FATAL:  password authentication failed for user "shop"', "AUTH_FAILED"),
    (AT + 'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "shop", database "shop", no encryption',
     "AUTH_FAILED"),
    (AT + "fe_sendauth: no password supplied", "AUTH_FAILED"),
    (AT + 'FATAL:  role "nobody" does not exist', "AUTH_FAILED"),
    (AT + 'FATAL:  role "nobody" is not permitted to log in', "AUTH_FAILED"),
    ('psql: error: connection to server on socket "/run/.s.PGSQL.5432" failed: '
     'FATAL:  Peer authentication failed for user "x"',
     "AUTH_FAILED"),
    (AT + 'FATAL:  permission denied for database "shop"\nDETAIL:  User does not have CONNECT privilege.',
     "AUTH_FAILED"),
    (AT + 'FATAL:  database "nothing" does not exist', "DATABASE_NOT_FOUND"),
    (AT + 'FATAL:  database "shop" is not currently accepting connections', "DATABASE_NOT_FOUND"),
    ("pg_dump: error: aborting because of server version mismatch\n"
     "pg_dump: detail: server version: 18.6; pg_dump version: 15.18",
     "CLIENT_TOO_OLD"),
    ("pg_restore: error: unsupported version (1.16) in file header", "CLIENT_TOO_OLD"),
    ("pg_dump: error: could not write to output file: No space left on device", "NO_SPACE"),
    ('pg_restore: error: COPY failed for table "t": ERROR:  could not extend file "base/1/2": No space left on device',
     "NO_SPACE"),
    ("pg_dump: error: invalid compression specification: this build does not support compression with zstd",
     "UNSUPPORTED_BY_CLIENT"),
    ('pg_dump: error: unrecognized compression algorithm: "foo"', "UNSUPPORTED_BY_CLIENT"),
    # pg_dump's --lock-wait-timeout
    ("pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\n"
     "pg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE", "LOCK_CONTENTION"),
    ("psql:<stdin>:1: ERROR:  canceling statement due to lock timeout", "LOCK_CONTENTION"),
    ('pg_dump: error: could not obtain lock on relation "public.t"', "LOCK_CONTENTION"),
    (AT + "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
     "CONNECTION_FAILED"),
    (AT + "FATAL:  the database system is starting up", "CONNECTION_FAILED"),
    (AT + "FATAL:  sorry, too many clients already", "CONNECTION_FAILED"),
    ('psql: error: could not translate host name "db" to address: Name or service not known', "CONNECTION_FAILED"),
    (AT + "timeout expired", "CONNECTION_FAILED"),
    ("pg_dump: error: query failed: server closed the connection unexpectedly", "CONNECTION_FAILED"),
    (AT + 'SSL error: certificate verify failed', "CONNECTION_FAILED"),
    ('ERROR:  database "shop" is being accessed by other users', "TARGET_IN_USE"),
    ("ERROR:  permission denied to terminate process", "TARGET_IN_USE"),
    ('psql:<stdin>:1: ERROR:  database "shop" already exists', "TARGET_EXISTS"),
    ("pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\n"
     "pg_dump: detail: Query was: COPY public.t TO stdout", "BACKUP_FAILED"),
    ("pg_dump: error: query failed: ERROR:  permission denied for table t", "BACKUP_FAILED"),
    ('psql:<stdin>:1: ERROR:  role "x" does not exist', "BACKUP_FAILED"),
    ("", "BACKUP_FAILED"),
])
def test_what_the_tools_say(stderr: str, code: str) -> None:
    assert classify(stderr, default="BACKUP_FAILED") == code


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_lines_do_not_depend_on_the_chunks(data: bytes, cuts: list[int]) -> None:
    def told(chunks: list[bytes]) -> tuple[str, list[str]]:
        seen: list[str] = []
        lines = StderrLines(str, seen.append)
        for chunk in chunks:
            lines.feed(chunk)
        return lines.finish(), seen

    edges = [0, *sorted(cuts), len(data)]
    whole = told([data])
    assert told([data[start:end] for start, end in itertools.pairwise(edges)]) == whole
    assert whole[1] == [line for line in (raw.decode("utf-8", "replace").rstrip() for raw in data.split(b"\n")) if line]


def test_the_last_lines_are_kept_and_each_is_handed_on() -> None:
    seen: list[str] = []
    lines = StderrLines(str.upper, seen.append)
    lines.feed(b"".join(b"line %d\n" % number for number in range(60)) + b"the rest")
    assert len(seen) == 60
    kept = lines.finish().splitlines()
    assert (kept[0], kept[-1], len(kept)) == ("LINE 11", "THE REST", 50)
    assert seen[-1] == "THE REST"
    assert lines.finish().splitlines() == kept


def test_an_endless_line_is_bounded() -> None:
    seen: list[str] = []
    lines = StderrLines(str, seen.append)
    for _time in range(100):
        lines.feed(b"x" * 1000)
    assert max(map(len, seen)) == 4000
    assert len(lines._pending) <= 4000


def test_a_secret_at_the_end_of_a_long_line_is_not_cut_in_half() -> None:
    redactor = Redactor()
    redactor.add("topsecret")
    lines = StderrLines(redactor)
    lines.feed(b"x" * 3996 + b"topsecret\n")
    assert "top" not in lines.finish()
