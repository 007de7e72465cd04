# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Dict, Iterable, List, Tuple

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _lock
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import newest_verified
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time
from ansible_collections.pgfleet.backup.plugins.module_utils._retention import RetentionPolicy, choose, prune
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet
from ansible_collections.pgfleet.backup.tests.unit.manifests import FAILED, NOON, OK, UNTRIED, make_set, write_set
from hypothesis import given, strategies as st

NAMES = ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"]


def policy(**options: Any) -> RetentionPolicy:
    return RetentionPolicy.from_options(options)


def at(sequence: int, hours: float, **changes: Any) -> BackupSet:
    """A set made ``hours`` before noon of 21 November 2026, which is a Saturday."""
    return make_set(sequence=sequence, created=format_time(NOON - timedelta(hours=hours)), **changes)


def kept(sets: List[BackupSet], chosen: RetentionPolicy, now: datetime = NOON) -> List[int]:
    return [item.sequence for item, _reasons in choose(sets, chosen, now)[0]]


def sets_every(hours: float, count: int) -> List[BackupSet]:
    """``count`` sets, the newest (sequence ``count``) at noon, ``hours`` apart."""
    return [at(count - index, hours * index) for index in range(count)]


# --- options


@pytest.mark.parametrize("options", [None, {}, dict.fromkeys(NAMES), {"keep_last": 0}, {"keep_within": ""},
                                     {"keep_within": None, "keep_daily": ""}, {"keep_within": "0d"}])
def test_nothing_set_is_empty(options: Any) -> None:
    assert RetentionPolicy.from_options(options).empty


@pytest.mark.parametrize(("text", "hours"), [
    ("36h", 36), ("7d", 168), ("2w", 336), ("3m", 2160), ("1y", 8760), ("1m7d", 888), ("1y1m1w1d1h", 9673),
])
def test_durations(text: str, hours: float) -> None:
    assert policy(keep_within=text).keep_within == timedelta(hours=hours)
    assert not policy(keep_within=text).empty


def test_a_duration_longer_than_the_calendar() -> None:
    assert kept(sets_every(24, 3), policy(keep_within="99999y99999y")) == [1, 2, 3]


@pytest.mark.parametrize("options", [
    {"keep_last": -1}, {"keep_last": "3"}, {"keep_last": True}, {"keep_daily": 1.5}, {"keep_within": "7"},
    {"keep_within": "7 d"}, {"keep_within": "d"}, {"keep_within": "-7d"}, {"keep_within": "7D"}, {"keep_within": 7},
    {"keep_within": "7d\n"}, {"keep_minutely": 1}, {"keep_within": "٣d"},
])
def test_what_cannot_be_understood(options: Any) -> None:
    with pytest.raises(BackupError) as caught:
        RetentionPolicy.from_options(options)
    assert caught.value.code == "INVALID_DB_CONFIG"
    assert next(iter(options)) in caught.value.what


# --- rules


def test_keep_last() -> None:
    assert kept(sets_every(1, 5), policy(keep_last=2)) == [4, 5]


def test_the_newest_of_each_period_is_kept() -> None:
    assert kept(sets_every(6, 9), policy(keep_daily=2)) == [6, 9]  # 9, 8, 7 from 00:00 on, 6 at 18:00 the day before
    half_hours = [at(10 - index, index / 2) for index in range(10)]
    assert kept(half_hours, policy(keep_hourly=3)) == [7, 9, 10]
    assert kept(sets_every(24, 3), policy(keep_hourly=2)) == [2, 3]
    assert kept(sets_every(24, 15), policy(keep_weekly=3)) == [2, 9, 15]


def test_weeks_begin_on_monday_and_cross_the_year() -> None:
    days = [make_set(sequence=number, created=created) for number, created in enumerate([
        "2026-12-27T12:00:00Z", "2026-12-28T12:00:00Z", "2026-12-31T12:00:00Z", "2027-01-03T12:00:00Z",
        "2027-01-04T12:00:00Z",
    ], start=1)]
    assert kept(days, policy(keep_weekly=9)) == [1, 4, 5]
    assert kept(days, policy(keep_weekly=2)) == [4, 5]


