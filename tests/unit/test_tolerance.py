# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._tolerance import Tolerance

FAILED = "pg_restore: error: could not execute query: "
UNKNOWN = FAILED + 'ERROR:  unrecognized configuration parameter "transaction_timeout"'
SET = "Command was: SET transaction_timeout = 0;"


def judge(*lines: str) -> tuple[list[str], list[str], BackupError | None]:
    """What was tolerated, what was logged, and the error."""
    log: list[str] = []
    tolerance = Tolerance(log.append)
    try:
        for line in lines:
            tolerance(line)
        tolerance.finish()
    except BackupError as error:
        return tolerance.tolerated, log, error
    return tolerance.tolerated, log, None


@pytest.mark.parametrize("lines", [
    (UNKNOWN, SET),
    ("pg_restore: while INITIALIZING:", UNKNOWN, SET, "pg_restore: warning: errors ignored on restore: 1"),
    (FAILED + 'ERROR:  unrecognized configuration parameter "default_table_access_method"',
     "Command was: SET default_table_access_method = heap;"),
    (FAILED + "FEHLER:  unbekannter Konfigurationsparameter »transaction_timeout«", SET),
    (FAILED + "ОШИБКА:  нераспознанный параметр конфигурации: \"transaction_timeout\"", SET),
    (FAILED + "ERROR:  must be owner of extension plpgsql", "Command was: COMMENT ON EXTENSION plpgsql IS 'x';"),
    ("pg_restore: WARNING:  wal_level is insufficient to publish logical changes",
     "HINT:  Set \"wal_level\" to \"logical\" before creating subscriptions."),
    ("psql:<stdin>:7: WARNUNG:  01000: nanu", "LOCATION:  exec_stmt_raise, pl_exec.c:3907"),
])
def test_harmless_messages_are_counted_with_their_reason(lines: tuple[str, ...]) -> None:
    tolerated, log, error = judge(*lines)
    assert error is None
    assert len(tolerated) == 1
    assert tolerated[0].startswith(next(line for line in lines if "while" not in line) + " (a ")
    assert log == []


def test_messages_of_several_jobs_may_mix() -> None:
    assert judge(UNKNOWN, UNKNOWN, SET, SET)[2] is None
    assert judge(UNKNOWN, UNKNOWN, SET, "Command was: CREATE FUNCTION f() RETURNS int")[2] is not None


@pytest.mark.parametrize("line", [
    "pg_restore: processing data for table \"public.t\"", "pg_restore: warning: errors ignored on restore: 1",
    "psql:<stdin>:1: NOTICE:  x", "psql:<stdin>:1: HINWEIS:  00000: Tabelle »t« existiert nicht, wird übersprungen",
    "pg_restore: NOTICE:  x", "DETAIL:  ERROR:", "", "pg_restore: creating TABLE \"public.t\"",
])
def test_other_lines_are_nothing(line: str) -> None:
    assert judge(line) == ([], [], None)


@pytest.mark.parametrize("line", [
    FAILED + "ERROR:  relation \"t\" already exists",
    FAILED + "FEHLER:  Relation »t« existiert bereits",
    "pg_restore: error: could not read from input file: end of file",
    "pg_restore: [archiver (db)] could not execute query: ERROR:  syntax error",
    FAILED + 'ERROR:  unrecognized configuration parameter "my_setting"',
    FAILED + "ERROR:  must be owner of extension pg_trgm",
    "pg_restore: warning: archive is compressed, but this installation does not support compression",
    "pg_restore: WARNING:  no privileges were granted for \"t\"",
    "psql:<stdin>:1: WARNUNG:  01007: für »t« wurden keine Privilegien gewährt",
    "psql:<stdin>:1: ERROR:  42501: permission denied",
    "psql:<stdin>:3: error: connection to server was lost",
    "psql: error: x",
])
def test_any_other_message_ends_it(line: str) -> None:
    _tolerated, log, error = judge(line)
    assert error is not None
    assert (error.code, error.what) == ("RESTORE_FAILED", line)
    assert log == [line]


def test_a_function_that_was_lost_for_a_setting_is_not_tolerated() -> None:
    assert judge(UNKNOWN, "Command was: CREATE FUNCTION f() RETURNS int LANGUAGE sql")[2] is not None


def test_what_failed_and_where_is_logged() -> None:
    lines = (
        "pg_restore: while PROCESSING TOC:", "pg_restore: from TOC entry 215; 1259 16385 TABLE t postgres",
        FAILED + "ERROR:  cannot drop table t because other objects depend on it",
        "DETAIL:  view v depends on table t", "HINT:  Use DROP ... CASCADE to drop the dependent objects too.",
        "Command was: DROP TABLE t;",
    )
    _tolerated, log, error = judge(*lines, "pg_restore: more that does not count")
    assert log == list(lines)
    assert error is not None
    assert error.code == "INCOMPATIBLE_TARGET"
    assert error.what.endswith("depend on it (view v depends on table t)")


def test_the_rows_of_a_failed_copy_are_logged() -> None:
    lines = ("pg_restore: error: COPY failed for table \"t\": ERROR:  duplicate key", "DETAIL:  Key (n)=(1) already exists.",
             "CONTEXT:  COPY t, line 2")
    assert judge(*lines)[1] == list(lines)


@pytest.mark.parametrize("statement", [
    "CREATE USER MAPPING FOR x SERVER s OPTIONS (user 'u', password 'geheim')",
    "CREATE SUBSCRIPTION s CONNECTION 'host=h password=geheim dbname=d' PUBLICATION p",
])
def test_passwords_of_a_failed_statement_are_not_logged(statement: str) -> None:
    log = judge(FAILED + "ERROR:  no", "Command was: " + statement)[1]
    assert "password" in log[1]
    assert "geheim" not in "".join(log)


@pytest.mark.parametrize(("message", "code"), [
    ("FEHLER:  55P03: Anweisung wird abgebrochen", "LOCK_CONTENTION"),
    ("FEHLER:  2BP01: kann Tabelle t nicht löschen", "INCOMPATIBLE_TARGET"),
    ("FEHLER:  53100: Gerät voll", "NO_SPACE"),
    ("FEHLER:  42P01: Relation »x« existiert nicht", "RESTORE_FAILED"),
])
def test_an_error_in_any_language_is_told_by_its_statement_and_its_state(message: str, code: str) -> None:
    lines = (f"psql:<stdin>:24: {message}", "DETAIL:  Sicht v hängt von Tabelle t ab", "LOCATION:  x, x.c:1",
             "psql:<stdin>:24: STATEMENT:  DROP TABLE t;")
    _tolerated, log, error = judge(*lines)
    assert log == list(lines)
    assert error is not None
    assert error.code == code
