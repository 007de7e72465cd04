# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The swap: a restored side database takes the target's name in one transaction, and the old one is kept.

Session A renames both and closes the kept one. Renaming needs the target free of sessions, and a bar on it that was
committed would lock everyone out if we were killed then; so nothing is barred. Session B ends the sessions in the way
until A commits: whoever reconnects meanwhile waits for A's lock on the database.
"""

from __future__ import annotations

from typing import Any, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import (
    KEPT,
    SIDE,
    is_kept,
    previous_marker,
    without_marker,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import comment_statement, drop_database
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident, literal, truncate_name

__all__ = ["prune_previous", "side_name", "swap_databases"]

_RENAME = """
SET lock_timeout = {lock_timeout};
BEGIN;
ALTER DATABASE {target} RENAME TO {kept};
ALTER DATABASE {side} RENAME TO {target};
COMMENT ON DATABASE {kept} IS {comment};
{finished};
ALTER DATABASE {kept} WITH ALLOW_CONNECTIONS false;
COMMIT;
"""
# Ends by itself when the name has moved on, or after a minute. The target is told by its oid: the sessions of the new
# one are never touched. A session that we may not end is left; the rename then fails and says so.
_CLEAR_THE_WAY = """
DO {tag}
DECLARE
  session_pid int;
BEGIN
  FOR attempt IN 1..1200 LOOP
    PERFORM pg_stat_clear_snapshot();
    EXIT WHEN NOT EXISTS (SELECT FROM pg_database WHERE oid = {oid} AND datname = {name});
    FOR session_pid IN
      SELECT pid FROM pg_stat_activity WHERE datid = {oid} AND backend_type = 'client backend'
    LOOP
      BEGIN
        PERFORM pg_terminate_backend(session_pid);
      EXCEPTION WHEN insufficient_privilege THEN NULL;
      END;
    END LOOP;
    PERFORM pg_sleep(0.05);
  END LOOP;
END
{tag};
"""


def side_name(target: str, moment: str) -> str:
    """The name of the database that is restored into before it takes the target's place."""
    return truncate_name(target, SIDE + moment)


def swap_databases(
    session: Session, *, target: str, side: str, state: Mapping[str, Any], moment: str, lock_wait_timeout: int,
    comment: Optional[str],
) -> str:
    """Let ``side`` take the name ``target`` and its own ``comment``; the name under which the old one is kept.

    ``state`` is what the target was found to be. Raises ``TARGET_IN_USE`` or what the server says; the old database
    then still has its name, and nobody was barred from it.
    """
    executor = session.executor
    kept = truncate_name(target, KEPT + moment)
    rename = _RENAME.format(
        lock_timeout=literal("{0}s".format(lock_wait_timeout)),
        target=ident(target),
        kept=ident(kept),
        side=ident(side),
        comment=literal("{0}{1}\n{2}".format(
            previous_marker(target), moment, without_marker(state["comment"]) or "").rstrip()),
        finished=comment_statement(target, comment),
    )
    tag = "$way$"
    while tag in target:
        tag = "$way{0}$".format(len(tag))
    clear = _CLEAR_THE_WAY.format(oid=int(state["oid"]), name=literal(target), tag=tag)
    try:
        with executor.beside(clear, database=session.maintenance_db):
            executor.query(rename, database=session.maintenance_db, timeout=None)
    except BackupError as error:
        with executor.unlimited():
            now = executor.query_json(_queries.database_state(target), database=session.maintenance_db)
        if now is None or now["oid"] == state["oid"]:
            raise
        # The connection was lost after the commit: what counts is what the server holds.
        executor.log.add_warning("the swap is done, although its session ended with: {0}".format(error))
    executor.log.add("Swapped: {0} is the restored database, the previous one is kept as {1}".format(target, kept))
    return kept


def prune_previous(session: Session, target: str, keep: int) -> List[str]:
    """Drop all but the newest ``keep`` databases that were kept for ``target``; the names of those dropped.

    What was renamed back is in use again, and is no longer ours to drop, whatever its comment says.
    """
    marked = session.executor.query_json(
        _queries.kept_databases(previous_marker(target)), database=session.maintenance_db
    )
    dropped = [name for name in marked if is_kept(name)][keep:]
    for name in dropped:
        drop_database(session, name)
        session.executor.log.add("Dropped the previous database {0}".format(name))
    return list(dropped)