def test_months_and_years() -> None:
    days = [make_set(sequence=number, created=created) for number, created in enumerate([
        "2024-11-30T12:00:00Z", "2025-11-01T12:00:00Z", "2025-11-30T23:59:59Z", "2025-12-01T00:00:00Z",
        "2026-11-21T12:00:00Z",
    ], start=1)]
    assert kept(days, policy(keep_monthly=9)) == [1, 3, 4, 5]
    assert kept(days, policy(keep_yearly=9)) == [1, 4, 5]
    assert kept(days, policy(keep_yearly=2)) == [4, 5]


def test_periods_without_a_set_do_not_count() -> None:
    sparse = [at(3, 0), at(2, 24 * 30), at(1, 24 * 60)]
    assert kept(sparse, policy(keep_daily=2)) == [2, 3]


def test_rules_add_up_and_say_why() -> None:
    sets = sets_every(24, 10)
    keep, remove = choose(sets, policy(keep_last=2, keep_daily=3, keep_within="4d"), NOON)
    assert [(item.sequence, reasons) for item, reasons in keep] == [
        (6, ["keep_within"]),
        (7, ["keep_within"]),
        (8, ["keep_daily", "keep_within"]),
        (9, ["keep_last", "keep_daily", "keep_within"]),
        (10, ["newest verified", "keep_last", "keep_daily", "keep_within"]),
    ]
    assert [item.sequence for item in remove] == [1, 2, 3, 4, 5]


def test_within_counts_from_the_newest_set() -> None:
    assert kept(sets_every(24, 5), policy(keep_within="2d"), now=NOON + timedelta(days=365)) == [3, 4, 5]


def test_a_clock_that_was_ahead_does_not_let_the_rest_expire() -> None:
    ahead = at(6, -24 * 3650)
    assert kept([*sets_every(24, 5), ahead], policy(keep_within="2d")) == [3, 4, 5, 6]


def test_newer_is_a_higher_sequence_whatever_the_clock_said() -> None:
    ahead = at(1, -24 * 3650)
    sets = [ahead, at(2, 48), at(3, 24)]
    assert kept(sets, policy(keep_last=1)) == [3]
    back = [at(1, 48), at(2, 24), at(3, 24 * 3650)]
    assert kept(back, policy(keep_last=1)) == [3]
    assert kept(back, policy(keep_daily=2)) == [2, 3]


# --- sets that cannot be counted on


@pytest.mark.parametrize("doubt", [{"verification": UNTRIED}, {"verification": FAILED}, {"status": "suspicious"}])
def test_doubtful_sets_never_count(doubt: Dict[str, Any]) -> None:
    sets = [at(1, 96), at(2, 72), at(3, 48), at(4, 24, **doubt), at(5, 0, **doubt)]
    assert kept(sets, policy(keep_last=2)) == [2, 3, 4, 5]
    assert kept([*sets, at(6, 0)], policy(keep_last=2)) == [3, 6]
    assert kept([*sets, at(6, 0)], policy(keep_daily=9)) == [1, 2, 3, 6]


def test_a_doubtful_set_is_kept_while_it_is_young() -> None:
    sets = [at(1, 60, verification=UNTRIED), at(2, 24, verification=UNTRIED), at(3, 0)]
    assert kept(sets, policy(keep_within="2d")) == [2, 3]


def test_without_any_verified_set_nothing_is_removed() -> None:
    sets = [at(number, 100 - number, verification=UNTRIED) for number in range(1, 5)]
    assert kept(sets, policy(keep_last=1)) == [1, 2, 3, 4]


def test_each_kind_of_each_database_is_its_own_series() -> None:
    sets = [
        at(sequence + (10 if instance == "b" else 0), 10 - sequence, instance=instance, database=database, kind=kind)
        for sequence in (1, 2, 3)
        for instance, database, kind in [
            ("a", "x", "full"), ("a", "x", "filtered"), ("a", "y", "full"), ("b", "x", "full"),
            ("a", "@globals", "globals"), ("a", "@globals", "full"),
        ]
    ]
    keep, remove = choose(sets, policy(keep_last=1), NOON)
    assert len(keep) == 6
    assert {item.sequence for item, _reasons in keep} == {3, 13}
    assert len(remove) == 12


# --- what must hold for every history


