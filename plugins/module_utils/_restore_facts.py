# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore knows before it begins: gathered in one query, and judged afterwards by pure functions."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Set, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._plan_queries import Wanted, restore_facts
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_options import RestoreOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session

__all__ = ["Case", "Disk", "Facts", "gather", "majors", "needed_bytes"]


class Disk(NamedTuple):
    """Where the server keeps the new database, and how much is free there; None where that cannot be told."""

    where: Optional[str]
    free: Optional[int]


class Facts(NamedTuple):
    """``server`` is what it said of itself at first, and of what the backup needs; ``target`` is None without one."""

    executor: str
    server: Mapping[str, Any]
    target: Optional[Mapping[str, Any]]
    disk: Disk


class Case(NamedTuple):
    """One restore that is to be judged. ``replaces`` and ``makes`` say what its strategy does."""

    options: RestoreOptions
    source: Source
    target: str
    facts: Facts

    @property
    def replaces(self) -> bool:
        """Whether the target is there, and what it holds would be replaced."""
        return self.facts.target is not None and self.options.strategy in ("swap", "in_place")

    @property
    def swaps(self) -> bool:
        return self.facts.target is not None and self.options.strategy == "swap"

    @property
    def makes(self) -> bool:
        """Whether a database is made."""
        return self.options.strategy != "in_place"

    @property
    def properties(self) -> Mapping[str, Any]:
        """The recorded properties that a new database is made with; empty where none are known."""
        return (self.source.properties or {}) if self.makes else {}

    @property
    def applied(self) -> Mapping[str, Any]:
        """The recorded properties that the finished database is given: a drill's is dropped before it would be."""
        return {} if self.options.strategy == "drill" or self.options.partial else self.properties


def gather(session: Session, options: RestoreOptions, source: Source, target: str) -> Facts:
    """Ask the server what matters to this restore, and look how much room there is. Changes nothing."""
    executor = session.executor
    answer = executor.query_json(
        restore_facts(_wanted(source), target, server_version_num=session.context.server_version_num),
        database=session.maintenance_db,
    )
    server = dict(session.server, **answer["server"])
    return Facts(executor.name, server, answer["target"], _disk(session, options, source, server))


def _wanted(source: Source) -> Wanted:
    properties = source.properties or {}
    settings = properties.get("settings", ())
    roles: Set[str] = {*source.roles, *source.owners, properties.get("owner") or ""}
    tablespaces: Set[str] = {*source.manifest.get("tablespaces", ()), properties.get("tablespace") or ""}
    return Wanted(
        roles=tuple(roles | {setting["role"] for setting in settings if setting["role"]}),
        extensions=tuple(source.extensions),
        tablespaces=tuple(tablespaces),
        properties=properties,
        settings=tuple(setting["setting"].partition("=")[0] for setting in settings),
    )


def _disk(session: Session, options: RestoreOptions, source: Source, server: Mapping[str, Any]) -> Disk:
    if options.strategy == "drill" and options.drill_location == "container":
        return Disk(None, None)  # the engine's, wherever that keeps it
    properties = source.properties or {}
    tablespace = server["tablespaces"].get(properties.get("tablespace") or "", {})
    container = session.context.container
    place = (tablespace.get("location") if options.strategy != "in_place" else "") or server["data_directory"]
    if not place and container is not None:  # only superusers are told; the image says it too
        place = container.env.get("PGDATA")
    if not place or not place.startswith("/"):
        return Disk(None, None)
    return Disk(place, session.executor.free_space(place))


def needed_bytes(case: Case) -> Optional[int]:
    """Twice the database, since indexes are sorted on the disk beside it, and the log that the restore writes."""
    size = case.source.manifest.get("database_bytes")
    return None if size is None else 2 * int(size) + int(case.facts.server["max_wal_bytes"] or 0)


def majors(case: Case) -> Tuple[int, int]:
    """The major versions of the server that the backup came from, 0 where unknown, and of this one."""
    came_from = case.source.server_version.split(".", maxsplit=1)[0]
    return int(came_from) if came_from.isdigit() else 0, int(case.facts.server["server_version_num"]) // 10000
