# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet's report speaks of: hosts as fragments tell of them, and the rows they are judged into.

Times are seconds since 1970, because a year of a thousand hosts is many of them.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

__all__ = ["OUTCOMES", "RISKS", "Copy", "Drill", "Found", "Host", "Key", "Point", "Row", "Target", "epoch"]

OUTCOMES = ("ok", "fresh", "failed", "stale", "uncovered", "unreachable", "suspicious")
# From the worst on. lost: nothing verified to restore from. unknown: nobody could look. late: the last verified backup
# is older than its RPO. failing: there is one in time, but something went wrong since. unsafe: it is on its host only.
RISKS = ("lost", "unknown", "late", "failing", "unsafe", "safe")

# (instance, database); an empty database is all of an instance, an empty instance is not known.
Key = Tuple[str, str]

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)Z")
_EPOCH = date(1970, 1, 1).toordinal()
# A year has few days, and a day few seconds: reading dates is what a long history would spend its time on.
_days: Dict[str, int] = {}
_clock: Dict[str, int] = {}


class Drill(NamedTuple):
    """A rehearsed restore."""

    at: int
    ok: bool
    seconds: Optional[float]
    message: str


class Point(NamedTuple):
    """One backup set of a history."""

    id: str
    at: int
    bytes: Optional[int]
    seconds: Optional[float]
    verified: bool
    level: str
    drill: Optional[Drill]
    suspicious: bool = False


class Copy(NamedTuple):
    """A copy of a set off its host."""

    id: str
    at: int
    where: str
    verified: bool
    bytes: Optional[int]


class Target(NamedTuple):
    """What a run came to for one database; ``rpo`` in seconds where it has one of its own."""

    outcome: str
    code: Optional[str]
    msg: Optional[str]
    hint: Optional[str]
    rpo: Optional[int]


class Found(NamedTuple):
    """A database that exists. ``aliases`` are the instances under which its server's sets may be filed.

    With an empty name in its key it is a server that could not be looked into, for the reason given.
    """

    aliases: Tuple[str, ...]
    bytes: Optional[int]
    code: Optional[str]
    msg: Optional[str]
    hint: Optional[str]


class Host(NamedTuple):
    """What is known of one host. ``history``, ``copies`` and ``found`` are None while nobody has looked."""

    name: str
    reachable: bool
    error: Optional[Target]
    rpo: Optional[int]
    targets: Dict[Key, Target]
    history: Optional[Dict[Key, List[Point]]]
    copies: Optional[Dict[Key, List[Copy]]]
    found: Optional[Dict[Key, Found]]


class Row(NamedTuple):
    """One database of one host, judged.

    ``last`` is the newest of its ``usable`` verified sets, ``last_off_host`` the newest copy elsewhere, ``sizes`` when
    and how large its sets were, ``growth`` the part that it grew by in a month.
    """

    host: str
    instance: str
    database: str
    outcome: str
    risk: str
    code: Optional[str]
    msg: Optional[str]
    hint: Optional[str]
    rpo: int
    last: Optional[Point]
    last_off_host: Optional[Copy]
    copies: List[Copy]
    bytes: Optional[int]
    usable: int
    sizes: List[Tuple[int, int]]
    growth: Optional[float]
    drill: Optional[Drill]


def epoch(text: Any) -> int:
    """``2026-11-21T23:15:00Z`` in seconds since 1970. Raises ValueError."""
    try:
        return _days[text[:10]] + _clock[text[10:]]
    except (KeyError, TypeError):  # not seen before, or no text at all
        found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise ValueError("{0} is not a time such as 2026-11-21T23:15:00Z".format(repr(text)[:60]))
    day, hours, minutes, seconds = found.groups()
    _days[day] = (date(int(day[:4]), int(day[5:7]), int(day[8:])).toordinal() - _EPOCH) * 86400
    _clock[text[10:]] = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return _days[day] + _clock[text[10:]]
