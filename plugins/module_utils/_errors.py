# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error type of the collection, and the one table of its codes.

The page ``docs/errors.md`` is generated from :data:`CODES`.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional

__all__ = ["CODES", "BackupError", "ErrorCode"]


class ErrorCode(NamedTuple):
    """What is always true of a failure of this kind.

    ``severity``: ``warning`` (nothing was attempted, correct the input), ``error`` (the job was not done), or
    ``critical`` (what was thought to be safe is not).
    ``data_risk``: ``none`` (existing data and backups are as they were), ``stale`` (data is safe, but the newest
    backup is growing old), or ``loss`` (a backup that was counted on cannot be used).
    ``retryable``: whether the same task may succeed later without anybody changing anything.
    ``hint``: what to do, when the place that raised has nothing more precise to say.
    """

    severity: str
    data_risk: str
    retryable: bool
    hint: str


CODES: Dict[str, ErrorCode] = {
    "ENGINE_UNAVAILABLE": ErrorCode(
        "error", "stale", True,
        "Start the container engine, let the task's user reach its socket (become), or set docker_host. Without the "
        "Docker SDK for Python, the docker or podman command must be on PATH.",
    ),
    "CONTAINER_NOT_FOUND": ErrorCode(
        "error", "stale", False,
        "List the containers with 'docker ps -a' and set container to the name or id of the one to use.",
    ),
    "CONTAINER_NOT_RUNNING": ErrorCode(
        "error", "stale", True,
        "Start the container; its PostgreSQL tools can only be run while it is running.",
    ),
    "CONTAINER_AMBIGUOUS": ErrorCode(
        "warning", "stale", False,
        "Set container to one of the candidates, or narrow the search by container_image or container_labels.",
    ),
    "INVALID_DB_CONFIG": ErrorCode(
        "warning", "stale", False,
        "Correct the value that is named. Nothing was touched, and nothing else was tried in its place.",
    ),
    "CREDENTIALS_UNAVAILABLE": ErrorCode(
        "warning", "stale", False,
        "Set container, or login_host, login_user and login_password, or provide a credentials_file.",
    ),
    "CONNECTION_FAILED": ErrorCode(
        "error", "stale", True,
        "Check that the server is running and reachable at this address, and its TLS settings. If the host is the "
        "name of a container on this machine, set container instead.",
    ),
    "AUTH_FAILED": ErrorCode(
        "error", "stale", False,
        "Check login_user and login_password, and the server's pg_hba.conf. For peer authentication on a Unix socket "
        "use become_user.",
    ),
    "DATABASE_NOT_FOUND": ErrorCode(
        "warning", "none", False,
        "Check the name of the database; pg_backup_info with discover=true lists those that exist.",
    ),
    "CLIENT_NOT_FOUND": ErrorCode(
        "error", "stale", False,
        "Install the PostgreSQL client tools where they are needed: on the managed host for an external or local "
        "server, in the image for a container.",
    ),
    "CLIENT_TOO_OLD": ErrorCode(
        "error", "stale", False,
        "Install a PostgreSQL client of the major version that is named, or a newer one.",
    ),
    "POOLER_REFUSED": ErrorCode(
        "warning", "stale", False,
        "Connect to the PostgreSQL server itself, not to a connection pooler in front of it.",
    ),
    "PARITY_VIOLATION": ErrorCode(
        "critical", "none", False,
        "No process was started. This is a defect of the collection: please report it with the log.",
    ),
    "PARITY_MISMATCH": ErrorCode(
        "warning", "none", False,
        "The backup was made by the other executor. Restore to the kind of server that it came from, or set "
        "allow_engine_change=true.",
    ),
    "BACKUP_FAILED": ErrorCode(
        "error", "stale", False,
        "Read the log: the last lines of the PostgreSQL tool say what stopped it. No partial backup was kept.",
    ),
    "BACKUP_TIMEOUT": ErrorCode(
        "error", "stale", True,
        "Raise timeout, or find out what slows the server down. No partial backup was kept.",
    ),
    "BACKUP_LOCKED": ErrorCode(
        "warning", "none", True,
        "Another run works on the same database. Wait for it, or set lock_timeout to wait in the task.",
    ),
    "BACKUP_SUSPICIOUS": ErrorCode(
        "critical", "loss", False,
        "The database has shrunk against its own history. The backup is there, but latest and retention stay with the "
        "older ones. Look at the database; if it is meant to be so, run one backup with accept_shrinkage=true.",
    ),
    "NO_SPACE": ErrorCode(
        "error", "stale", False,
        "Free space on the file system that is named, or set backup_dir to another one.",
    ),
    "VERIFY_FAILED": ErrorCode(
        "critical", "loss", False,
        "The archive cannot be read to its end, or its content differs from what it should hold. Take a new backup "
        "now and keep the older ones.",
    ),
    "CHECKSUM_MISMATCH": ErrorCode(
        "critical", "loss", False,
        "A file of the backup was altered or damaged after it was written. Use another backup, and check the storage.",
    ),
    "SIGNATURE_INVALID": ErrorCode(
        "critical", "loss", False,
        "The backup was not made with this signing_key, or was altered. Do not restore it.",
    ),
    "BACKUP_NOT_FOUND": ErrorCode(
        "error", "none", False,
        "List the backups that exist with pg_backup_info, and check backup_dir, instance and database.",
    ),
    "INVALID_BACKUP_FORMAT": ErrorCode(
        "error", "none", False,
        "Give a backup set, or a dump made by pg_dump in the custom, directory, tar or plain format.",
    ),
    "RESTORE_FAILED": ErrorCode(
        "error", "none", False,
        "Read the log: the last lines of the PostgreSQL tool say what stopped it. The target is as it was.",
    ),
    "RESTORE_TIMEOUT": ErrorCode(
        "error", "none", True,
        "Raise timeout. The target is as it was.",
    ),
    "RESTORE_NOT_CONFIRMED": ErrorCode(
        "warning", "none", False,
        "Set confirm to the name of the database that may be replaced.",
    ),
    "TARGET_IN_USE": ErrorCode(
        "error", "none", True,
        "End the sessions that are named, or restore as a role that may end them (pg_signal_backend or superuser).",
    ),
    "TARGET_EXISTS": ErrorCode(
        "warning", "none", False,
        "Choose another target_database, or strategy=swap to replace it.",
    ),
    "INCOMPATIBLE_TARGET": ErrorCode(
        "error", "none", False,
        "Restore to a server that has what the message names.",
    ),
    "BACKUP_DIR_UNUSABLE": ErrorCode(
        "error", "stale", False,
        "Give a backup_dir in which the task's user may create folders and files.",
    ),
    "INSTANCE_CONFLICT": ErrorCode(
        "error", "stale", False,
        "Set instance to a name of its own for this server, or give each machine its own backup_dir.",
    ),
    "UNSUPPORTED_BY_CLIENT": ErrorCode(
        "warning", "stale", False,
        "Choose a format or compression that this client supports, or install a client that has it.",
    ),
    "CLIENT_UNPATCHED": ErrorCode(
        "warning", "stale", False,
        "Update the PostgreSQL client to the release that is named.",
    ),
    "LOCK_CONTENTION": ErrorCode(
        "error", "stale", True,
        "Another session holds a lock on a table. Try again later, or raise lock_wait_timeout.",
    ),
    "ENCRYPTION_UNAVAILABLE": ErrorCode(
        "error", "stale", False,
        "Install the age program, and check the keys that were given.",
    ),
    "INTERRUPTED": ErrorCode(
        "error", "stale", True,
        "The task was stopped from outside. Nothing partial was kept; run it again.",
    ),
    "INTERNAL_ERROR": ErrorCode(
        "critical", "none", False,
        "This is a defect of the collection: please report it with the log.",
    ),
}


class BackupError(Exception):
    """A failure that the user can read and act upon.

    ``code`` is a key of :data:`CODES`. ``what`` is one sentence without the code. ``hint`` replaces the code's own.
    ``result`` holds the module's normal return keys as far as they are known when it failed, and travels with the
    exception to ``main()``.
    """

    def __init__(
        self,
        code: str,
        what: str,
        *,
        hint: Optional[str] = None,
        result: Optional[Mapping[str, Any]] = None,
        retryable: Optional[bool] = None,
    ) -> None:
        super().__init__("{0}: {1}".format(code, what))
        kind = CODES[code]
        self.code = code
        self.what = what
        self.hint = hint or kind.hint
        self.severity = kind.severity
        self.data_risk = kind.data_risk
        self.retryable = kind.retryable if retryable is None else retryable
        self.result: Dict[str, Any] = dict(result or {})

    @property
    def msg(self) -> str:
        """``<CODE>: <what>``, as every failure's ``msg`` reads."""
        return str(self)