SETS = st.lists(
    st.builds(
        lambda hours, verification, status, kind, database: (hours, verification, status, kind, database),
        st.integers(-50000, 50000), st.sampled_from([OK, OK, UNTRIED, FAILED]),
        st.sampled_from(["ok", "ok", "suspicious"]), st.sampled_from(["full", "full", "filtered"]),
        st.sampled_from(["x", "y"]),
    ),
    max_size=25,
).map(lambda rows: [
    at(number, hours, verification=verification, status=status, kind=kind, database=database)
    for number, (hours, verification, status, kind, database) in enumerate(rows, start=1)
])
POLICIES = st.fixed_dictionaries(
    dict({name: st.integers(0, 5) for name in NAMES}, keep_within=st.sampled_from(["", "12h", "3d", "1y"]))
).map(RetentionPolicy.from_options)


def series(sets: List[BackupSet]) -> Iterable[List[BackupSet]]:
    found: Dict[Tuple[str, str], List[BackupSet]] = {}
    for item in sets:
        found.setdefault((item.database, item.kind), []).append(item)
    return found.values()


@given(SETS, POLICIES)
def test_the_newest_verified_set_is_never_removed(sets: List[BackupSet], chosen: RetentionPolicy) -> None:
    removed = choose(sets, chosen, NOON)[1]
    for items in series(sets):
        assert newest_verified(items) not in removed


@given(SETS)
def test_an_empty_policy_removes_nothing(sets: List[BackupSet]) -> None:
    assert choose(sets, RetentionPolicy(), NOON)[1] == []


@given(SETS, POLICIES)
def test_every_set_is_kept_with_a_reason_or_removed(sets: List[BackupSet], chosen: RetentionPolicy) -> None:
    keep, remove = choose(sets, chosen, NOON)
    assert all(reasons for _item, reasons in keep)
    assert sorted([item.path for item, _reasons in keep] + [item.path for item in remove]) == sorted(
        item.path for item in sets
    )


@given(SETS, POLICIES)
def test_doubtful_sets_push_no_good_one_out(sets: List[BackupSet], chosen: RetentionPolicy) -> None:
    good = [item for item in sets if item.verified]
    without = {item.path for item, _reasons in choose(good, chosen, NOON)[0]}
    assert without <= {item.path for item, _reasons in choose(sets, chosen, NOON)[0]}


@given(SETS, POLICIES)
def test_a_second_run_removes_nothing_more(sets: List[BackupSet], chosen: RetentionPolicy) -> None:
    keep = [item for item, _reasons in choose(sets, chosen, NOON)[0]]
    assert choose(keep, chosen, NOON)[1] == []


@given(SETS, POLICIES, st.randoms())
def test_the_order_of_the_input_does_not_matter(sets: List[BackupSet], chosen: RetentionPolicy, random: Random) -> None:
    shuffled = list(sets)
    random.shuffle(shuffled)
    assert choose(shuffled, chosen, NOON) == choose(sets, chosen, NOON)


@given(SETS, st.integers(1, 5))
def test_as_many_as_asked_for_are_kept(sets: List[BackupSet], count: int) -> None:
    keep = {item for item, _reasons in choose(sets, RetentionPolicy(keep_last=count), NOON)[0]}
    for items in series(sets):
        good = [item for item in items if item.verified]
        assert [item for item in good if item in keep] == good[-count:]


# --- on the disk


def test_pruning_removes_from_the_disk_and_spares_what_is_being_read(tmp_path: Path) -> None:
    sets = [write_set(tmp_path, sequence=sequence) for sequence in range(1, 6)]
    with _lock.hold_set(sets[1].path):
        assert list(prune(sets, policy(keep_last=2), NOON)) == [sets[0].path, sets[2].path]
    parent = os.path.dirname(sets[0].path)
    assert sorted(os.listdir(parent)) == [item.id for item in (sets[1], sets[3], sets[4])]
    assert list(prune([sets[1], *sets[3:]], policy(keep_last=2), NOON)) == [sets[1].path]
    assert list(prune(sets[3:], RetentionPolicy(), NOON)) == []


def test_each_path_is_told_once_it_is_gone(tmp_path: Path) -> None:
    sets = [write_set(tmp_path, sequence=sequence) for sequence in range(1, 5)]
    pruned = prune(sets, policy(keep_last=1), NOON)
    assert next(pruned) == sets[0].path
    assert [os.path.exists(item.path) for item in sets] == [False, True, True, True]
