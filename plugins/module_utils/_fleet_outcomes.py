# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the role came to on one host: one row for each database, the worst first, and the same in words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_age
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import CODES
from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_targets import item_of
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import parse_time

__all__ = ["fleet_outcomes", "results_of"]

# From the worst on; the first four make the run a failed one.
_OUTCOMES = ("unreachable", "failed", "uncovered", "stale", "suspicious", "planned", "fresh", "ok")
_BAD = _OUTCOMES[:4]
_DEFAULT_RPO = "26h"

Row = Dict[str, Any]


def fleet_outcomes(
    run: Any,
    before: Iterable[Any] = (),
    *,
    rpo: Any = None,
    ignore: Iterable[str] = (),
    now: Optional[datetime] = None,
) -> Dict[str, Any]:
    """``{rows, lines, bad}`` of what the looped module task registered as ``run``, and the tasks ``before`` it.

    A row has ``target``, ``database``, ``outcome``, ``code``, ``msg``, ``hint``, ``path``, ``bytes``, ``seconds``; only
    a result that says what was made counts as a success. ``ignore`` are databases that nobody needs to back up.
    Raises ``INVALID_DB_CONFIG`` for an ``rpo`` that is no duration.
    """
    results = results_of(run)
    rows = [row for earlier in before for result in results_of(earlier) for row in _broken(result)]
    for result in results:
        limit = read_age(item_of(result).get("rpo") or rpo or _DEFAULT_RPO, where="rpo")
        rows += _rows(result, limit or timedelta.max, now or datetime.now(timezone.utc))
    if not rows:
        rows = [_nothing()]
    rows += _uncovered(results, frozenset(ignore))
    rows.sort(key=lambda row: (_OUTCOMES.index(row["outcome"]), row["target"], row["database"]))
    bad = [row for row in rows if row["outcome"] in _BAD]
    return {"rows": rows, "lines": [_line(row) for row in rows], "bad": bad}


def results_of(registered: Any) -> List[Mapping[str, Any]]:
    """Each item's result of a task, or the task's own where it has not come to its loop."""
    if not isinstance(registered, Mapping):
        return []
    results = registered.get("results")
    return [
        result for result in ([registered] if results is None else results)
        if not (result.get("skipped") or result.get("skip_reason"))
    ]


def _row(result: Mapping[str, Any], outcome: str, database: Any = None, **more: Any) -> Row:
    item = item_of(result)
    context = result.get("context") or {}
    name = item.get("database") or ""
    return dict(
        {
            "target": (result.get("plan") or {}).get("instance") or item.get("target") or "",
            "database": database or name or context.get("database") or "",
            "outcome": outcome, "code": None, "msg": None, "hint": None, "path": None, "bytes": None, "seconds": None,
        },
        **more,
    )


def _broken(result: Mapping[str, Any]) -> Iterator[Row]:
    """A row for a task that failed as a whole."""
    if result.get("unreachable"):
        yield _row(result, "unreachable", msg=_text(result.get("msg")))
    elif result.get("failed") or result.get("code"):
        yield _row(result, "failed", **_why(result))


def _rows(result: Mapping[str, Any], rpo: timedelta, now: datetime) -> Iterator[Row]:
    made, failed = result.get("backups") or [], result.get("failed_databases") or []
    for entry in made:
        yield _of_set(result, entry, rpo, now)
    for entry in failed:
        why = dict(entry, hint=result.get("hint") if entry.get("code") == result.get("code") else None)
        yield _row(result, "failed", entry["database"], **_why(why))
    if result.get("restore"):
        yield _restored(result, result["restore"])
    elif made or failed:
        return
    elif result.get("plan") and not (result.get("failed") or result.get("code")):
        yield from _planned(result)
    else:
        yield from _broken(dict(result, failed=True))


