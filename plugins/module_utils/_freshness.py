# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a backup that is there already makes a new one needless, which is what ``max_age`` asks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Iterable, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import BackupOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import newest_verified
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import LEVELS
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet

__all__ = ["fresh_set"]


def fresh_set(
    sets: Iterable[BackupSet], options: BackupOptions, now: datetime, *, instance: str, database: str
) -> Optional[BackupSet]:
    """The newest verified set of the kind that is asked for, if it is younger than ``max_age``.

    ``sets`` are those of one folder. A copy of another database's, or one from the future, is not fresh.
    """
    if options.max_age is None:
        return None
    newest = newest_verified(
        item for item in sets if (item.instance, item.database) == (instance, database) and _as_asked(item, options)
    )
    if newest is not None and timedelta(0) <= now - newest.created < options.max_age:
        return newest
    return None


def _as_asked(item: BackupSet, options: BackupOptions) -> bool:
    if options.encryption and not item.encrypted:
        return False
    if item.kind == "globals":  # one kind only, verified by its checksum
        return True
    return (
        item.kind == options.kind
        and item.manifest["filters"] == options.filters.describe()
        and LEVELS.index(item.level) >= LEVELS.index(options.verify)
    )
