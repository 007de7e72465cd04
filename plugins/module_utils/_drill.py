# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill: restore into a scratch database, compare, time, drop. The proof that a backup restores."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any, Dict, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Fingerprint
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._fill import Filled, fill, verify_content
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import DRILL
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source, of_set
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import (
    drop_database,
    free_moment,
    new_database,
    sweep_databases,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import truncate_name
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, append_verdict, read_set

__all__ = ["drill", "drill_into_verdict"]


def drill(
    session: Session, source: Source, fingerprint: Fingerprint, *, database: str, jobs: int,
    switches: Sequence[str] = (), analyze: bool = True,
) -> Tuple[Filled, Dict[str, Any]]:
    """Restore into a scratch database that is dropped on every outcome, and append the verdict to the set's own.

    Subscriptions are left out: dropping a restored one would contact its publisher.
    """
    sweep_databases(session, database)
    name = truncate_name(database, DRILL + free_moment(session, database, [DRILL]))
    started = time.monotonic()
    try:
        with new_database(session, name, source.properties, target=database):
            filled = fill(
                session, name, source.dump, jobs=jobs, switches=["--no-subscriptions", *switches], analyze=analyze
            )
            verification = verify_content(session, name, fingerprint)
            drop_database(session, name)
    except BackupError as error:
        if error.code in ("VERIFY_FAILED", "RESTORE_FAILED"):
            _record(source, "failed", time.monotonic() - started, error.msg)
        raise
    _record(source, "ok", time.monotonic() - started, "")
    return filled, verification


def drill_into_verdict(session: Session, backup: BackupSet, *, jobs: int) -> BackupSet:
    """Drill a set that was just made; the set with its verdict."""
    source = of_set(backup)
    recorded = backup.manifest["fingerprint"]
    drill(session, source, Fingerprint(**recorded), database=backup.database, jobs=jobs)
    return read_set(backup.path, backup.key)


def _record(source: Source, result: str, seconds: float, message: str) -> None:
    if source.backup is not None:
        append_verdict(source.backup, {
            "level": "restore",
            "result": result,
            "seconds": round(seconds, 3),
            "at": format_time(datetime.now(timezone.utc)),
            "message": message,
        })
