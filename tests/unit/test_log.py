# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from hypothesis import given, strategies as st

AWKWARD = "sp ace='\"=#\\$(x)`\n\r\tä€😀/@:%"


def log_with(*secrets: str) -> RunLog:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret)
    return RunLog(redactor)


@pytest.mark.parametrize(("secrets", "text", "clean"), [
    (["hunter2"], "password hunter2, again: hunter2", "password ********, again: ********"),
    ([], "nothing", "nothing"),
    ([""], "nothing", "nothing"),
    (["short", "shorter"], "short shorter", "******** ********"),
    (["p/a ss"], "postgresql://u:p%2Fa%20ss@db", "postgresql://u:********@db"),
    (["\udce9x\udce9"], "postgresql://u:%E9x%E9@db \udce9x\udce9", "postgresql://u:********@db ********"),
    ([AWKWARD], "before " + AWKWARD + " after", "before ******** after"),
])
def test_secrets_are_masked(secrets: list[str], text: str, clean: str) -> None:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret)
    assert redactor(text) == clean
    assert redactor.secrets == set(secrets) - {""}


@given(st.text(min_size=1).filter(lambda secret: "*" not in secret), st.text(), st.text())
def test_no_secret_remains(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(secret)
    assert secret not in redactor(before + secret + after)


def test_secrets_cannot_be_read_through_the_set_that_is_shown() -> None:
    redactor = Redactor()
    redactor.secrets.add("x")
    assert redactor.secrets == set()


def test_lines_in_order_and_warnings_once() -> None:
    log = log_with("hunter2")
    log.add("first")
    log.add_warning("careful with hunter2")
    log.add_warning("careful with hunter2")
    assert log.lines == ["first", "WARNING: careful with ********", "WARNING: careful with ********"]
    assert log.warnings == ["careful with ********"]


@pytest.mark.parametrize(("line", "shown"), [
    ("a\nb\tc\r\0", "a\\nb\\tc\\r\\x00"), ("\x1b[31mred", "\\x1b[31mred"), ("größe 😀", "größe 😀"),
    ("\u2028\udce9", "\\u2028\\udce9"),
])
def test_control_characters_are_shown(line: str, shown: str) -> None:
    log = log_with()
    log.add(line)
    assert log.lines == [shown]


@pytest.mark.parametrize("secret", [AWKWARD, "two\nlines", "tab\ttab", "\x1bescape", "\udce9\udce9"])
def test_a_secret_with_control_characters_does_not_escape(secret: str) -> None:
    log = log_with(secret)
    log.add("it is {0}!".format(secret))
    log.add_warning(secret)
    assert log.lines == ["it is ********!", "WARNING: ********"]


def test_long_lines_are_cut_after_masking() -> None:
    log = log_with("topsecret")
    log.add("x" * 1997 + "topsecret" + "y" * 100)
    assert log.lines == ["x" * 1997 + "***"]


def test_a_part_comes_where_it_belongs() -> None:
    log = log_with("hunter2")
    log.add("first")
    log.add_warning("careful")
    part = log.part()
    part.add_warning("careful")
    part.add("hunter2")
    log.add("second")
    log.take(part)
    assert log.lines == ["first", "WARNING: careful", "second", "WARNING: careful", "********"]
    assert log.warnings == ["careful"]
