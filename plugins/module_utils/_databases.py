# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The databases of a server that are worth a backup."""

from __future__ import annotations

import re
from typing import Any, Dict, List

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor

__all__ = ["DRILL", "KEPT", "SIDE", "is_ours", "list_databases"]

# The databases that we make ourselves: replaced ones that are kept, restores under way, and drills.
KEPT = "__before_"
SIDE = "__side_"
DRILL = "__drill_"
_OURS = re.compile("({0}|{1}|{2})[0-9]{{8}}T[0-9]{{6}}Z".format(KEPT, SIDE, DRILL))

# Managed services keep their own databases beside the users', which nobody else may read.
_PROVIDERS = frozenset(("rdsadmin", "cloudsqladmin", "azure_maintenance"))


def is_ours(name: str) -> bool:
    """Whether a database was made by a restore or drill of this collection."""
    return bool(_OURS.search(name))


def list_databases(executor: PgExecutor, maintenance_db: str) -> List[Dict[str, Any]]:
    """``{name, bytes}`` of every user database; bytes is None where the role may not ask."""
    return [
        {"name": item["name"], "bytes": item["bytes"]}
        for item in executor.query_json(_queries.DATABASES, database=maintenance_db)
        if item["connectable"] and not item["template"] and item["name"] not in _PROVIDERS and not is_ours(item["name"])
    ]
