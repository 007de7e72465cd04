# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._tolerance import Tolerance, without_unknown_settings

HEAD = (
    b"SET statement_timeout = 0;\nSET lock_timeout = 0;\nSET idle_in_transaction_session_timeout = 0;\n"
    b"SET transaction_timeout = 0;\nSET client_encoding = 'UTF8';\nSET row_security = off;\n\n"
    b"SET default_table_access_method = heap;\n\n"
)


@pytest.mark.parametrize("line", [
    'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"',
    'pg_restore: error: could not execute query: ERROR:  '
    'unrecognized configuration parameter "default_table_access_method"',
    "pg_restore: error: could not execute query: ERROR:  must be owner of extension plpgsql",
    'psql:<stdin>:12: ERROR:  unrecognized configuration parameter "transaction_timeout"',
])
def test_harmless_lines_are_counted_with_their_reason(line: str) -> None:
    tolerance = Tolerance()
    tolerance(line)
    assert len(tolerance.tolerated) == 1
    assert tolerance.tolerated[0].startswith(line + " (a ")


@pytest.mark.parametrize("line", [
    "pg_restore: processing data for table \"public.t\"", "pg_restore: warning: errors ignored on restore: 1",
    "Command was: SET transaction_timeout = 0;", "psql:<stdin>:1: NOTICE:  x", "DETAIL:  ERROR:", "",
    "pg_restore: detail: Key (a)=(1) is duplicated.",
])
def test_other_lines_are_nothing(line: str) -> None:
    tolerance = Tolerance()
    tolerance(line)
    assert tolerance.tolerated == []


@pytest.mark.parametrize("line", [
    "pg_restore: error: could not execute query: ERROR:  relation \"t\" already exists",
    "pg_restore: error: could not read from input file: end of file",
    "pg_restore: [archiver (db)] could not execute query: ERROR:  syntax error",
    # Of a function that could not be made because of it.
    'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "my_setting"',
    "pg_restore: error: could not execute query: ERROR:  must be owner of extension pg_trgm",
    "psql:<stdin>:1: ERROR:  permission denied",
    "psql: error: connection to server failed: FATAL:  x",
])
def test_any_other_error_ends_it(line: str) -> None:
    tolerance = Tolerance()
    with pytest.raises(BackupError) as caught:
        tolerance(line)
    assert (caught.value.code, caught.value.what) == ("RESTORE_FAILED", line)


@pytest.mark.parametrize(("version", "gone"), [
    (180006, []), (170000, []), (160015, [b"transaction_timeout"]),
    (110022, [b"transaction_timeout", b"default_table_access_method"]),
])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_settings_that_the_server_does_not_know(version: int, gone: list[bytes], size: int) -> None:
    dump = HEAD + b"COPY public.t (a) FROM stdin;\n" + b"x" * 9000 + b"\n\\.\n"
    chunks = [dump[start:start + size] for start in range(0, len(dump), size)]
    lines = dump.splitlines(keepends=True)
    expected = b"".join(line for line in lines if not any(line.startswith(b"SET " + name) for name in gone))
    assert b"".join(without_unknown_settings(chunks, server_version_num=version)) == expected


def test_only_the_head_is_touched() -> None:
    dump = HEAD + b"-" * 5000 + b"\nSET transaction_timeout = 0;\n"
    rest = b"".join(without_unknown_settings([dump], server_version_num=150000))
    assert rest.endswith(b"-\nSET transaction_timeout = 0;\n")
    assert b"".join(without_unknown_settings([], server_version_num=150000)) == b""
