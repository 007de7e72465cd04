# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back after a swap: the newest kept database takes its name again, and what it was replaced by is kept.

No dump is read. It is the same swap in one transaction, so the way back can be gone back as well.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._findings import BLOCKER
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import database_dir
from ansible_collections.pgfleet.backup.plugins.module_utils._lock import database_lock
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import KEPT, without_marker
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_options import RestoreOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import free_moment, look_around
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import together
from ansible_collections.pgfleet.backup.plugins.module_utils._swap import (
    kept_databases,
    swap_databases,
    tidy_previous,
)

__all__ = ["go_back"]


def go_back(
    session: Session, options: RestoreOptions, *, instance: str, source_name: str, target: str, check: bool,
    result: Dict[str, Any],
) -> None:
    """Let the newest database that is kept for ``target`` take its name, filling ``result`` as a restore does.

    Raises ``BACKUP_NOT_FOUND`` when none is kept, ``RESTORE_NOT_CONFIRMED``, and what a swap raises.
    """
    started = time.monotonic()
    there = look_around(session)
    kept = kept_databases(there, target)
    if not kept:
        raise BackupError(
            "BACKUP_NOT_FOUND", "no previous database is kept for {0}".format(target),
            hint="A swap keeps as many as keep_previous says. Restore a backup instead: backup=latest, or an id.",
        )
    questions = {"target": _queries.database_state(target), "previous": _queries.database_state(kept[0])}
    answers = session.executor.query_json(together(questions), database=session.maintenance_db)
    state, previous = answers["target"], answers["previous"]
    origin = {"path": kept[0], "id": None, "format": "database", "created": None,
              "server_version": session.context.server_version, "bytes": previous["bytes"]}
    blockers = _unconfirmed(options, target, kept[0], state)
    result["plan"] = _plan(session, options, source_name, target, state, origin, blockers)
    result["changed"] = check
    if check:
        return
    if blockers:
        raise blockers[0]
    replaced: List[Optional[str]] = [None]

    def done(name: Optional[str]) -> None:
        replaced[0] = name
        result["changed"] = True

    with ExitStack() as stack:
        stack.enter_context(session.executor.time_limit(options.timeout))
        folder = database_dir(options.backup_dir, instance, target)
        if os.path.isdir(folder):
            stack.enter_context(database_lock(folder, timeout=options.lock_timeout))
        moment = free_moment(there, target, (KEPT,), after=kept)
        swap_databases(
            session, target=target, side=kept[0], state=state, moment=moment,
            lock_wait_timeout=options.lock_wait_timeout, comment=without_marker(previous["comment"]), done=done,
        )
        still_kept = tidy_previous(session, target, options.keep_previous, replaced[0])
    result["restore"] = {
        "database": source_name,
        "target_database": target,
        "strategy": options.strategy,
        "backup": origin,
        "previous_database": still_kept,
        "objects": 0,
        "warnings": [],
        "seconds": round(time.monotonic() - started, 3),
        "verification": None,
    }


def _unconfirmed(
    options: RestoreOptions, target: str, kept: str, state: Optional[Mapping[str, Any]]
) -> List[BackupError]:
    if state is None or options.confirm == target:
        return []
    return [BackupError(
        "RESTORE_NOT_CONFIRMED", "this would replace the database {0} by {1}".format(target, kept),
        hint="Set confirm: {0} if that is what you want. Run with --check --diff to see the plan.".format(target),
    )]


def _plan(
    session: Session, options: RestoreOptions, source_name: str, target: str, state: Optional[Mapping[str, Any]],
    origin: Mapping[str, Any], blockers: List[BackupError],
) -> Dict[str, Any]:
    """The keys of any restore's plan."""
    told = [{"code": blocker.code, "msg": blocker.what, "hint": blocker.hint} for blocker in blockers]
    return {
        "strategy": options.strategy,
        "database": source_name,
        "target_database": target,
        "backup": origin,
        "target_exists": state is not None,
        "replaces": state is not None,
        "target": dict(state) if state is not None else None,
        "sessions": [],
        "findings": [dict(each, level=BLOCKER, subject="confirm") for each in told],
        "blockers": told,
        "estimate": None,  # it is a rename: no time, and no room
        "disk": None,
        "safety_backup": False,
        "keep_previous": options.keep_previous if state is not None else None,
        "server_version": session.context.server_version,
        "client_version": session.executor.client.version,
    }
