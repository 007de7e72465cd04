# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The swap: a restored side database takes the target's name in one transaction, and the old one is kept.

Session A renames both and closes the kept one. Renaming needs the target free of sessions, and a bar on it that was
committed would lock everyone out if we were killed then; so nothing is barred. Session B ends the sessions in the way
until A commits: whoever reconnects meanwhile waits for A's lock on the database.
"""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import (
    KEPT,
    SIDE,
    is_kept,
    kept_at,
    previous_marker,
    without_marker,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import (
    Neighbours,
    comment_statement,
    drop_database,
    look_around,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident, literal, truncate_name

__all__ = ["kept_databases", "side_name", "swap_databases", "tidy_previous"]

_SWAP = """
BEGIN;
SET LOCAL lock_timeout = {lock_timeout};
ALTER DATABASE {target} RENAME TO {kept};
ALTER DATABASE {side} RENAME TO {target};
COMMENT ON DATABASE {kept} IS {comment};
ALTER DATABASE {kept} WITH ALLOW_CONNECTIONS false;
{finish}
COMMIT;
"""
# Nobody is turned away but while session A is in its transaction, even if we are killed: it ends by itself when the
# name has moved on, which may be before it started, or A is gone, or after a minute. A is the session of our run that
# is not idle; another one only stays. The target is told by its oid: the sessions of the new one are never touched. A
# session that we may not end is left; the rename then fails and says so.
_CLEAR_THE_WAY = """
DO {tag}
DECLARE
  session_pid int;
  seen boolean := false;
BEGIN
  FOR attempt IN 1..1200 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM pg_database WHERE oid = {oid} AND datname = {name});
    PERFORM pg_stat_clear_snapshot();
    IF NOT EXISTS (
      SELECT FROM pg_stat_activity WHERE application_name = {us} AND pid <> pg_backend_pid() AND state <> 'idle'
    ) THEN
      EXIT WHEN seen;
      PERFORM pg_sleep(0.05);
      CONTINUE;
    END IF;
    seen := true;
    FOR session_pid IN
      SELECT pid FROM pg_stat_activity
      WHERE datid = {oid} AND coalesce(backend_type, 'client backend') = 'client backend'  -- hidden if it is another's
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
    session: Session, *, target: str, side: str, state: Optional[Mapping[str, Any]], moment: str,
    lock_wait_timeout: int, comment: Optional[str], done: Callable[[Optional[str]], None],
) -> None:
    """Let ``side`` take the name ``target`` and its own ``comment``, open to connections.

    ``state`` is what the target was found to be, None where there is none. ``done`` is told under which name the old
    one is kept, as soon as that is certain, however this ends. Raises ``TARGET_IN_USE``, ``TARGET_EXISTS`` or what the
    server says; the old database then still has its name, and nobody was barred from it.
    """
    kept = None if state is None else truncate_name(target, KEPT + moment)
    try:
        if state is None or kept is None:
            sql = "BEGIN;\nALTER DATABASE {0} RENAME TO {1};\n{2}\nCOMMIT;".format(
                ident(side), ident(target), _finish(target, comment))
            session.executor.query(sql, database=session.maintenance_db)
        else:
            _exchange(session, target=target, side=side, kept=kept, state=state, moment=moment,
                      lock_wait_timeout=lock_wait_timeout, finish=_finish(target, comment))
    except BaseException as error:
        # A connection may be lost after the commit, and a signal come: what counts is what the server holds.
        if not _is_done(session, target=target, side=side):
            raise
        done(kept)
        if not isinstance(error, BackupError):
            raise
        session.executor.log.add_warning("{0} is restored, although its session ended with: {1}".format(target, error))
    else:
        done(kept)
    session.executor.log.add("{0} is the restored database{1}".format(
        target, ", the previous one is kept as {0}".format(kept) if kept else ""))


def _finish(target: str, comment: Optional[str]) -> str:
    return "{0};\nALTER DATABASE {1} WITH ALLOW_CONNECTIONS true;".format(
        comment_statement(target, comment), ident(target))


def _is_done(session: Session, *, target: str, side: str) -> bool:
    """Whether the side database has got its name, once no session of ours can change that any more."""
    executor = session.executor
    with executor.unlimited():
        executor.end_sessions()
        try:
            names = executor.query_json(_queries.names_that_exist((target, side)), database=session.maintenance_db)
        except BackupError as error:
            executor.log.add_warning("whether {0} was swapped could not be asked: {1}".format(target, error))
            return False
    return bool(names == [target])


def _exchange(
    session: Session, *, target: str, side: str, kept: str, state: Mapping[str, Any], moment: str,
    lock_wait_timeout: int, finish: str,
) -> None:
    executor = session.executor
    swap = _SWAP.format(
        lock_timeout=literal("{0}s".format(lock_wait_timeout)),
        target=ident(target),
        kept=ident(kept),
        side=ident(side),
        comment=literal("{0}{1}\n{2}".format(
            previous_marker(target), moment, without_marker(state["comment"]) or "").rstrip()),
        finish=finish,
    )
    clear = _clear_the_way(executor.application_name, target, state["oid"])
    with executor.beside(clear, database=session.maintenance_db):
        executor.query(swap, database=session.maintenance_db, timeout=None)


def _clear_the_way(application_name: str, target: str, oid: int) -> str:
    """What session B runs."""
    tag = "$way$"
    while tag in target:
        tag = "$way{0}$".format(len(tag))
    return _CLEAR_THE_WAY.format(oid=int(oid), name=literal(target), us=literal(application_name), tag=tag)


def kept_databases(there: Neighbours, target: str) -> List[str]:
    """The databases that are kept for ``target``, newest first.

    What was renamed back is in use again, and is no longer one of them, whatever its comment says.
    """
    marker = previous_marker(target)
    marked = [name for name, comment in there.comments.items() if comment and comment.startswith(marker)]
    return sorted(filter(is_kept, marked), key=kept_at, reverse=True)


def tidy_previous(session: Session, target: str, keep: int, kept: Optional[str]) -> Optional[str]:
    """Drop all but the newest ``keep`` databases that are kept for ``target``, when a swap has just ``kept`` one.

    Returns what is left of that one. The swap is done: what cannot be dropped is said, and does not make it fail.
    """
    if kept is None:
        return None
    try:
        dropped = kept_databases(look_around(session), target)[keep:]
        for name in dropped:
            drop_database(session, name)
            session.executor.log.add("Dropped the previous database {0}".format(name))
    except BackupError as error:
        session.executor.log.add_warning("an older previous database could not be dropped: {0}".format(error))
        return kept
    return None if kept in dropped else kept
