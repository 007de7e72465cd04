# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole cluster's globals as a set of their own, beside the sets of its databases."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, List, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_manifest import SetIdentity, globals_manifest
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import BackupOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import PartialSet, sweep_partials
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import next_sequence, sets_in
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._freshness import fresh_set
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    GLOBALS,
    GLOBALS_FILE,
    globals_dir,
    new_set_id,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._lock import database_lock
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_md import globals_restore_md
from ansible_collections.pgfleet.backup.plugins.module_utils._retention import prune
from ansible_collections.pgfleet.backup.plugins.module_utils._sealed_dump import keep_text
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import read_set

__all__ = ["back_up_globals"]

_TRAILER = b"-- PostgreSQL database cluster dump complete"


def back_up_globals(
    session: Session, options: BackupOptions, instance: str, *, pruned: List[str]
) -> Dict[str, Any]:
    """Write ``pg_dumpall --globals-only`` as a set, unless there is a fresh one; the entry for ``backups``.

    Password verifiers are in it where the role may read them; otherwise it says so in a warning and in the manifest.
    """
    executor = session.executor
    folder = globals_dir(options.backup_dir, instance)
    args = ["--globals-only", "-l", session.maintenance_db]
    warnings: List[str] = []
    if not session.server["superuser"]:
        args.append("--no-role-passwords")
        warnings.append("only a superuser can read password verifiers; the globals are kept without")
        executor.log.add_warning(warnings[0])
    mine = database_lock(folder, timeout=options.lock_timeout, pause=executor.pause)
    with mine, executor.time_limit(options.timeout):
        sweep_partials(folder)
        sets, _problems = sets_in(folder, options.signing_key)
        created = datetime.now(timezone.utc)
        fresh = fresh_set(sets, options, created, instance=instance, database=GLOBALS)
        if fresh is not None:
            executor.log.add("The verified globals {0} are younger than max_age".format(fresh.id))
            return dict(fresh.describe(), status="fresh", changed=False)
        identity = SetIdentity(new_set_id(created), executor.run_id, instance, GLOBALS, next_sequence(sets), created)
        with PartialSet.create(folder, identity.set_id) as partial:
            seconds, roles = _write(session, partial, args, options)
            manifest = globals_manifest(
                session, identity, options,
                finished=datetime.now(timezone.utc), seconds=seconds, roles=roles, warnings=warnings,
            )
            page = globals_restore_md(manifest, signed=options.signing_key is not None)
            published = read_set(partial.publish(manifest, page, key=options.signing_key), options.signing_key)
        pruned.extend(prune(sets + [published], options.retention, datetime.now(timezone.utc)))
    return dict(published.describe(), changed=True)


def _write(
    session: Session, partial: PartialSet, args: List[str], options: BackupOptions
) -> Tuple[float, List[str]]:
    """Write the globals file; the seconds it took, and the roles in it."""
    executor = session.executor
    result = executor.run("pg_dumpall", args, database=session.maintenance_db, announce=True)
    if _TRAILER not in result.stdout[-1000:]:
        raise BackupError("BACKUP_FAILED", "the globals do not end with pg_dumpall's trailer: they were cut off")
    keep_text(partial, GLOBALS_FILE, result.stdout.decode("utf-8", "surrogateescape"), options)
    roles = executor.query_json(_queries.ROLE_NAMES, database=session.maintenance_db)
    return result.seconds, [name for name in roles if not name.startswith("pg_")]
