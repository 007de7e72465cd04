# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of a backup, created where they are missing by the script that the set brings."""

from __future__ import annotations

import os
from typing import Optional

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import GLOBALS_FILE
from ansible_collections.pgfleet.backup.plugins.module_utils._psql_text import SqlSplitter
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session

__all__ = ["create_missing_roles", "read_roles_script"]

# By which our script runs what it has put together; any other command of psql's would act on the machine it runs on.
_ALLOWED = b"\\gexec"


def create_missing_roles(session: Session, source: Source) -> bool:
    """Create the roles that the backup refers to and the server lacks, all of them or none; whether there were any.

    Raises ``INCOMPATIBLE_TARGET`` where our role may not create them, and as :func:`read_roles_script`.
    """
    existing = session.executor.query_json(_queries.ROLE_NAMES, database=session.maintenance_db)
    missing = sorted(set(source.roles) - set(existing))
    script = read_roles_script(source) if missing else None
    if script is None:
        return False
    try:
        session.executor.query("BEGIN;\n{0}\nCOMMIT;\n".format(script), database=session.maintenance_db)
    except BackupError as error:
        if error.code != "RESTORE_FAILED":
            raise
        raise BackupError(
            "INCOMPATIBLE_TARGET", "roles cannot be created ({0}): {1}".format(", ".join(missing), error.what),
            hint="Run the set's {0} by psql as a superuser, or restore as one.".format(GLOBALS_FILE),
        ) from error
    session.executor.log.add("Created missing roles: {0}".format(", ".join(missing)))
    return True


def read_roles_script(source: Source) -> Optional[str]:
    """The set's script, None when it has none. Raises ``INVALID_BACKUP_FORMAT`` for one that we did not write so."""
    content = source.read(GLOBALS_FILE)
    if source.backup is None or content is None:
        return None
    path = os.path.join(source.backup.path, GLOBALS_FILE)
    splitter, position = SqlSplitter(), 0
    while True:
        try:
            position, piece = splitter.next(content, position, final=True)
        except ValueError as error:
            raise _foreign(path, str(error)) from error
        if piece is None:
            break
        if piece.kind == "doubt" or (piece.kind == "command" and piece.text.strip() != _ALLOWED):
            raise _foreign(path, "it holds {0!r}".format(piece.text[:60].decode("utf-8", "replace")))
    return "SET client_min_messages = warning;\n" + content.decode("utf-8", "surrogateescape")


def _foreign(path: str, why: str) -> BackupError:
    return BackupError("INVALID_BACKUP_FORMAT", "{0} is not as this collection writes it: {1}".format(path, why),
                       hint="Somebody changed it. Look at it before you run it, or restore without the roles.")
