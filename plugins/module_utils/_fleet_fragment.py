# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the role has found out about its hosts, as a fragment of the fleet's report."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_outcomes import fleet_outcomes, results_of
from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_targets import item_of
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time

__all__ = ["fleet_fragment"]

_ABOUT_A_BACKUP = ("kind", "status", "instance", "database")
_ABOUT_A_FAILURE = ("failed", "code", "msg", "hint")


def fleet_fragment(
    hostvars: Mapping[str, Mapping[str, Any]],
    hosts: Iterable[str],
    *,
    ignore: Iterable[str] = (),
    now: Optional[datetime] = None,
) -> Dict[str, Any]:
    """The fragment of ``hosts``, from what the role's tasks have registered for each; see the schema of fragments.

    ``ignore`` are databases that nobody needs to back up, where a host has no ``fleet_backup_ignore`` of its own.
    """
    return {
        "schema_version": 1,
        "generated": format_time(now or datetime.now(timezone.utc)),
        "hosts": [_host(name, hostvars[name], ignore) for name in hosts],
    }


def _host(name: str, variables: Mapping[str, Any], ignore: Iterable[str]) -> Dict[str, Any]:
    seen = variables.get("fleet_backup_seen") or {}
    run, found, collected = (variables.get("fleet_backup_" + step) or {} for step in ("run", "found", "collected"))
    rpo, ignore = variables.get("fleet_backup_rpo"), variables.get("fleet_backup_ignore") or ignore
    entry: Dict[str, Any] = {"host": name, "reachable": not seen.get("unreachable"), "rpo": rpo}
    if "backups" in seen and not seen.get("failed"):
        entry.update(backups=seen["backups"], servers=seen.get("servers"))
    if "fetched" in collected:
        entry["copies"] = [*collected["fetched"], *(collected.get("present") or ())]
    if not run:  # a report without a backup before it
        entry["error"] = _error([seen])
        return entry
    entry["targets"] = [_target(result) for result in results_of(run) if not result.get("unreachable")] + [
        {"outcome": "uncovered", "instance": row["target"], "database": row["database"], "msg": row["msg"]}
        for row in fleet_outcomes(run, rpo=rpo, ignore=ignore)["rows"] if row["outcome"] == "uncovered"
    ]
    entry["error"] = _error([seen, found, collected, *results_of(run)[:1]])
    return entry


def _target(result: Mapping[str, Any]) -> Dict[str, Any]:
    """A result of pg_backup, as far as the report reads it."""
    item = item_of(result)
    plan = result.get("plan") or {}
    return {
        "instance": plan.get("instance") or "",
        "database": item.get("database") or "",
        "rpo": item.get("rpo") or None,
        "backups": [_backup(made) for made in result.get("backups") or ()],
        "failed_databases": result.get("failed_databases") or [],
        **{key: result[key] for key in _ABOUT_A_FAILURE if key in result},
    }


def _backup(made: Mapping[str, Any]) -> Dict[str, Any]:
    about = _ABOUT_A_BACKUP + (("warnings",) if made.get("status") == "suspicious" else ())
    return {key: made[key] for key in about if key in made}


def _error(results: List[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    """What failed for the host as a whole: the first that did."""
    for result in results:
        failed = result.get("unreachable") or (result.get("failed") and not item_of(result))
        if failed:
            return {"code": result.get("code"), "msg": " ".join(str(result.get("msg")).split())[:500],
                    "hint": result.get("hint")}
    return None
