# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true before a restore touches anything: the list of all checks, and those of the request itself.

A check is a function that yields findings, and most need nothing but the facts. A blocker found in check mode is
exactly what the restore would fail with: both come from this list.
"""

from __future__ import annotations

from typing import Callable, Iterable, Iterator, List, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils import (
    _checks_rights,
    _checks_server,
    _checks_target,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._clients import check_patched
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._findings import (
    BLOCKER,
    Finding,
    blocked_by,
    blocker,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_extensions import check_extensions
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_facts import Case
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session

__all__ = ["check_restore"]


def check_restore(session: Session, case: Case, unfit: Iterable[BackupError]) -> List[Finding]:
    """All that stands against the restore, most important first, and then what there is to remark.

    ``unfit`` is what was found to stand against the part of the dump that is restored.
    """
    findings: List[Finding] = []
    for check in _CHECKS:
        findings += check(case)
    for ask in _QUESTIONS:
        findings += ask(session, case)
    findings += [blocked_by(error, "scope") for error in unfit]
    return sorted(findings, key=lambda finding: finding.level != BLOCKER)  # stable: the order of the list stays


def _parity(case: Case) -> Iterator[Finding]:
    made_by = case.source.manifest.get("executor", case.facts.executor)
    if made_by != case.facts.executor and not case.options.allow_engine_change:
        yield blocker(
            "PARITY_MISMATCH", "executor", "the backup was made by the {0} executor, this restore would use {1}".format(
                made_by, case.facts.executor))


def _completeness(case: Case) -> Iterator[Finding]:
    if case.source.manifest.get("kind") == "filtered" and case.swaps:
        yield blocker(
            "INVALID_BACKUP_FORMAT", "backup",
            "the backup holds only a part of its database, and a swap would lose the rest",
            hint="Use strategy=create with another target_database, or strategy=in_place.",
        )


def _format(case: Case) -> Iterator[Finding]:
    options = case.options
    if case.source.dump.format != "plain":
        return
    if options.strategy == "in_place":
        yield blocker(
            "INVALID_BACKUP_FORMAT", "backup",
            "a plain dump cannot replace what is in a database: it does not tell what is to be dropped",
            hint="Use strategy=swap, or a backup in the directory, custom or tar format. Where no database may be "
            "created, restore the dump on another server, and back it up there in one of these formats.")
    elif options.partial or options.no_owner or options.no_privileges or options.session_role:
        yield blocker(
            "INVALID_BACKUP_FORMAT", "backup", "nothing can be left out of a plain dump: it is restored as it is",
            hint="Remove schemas, tables, no_owner, no_privileges and session_role, or use an archive.")


def _extensions_apart(case: Case) -> Iterator[Finding]:
    refusal = check_extensions(case.source, case.options.strategy)
    if refusal is not None:
        yield blocked_by(refusal, "extensions")


# What is told from the facts alone, most important first.
_CHECKS: Tuple[Callable[[Case], Iterator[Finding]], ...] = (
    _parity,
    _checks_target.existence,
    _completeness,
    _format,
    _checks_server.standby,
    _checks_rights.databases,
    _checks_server.roles,
    _checks_server.extensions,
    _extensions_apart,
    _checks_server.tablespaces,
    _checks_server.locale,
    _checks_rights.owners,
    _checks_rights.settings,
    _checks_rights.tablespaces,
    _checks_rights.content,
    _checks_target.sessions,
    _checks_target.prepared_transactions,
    _checks_target.replication,
    _checks_server.disk,
    _checks_target.locale_of_the_target,
    _checks_server.collation,
    _checks_server.versions,
    _checks_server.subscriptions,
    _checks_server.unknown_needs,
)


def _client(session: Session, case: Case) -> Iterator[Finding]:
    try:
        client = session.executor.require_client(case.source.client_major)
        check_patched(
            client, case.options.tools(case.source.dump.format), required=case.options.require_patched_client,
            log=session.executor.log,
        )
    except BackupError as error:
        yield blocked_by(error, "client")


# What the executor must be asked for.
_QUESTIONS: Tuple[Callable[[Session, Case], Iterator[Finding]], ...] = (_client,)