def _of_set(result: Mapping[str, Any], entry: Mapping[str, Any], rpo: timedelta, now: datetime) -> Row:
    outcome = entry["status"]
    age = now - parse_time(entry["created"])
    msg = "proven by {0}".format(entry["verification"]["level"]) if entry["verified"] else "not verified"
    if outcome == "fresh":
        msg += ", made at {0}".format(entry["created"])
        if age > rpo:
            outcome, msg = "stale", "the newest verified backup is of {0}, older than its RPO".format(entry["created"])
    elif outcome == "suspicious":
        msg = "; ".join(entry.get("warnings") or [msg])
    return _row(
        result, outcome, entry["database"], msg=msg, path=entry["path"],
        bytes=sum(file["size"] for file in entry["files"]), seconds=entry["timings"].get("total_seconds"),
    )


def _restored(result: Mapping[str, Any], done: Mapping[str, Any]) -> Row:
    verified = done.get("verification") or {}
    place = "drilled" if done["strategy"] == "drill" else "restored to {0}".format(done["target_database"])
    msg = "{0}, not compared".format(place)
    if verified:
        msg = "{0}, {1} tables and {2} rows compared: {3}".format(
            place, verified.get("tables"), verified.get("rows"), verified.get("result"))
    return _row(
        result, "ok", done["database"], msg=msg, seconds=done.get("seconds"),
        path=(done.get("backup") or {}).get("path"), bytes=(done.get("backup") or {}).get("bytes"),
    )


def _planned(result: Mapping[str, Any]) -> Iterator[Row]:
    """What check mode says."""
    plan = result["plan"]
    for entry in plan.get("databases") or ():
        yield _row(result, "fresh" if entry["fresh"] else "planned", entry["database"], path=entry["folder"])
    if "target_database" in plan:
        yield _row(result, "planned", plan["target_database"], msg="to be restored by {0}".format(plan["strategy"]))


def _nothing() -> Row:
    return _row(
        {}, "failed", code="CREDENTIALS_UNAVAILABLE",
        msg="CREDENTIALS_UNAVAILABLE: no target is configured for this host, and no server was found on it",
        hint="Set fleet_backup_targets, or fleet_backup_discover on a host with running servers. Is the container "
        "engine up, and may this user reach it?",
    )


def _uncovered(results: Iterable[Mapping[str, Any]], ignore: Iterable[str]) -> Iterator[Row]:
    """Databases that each target on their server leaves out."""
    left: Dict[Tuple[str, ...], Tuple[Mapping[str, Any], Dict[str, None]]] = {}
    known = set(ignore)
    for result in results:
        plan = result.get("plan") or {}
        if "left_out" not in plan:  # it never came to its server; which one that is, nobody knows
            known.add(item_of(result).get("database") or "")
            continue
        server = _server(result.get("context") or {})
        others = left.setdefault(server, (result, dict.fromkeys(plan["left_out"])))[1]
        for name in set(others).difference(plan["left_out"]):
            del others[name]
    for result, names in left.values():
        for name in names:
            if name not in known:
                yield _row(result, "uncovered", name, msg="it exists, and no target backs it up", hint=(
                    "Add a target for it, use all_databases, or name it in exclude_databases or fleet_backup_ignore."))


def _server(context: Mapping[str, Any]) -> Tuple[str, ...]:
    container = context.get("container") or {}
    return tuple(str(value or "") for value in (
        container.get("id"), context.get("host"), context.get("socket"), context.get("port")))


def _why(result: Mapping[str, Any]) -> Dict[str, Any]:
    code = result.get("code")
    hint = result.get("hint") or (CODES[code].hint if code in CODES else None)
    return {"code": code, "msg": _text(result.get("msg")) or "it failed without saying why", "hint": hint}


def _text(value: Any) -> str:
    return " ".join(str(value or "").split())[:500]


def _line(row: Row) -> str:
    where = "/".join(part for part in (row["target"], row["database"]) if part)
    told = [row["msg"]] if row["msg"] else []
    if row["bytes"] is not None:
        told.append("{0:,} bytes".format(row["bytes"]))
    if row["seconds"] is not None:
        told.append("{0:.1f} s".format(row["seconds"]))
    line = "{0}: {1}".format(" ".join((row["outcome"], where)).strip(), ", ".join(told))
    return "{0}. {1}".format(line.rstrip("."), row["hint"]) if row["hint"] else line
