# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a restore, validated before anything is touched."""

from __future__ import annotations

import os
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_count
from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import read_identity_file
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import processors
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey, read_signing_key

__all__ = ["PREVIOUS", "RestoreOptions", "read_restore_options"]

PREVIOUS = "previous"  # what ``backup`` says to go back to the database that a swap has kept

_MAX_JOBS = 4


class RestoreOptions(NamedTuple):
    """Empty names mean the discovered ones. Seconds are 0 for "no limit", except ``lock_timeout``: 0 does not wait."""

    backup_dir: str
    instance: str
    database: Optional[str]
    backup: str
    target_database: Optional[str]
    strategy: str
    confirm: str
    jobs: int
    schemas: Tuple[str, ...]
    tables: Tuple[str, ...]
    create_missing_roles: bool
    no_owner: bool
    no_privileges: bool
    session_role: str
    safety_backup: bool
    keep_previous: int
    analyze: bool
    drill_location: str
    allow_engine_change: bool
    timeout: int
    lock_timeout: int
    lock_wait_timeout: int
    require_patched_client: bool
    identity_file: str
    signing_key: Optional[SigningKey]

    @property
    def partial(self) -> bool:
        return bool(self.schemas or self.tables)

    def tools(self, dump_format: str) -> List[str]:
        """The tools that meet what is in a dump of that format, or what a safety backup dumps."""
        if dump_format == "plain":
            return ["psql"]
        if self.strategy != "in_place":
            return ["pg_restore"]
        return ["pg_restore", "psql", *(["pg_dump"] if self.safety_backup else [])]

    def switches(self) -> List[str]:
        """The switches of pg_restore that do not depend on where and how it restores."""
        args = ["--no-owner"] if self.no_owner else []
        args += ["--no-privileges"] if self.no_privileges else []
        return args + (["--role={0}".format(self.session_role)] if self.session_role else [])


def read_restore_options(params: Mapping[str, Any]) -> RestoreOptions:
    """Read the module's parameters; blanks are unset. Raises ``INVALID_DB_CONFIG``."""
    options = RestoreOptions(
        backup_dir=os.path.abspath(params["backup_dir"]),
        instance=str(params.get("instance") or "").strip(),
        database=params.get("database") or None,
        backup=str(params.get("backup") or "").strip() or "latest",
        target_database=params.get("target_database") or None,
        strategy=params["strategy"],
        confirm=str(params.get("confirm") or ""),
        jobs=read_count(params, "jobs") or min(_MAX_JOBS, processors()),
        schemas=tuple(name for name in params.get("schemas") or () if name),
        tables=tuple(name for name in params.get("tables") or () if name),
        create_missing_roles=bool(params.get("create_missing_roles")),
        no_owner=bool(params.get("no_owner")),
        no_privileges=bool(params.get("no_privileges")),
        session_role=str(params.get("session_role") or "").strip(),
        safety_backup=bool(params.get("safety_backup")),
        keep_previous=read_count(params, "keep_previous"),
        analyze=bool(params.get("analyze")),
        drill_location=str(params.get("drill_location") or "server"),
        allow_engine_change=bool(params.get("allow_engine_change")),
        timeout=read_count(params, "timeout"),
        lock_timeout=read_count(params, "lock_timeout"),
        lock_wait_timeout=read_count(params, "lock_wait_timeout"),
        require_patched_client=bool(params.get("require_patched_client")),
        identity_file=read_identity_file(params),
        signing_key=read_signing_key(params),
    )
    if options.backup == PREVIOUS and options.strategy != "swap":
        raise BackupError(
            "INVALID_DB_CONFIG", "backup=previous swaps the kept database back, and knows no other strategy",
            hint="Leave strategy out.",
        )
    if options.strategy == "drill" and options.partial:
        raise BackupError(
            "INVALID_DB_CONFIG", "a drill proves a whole backup, and schemas or tables would restore a part of it",
            hint="Leave schemas and tables out.",
        )
    if options.strategy == "swap" and options.partial:
        raise BackupError(
            "INVALID_DB_CONFIG",
            "a swap replaces the whole database, and schemas or tables would restore a part of it",
            hint="Use strategy=create to restore a part into a new database, or strategy=in_place.",
        )
    return options
