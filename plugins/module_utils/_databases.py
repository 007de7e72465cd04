# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The databases of a server that are worth a backup."""

from __future__ import annotations

from typing import Any, Dict, List

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._own_databases import is_ours

__all__ = ["is_worth_a_backup", "list_databases"]

# Managed services keep their own databases beside the users', which nobody else may read.
_PROVIDERS = frozenset(("rdsadmin", "cloudsqladmin", "azure_maintenance"))


def is_worth_a_backup(name: str) -> bool:
    """Whether a database that can be connected to holds what its users would miss."""
    return name not in _PROVIDERS and not is_ours(name)


def list_databases(executor: PgExecutor, maintenance_db: str) -> List[Dict[str, Any]]:
    """``{name, bytes}`` of every user database; bytes is None where the role may not ask."""
    return [
        {"name": item["name"], "bytes": item["bytes"]}
        for item in executor.query_json(_queries.DATABASES, database=maintenance_db)
        if item["connectable"] and not item["template"] and is_worth_a_backup(item["name"])
    ]
