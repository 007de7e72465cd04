# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frozen types that discovery hands to everything after it. Nothing here knows how they are found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

__all__ = [
    "EXTERNAL",
    "IN_CONTAINER",
    "LOCAL",
    "SOURCE_CONTAINER",
    "SOURCE_ENV",
    "SOURCE_FILE",
    "SOURCE_OPTIONS",
    "ContainerInfo",
    "DbContext",
    "PortBinding",
    "Tls",
    "TraceStep",
]

IN_CONTAINER = "in_container"
EXTERNAL = "external"
LOCAL = "local"

SOURCE_OPTIONS = "CredFromOptions"
SOURCE_ENV = "CredFromEnv"
SOURCE_CONTAINER = "CredFromRunningContainer"
SOURCE_FILE = "CredFromPersistedFile"


@dataclass(frozen=True)
class PortBinding:
    """One published TCP port: ``host_ip:host_port->container_port``."""

    host_ip: str
    host_port: int
    container_port: int


@dataclass(frozen=True)
class ContainerInfo:
    """What the engine's inspect says of one container.

    ``name`` has no leading slash. ``image`` is the reference the container was made from (``postgres:17``), ``digest``
    the image's id or repository digest (``sha256:…``). ``env`` may hold secrets and is kept out of the repr.
    ``aliases`` are the names other containers reach it by: network aliases and its hostname. ``pid`` is its main
    process as the engine's host counts them, 0 when it has none.
    """

    id: str
    name: str
    image: str
    digest: str
    running: bool
    state: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Tuple[PortBinding, ...] = ()
    exposed: Tuple[int, ...] = ()
    aliases: Tuple[str, ...] = ()
    networks: Tuple[str, ...] = ()
    pid: int = 0

    def describe(self) -> Dict[str, str]:
        """The part of it that results and manifests show."""
        return {"id": self.id, "name": self.name, "image": self.image, "digest": self.digest}


@dataclass(frozen=True)
class Tls:
    """libpq's TLS keywords; an empty string means that libpq's own default applies."""

    sslmode: str = ""
    ca_cert: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True)
class TraceStep:
    """One step of discovery: what it was, ``found``, ``skipped`` or ``rejected``, why, and how long it took."""

    step: str
    outcome: str
    reason: str
    seconds: float

    def describe(self) -> Dict[str, Any]:
        return {"step": self.step, "outcome": self.outcome, "reason": self.reason, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class DbContext:
    """One PostgreSQL server and database, and the credentials for it, as discovery settled them.

    ``host`` and ``socket`` are what the tools are given: both empty means the tools' own default socket. ``port`` is
    the port that the tools use, hence the one inside the container for ``in_container``.
    ``server_version_num`` is PostgreSQL's (``150018``), 0 while not yet asked; neither is ``superuser`` known then.
    """

    mode: str
    database: str
    user: str
    host: str = ""
    port: int = 5432
    socket: str = ""
    password: str = field(default="", repr=False)
    tls: Tls = Tls()
    connect_params: Mapping[str, str] = field(default_factory=dict)
    container: Optional[ContainerInfo] = None
    credential_source: str = SOURCE_OPTIONS
    server_version: str = ""
    server_version_num: int = 0
    superuser: bool = False
    trace: Tuple[TraceStep, ...] = ()
    warnings: Tuple[str, ...] = ()

    @property
    def server_major(self) -> int:
        """``15`` for 15.18; 0 while the server was not asked."""
        return self.server_version_num // 10000

    @property
    def container_name(self) -> str:
        return self.container.name if self.container else ""

    def describe(self) -> Dict[str, Any]:
        """The returned ``context`` as far as discovery knows it; never the password."""
        return {
            "mode": self.mode,
            "host": self.host or None,
            "port": self.port,
            "socket": self.socket or None,
            "database": self.database,
            "user": self.user,
            "container": self.container.describe() if self.container else None,
            "credential_source": self.credential_source,
            "server_version": self.server_version or None,
        }

    def describe_trace(self) -> Tuple[Dict[str, Any], ...]:
        return tuple(step.describe() for step in self.trace)
