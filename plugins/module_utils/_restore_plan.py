# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a restore as it is returned: what would happen, how long it may take, and what was found."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import sets_in
from ansible_collections.pgfleet.backup.plugins.module_utils._findings import BLOCKER, Finding
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_facts import Case, needed_bytes
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet

__all__ = ["estimate", "restore_plan"]

_TARGET_KEYS = ("oid", "owner", "connectable", "bytes", "comment")


def restore_plan(session: Session, case: Case, findings: List[Finding], *, database: str) -> Dict[str, Any]:
    """``plan``; ``database`` is the one whose backup it is."""
    options, target = case.options, case.facts.target
    return {
        "strategy": options.strategy,
        "database": database,
        "target_database": case.target,
        "backup": case.source.describe(),
        "target_exists": target is not None,
        "replaces": case.replaces,
        "target": _describe_target(target),
        "sessions": list(target["sessions"]) if target is not None else [],
        "findings": [finding.describe() for finding in findings],
        "blockers": [
            {"code": finding.code, "msg": finding.msg, "hint": finding.hint}
            for finding in findings if finding.level == BLOCKER
        ],
        "estimate": estimate(case),
        "disk": {"needed": needed_bytes(case), **case.facts.disk._asdict()},
        "safety_backup": options.strategy == "in_place" and options.safety_backup,
        "keep_previous": options.keep_previous if case.swaps else None,
        "server_version": session.context.server_version,
        "client_version": session.executor.client.version,
    }


def _describe_target(target: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    if target is None:
        return None
    counts: Dict[str, int] = {}
    for each in target["sessions"]:
        counts[each["application"]] = counts.get(each["application"], 0) + each["count"]
    return dict({key: target[key] for key in _TARGET_KEYS}, sessions=counts)


def estimate(case: Case) -> Dict[str, Any]:
    """Seconds, the bytes of the database, and what the guess is based on; None where nothing tells.

    The best basis is a ``drill`` of this backup, then an ``earlier_drill`` of the same database, in proportion to the
    bytes. Else the ``backup`` itself: restoring takes about twice as long as dumping did, since indexes are built.
    """
    backup, size = case.source.backup, case.source.manifest.get("database_bytes")
    if backup is None or case.options.partial:
        return {"seconds": None, "bytes": size, "basis": None}
    timings = backup.manifest["timings"]
    reading = timings.get("verify_seconds", 0)  # the archive is read to its end before
    own, earlier = _drilled(backup), _earlier_drill(backup)
    if own is not None:
        seconds, basis = own, "drill"
    elif earlier is not None and size:
        seconds, basis = earlier[0] * size / earlier[1], "earlier_drill"
    else:
        seconds, basis = 2 * timings.get("dump_seconds", 0), "backup"
    return {"seconds": round(seconds + reading, 1), "bytes": size, "basis": basis}


def _drilled(backup: BackupSet) -> Optional[float]:
    """How long the last drill of this set took that succeeded."""
    seconds = [
        verdict.get("seconds") for verdict in backup.verdicts
        if verdict["level"] == "restore" and verdict["result"] == "ok"
    ]
    return next((float(each) for each in reversed(seconds) if isinstance(each, (int, float))), None)


def _earlier_drill(backup: BackupSet) -> Optional[Tuple[float, int]]:
    """Seconds and bytes of the newest drill among the other sets of the same kind that lie beside this one."""
    for other in reversed(sets_in(os.path.dirname(backup.path))[0]):
        seconds, size = _drilled(other), other.manifest["database_bytes"]
        if seconds is not None and size and other.kind == backup.kind and other.database == backup.database:
            return seconds, int(size)
    return None
