# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several databases in one run: the largest first, side by side, with no more jobs together than one would get alone.

What is large gets many of the jobs, so that it does not go on when all others are done. Each part of the run has its
own sessions, log and time limit, and fails alone.
"""

from __future__ import annotations

import shutil
import threading
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import BackupOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._log import RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import in_shares
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Run, Session

__all__ = ["Outcome", "Work", "at_once", "do_all", "shares", "some_failed"]


class Work(NamedTuple):
    """One thing to back up: what it is called, its bytes (0 where unknown, or where there is nothing to do), and how.

    ``do`` takes a session and options of its own, and a list for the paths that the retention removes. It returns the
    entry for ``backups``, and raises ``BackupError``.
    """

    name: str
    size: int
    do: Callable[[Session, BackupOptions, List[str]], Dict[str, Any]]


class Outcome:
    """What became of one: the entry for ``backups`` or the error; neither when the run ended before."""

    def __init__(self, name: str, log: RunLog) -> None:
        self.name = name
        self.log = log
        self.pruned: List[str] = []
        self.backup: Optional[Dict[str, Any]] = None
        self.error: Optional[BackupError] = None

    def into(self, result: Dict[str, Any], run: Run) -> None:
        """Add it to the module's return keys."""
        result["pruned"] += self.pruned
        if self.backup is not None:
            result["backups"].append(self.backup)
        if self.error is None:
            return
        if "published" in self.error.result:  # it is there, although it could not be proven
            result["backups"].append(self.error.result.pop("published"))
        msg = run.redactor(self.error.msg)
        run.log.add("{0}: {1}".format(self.name, msg))
        result["failed_databases"].append(
            {"database": self.name, "code": self.error.code, "msg": msg, "retryable": self.error.retryable}
        )


def do_all(
    session: Session, options: BackupOptions, works: Sequence[Work], done: Callable[[Outcome], None]
) -> None:
    """Do all of it. ``done`` is told each outcome, in the order of ``works``, whatever ends this.

    What failed is raised here only where no more than one database was asked for.
    """
    executor, transport = session.executor, session.executor.transport
    if len(works) == 1:
        alone = Outcome(works[0].name, executor.log)
        error = _attempt(works[0], session, options, alone)
        done(alone)
        if error is not None and not options.all_databases:
            raise error
        return
    sizes = [work.size for work in works]
    jobs = shares(sizes, jobs=options.jobs, most=at_once(session, options, sizes))
    outcomes = [Outcome(work.name, executor.log.part()) for work in works]

    def one(index: int, stop: threading.Event) -> None:
        part = session.part(str(index + 1), outcomes[index].log, stop)
        _attempt(works[index], part, options._replace(jobs=jobs[index]), outcomes[index])
        if part.executor.transport != transport:
            executor.transport = part.executor.transport

    largest_first = sorted(range(len(works)), key=lambda index: -sizes[index])
    try:
        in_shares([(index, jobs[index]) for index in largest_first], one, shares=options.jobs)
    finally:
        for outcome in outcomes:
            executor.log.take(outcome.log)
            done(outcome)


def _attempt(work: Work, session: Session, options: BackupOptions, outcome: Outcome) -> Optional[BackupError]:
    try:
        outcome.backup = work.do(session, options, outcome.pruned)
    except BackupError as error:
        outcome.error = error
        return error
    return None


def some_failed(failed: Sequence[Mapping[str, Any]], succeeded: int) -> BackupError:
    """The failure of a run in which these of ``failed_databases`` did not succeed."""
    codes = {item["code"] for item in failed}
    return BackupError(
        codes.pop() if len(codes) == 1 else "BACKUP_FAILED",
        "{0} of {1} backups failed: {2}".format(
            len(failed),
            len(failed) + succeeded,
            "; ".join("{0} ({1})".format(item["database"], item["msg"]) for item in failed),
        ),
        retryable=all(item["retryable"] for item in failed),
    )


def shares(sizes: Sequence[int], *, jobs: int, most: int) -> List[int]:
    """How many of the ``jobs`` each gets: its part of the whole, and so many that no more than ``most`` run at once."""
    least, whole = -(-jobs // most), max(1, sum(sizes))
    return [min(jobs, max(least, round(jobs * size / whole))) for size in sizes]


def at_once(session: Session, options: BackupOptions, sizes: Sequence[int]) -> int:
    """How many may run at once: no more than ``jobs`` and ``max_concurrent``, nor than there is room for.

    Dumps in the directory format may lie uncompressed in the container, or beside the set, until they are packed. And
    scratch databases would fill the server's disk together.
    """
    if options.verify == "restore":
        return 1
    most = min(options.jobs, options.max_concurrent or options.jobs, len(sizes))
    if options.format == "directory" and most > 1:
        room = shutil.disk_usage(options.backup_dir).free
        with session.executor.staging() as staged:
            room = min(room, staged) if staged else room  # without any, dumps are streamed
        largest = sorted(sizes, reverse=True)
        while most > 1 and sum(largest[:most]) > room:
            most -= 1
    return most
