# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases that a run makes: marked as its own, dropped when it fails, and swept by the next run when it was killed.

The session that makes one stays as long as the run lives. So a marked database whose run has no session on the server
is one that nobody will finish.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import Any, FrozenSet, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import (
    STAMP_FORMAT,
    is_under_way,
    kept_at,
    unfinished_marker,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._properties import create_statement
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident, literal, truncate_name

__all__ = [
    "Neighbours", "comment_statement", "discard_database", "drop_database", "free_moment", "look_around",
    "new_database", "silent_setting", "sweep_databases",
]

_FORCE_SINCE = 130000
_EVENT_TRIGGERS_SINCE = 17
# \\gexec runs each column of each row as a statement.
_DROP_SUBSCRIPTIONS = """
SELECT format('ALTER SUBSCRIPTION %I DISABLE', subname),
       format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', subname),
       format('DROP SUBSCRIPTION %I', subname)
FROM pg_catalog.pg_subscription
WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
\\gexec
"""
_TEMPLATE = "template1"  # nobody else could make a database while a session stays in it


class Neighbours(NamedTuple):
    """The databases of a server with those of their comments that are ours, and the runs of ours with a session."""

    comments: Mapping[str, Optional[str]]
    runs: FrozenSet[str]


def look_around(session: Session) -> Neighbours:
    """What is there on the server beside a database that is to be made."""
    found = session.executor.query_json(_queries.NEIGHBOURS, database=session.maintenance_db)
    return Neighbours(found["comments"], frozenset(found["runs"]))


@contextmanager
def new_database(
    session: Session, name: str, properties: Optional[Mapping[str, Any]], *, target: str, silent: bool = False
) -> Iterator[None]:
    """A database made from ``template0`` for ``target`` with these properties.

    It is gone again if anything fails, its making included. ``name`` is one that nobody else would choose, a side
    database's or a drill's. Its comment says that it is unfinished, and when ``silent``, :func:`silent_setting` holds
    in it: whoever finishes it gives it its own.
    Raises ``TARGET_EXISTS`` for a name that is taken all the same; that database is left alone.
    """
    executor = session.executor
    marker = unfinished_marker(target, executor.work_id)
    statements = [
        create_statement(name, properties, server_major=session.context.server_major), comment_statement(name, marker),
    ]
    if silent:
        statements.append("ALTER DATABASE {0} SET {1} = {2}".format(ident(name), *silent_setting(session)))
    sql = ";\n".join(statements) + ";"
    made = False
    try:
        with ExitStack() as stack:
            if session.maintenance_db == _TEMPLATE:
                executor.query(sql, database=_TEMPLATE, timeout=None)
            else:
                stack.enter_context(executor.made_by(sql, database=session.maintenance_db))
            made = True
            yield
    except BaseException as failure:
        if made or not (isinstance(failure, BackupError) and failure.code == "TARGET_EXISTS"):
            _remove(session, name, marker)
        raise


def _remove(session: Session, name: str, marker: str) -> None:
    """Clean up after a failure, which stays the one that is told."""
    executor = session.executor
    with executor.unlimited():
        executor.end_sessions()  # one that still creates it would come after us
        try:
            # One that was interrupted in the making has no comment yet.
            state = executor.query_json(_queries.database_state(name), database=session.maintenance_db)
            if state and state["comment"] in (marker, None):
                discard_database(session, name)
        except BackupError as error:
            executor.log.add_warning("{0} was left behind and could not be dropped: {1}".format(name, error))


def silent_setting(session: Session) -> Tuple[str, str]:
    """The setting under which the event triggers that a dump holds do not fire, and its value. Superusers may set it.

    They come before the materialised views are filled, which is a command like any other, and would forbid it or write
    it down. Those that the login sets off would be set off by every look at what was restored.
    """
    if session.context.server_major >= _EVENT_TRIGGERS_SINCE:
        return "event_triggers", "off"
    return "session_replication_role", "replica"


def comment_statement(name: str, comment: Optional[str]) -> str:
    """Give a database its comment, or none."""
    return "COMMENT ON DATABASE {0} IS {1}".format(ident(name), "NULL" if comment is None else literal(comment))


def drop_database(session: Session, name: str) -> None:
    """Drop a database that is ours to drop, whoever is still connected."""
    force = " WITH (FORCE)" if session.context.server_version_num >= _FORCE_SINCE else ""
    session.executor.query(
        "DROP DATABASE IF EXISTS {0}{1}".format(ident(name), force), database=session.maintenance_db, timeout=None
    )


def discard_database(session: Session, name: str) -> None:
    """Drop a database that nobody has used yet. Its subscriptions go without a word to their publishers.

    They would be in the way of the drop. Their slots belong to the database that was backed up.
    """
    with suppress(BackupError):  # what is wrong with it, the drop will say
        session.executor.query(_DROP_SUBSCRIPTIONS, database=name)
    drop_database(session, name)


def free_moment(there: Neighbours, target: str, endings: Sequence[str], *, after: Sequence[str] = ()) -> str:
    """The moment, as the names of our databases carry it; a later one while one of its names is taken.

    It is later than those in the names ``after``, whatever the clock says, so that they tell which is the newest.
    """
    moment = max(
        [datetime.now(timezone.utc).replace(microsecond=0)] + [kept_at(name) + timedelta(seconds=1) for name in after]
    )
    while True:
        stamp = moment.strftime(STAMP_FORMAT)
        if not any(truncate_name(target, ending + stamp) in there.comments for ending in endings):
            return stamp
        moment += timedelta(seconds=1)


def sweep_databases(session: Session, target: str) -> Neighbours:
    """Drop the side and drill databases that killed runs have left for ``target``, and say so in the log.

    One is told by its name and its marker, and by its run having no session on the server any more. What cannot be
    dropped is said, and does not make anything fail. Returns what was there.
    """
    executor = session.executor
    prefix = unfinished_marker(target)
    there = look_around(session)
    try:
        for name, comment in sorted(there.comments.items()):
            run_id = comment[len(prefix):] if comment and comment.startswith(prefix) else ""
            if not run_id or not is_under_way(name) or run_id == executor.work_id:
                continue
            if run_id in there.runs:
                executor.log.add("{0} is in use by the run {1}".format(name, run_id))
                continue
            discard_database(session, name)
            executor.log.add("Dropped {0}, which the run {1} left when it was killed".format(name, run_id))
    except BackupError as error:
        executor.log.add_warning("what killed runs have left for {0} could not be swept: {1}".format(target, error))
    return there
