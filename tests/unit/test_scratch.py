# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of what a restore makes, chosen by what is there already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import KEPT, SIDE, STAMP_FORMAT, kept_at
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import Neighbours, free_moment
from ansible_collections.pgfleet.backup.plugins.module_utils._swap import kept_databases

FUTURE = "shop__before_29990101T000000Z"


def test_a_moment_is_later_than_those_that_are_kept() -> None:
    assert free_moment(Neighbours({}, frozenset()), "shop", (SIDE, KEPT), after=[FUTURE]) == "29990101T000001Z"


def test_a_name_that_is_taken_is_passed_over() -> None:
    now = datetime.now(UTC)
    taken = [(now + timedelta(seconds=seconds)).strftime(STAMP_FORMAT) for seconds in range(-2, 60)]
    there = Neighbours(dict.fromkeys("shop" + KEPT + moment for moment in taken), frozenset())
    assert kept_at("x" + KEPT + free_moment(there, "shop", (SIDE, KEPT))) > kept_at("x" + KEPT + taken[-1])


def test_what_is_kept_is_told_by_comment_and_name() -> None:
    marker = 'pgfleet.backup: previous "shop", replaced 20260101T000000Z'
    there = Neighbours({
        "shop__before_20260101T000000Z": marker,
        "shop__before_20260103T000000Z": marker + "\nits own comment",
        "shop__before_20260102T000000Z": None,
        "shop_again": marker,
        "shops__before_20260104T000000Z": marker.replace("shop", "shops"),
    }, frozenset())
    assert kept_databases(there, "shop") == ["shop__before_20260103T000000Z", "shop__before_20260101T000000Z"]
