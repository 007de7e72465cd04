# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own way."""

from __future__ import annotations

from typing import Any

from ansible_collections.pgfleet.backup.tests.benchmarks.timing import Measured, module
from ansible_collections.pgfleet.backup.tests.benchmarks.workloads import SHOP, Workload

__all__ = ["Ours"]


class Ours:
    """Our modules, by the container's tools or, ``outside``, by the host's."""

    def __init__(self, work: Workload) -> None:
        self._work = work

    def backup(self, *, outside: bool = False, **options: Any) -> Measured:
        return module("pg_backup", self._wish(outside, {"database": SHOP, **options}), env=self._environment(outside))

    def backup_all(self) -> Measured:
        return module("pg_backup", self._wish(False, {"all_databases": True}), env=self._environment(False))

    def restore(self, *, outside: bool = False) -> Measured:
        """Restore the newest set into a new database, statistics gathered and all rows compared."""
        self._work.drop("ours")
        wish = {"database": SHOP, "target_database": "ours", "strategy": "create", "retention": None}
        return module("pg_restore", self._wish(outside, wish), env=self._environment(outside))

    def _wish(self, outside: bool, options: dict[str, Any]) -> dict[str, Any]:
        server = self._work.server
        place: dict[str, Any] = {"container": server.name}
        if outside:
            place = {"login_host": server.ip, "login_password": server.password, "instance": "outside"}
        wish = {"backup_dir": self._work.folder / "sets", "retention": {"keep_last": 1}, **place, **options}
        return {name: value for name, value in wish.items() if value is not None}

    def _environment(self, outside: bool) -> dict[str, str]:
        return {"PATH": self._work.environment["PATH"]} if outside else {}
