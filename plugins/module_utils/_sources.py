# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three places that may say where a server is, each read through the one alias table."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Mapping

from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo
from ansible_collections.pgfleet.backup.plugins.module_utils._credentials_file import read_credentials
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._settings import Settings, read_settings

if TYPE_CHECKING:
    from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor

__all__ = ["names_a_host", "read_container", "read_environment", "read_file"]

_HOST_VARIABLES = ("POSTGRES_HOST", "POSTGRES_HOST_FILE", "PGHOST", "PGHOST_FILE", "DATABASE_URL")
_SECRET_BYTES = 64 * 1024


def names_a_host(environ: Mapping[str, str]) -> bool:
    """Whether an environment may name a host at all; if not, nothing else in it is looked at."""
    return any(environ.get(name) for name in _HOST_VARIABLES)


def read_environment(environ: Mapping[str, str]) -> Settings:
    """The task's environment on the managed host. Raises ``INVALID_DB_CONFIG``."""
    return read_settings(environ, where="environment", read_file=_read_secret_file)


def read_container(container: ContainerInfo, door: EngineDoor) -> Settings:
    """A container's environment, its ``…_FILE`` secrets read inside it. Raises ``INVALID_DB_CONFIG``."""
    settings = read_settings(
        container.env,
        where="container {0}".format(container.name),
        read_file=lambda path: door.read_file(container, path),
    )
    if settings.password and not settings.user:
        # The image's default: the password is this role's, and is not to be tried for another.
        return replace(settings, user="postgres")
    return settings


def read_file(path: str) -> Settings:
    """The persisted file. Raises ``FileNotFoundError`` when there is none, and ``INVALID_DB_CONFIG``."""
    return read_settings(read_credentials(path), where=path, read_file=_read_secret_file)


def _read_secret_file(path: str) -> str:
    """A ``…_FILE`` variable's file on the managed host."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return file.read(_SECRET_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BackupError("INVALID_DB_CONFIG", "{0} cannot be read: {1}".format(path, reason)) from error
