# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as a JSON document, which the page and the metrics tell again.

``docs/schemas/report-1.json`` describes every key.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time
from ansible_collections.pgfleet.backup.plugins.module_utils._report_merge import Problem
from ansible_collections.pgfleet.backup.plugins.module_utils._report_model import OUTCOMES, RISKS, Drill, Host, Row

__all__ = ["SCHEMA_VERSION", "describe", "time_text"]

SCHEMA_VERSION = 1
_STEPS = 60


def describe(
    hosts: Sequence[Host], rows: Sequence[Row], problems: Iterable[Problem], *, title: str, now: int
) -> Dict[str, Any]:
    """The document. ``rows`` are in their order, the worst first."""
    told = [problem._asdict() for problem in problems]
    described = [_row(row, now) for row in rows]
    return {
        "schema_version": SCHEMA_VERSION,
        "title": title,
        "generated": time_text(now),
        "summary": _summary(len(hosts), described, len(told)),
        "problems": told,
        "sizes": [[time_text(at), size] for at, size in _fleet_sizes(rows, now)],
        "rows": described,
    }


def time_text(at: float) -> str:
    """Seconds since 1970 as all our documents write them."""
    return format_time(datetime.fromtimestamp(at, timezone.utc))


def _summary(hosts: int, rows: List[Dict[str, Any]], problems: int) -> Dict[str, Any]:
    risks = {risk: sum(row["risk"] == risk for row in rows) for risk in RISKS}
    backed_up = [row for row in rows if row["last_backup"]]
    oldest = max(backed_up, key=lambda row: row["last_backup"]["age_seconds"], default=None)
    return {
        "headline": _headline(risks, problems),
        "hosts": hosts,
        "databases": len(rows),
        "risks": risks,
        "outcomes": {outcome: sum(row["outcome"] == outcome for row in rows) for outcome in OUTCOMES},
        "worst": _name(rows[0]) if rows and rows[0]["risk"] not in ("safe", "unsafe") else None,
        "oldest": dict(_name(oldest), created=oldest["last_backup"]["created"]) if oldest else None,
        "bytes": sum(row["bytes"] or 0 for row in backed_up),
        "drilled": sum(bool(row["last_drill"] and row["last_drill"]["result"] == "ok") for row in rows),
        "problems": problems,
    }


def _headline(risks: Dict[str, int], problems: int) -> str:
    """What to know if one reads nothing else: the worst that is true of any."""
    for risk, one, many in (
        ("lost", "1 database would be lost tonight", "{0} databases would be lost tonight"),
        ("unknown", "Nothing is known of 1 target", "Nothing is known of {0} targets"),
        ("late", "1 database would lose more than its RPO", "{0} databases would lose more than their RPO"),
        ("failing", "The last run failed for 1 database", "The last run failed for {0} databases"),
    ):
        if risks[risk]:
            return one if risks[risk] == 1 else many.format(risks[risk])
    if problems:
        return "Not all that was reported could be read"
    if risks["unsafe"]:
        return ("1 database would be lost together with its host" if risks["unsafe"] == 1
                else "{0} databases would be lost together with their hosts".format(risks["unsafe"]))
    return "Every database is safe" if risks["safe"] else "There is nothing to report on yet"


def _name(row: Dict[str, Any]) -> Dict[str, Any]:
    return {key: row[key] for key in ("host", "instance", "database", "risk")}


def _row(row: Row, now: int) -> Dict[str, Any]:
    last = row.last
    return {
        "host": row.host,
        "instance": row.instance,
        "database": row.database,
        "outcome": row.outcome,
        "risk": row.risk,
        "code": row.code,
        "msg": row.msg,
        "hint": row.hint,
        "rpo_seconds": row.rpo,
        "within_rpo": last is not None and now - last.at <= row.rpo,
        "loss_now": "unknown" if row.risk == "unknown" else "everything" if last is None else "since",
        "loss_now_seconds": _age(last.at if last else None, now),
        "loss_with_host_seconds": _age(row.last_off_host.at if row.last_off_host else None, now),
        "safe": any(last is not None and copy.id == last.id for copy in row.copies),
        "last_backup": None if last is None else {
            "id": last.id, "created": time_text(last.at), "age_seconds": _age(last.at, now), "bytes": last.bytes,
            "seconds": last.seconds, "level": last.level,
        },
        "bytes": row.bytes,
        "growth_of_a_month": row.growth,
        "backups": row.usable,
        "sizes": [[time_text(at), size] for at, size in row.sizes],
        "last_drill": _drill(row.drill, now),
        "copies": [{"id": copy.id, "created": time_text(copy.at), "where": copy.where} for copy in row.copies],
    }


def _age(at: Optional[int], now: int) -> Optional[int]:
    return None if at is None else max(now - at, 0)


def _drill(drill: Optional[Drill], now: int) -> Optional[Dict[str, Any]]:
    return None if drill is None else {
        "at": time_text(drill.at), "age_seconds": _age(drill.at, now), "result": "ok" if drill.ok else "failed",
        "seconds": drill.seconds,
    }


def _fleet_sizes(rows: Iterable[Row], now: int) -> List[Tuple[float, int]]:
    """What the newest sets of all databases weighed together, over time; each counts from its first known set on."""
    curves = [row.sizes for row in rows if row.sizes]
    if not curves:
        return []
    first = min(curve[0][0] for curve in curves)
    if first >= now:
        return [(now, sum(curve[-1][1] for curve in curves))]
    moments = [first + (now - first) * step / (_STEPS - 1) for step in range(_STEPS)]
    totals = [0] * _STEPS
    for curve in curves:
        times = [at for at, _size in curve]
        for step, moment in enumerate(moments):
            position = bisect_right(times, moment)
            if position:
                totals[step] += curve[position - 1][1]
    return list(zip(moments, totals))
