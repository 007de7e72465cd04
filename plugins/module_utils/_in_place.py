# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring into the live database: what pg_restore would do, as a script that psql runs in one transaction.

pg_restore itself cannot: it drops the indexes of partitions one by one, waits for locks without end, and ends at a
setting that an older server does not know. The COMMIT is sent only when the whole script has come, so whatever fails
before that leaves the database as it was.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import chain
from typing import Iterator, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Dump
from ansible_collections.pgfleet.backup.plugins.module_utils._fill import (
    PSQL,
    Filled,
    archive,
    gather_statistics,
    has_event_triggers,
    statistics_switches,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_scope import Scope
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import silent_setting
from ansible_collections.pgfleet.backup.plugins.module_utils._script import adapted, complete
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._tolerance import Tolerance
from ansible_collections.pgfleet.backup.plugins.module_utils._tool_output import ignore

__all__ = ["fill_in_place"]

_REPLACE = ("--clean", "--if-exists", "--single-transaction", "-f", "-")
_LOCK_SECONDS = 60
_SCRIPT_ERROR = 3  # psql's status for a statement that failed, which also undoes the COMMIT


def fill_in_place(
    session: Session, database: str, dump: Dump, *, switches: Sequence[str], scope: Scope, lock_wait_timeout: int,
    jobs: int, analyze: bool,
) -> Filled:
    """Replace what the scope names by what the archive holds: all of it, or nothing. Analyze it then."""
    executor = session.executor
    tolerance = Tolerance(executor.log.add)
    started = time.monotonic()
    for name in scope.kept:
        executor.log.add("Kept as it is in {0}: {1}".format(database, name))
    args = [*_REPLACE, *switches, *statistics_switches(session)]
    sent = _Sent()
    result = None
    try:
        with ExitStack() as stack:
            more, source = stack.enter_context(archive(executor, dump, scope))
            script = stack.enter_context(executor.stream("pg_restore", args + more, source=source))
            statements = adapted(
                complete(script), server_version_num=session.context.server_version_num, left_out=tolerance.left_out,
                lock_seconds=lock_wait_timeout or _LOCK_SECONDS, attached=scope.attached,
                before_data=scope.replaced_rows,
            )
            if has_event_triggers(session, dump):
                silence = "SET {0} = {1};\n".format(*silent_setting(session))
                statements = chain([silence.encode("ascii")], statements)
            result = executor.run(
                "psql", PSQL, database=database, source=sent.watch(statements), on_stdout=ignore, on_line=tolerance,
                announce=True, check=False,
            )
        tolerance.finish()
        if result.status != 0:
            executor.fail("psql", result)
    except BaseException:
        if sent.whole and (result is None or result.status != _SCRIPT_ERROR):
            executor.log.add_warning(
                "the restore of {0} failed after its COMMIT was sent: look whether it was carried out".format(database)
            )
        raise
    seconds = time.monotonic() - started
    if analyze:
        gather_statistics(session, database, dump, jobs=jobs, scope=scope)
    return Filled(len(scope.entries or ()), tolerance.tolerated, seconds)


class _Sent:
    """Whether all of a script, its COMMIT included, was handed over."""

    def __init__(self) -> None:
        self.whole = False

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield from chunks
        self.whole = True
