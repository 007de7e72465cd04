# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions whose databases cannot be restored like others."""

from __future__ import annotations

from typing import Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source

__all__ = ["check_extensions"]


def check_extensions(source: Source, strategy: str) -> Optional[BackupError]:
    """What stands against restoring this dump by this strategy: ``INCOMPATIBLE_TARGET``, or nothing."""
    extensions = source.extensions
    if "timescaledb" in extensions:
        return BackupError(
            "INCOMPATIBLE_TARGET",
            "the backup has the extension timescaledb, whose data only goes in between timescaledb_pre_restore() and "
            "timescaledb_post_restore(), on a server with the same version of it",
            hint="Restore it by hand as TimescaleDB's documentation says; the set's RESTORE.md has the commands "
            "around that.",
        )
    if "pg_cron" in extensions and strategy in ("swap", "drill"):
        return BackupError(
            "INCOMPATIBLE_TARGET",
            "the backup has the extension pg_cron, which exists in the database cron.database_name only, hence in no "
            "database beside it",
            hint="Use strategy=in_place; or strategy=create once cron.database_name names the new database. "
            "Prove the backup by a restore with strategy=create on such a server.",
        )
    return None
