# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup sets to keep: restic's rules, made safe for sets that may be unverified and clocks that may be wrong.

Only :func:`prune` touches the disk.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import remove_set
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import newest_verified
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._lock import claim_set
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet

__all__ = ["RetentionPolicy", "choose", "parse_duration", "prune"]

# A period is told by what its sets have in common, in UTC. keep_last has periods of one set each.
_PERIODS: Dict[str, Callable[[BackupSet], str]] = {
    "keep_last": lambda item: item.path,
    "keep_hourly": lambda item: item.created.strftime("%Y-%m-%d %H"),
    "keep_daily": lambda item: item.created.strftime("%Y-%m-%d"),
    "keep_weekly": lambda item: item.created.strftime("%G-%V"),
    "keep_monthly": lambda item: item.created.strftime("%Y-%m"),
    "keep_yearly": lambda item: item.created.strftime("%Y"),
}
_WITHIN = "keep_within"
_UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(days=7),
    "m": timedelta(days=30),
    "y": timedelta(days=365),
}
_DURATION = re.compile("(?:[0-9]{1,5}[hdwmy])+")
_LONGEST = timedelta(days=365 * 1000)


@dataclass(frozen=True)
class RetentionPolicy:
    """How many of each period to keep, and for how long everything. Nothing set means that nothing is removed."""

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: timedelta = timedelta(0)

    @classmethod
    def from_options(cls, options: Optional[Mapping[str, Any]]) -> RetentionPolicy:
        """The policy that the option ``retention`` describes; None, an empty string and 0 all mean not set.

        Raises INVALID_DB_CONFIG for anything that cannot be understood.
        """
        given = {name: value for name, value in (options or {}).items() if value not in (None, "")}
        unknown = sorted(set(given) - set(_PERIODS) - {_WITHIN})
        if unknown:
            raise BackupError("INVALID_DB_CONFIG", "retention knows no {0}".format(", ".join(unknown)))
        within = parse_duration(given.pop(_WITHIN, "0h"), where="retention." + _WITHIN)
        for name, value in given.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise BackupError(
                    "INVALID_DB_CONFIG", "retention.{0} must be a whole number from 0 on, not {1!r}".format(name, value)
                )
        return cls(keep_within=within, **given)

    @property
    def empty(self) -> bool:
        return self == RetentionPolicy()


def parse_duration(text: Any, *, where: str) -> timedelta:
    """``36h``, ``7d``, ``2w``, ``3m`` (of 30 days), ``1y`` (of 365), or several in a row such as ``1m7d``.

    Raises INVALID_DB_CONFIG for anything else; ``where`` is the option that the message names.
    """
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise BackupError(
            "INVALID_DB_CONFIG",
            "{0} must be a duration such as 36h, 7d, 2w, 3m, 1y or 1m7d, not {1!r}".format(where, text),
        )
    parts = re.findall("([0-9]+)([hdwmy])", text)
    # Beyond this a date minus the duration would leave the calendar; it means "for ever" anyway.
    return min(sum((int(count) * _UNITS[unit] for count, unit in parts), timedelta(0)), _LONGEST)


def choose(
    sets: Iterable[BackupSet], policy: RetentionPolicy, now: datetime
) -> Tuple[List[Tuple[BackupSet, List[str]]], List[BackupSet]]:
    """What to keep, each with its reasons, and what to remove, in the order of instance, database, kind and sequence.

    Each kind of each database is judged by itself. ``now`` is aware. Newer means a higher sequence, never a later
    time. Only verified sets fill the rules. The newest verified set is always kept, and so is every unverified one
    that is newer, or all of them while there is no verified one. A set that the key does not vouch for is another's
    matter: it fills no rule and is never removed, be it planted, older than the key, or signed by a former one.
    """
    series: Dict[Tuple[str, str, str, str], List[BackupSet]] = {}
    keep: List[Tuple[BackupSet, List[str]]] = []
    for item in sorted(sets, key=lambda item: (item.instance, item.database, item.kind, item.sequence, item.id)):
        if item.fault:
            keep.append((item, ["not signed by this key"]))
            continue
        # A set of some tables does not stand in for one of others.
        filters = json.dumps(item.manifest["filters"], sort_keys=True)
        series.setdefault((item.instance, item.database, item.kind, filters), []).append(item)
    remove: List[BackupSet] = []
    for items in series.values():
        for item, reasons in _judge(items, policy, now).items():
            if reasons:
                keep.append((item, reasons))
            else:
                remove.append(item)
    return keep, remove


def _judge(items: List[BackupSet], policy: RetentionPolicy, now: datetime) -> Dict[BackupSet, List[str]]:
    """Each of ``items`` (one series, oldest first) with the reasons to keep it."""
    newest = newest_verified(items)
    if policy.empty:
        return {item: ["no policy"] for item in items}
    if newest is None:
        return {item: ["no verified backup"] for item in items}
    reasons: Dict[BackupSet, List[str]] = {item: [] for item in items}
    reasons[newest].append("newest verified")
    for name, period in _PERIODS.items():
        for item in _newest_of_each(items, period, getattr(policy, name)):
            reasons[item].append(name)
    # As restic has it, the duration counts from the newest set, so that nothing expires while no new backup is made;
    # from now where that is earlier, because the clock was ahead.
    horizon = min(now, newest.created) - policy.keep_within
    for item in items:
        if policy.keep_within and item.created >= horizon:
            reasons[item].append(_WITHIN)
        if not item.verified and item.sequence >= newest.sequence:
            reasons[item].append("newer than the newest verified")
    return reasons


def _newest_of_each(items: List[BackupSet], period: Callable[[BackupSet], str], count: int) -> List[BackupSet]:
    """The newest verified set of each of the last ``count`` periods that have one."""
    chosen: Dict[str, BackupSet] = {}
    for item in reversed(items):
        if item.verified and len(chosen) < count:
            chosen.setdefault(period(item), item)
    return list(chosen.values())


def prune(sets: Iterable[BackupSet], policy: RetentionPolicy, now: datetime) -> Iterator[str]:
    """Remove from the disk what :func:`choose` says, except sets that are being read; each path once it is gone.

    Called under the lock of the database, after the new set is published. Raises BackupError.
    """
    for item in choose(sets, policy, now)[1]:
        with claim_set(item.path) as mine:
            if mine:
                remove_set(item.path)
                yield item.path
