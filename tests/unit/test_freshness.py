# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_backup_options
from ansible_collections.pgfleet.backup.plugins.module_utils._freshness import fresh_set
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time
from ansible_collections.pgfleet.backup.tests.unit.manifests import NOON, OK, UNTRIED, make_set


def is_fresh(*, hours_old: float = 0.5, max_age: Any = "1h", verify: str = "archive", **changes: Any) -> bool:
    """Whether a set that was made that long before noon makes a new backup needless at noon."""
    options = read_backup_options(
        {"backup_dir": "/b", "format": "directory", "verify": verify, "max_age": max_age}
    )
    stored = make_set(created=format_time(NOON - timedelta(hours=hours_old)), **changes)
    return fresh_set([stored], options, NOON, instance="shop_db", database="shop") is stored


@pytest.mark.parametrize(("hours", "fresh"), [(0, True), (0.99, True), (1, False), (30, False)])
def test_the_age_counts(hours: float, fresh: bool) -> None:
    assert is_fresh(hours_old=hours) is fresh


def test_a_set_from_the_future_tells_nothing_of_its_age() -> None:
    """A clock that was ahead must not keep a database without backups until the day it showed."""
    assert not is_fresh(hours_old=-0.01)
    assert not is_fresh(hours_old=-24 * 365)


@pytest.mark.parametrize("max_age", [None, "", "0", 0])
def test_without_an_age_nothing_is_fresh(max_age: Any) -> None:
    assert not is_fresh(hours_old=0, max_age=max_age)


@pytest.mark.parametrize(("made", "asked", "fresh"), [
    ("archive", "checksum", True), ("archive", "archive", True), ("checksum", "archive", False), ("archive", "restore", False),
])
def test_what_is_proven_less_than_asked_for_does_not_count(made: str, asked: str, fresh: bool) -> None:
    assert is_fresh(verify=asked, verification={**OK, "level": made}) is fresh


def test_what_is_not_proven_or_of_another_kind_does_not_count() -> None:
    assert not is_fresh(verify="none", verification=UNTRIED)
    assert not is_fresh(kind="safety")
    assert not is_fresh(kind="filtered", filters={"schema_only": True})
    assert is_fresh(kind="globals", verification={**OK, "level": "checksum"})
