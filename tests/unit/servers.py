# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as an engine reports them, and the door to an engine that has only these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo, PortBinding
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["EngineInMemory", "container", "published"]

POSTGRES_ENV = {"PGDATA": "/var/lib/postgresql/data"}


def published(host_port: int, container_port: int = 5432) -> tuple[PortBinding, ...]:
    return (PortBinding("127.0.0.1", host_port, container_port),)


def container(name: str, image: str = "postgres:17", **more: Any) -> ContainerInfo:
    """A running PostgreSQL server, unless ``more`` says otherwise."""
    what = {"digest": "sha256:beef", "running": True, "env": POSTGRES_ENV, "networks": ("shop",), **more}
    what.setdefault("state", "running" if what["running"] else "exited")
    return ContainerInfo(id="id-of-" + name, name=name, image=image, **what)


class EngineInMemory:
    """Stands in for an engine's door. ``files`` are secrets inside containers: ``{(container, path): text}``."""

    def __init__(self, *containers: ContainerInfo, files: Mapping[tuple[str, str], str] | None = None,
                 down: bool = False) -> None:
        self._containers = sorted(containers, key=lambda each: each.name)
        self._files = dict(files or {})
        self._down = down
        self.opened = False

    def open(self) -> EngineInMemory:
        self.opened = True
        if self._down:
            raise BackupError("ENGINE_UNAVAILABLE", "the engine does not answer")
        return self

    def containers(self) -> list[ContainerInfo]:
        return self._containers

    def inspect(self, name_or_id: str) -> ContainerInfo | None:
        return next((each for each in self._containers if name_or_id in (each.name, each.id)), None)

    def read_file(self, inside: ContainerInfo, path: str) -> str:
        try:
            return self._files[inside.name, path]
        except KeyError:
            raise BackupError("INVALID_DB_CONFIG", "{0} inside container {1}".format(path, inside.name)) from None
