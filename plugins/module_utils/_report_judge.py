# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging: what would be lost of each database if its server were lost now, the worst first."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._layout import GLOBALS
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import (
    RISKS,
    Copy,
    Drill,
    Found,
    Host,
    Key,
    Point,
    Row,
    Target,
)

__all__ = ["AHEAD", "judge"]

# How far a host's clock may be ahead of the controller's. What is further in the future tells nothing of its age.
AHEAD = 3600
_BAD = ("failed", "uncovered", "unreachable", "suspicious")
_YEAR, _MONTH = 366 * 86400, 30 * 86400
_SIZES = 60  # points of a curve; more cannot be told apart


def judge(hosts: Iterable[Host], *, now: int, rpo: int, exclude: Iterable[str] = ()) -> List[Row]:
    """A row for each database of ``hosts``, and for each host of which none is known; the worst on top.

    ``rpo`` in seconds holds where neither target nor host have their own. Databases named in ``exclude`` may exist
    without a backup.
    """
    excluded = frozenset(exclude)
    rows: List[Row] = []
    for host in hosts:
        subjects = _subjects(host, excluded)
        if not subjects and (host.error or not host.reachable or host.found is None):
            subjects = {("", ""): None}  # nothing is known of it, which must be seen
        rows += [_row(host, key, target, now=now, rpo=rpo) for key, target in subjects.items()]
    return sorted(rows, key=lambda row: _badness(row, now))


def _badness(row: Row, now: int) -> Tuple[object, ...]:
    last = row.last.at if row.last else 0
    if row.risk == "unsafe" and row.last_off_host:
        last = row.last_off_host.at
    return (RISKS.index(row.risk), last, -(row.bytes or 0), row.host, row.instance, row.database)


def _subjects(host: Host, excluded: Iterable[str]) -> Dict[Key, Optional[Target]]:
    """What there is a row for, with what the last run came to where it had one."""
    history, copies = host.history or {}, host.copies or {}
    subjects: Dict[Key, Optional[Target]] = {}
    for key, target in host.targets.items():
        subjects[_with_instance(key, history)] = target
    for key in (*history, *copies):
        if key[1] != GLOBALS:
            # What went wrong with an instance as a whole went wrong with each of its databases.
            subjects.setdefault(key, subjects.get((key[0], "")) if key[0] else None)
    for instance in {instance for instance, database in subjects if instance and database}:
        subjects.pop((instance, ""), None)
    protected = set(subjects)
    for (instance, database), found in (host.found or {}).items():
        names = [(alias, database) for alias in found.aliases]
        if database in excluded or any(name in protected for name in names):
            continue
        # A server that cannot be looked into is told of while nothing of it is protected.
        if not database and any(alias == name for alias in found.aliases for name, _database in protected):
            continue
        subjects[instance, database] = Target("uncovered", found.code, found.msg, found.hint, None)
    return subjects


def _with_instance(key: Key, history: Dict[Key, List[Point]]) -> Key:
    """A run that failed early could not name its instance; where only one has sets of the database, it is that one."""
    instance, database = key
    if not instance and database:
        known = [other for other in history if other[1] == database]
        if len(known) == 1:
            return known[0]
    return key


def _row(host: Host, key: Key, target: Optional[Target], *, now: int, rpo: int) -> Row:
    points = sorted((host.history or {}).get(key, []), key=lambda point: point.at)
    # A verified copy is a backup, also when its host has removed the set, or cannot be asked; but it was compared with
    # checksums only, and is no better than the set it is of.
    present = {point.id: point.verified for point in points}
    copies = [copy for copy in (host.copies or {}).get(key, [])
              if copy.verified and copy.at <= now + AHEAD and present.get(copy.id, True)]
    elsewhere = [Point(copy.id, copy.at, copy.bytes, None, True, "checksum", None)
                 for copy in copies if copy.id not in present]
    usable = [point for point in points + elsewhere if point.verified and point.at <= now + AHEAD]
    last = max(usable, key=lambda point: point.at, default=None)
    off_host = max(copies, key=lambda copy: copy.at, default=None)
    drill = max((point.drill for point in points if point.drill), key=lambda item: item.at, default=None)
    limit = (target.rpo if target else None) or host.rpo or rpo
    told = _told(host, target, points[-1] if points else None, drill)
    late = last is not None and now - last.at > limit
    safe = last is not None and any(copy.id == last.id for copy in copies)
    found = next((item for (_i, name), item in (host.found or {}).items()
                  if name == key[1] and key[0] in item.aliases), None)
    sizes = _sizes(usable, now)
    return Row(
        host=host.name, instance=key[0], database=key[1],
        outcome="stale" if late and told.outcome in ("ok", "fresh") else told.outcome,
        risk=_risk(host, key, last, told, late=late, safe=safe),
        code=told.code, msg=told.msg, hint=told.hint,
        rpo=limit, last=last, last_off_host=off_host, copies=_newest_of_each_place(copies),
        bytes=last.bytes if last else _bytes_of(found), usable=len(usable),
        sizes=sizes, growth=_growth(usable, last), drill=drill,
    )


def _told(host: Host, target: Optional[Target], newest: Optional[Point], drill: Optional[Drill]) -> Target:
    """The outcome that counts: a host that cannot be reached makes nothing else of today believable."""
    if not host.reachable:
        error = host.error or Target("unreachable", None, "the host could not be reached", None, None)
        return error._replace(outcome="unreachable")
    if target is not None and target.outcome in _BAD:
        return target
    if host.error is not None:
        return host.error
    if newest is not None and newest.suspicious:
        return Target("suspicious", None, None, None, None)
    if drill is not None and not drill.ok:
        return Target(target.outcome if target else "ok", "VERIFY_FAILED",
                      "the last drill failed: {0}".format(drill.message or "no reason was recorded"), None, None)
    return target or Target("ok", None, None, None, None)


def _risk(host: Host, key: Key, last: Optional[Point], told: Target, *, late: bool, safe: bool) -> str:
    if last is None:
        # Where somebody has looked, there is nothing; where nobody has, nothing is known.
        looked = host.history is not None and key[1]
        return "lost" if looked or told.outcome == "uncovered" else "unknown"
    if late:
        return "late"
    if told.outcome in _BAD or told.code:
        return "failing"
    return "safe" if safe else "unsafe"


def _bytes_of(found: Optional[Found]) -> Optional[int]:
    return found.bytes if found else None


def _newest_of_each_place(copies: List[Copy]) -> List[Copy]:
    newest: Dict[str, Copy] = {}
    for copy in sorted(copies, key=lambda copy: copy.at):
        newest[copy.where] = copy
    return sorted(newest.values(), key=lambda copy: (-copy.at, copy.where))


def _sizes(points: List[Point], now: int) -> List[Tuple[int, int]]:
    """When and how large, over the last year: at most so many points, each the last of an equal stretch of time."""
    known = sorted((point.at, int(point.bytes)) for point in points
                   if point.bytes is not None and now - _YEAR <= point.at <= now + AHEAD)
    if len(known) <= _SIZES:
        return known
    first, stretch = known[0][0], (known[-1][0] - known[0][0]) / (_SIZES - 1) or 1
    return list({int((at - first) / stretch): (at, size) for at, size in known}.values())


def _growth(points: List[Point], last: Optional[Point]) -> Optional[float]:
    """How much larger the last set is than the one of a month before it: 0.1 is a tenth; None where there is none."""
    if last is None or last.bytes is None:
        return None
    before = max((point for point in points if point.at <= last.at - _MONTH), key=lambda point: point.at, default=None)
    return round(last.bytes / before.bytes - 1, 4) if before and before.bytes else None
