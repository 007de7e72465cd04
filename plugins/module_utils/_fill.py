# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a database from a dump, and proving that what arrived is what the dump held."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import (
    FORMAT_SWITCH,
    Dump,
    Fingerprint,
    readable_archive,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc
from ansible_collections.pgfleet.backup.plugins.module_utils._encodings import UNKNOWN
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._hurry import hurried
from ansible_collections.pgfleet.backup.plugins.module_utils._own_folder import own_folder
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_scope import WHOLE, Scope
from ansible_collections.pgfleet.backup.plugins.module_utils._script import adapted, protected
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident
from ansible_collections.pgfleet.backup.plugins.module_utils._storage import storage_errors, write_chunks
from ansible_collections.pgfleet.backup.plugins.module_utils._tolerance import Tolerance
from ansible_collections.pgfleet.backup.plugins.module_utils._tool_output import ignore

__all__ = [
    "PSQL", "Filled", "archive", "fill", "gather_statistics", "has_event_triggers", "statistics_switches",
    "verify_content",
]

_STATISTICS_SINCE = 18
# What psql is told for a script: to stop at the first error, and to say of each message what cannot be translated
# (its SQLSTATE) and which statement it was. Never -1: it takes a cut stream for its end, and would commit half of it.
PSQL = ("-X", "-q", "-b", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-f", "-")
_MAX_NAMED_TABLES = 200
# Side by side, pg_restore makes a trigger or foreign key as soon as the table that it is on has its data. It does not
# know that those of a partitioned one are in its partitions: a trigger has fired for the last rows of a restore.
_DATA_FIRST = (("--section=pre-data", "--section=data"), ("--section=post-data",))


class Filled(NamedTuple):
    """A database that was filled: how many objects the dump named, what was tolerated, how long the tool took."""

    objects: int
    warnings: List[str]
    seconds: float


def fill(
    session: Session, database: str, dump: Dump, *, jobs: int, switches: Sequence[str], analyze: bool,
    scope: Scope = WHOLE,
) -> Filled:
    """Restore a validated dump into a new ``database`` and analyze it. The first error that is not harmless ends it.

    Its sessions are told to hurry; the database must be given its name by one that is not.
    """
    executor = session.executor
    tolerance = Tolerance(executor.log.add)
    started = time.monotonic()
    with executor.told(hurried(session, dump, jobs)):
        if dump.format == "plain":
            _psql(session, database, dump, tolerance)
        else:
            _pg_restore(session, database, dump, tolerance, jobs=jobs, switches=switches, scope=scope)
        seconds = time.monotonic() - started
        if analyze:
            gather_statistics(session, database, dump, jobs=jobs, scope=scope)
    entries = scope.entries if scope.entries is not None else dump.toc.entries if dump.toc else ()
    return Filled(len(entries), tolerance.tolerated, seconds)


def _psql(session: Session, database: str, dump: Dump, tolerance: Tolerance) -> None:
    executor = session.executor
    source = adapted(
        protected(executor.log.progress.count(dump.chunks()), restrict=executor.client.restricts),
        server_version_num=session.context.server_version_num, left_out=tolerance.left_out,
    )
    result = executor.run(
        "psql", PSQL, database=database, source=source, on_stdout=ignore, on_line=tolerance, announce=True, check=False
    )
    tolerance.finish()
    if result.status != 0:
        executor.fail("psql", result)


def _pg_restore(
    session: Session, database: str, dump: Dump, tolerance: Tolerance, *, jobs: int, switches: Sequence[str],
    scope: Scope,
) -> None:
    args = [*switches, *statistics_switches(session)]
    parts: Sequence[Sequence[str]] = [()]
    if dump.format == "directory":
        args += ["-j", str(jobs)]
        if jobs > 1 and dump.toc is not None and _has_tables_without_data(dump.toc):
            parts = _DATA_FIRST
    executor = session.executor
    with archive(executor, dump, scope) as (more, source):
        for part in parts:
            tolerated = len(tolerance.tolerated)
            result = executor.run(
                "pg_restore", [*args, *part, *more], database=database, source=source, on_line=tolerance, announce=True,
                check=False,
            )
            tolerance.finish()
            # Status 1 with nothing but harmless messages is a success; without any message it is not.
            if result.status != 0 and (result.status != 1 or len(tolerance.tolerated) == tolerated):
                executor.fail("pg_restore", result)


def _has_tables_without_data(toc: Toc) -> bool:
    """Partitioned ones above all, whose rows are those of their partitions."""
    filled = {(entry.schema, entry.name) for entry in toc.entries if entry.kind == "TABLE DATA"}
    return any(entry.kind == "TABLE" and (entry.schema, entry.name) not in filled for entry in toc.entries)


@contextmanager
def archive(executor: PgExecutor, dump: Dump, scope: Scope) -> Iterator[Tuple[List[str], Optional[Iterator[bytes]]]]:
    """The archive, and what is wanted of it, as pg_restore's last arguments and its stdin."""
    with ExitStack() as stack:
        args = ["-F", FORMAT_SWITCH[dump.format]]
        wanted = scope.use_list()
        if wanted is not None:
            place = os.path.join(stack.enter_context(own_folder()), "list")
            with storage_errors(place):
                write_chunks(place, [wanted.encode("ascii")])
            args += ["-L", stack.enter_context(executor.readable(place))]
        if dump.format == "directory":
            yield [*args, stack.enter_context(readable_archive(executor, dump))], None
        else:
            yield args, executor.log.progress.count(dump.chunks())


def has_event_triggers(session: Session, dump: Dump) -> bool:
    """Whether a restore may bring event triggers: only superusers make any, and a plain dump does not tell of them."""
    return bool(session.server["superuser"]) and (dump.toc is None or "EVENT TRIGGER" in dump.toc.counts())


def statistics_switches(session: Session) -> List[str]:
    """Archives may hold statistics from 18 on; an older server has no functions to take them."""
    if session.executor.client.major >= _STATISTICS_SINCE > session.context.server_major:
        return ["--no-statistics"]
    return []


def gather_statistics(session: Session, database: str, dump: Dump, *, jobs: int, scope: Scope) -> None:
    """Gather the statistics that were not restored; without any the first queries would be planned badly.

    Of a part of a dump only its tables are analyzed. A failure is a warning: the data is there.
    """
    executor = session.executor
    tables = _tables_to_analyze(scope)
    args = ["--analyze-only", "-q", "-j", str(jobs), *tables]
    restored = dump.toc is not None and "STATISTICS DATA" in dump.toc.counts()
    restored = restored and min(executor.client.major, session.context.server_major) >= _STATISTICS_SINCE
    try:
        if restored and session.server["superuser"]:  # only they may read what is missing
            args.append("--missing-stats-only")
        # The database's own encoding for clients need not hold all of its names. Those that it finds by itself are
        # best not converted at all: in SQL_ASCII they are in no encoding. Those that it is told are in UTF8.
        with executor.log.progress.step("analyzing"):
            executor.run(
                "vacuumdb", args, database=database, env={"PGCLIENTENCODING": "UTF8" if tables else "SQL_ASCII"}
            )
    except BackupError as error:
        executor.log.add_warning("{0} is restored, but has no statistics yet: {1}".format(database, error))


def _tables_to_analyze(scope: Scope) -> List[str]:
    tables = [entry for entry in scope.entries or () if entry.kind in ("TABLE", "MATERIALIZED VIEW")]
    if not scope.partial or len(tables) > _MAX_NAMED_TABLES:
        return []
    return ["--table={0}.{1}".format(ident(entry.schema), ident(entry.name)) for entry in tables]


def _nameable(executor: PgExecutor, fingerprint: Fingerprint) -> Fingerprint:
    """Without what a database in SQL_ASCII has under names in no known encoding: there is no way to ask for it."""
    tables = {name: rows for name, rows in fingerprint.tables.items() if UNKNOWN not in name}
    sequences = {name: values for name, values in fingerprint.sequences.items() if UNKNOWN not in name}
    left_out = len(fingerprint.tables) + len(fingerprint.sequences) - len(tables) - len(sequences)
    if left_out:
        executor.log.add_warning(
            "{0} tables and sequences are not compared: their names are in no known encoding".format(left_out))
    return fingerprint._replace(tables=tables, sequences=sequences)


def verify_content(session: Session, database: str, fingerprint: Fingerprint) -> Dict[str, Any]:
    """Compare a restored database with the fingerprint of its dump: every table's rows, every sequence's value.

    Returns what was compared. Raises ``VERIFY_FAILED`` naming the first difference.
    """
    executor = session.executor
    fingerprint = _nameable(executor, fingerprint)
    content = _queries.content(sorted(fingerprint.tables), sorted(fingerprint.sequences))
    with executor.log.progress.step("comparing"):
        special, rows, sequences = executor.query_values(content, database=database, timeout=None)
    for table, expected in sorted(fingerprint.tables.items()):
        # An extension brings rows of its own, beside those that were dumped.
        more = table in special["of_extensions"] and rows.get(table, -1) > expected
        if rows.get(table) != expected and not more:
            raise BackupError("VERIFY_FAILED", "table {0} has {1} rows after the restore, and {2} in the backup".format(
                table, rows.get(table), expected))
    filled = fingerprint.objects.get("MATERIALIZED VIEW DATA", 0)
    if special["populated"] < filled:
        raise BackupError("VERIFY_FAILED", "{0} materialized views have content after the restore, and {1} in the "
                          "backup".format(special["populated"], filled))
    for sequence, recorded in sorted(fingerprint.sequences.items()):
        if sequences.get(sequence) is None or sequences[sequence] < recorded["last_value"]:
            raise BackupError("VERIFY_FAILED", "sequence {0} is at {1} after the restore, at {2} in the backup".format(
                sequence, sequences.get(sequence), recorded["last_value"]))
    return {
        "result": "ok",
        "tables": len(fingerprint.tables),
        "rows": sum(fingerprint.tables.values()),
        "sequences": len(fingerprint.sequences),
    }
