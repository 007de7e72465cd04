# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a database from a dump, and proving that what arrived is what the dump held."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import FORMAT_SWITCH, Dump, Fingerprint
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session
from ansible_collections.pgfleet.backup.plugins.module_utils._tolerance import Tolerance, without_unknown_settings

__all__ = ["Filled", "fill", "verify_content"]


class Filled(NamedTuple):
    """A database that was filled: how many objects the dump named, what was tolerated, how long the tool took."""

    objects: int
    warnings: List[str]
    seconds: float


def fill(
    session: Session, database: str, dump: Dump, *, jobs: int, switches: Sequence[str], analyze: bool,
    in_one_transaction: bool = False,
) -> Filled:
    """Restore a validated dump into ``database`` and analyze it. The first error that is not harmless ends it."""
    executor = session.executor
    tolerance = Tolerance()
    started = time.monotonic()
    if dump.format == "plain":
        # Never with -1: psql takes a cut stream for its end, and would commit half of it.
        args = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        source = without_unknown_settings(dump.chunks(), server_version_num=session.context.server_version_num)
        executor.run(
            "psql", args, database=database, source=source, on_stdout=_ignore, on_line=tolerance, announce=True
        )
    else:
        _pg_restore(executor, database, dump, tolerance, jobs=jobs, switches=switches, whole=in_one_transaction)
    seconds = time.monotonic() - started
    if analyze:
        # A restored database has no statistics, and its first queries would be planned without any.
        try:
            executor.run(
                "vacuumdb", ["--analyze-only", "-q", "-j", str(jobs)], database=database,
                env={"PGCLIENTENCODING": "UTF8"},  # the database's own setting need not hold all of its names
            )
        except BackupError as error:
            executor.log.add_warning("{0} is restored, but has no statistics yet: {1}".format(database, error))
    return Filled(len(dump.toc.entries) if dump.toc else 0, tolerance.tolerated, seconds)


def _pg_restore(
    executor: PgExecutor, database: str, dump: Dump, tolerance: Tolerance, *, jobs: int, switches: Sequence[str],
    whole: bool,
) -> None:
    args = ["-F", FORMAT_SWITCH[dump.format], *switches]
    if whole:
        args.append("--single-transaction")
    elif dump.format == "directory":
        args += ["-j", str(jobs)]

    def run(more: List[str], source: Optional[Iterator[bytes]]) -> None:
        result = executor.run(
            "pg_restore", args + more, database=database, source=source, on_line=tolerance, announce=True, check=False
        )
        # Status 1 with nothing but harmless messages is a success; without any message it is not, and neither in one
        # transaction, which the first message of any kind has ended.
        if result.status != 0 and (whole or result.status != 1 or not tolerance.tolerated):
            executor.fail("pg_restore", result)

    if dump.format == "directory":
        with executor.readable(dump.path) as place:
            run([place], None)
    else:
        run([], dump.chunks())


def verify_content(session: Session, database: str, fingerprint: Fingerprint) -> Dict[str, Any]:
    """Compare a restored database with the fingerprint of its dump: every table's rows, every sequence's value.

    Returns what was compared. Raises ``VERIFY_FAILED`` naming the first difference.
    """
    executor = session.executor
    special = executor.query_json(_queries.SPECIAL_TABLES, database=database)
    counts = _queries.row_counts(sorted(fingerprint.tables), with_partitions=special["partitioned"])
    rows = executor.query_json(counts, database=database, timeout=None)
    for table, expected in sorted(fingerprint.tables.items()):
        # An extension brings rows of its own, beside those that were dumped.
        more = table in special["of_extensions"] and rows.get(table, -1) > expected
        if rows.get(table) != expected and not more:
            raise BackupError("VERIFY_FAILED", "table {0} has {1} rows after the restore, and {2} in the backup".format(
                table, rows.get(table), expected))
    sequences = executor.query_json(_queries.sequence_values(sorted(fingerprint.sequences)), database=database)
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


def _ignore(_chunk: bytes) -> None:
    """The answers of setval and the like."""
