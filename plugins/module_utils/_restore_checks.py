# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true before a restore touches anything: each finding has the code it fails with, or is a remark."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_extensions import check_extensions
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_options import RestoreOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session

__all__ = ["check_restore", "missing_roles"]


def check_restore(
    session: Session, options: RestoreOptions, source: Source, target: str, state: Optional[Mapping[str, Any]]
) -> List[BackupError]:
    """All that stands against the restore, most important first. ``state`` is None when there is no target yet."""
    findings = [
        _parity(session, options, source),
        _existence(options, target, state),
        _completeness(options, source, state),
        _format(options, source),
        _partitions(session, options, source, target, state),
        _client(session, source),
        _roles(session, options, source),
        _places(session, options, source),
        check_extensions(source, options.strategy),
    ]
    return [finding for finding in findings if finding is not None]


def missing_roles(session: Session, source: Source) -> List[str]:
    """Roles the dump refers to that the server does not have."""
    existing = session.executor.query_json(_queries.ROLE_NAMES, database=session.maintenance_db)
    return sorted(set(source.roles) - set(existing))


def _parity(session: Session, options: RestoreOptions, source: Source) -> Optional[BackupError]:
    made_by = source.manifest.get("executor", session.executor.name)
    if made_by == session.executor.name or options.allow_engine_change:
        return None
    return BackupError("PARITY_MISMATCH", "the backup was made by the {0} executor, this restore would use {1}".format(
        made_by, session.executor.name))


def _existence(
    options: RestoreOptions, target: str, state: Optional[Mapping[str, Any]]
) -> Optional[BackupError]:
    if options.strategy == "drill":
        return None
    if options.strategy == "create":
        return None if state is None else BackupError("TARGET_EXISTS", "the database {0} exists already".format(target))
    if state is None:
        if options.strategy == "in_place":
            return BackupError("DATABASE_NOT_FOUND", "there is no database {0} to restore in place".format(target),
                               hint="Use strategy=create for a database that does not exist yet.")
        return None
    if options.confirm != target:
        sessions = sum(state["sessions"].values())
        return BackupError(
            "RESTORE_NOT_CONFIRMED",
            "this would replace the database {0} ({1}, owner {2}, {3} session(s))".format(
                target, _size(state["bytes"]), state["owner"], sessions),
            hint="Set confirm: {0} if that is what you want. Run with --check --diff to see the plan.".format(target),
        )
    return None


def _completeness(
    options: RestoreOptions, source: Source, state: Optional[Mapping[str, Any]]
) -> Optional[BackupError]:
    if source.manifest.get("kind") != "filtered" or options.strategy != "swap" or state is None:
        return None
    return BackupError(
        "INVALID_BACKUP_FORMAT", "the backup holds only a part of its database, and a swap would lose the rest",
        hint="Use strategy=create with another target_database, or strategy=in_place.",
    )


def _format(options: RestoreOptions, source: Source) -> Optional[BackupError]:
    if source.dump.format != "plain":
        return None
    if options.strategy == "in_place":
        return BackupError(
            "INVALID_BACKUP_FORMAT", "a plain dump cannot replace what is in a database: it holds no DROP statements",
            hint="Use strategy=swap, or a backup in the directory, custom or tar format.")
    if options.partial or options.no_owner or options.no_privileges or options.session_role:
        return BackupError(
            "INVALID_BACKUP_FORMAT", "nothing can be left out of a plain dump: it is restored as it is",
            hint="Remove schemas, tables, no_owner, no_privileges and session_role, or use an archive.")
    return None


def _partitions(
    session: Session, options: RestoreOptions, source: Source, target: str, state: Optional[Mapping[str, Any]]
) -> Optional[BackupError]:
    """``pg_restore --clean`` drops a partition's index by itself, which PostgreSQL refuses while it is attached."""
    if options.strategy != "in_place" or options.partial or state is None or source.dump.toc is None:
        return None
    if "INDEX ATTACH" not in source.dump.toc.counts():
        return None
    if not int(session.executor.query(_queries.ATTACHED_INDEXES, database=target)):
        return None
    return BackupError(
        "INCOMPATIBLE_TARGET",
        "{0} has partitioned tables with indexes, and pg_restore cannot replace those in place".format(target),
        hint="Use strategy=swap; or where no database may be created, drop the partitioned tables first.",
    )


def _client(session: Session, source: Source) -> Optional[BackupError]:
    try:
        session.executor.require_client(source.client_major)
    except BackupError as error:
        return error
    return None


def _roles(session: Session, options: RestoreOptions, source: Source) -> Optional[BackupError]:
    if options.create_missing_roles or (options.no_owner and options.no_privileges):
        return None
    missing = missing_roles(session, source)
    if not missing:
        return None
    return BackupError(
        "INCOMPATIBLE_TARGET",
        "the server lacks roles that the backup refers to: {0}".format(", ".join(missing)),
        hint="Set create_missing_roles=true to create them from the backup, or no_owner=true and no_privileges=true "
        "to restore without them.",
    )


def _places(session: Session, options: RestoreOptions, source: Source) -> Optional[BackupError]:
    """Extensions and tablespaces that the server would have to have."""
    lacking: Dict[str, List[str]] = {}
    executor = session.executor
    extensions = set(source.manifest.get("extensions", ()))
    if extensions:
        available = executor.query_json(_queries.EXTENSION_NAMES, database=session.maintenance_db)
        lacking["extensions"] = sorted(extensions - set(available))
    tablespaces = set(source.manifest.get("tablespaces", ()))
    if tablespaces:
        existing = executor.query_json(_queries.TABLESPACE_NAMES, database=session.maintenance_db)
        lacking["tablespaces"] = sorted(tablespaces - set(existing))
    texts = ["{0}: {1}".format(kind, ", ".join(names)) for kind, names in lacking.items() if names]
    if not texts:
        return None
    return BackupError("INCOMPATIBLE_TARGET", "the server lacks what the backup needs: {0}".format("; ".join(texts)))


def _size(count: Optional[int]) -> str:
    return "size unknown" if count is None else "{0:.1f} MiB".format(count / 1048576.0)
