# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a backup, validated before anything is touched."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import (
    Encryption,
    read_encryption,
    read_identity_file,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import processors
from ansible_collections.pgfleet.backup.plugins.module_utils._pg_commands import (
    Compression,
    DumpFilters,
    parse_compression,
    read_filters,
    refuse_smuggled_args,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._retention import RetentionPolicy, parse_duration
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey, read_signing_key

__all__ = ["BackupOptions", "read_age", "read_backup_options", "read_count"]

_MAX_JOBS = 4


class BackupOptions(NamedTuple):
    """``compression`` None means auto. Seconds are 0 for "no limit", except ``lock_timeout``: 0 does not wait."""

    backup_dir: str
    instance: str
    database: Optional[str]
    all_databases: bool
    exclude_databases: Tuple[str, ...]
    format: str
    compression: Optional[Compression]
    jobs: int
    include_globals: bool
    filters: DumpFilters
    extra_args: Tuple[str, ...]
    label: Optional[str]
    max_age: Optional[timedelta]
    verify: str
    retention: RetentionPolicy
    timeout: int
    lock_timeout: int
    lock_wait_timeout: int
    max_concurrent: int
    start_jitter: int
    persist_credentials: bool
    fail_on_suspicious: bool
    accept_shrinkage: bool
    require_patched_client: bool
    encryption: Optional[Encryption]
    identity_file: str
    signing_key: Optional[SigningKey]
    safety: bool

    @property
    def kind(self) -> str:
        """A set that lacks something is never the latest for a full restore, nor is one of what was to be replaced."""
        if self.safety:
            return "safety"
        return "full" if self.filters == DumpFilters() else "filtered"

    @property
    def tools(self) -> List[str]:
        """The tools that meet what the server sends, or what was made of it."""
        proof = {"none": [], "checksum": [], "archive": ["pg_restore"], "restore": ["pg_restore"]}[self.verify]
        if self.format == "plain":  # read back without a tool
            proof = ["psql"] if self.verify == "restore" else []
        return ["pg_dump", *proof]


def read_backup_options(params: Mapping[str, Any]) -> BackupOptions:
    """Read the module's parameters; blanks are unset. Raises ``INVALID_DB_CONFIG`` or ``UNSUPPORTED_BY_CLIENT``."""
    compression = parse_compression(str(params.get("compression") or ""))
    if params["format"] == "tar" and compression not in (None, Compression("none")):
        raise BackupError(
            "UNSUPPORTED_BY_CLIENT",
            "compression={0}: pg_dump cannot compress the tar format".format(compression),
            hint="Use another format to compress.",
        )
    encryption, identity_file = _read_keys(params)
    if params.get("all_databases") and params.get("database"):
        raise BackupError("INVALID_DB_CONFIG", "database and all_databases contradict each other")
    return BackupOptions(
        backup_dir=os.path.abspath(params["backup_dir"]),
        instance=str(params.get("instance") or "").strip(),
        database=params.get("database") or None,
        all_databases=bool(params.get("all_databases")),
        exclude_databases=tuple(name for name in params.get("exclude_databases") or () if name),
        # Streamed, since pg_dump would write the files of a folder in the clear.
        format="custom" if encryption and params["format"] == "directory" else params["format"],
        compression=compression,
        jobs=read_count(params, "jobs") or min(_MAX_JOBS, processors()),
        include_globals=params.get("include_globals") != "none",
        filters=read_filters(params),
        extra_args=tuple(refuse_smuggled_args([str(arg) for arg in params.get("extra_args") or () if str(arg)])),
        label=params.get("label") or None,
        max_age=read_age(params.get("max_age"), where="max_age"),
        verify=params["verify"],
        retention=RetentionPolicy.from_options(params.get("retention")),
        timeout=read_count(params, "timeout"),
        lock_timeout=read_count(params, "lock_timeout"),
        lock_wait_timeout=read_count(params, "lock_wait_timeout"),
        max_concurrent=read_count(params, "max_concurrent"),
        start_jitter=read_count(params, "start_jitter"),
        persist_credentials=bool(params.get("persist_credentials")),
        fail_on_suspicious=bool(params.get("fail_on_suspicious")),
        accept_shrinkage=bool(params.get("accept_shrinkage")),
        require_patched_client=bool(params.get("require_patched_client")),
        encryption=encryption,
        identity_file=identity_file,
        signing_key=read_signing_key(params),
        safety=bool(params.get("safety")),
    )


def _read_keys(params: Mapping[str, Any]) -> Tuple[Optional[Encryption], str]:
    """For whom the set is encrypted, and by what it is read again."""
    encryption, identity_file = params.get("encryption") or read_encryption(params), read_identity_file(params)
    if encryption and params["format"] == "tar":
        raise BackupError(
            "UNSUPPORTED_BY_CLIENT", "format=tar cannot be encrypted: pg_dump keeps parts of it in temporary files",
            hint="Use another format; an encrypted dump is streamed.",
        )
    if encryption and not identity_file and params["verify"] == "restore":
        raise BackupError(
            "ENCRYPTION_UNAVAILABLE", "verify=restore has to decrypt the backup, and there is no identity_file",
            hint="Set identity_file, or use verify=archive, which reads the dump before it is encrypted.",
        )
    return encryption, identity_file


def read_count(params: Mapping[str, Any], name: str) -> int:
    """A whole number from 0 on; unset is 0. Raises ``INVALID_DB_CONFIG``."""
    value = params.get(name)
    if value is None:
        return 0
    if value < 0:
        raise BackupError("INVALID_DB_CONFIG", "{0}={1} is negative".format(name, value))
    return int(value)


def read_age(value: Any, *, where: str) -> Optional[timedelta]:
    """Seconds as a whole number, or a duration such as ``20h``; unset is None. Raises ``INVALID_DB_CONFIG``."""
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    return timedelta(seconds=int(text)) if text.isdigit() else parse_duration(text, where=where)
