# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hard guard: the last thing that runs before a process starts, and the first that refuses."""

from __future__ import annotations

from ansible_collections.pgfleet.backup.plugins.module_utils._context import (
    EXTERNAL,
    IN_CONTAINER,
    LOCAL,
    DbContext,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["DOCKER", "HOST", "executor_for", "guard"]

DOCKER = "docker"
HOST = "host"

_EXECUTORS = {IN_CONTAINER: DOCKER, EXTERNAL: HOST, LOCAL: HOST}
_NAMES = {IN_CONTAINER: "container", EXTERNAL: "external", LOCAL: "local"}
_DOORS = {DOCKER: "docker exec", HOST: "host"}


def executor_for(mode: str) -> str:
    """The one executor that a mode may use."""
    return _EXECUTORS[mode]


def guard(context: DbContext, *, executor: str, tool: str, failure: str) -> None:
    """Refuse a wrong pair of mode and executor.

    ``failure`` is the code of the operation under way, ``BACKUP_FAILED`` or ``RESTORE_FAILED``.
    Raises ``PARITY_VIOLATION``, or the operation's own code for a container without a name.
    """
    if _EXECUTORS.get(context.mode) != executor:
        raise BackupError(
            "PARITY_VIOLATION",
            "BUG: {0} {1} attempted for {2} database (mode={3}, executor={4})".format(
                _DOORS.get(executor, executor), tool, _NAMES.get(context.mode, context.mode), context.mode, executor
            ),
        )
    if context.mode == IN_CONTAINER and not context.container_name.strip():
        raise BackupError(
            failure,
            "DBModeInContainer requires container name",
            hint="Set container to the name of the container that runs the server.",
        )
