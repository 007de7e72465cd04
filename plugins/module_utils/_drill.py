# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill: restore into a scratch database, compare, time, drop. The proof that a backup restores."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Fingerprint
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._fill import (
    Filled,
    fill,
    has_event_triggers,
    verify_content,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import DRILL
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_extensions import check_extensions
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source, of_set
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import (
    discard_database,
    free_moment,
    new_database,
    sweep_databases,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import truncate_name
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, append_verdict, read_set

__all__ = ["drill", "drill_into_verdict"]

# What speaks against the backup, and not against the server or the time that was allowed. A tool's failure that nothing
# more is known of has the code of the operation under way.
_DAMNING = ("VERIFY_FAILED", "RESTORE_FAILED", "BACKUP_FAILED")
_SUBSCRIPTION = re.compile(rb"^\s*(CREATE|ALTER)\s+SUBSCRIPTION\s", re.IGNORECASE | re.MULTILINE)
_OVERLAP = 64


def drill(
    session: Session, source: Source, fingerprint: Fingerprint, *, database: str, jobs: int,
    switches: Sequence[str] = (), analyze: bool = True, location: str = "server",
) -> Tuple[Filled, Dict[str, Any]]:
    """Restore into a scratch database that is dropped on every outcome, and append the verdict to the set's own.

    Returns what was filled, and what was compared with its seconds and rates. No publisher is ever contacted:
    subscriptions are left out; those of a plain dump, which are not enabled, are dropped without their slots.
    """
    if source.dump.format == "plain" and source.backup is None:
        _refuse_subscriptions(source)
    there = sweep_databases(session, database)
    name = truncate_name(database, DRILL + free_moment(there, database, [DRILL]))
    silent = has_event_triggers(session, source.dump)
    with new_database(session, name, source.properties, target=database, silent=silent):
        started = time.monotonic()
        try:
            with source.restoring(session.executor, name):
                filled = fill(
                    session, name, source.dump, jobs=jobs, switches=["--no-subscriptions", *switches], analyze=analyze
                )
                verification = verify_content(session, name, fingerprint)
        except BackupError as error:
            if error.code in _DAMNING:
                _record(source, {"result": "failed", "seconds": _since(started), "message": error.msg})
            raise
        state = session.executor.query_json(_queries.database_state(name), database=session.maintenance_db)
        verification["location"] = location
        verification.update(_rates(_since(started), verification["rows"], state["bytes"]))
        discard_database(session, name)
    _record(source, {**verification, "message": ""})
    return filled, verification


def drill_into_verdict(session: Session, backup: BackupSet, *, jobs: int, identity_file: str = "") -> BackupSet:
    """Drill a set that was just made; the set with its verdict.

    Raises ``VERIFY_FAILED`` when it does not restore. What is raised has the set in ``result["published"]``.
    """
    source = of_set(backup, identity_file)
    fingerprint = Fingerprint(**backup.manifest["fingerprint"])
    try:
        refusal = check_extensions(source, "drill")
        if refusal is not None:
            raise refusal
        drill(session, source, fingerprint, database=backup.database, jobs=jobs)
    except BackupError as error:
        if error.code in _DAMNING:
            error = BackupError("VERIFY_FAILED", "{0} was made, and does not restore: {1}".format(
                backup.path, error.what))
        error.result["published"] = dict(read_set(backup.path, backup.key).describe(), changed=True)
        raise error
    return read_set(backup.path, backup.key)


def _refuse_subscriptions(source: Source) -> None:
    rest = b""
    for chunk in source.dump.chunks():
        text = rest + chunk
        if _SUBSCRIPTION.search(text):
            raise BackupError(
                "INVALID_BACKUP_FORMAT",
                "{0} has subscriptions, which cannot be left out of a plain dump, and might contact a publisher".format(
                    source.dump.path),
                hint="Drill a dump in the directory, custom or tar format, or make the plain one with "
                "--no-subscriptions.")
        rest = text[max(text.rfind(b"\n"), len(text) - _OVERLAP):]


def _rates(seconds: float, rows: int, size: Optional[int]) -> Dict[str, Any]:
    """How long it took, what the restored database weighs, and both by the second."""
    return {
        "seconds": seconds,
        "bytes": size,
        "bytes_per_second": None if size is None else round(size / max(seconds, 0.001)),
        "rows_per_second": round(rows / max(seconds, 0.001)),
    }


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _record(source: Source, verdict: Mapping[str, Any]) -> None:
    if source.backup is not None:
        append_verdict(source.backup, dict(verdict, level="restore", at=format_time(datetime.now(timezone.utc))))
