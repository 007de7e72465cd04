# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What discovery found, made into a context: the one place where a target's host, port and socket are decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Iterable, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._context import (
    IN_CONTAINER,
    SOURCE_OPTIONS,
    ContainerInfo,
    DbContext,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._find_container import binding_for
from ansible_collections.pgfleet.backup.plugins.module_utils._settings import Settings, is_socket

if TYPE_CHECKING:
    from ansible_collections.pgfleet.backup.plugins.module_utils._request import Request

__all__ = ["gives_credentials", "settle_inside", "settle_outside"]

_DEFAULT_PORT = 5432


def gives_credentials(settings: Settings, known: Settings) -> bool:
    """Whether ``settings`` say a user or a password that ``known`` leaves open."""
    filled = known.filled_from(settings)
    return (filled.user, filled.password) != (known.user, known.password)


def settle_outside(
    request: Request, mode: str, found: Settings, source: str, *, port: Optional[int] = None
) -> DbContext:
    """The context of a server that the host's tools reach.

    The options win over what was ``found``. ``port`` stands in for the option of that name, 0 for none.
    """
    typed = request.settings
    host = typed.host or found.host
    socket = request.socket or (host if is_socket(host) else "")
    return _context(
        request,
        mode,
        typed.filled_from(found),
        SOURCE_OPTIONS if typed.password else source,
        host="" if socket else host.strip("[]"),
        socket=socket,
        port=(typed.port if port is None else port) or found.port,
    )


def settle_inside(
    request: Request, server: ContainerInfo, settings: Settings, source: str, *, socket: str, published: Iterable[int],
    port: int,
) -> DbContext:
    """The context of the server in a container.

    A published port serves only to find the container, and variables may repeat it: the first of ``published`` that
    is one leads to the port inside. Otherwise it is ``port``, 0 for PostgreSQL's own.
    """
    bindings = (binding_for(server, one) for one in published if one)
    inside = next((binding.container_port for binding in bindings if binding), port)
    return _context(
        request, IN_CONTAINER, settings, source, socket=request.socket or socket, port=inside, container=server)


def _context(
    request: Request, mode: str, settings: Settings, source: str, *, host: str = "", socket: str, port: int,
    container: Optional[ContainerInfo] = None,
) -> DbContext:
    user = settings.user or "postgres"
    return DbContext(
        mode=mode,
        database=settings.database or user,
        user=user,
        host=host,
        port=port or _DEFAULT_PORT,
        socket=socket,
        password=settings.password,
        tls=replace(request.tls, sslmode=request.tls.sslmode or settings.sslmode),
        connect_params=request.connect_params,
        container=container,
        credential_source=source,
        warnings=settings.warnings,
    )
