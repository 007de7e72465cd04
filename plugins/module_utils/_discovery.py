# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery: which server, where, with which credentials, and why.

Four steps in a fixed order: the module's options, the task's environment, a running container, the persisted file.
Each leaves a line in the trace. What is absent is skipped; what is invalid ends discovery, so that a typing error can
never lead to another database by luck.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._context import (
    EXTERNAL,
    IN_CONTAINER,
    LOCAL,
    SOURCE_CONTAINER,
    SOURCE_ENV,
    SOURCE_FILE,
    SOURCE_OPTIONS,
    ContainerInfo,
    DbContext,
    TraceStep,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._find_container import (
    binding_for,
    by_network_name,
    choose_container,
    require_running,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._settings import (
    Settings,
    is_local_host,
    is_socket,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._settle import (
    gives_credentials,
    settle_inside,
    settle_outside,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._sources import (
    names_a_host,
    read_container,
    read_environment,
    read_file,
)

if TYPE_CHECKING:
    from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
    from ansible_collections.pgfleet.backup.plugins.module_utils._request import Request

__all__ = ["discover"]

_NOTHING = Settings()
# When nobody asked for a container, the persisted file may still say which server is meant.
_NOT_YET_FINAL = ("ENGINE_UNAVAILABLE", "CONTAINER_AMBIGUOUS", "CONTAINER_NOT_RUNNING")


def discover(request: Request, *, environ: Mapping[str, str], door: EngineDoor) -> DbContext:
    """Find the server that ``request`` means.

    ``environ`` is the task's environment on the managed host. The context's server version is not yet known.
    Raises ``BackupError``, whose ``result["trace"]`` tells how far discovery came.
    """
    discovery = _Discovery(request, environ, door)
    try:
        return discovery.run()
    except BackupError as error:
        error.result.setdefault("trace", [step.describe() for step in discovery.trace])
        raise


class _Skip(Exception):  # noqa: N818  # it is no error
    """The step has nothing to say; discovery goes on."""


class _Discovery:
    """One run of discovery. Each step either settles the target, fills what is open, or raises :class:`_Skip`."""

    def __init__(self, request: Request, environ: Mapping[str, str], door: EngineDoor) -> None:
        self.request = request
        self.typed = request.settings
        self.environ = environ
        self.door = door
        self.trace: List[TraceStep] = []
        self.environment: Settings = _NOTHING
        self.pending: Optional[BackupError] = None  # what the container step could not settle

    def run(self) -> DbContext:
        steps = {
            "options": self._options,
            "environment": self._environment,
            "container": self._container,
            "file": self._file,
        }
        for name, step in steps.items():
            context = self._record(name, step)
            if context is not None:
                return replace(context, trace=self._complete_trace(list(steps), settled_by=name))
        raise self.pending or BackupError(
            "CREDENTIALS_UNAVAILABLE",
            "no PostgreSQL server was named, and none was found: {0}".format(
                "; ".join("{0}: {1}".format(step.step, step.reason) for step in self.trace)
            ),
        )

    def _complete_trace(self, names: List[str], *, settled_by: str) -> Tuple[TraceStep, ...]:
        """All four steps in their order, those that were not needed as skipped."""
        done = {step.step: step for step in self.trace}
        unneeded = "not needed: settled by {0}".format(settled_by)
        return tuple(done.get(name) or TraceStep(name, "skipped", unneeded, 0.0) for name in names)

    def _record(self, name: str, step: Callable[[], Tuple[Optional[DbContext], str]]) -> Optional[DbContext]:
        started = time.monotonic()
        outcome, reason, context = "found", "", None
        try:
            context, reason = step()
        except _Skip as skip:
            outcome, reason = "skipped", str(skip)
        except BackupError as error:
            outcome, reason = "rejected", str(error)
            raise
        finally:
            self.trace.append(TraceStep(name, outcome, reason, time.monotonic() - started))
        return context

    # The steps. Each returns the settled context, or None when it only contributes, and its reason.

    def _options(self) -> Tuple[Optional[DbContext], str]:
        request = self.request
        if request.mode == LOCAL or (request.socket and not self._in_container_asked()):
            place = request.socket or self.typed.host or "the default socket"
            return self._direct(LOCAL), "the options name a server on this machine: {0}".format(place)
        if self.typed.host and not is_local_host(self.typed.host):
            return self._direct(EXTERNAL), "the options name the remote host {0}".format(self.typed.host)
        if self._in_container_asked():
            return None, "the options ask for a server in a container"
        raise _Skip("no host and no container is named")

    def _environment(self) -> Tuple[Optional[DbContext], str]:
        settings = read_environment(self.environ) if names_a_host(self.environ) else _NOTHING
        if not settings.host:
            raise _Skip("POSTGRES_HOST is not set")
        if is_local_host(settings.host):
            if self.request.mode == EXTERNAL:
                raise _Skip("POSTGRES_HOST={0} is this machine, and mode=external was asked for".format(settings.host))
            self.environment = settings
            return None, "POSTGRES_HOST={0} is this machine: looking for its container".format(settings.host)
        if self._in_container_asked():
            raise _Skip("POSTGRES_HOST={0} is elsewhere, and a container was asked for".format(settings.host))
        mode = LOCAL if is_socket(settings.host) else EXTERNAL
        if self.request.mode not in ("", mode):
            raise _Skip("POSTGRES_HOST={0} is {1}, and mode={2} was asked for".format(
                settings.host, mode, self.request.mode))
        context = settle_outside(self.request, mode, settings, SOURCE_ENV)
        return context, "POSTGRES_HOST={0} is {1}".format(settings.host, mode)

    def _container(self) -> Tuple[Optional[DbContext], str]:
        required = self._in_container_asked() or self.environment is not _NOTHING
        try:
            container, reason = self._find_container()
        except BackupError as error:
            if required or error.code not in _NOT_YET_FINAL:
                raise
            self.pending = error
            raise _Skip(str(error)) from error
        if container is None:
            if required:
                raise BackupError("CONTAINER_NOT_FOUND", reason)
            raise _Skip(reason)
        context = self._from_container(container, self.environment)
        if self.request.mode not in ("", context.mode):
            if required:
                raise BackupError("INVALID_DB_CONFIG", "{0} leads to mode={1}, and mode={2} was asked for".format(
                    container.name, context.mode, self.request.mode))
            raise _Skip("{0}, which is {1}; mode={2} was asked for".format(reason, context.mode, self.request.mode))
        if context.mode == EXTERNAL:
            reason += ", whose environment names the remote host {0}".format(context.host)
        elif context.container_name != container.name:
            reason += ", whose environment names the container {0}".format(context.container_name)
        return context, reason

    def _file(self) -> Tuple[Optional[DbContext], str]:
        path = self.request.credentials_file
        settings = self._read_file()
        ambiguous = self.pending is not None and self.pending.code == "CONTAINER_AMBIGUOUS"
        if self.pending and ambiguous and not settings.container and self.request.mode != EXTERNAL:
            raise self.pending  # several are running, and the file names none of them: it may mean yet another server
        if settings.host and not is_local_host(settings.host):
            mode = LOCAL if is_socket(settings.host) else EXTERNAL
            if self.request.mode not in ("", mode):
                raise _Skip("{0} names {1}, and mode={2} was asked for".format(path, settings.host, self.request.mode))
            context = settle_outside(self.request, mode, settings, SOURCE_FILE)
            return context, "{0} names {1}".format(path, settings.host)
        if self.request.mode == EXTERNAL:
            raise _Skip("{0} names this machine, and mode=external was asked for".format(path))
        if not settings.container:
            raise self.pending or BackupError(
                "CONTAINER_NOT_FOUND",
                "{0} names this machine but no container, and none was found".format(path),
                hint="Add POSTGRES_CONTAINER to the file, start the container, or use mode=local for a server that "
                "runs on this machine itself.",
            )
        context = self._from_container(self._named_container(settings.container), settings)
        if not self.typed.password:
            context = replace(context, credential_source=SOURCE_FILE)
        return context, "{0} names the container {1}".format(
            path, settings.container)

    # How a target is settled.

    def _direct(self, mode: str) -> DbContext:
        """A server that the options name outright; the environment fills what they leave open, for the same server."""
        settings = read_environment(self.environ)
        both_here = is_local_host(settings.host) and is_local_host(self.typed.host) and not self.request.socket
        if settings.host and settings.host != self.typed.host and not both_here:
            settings = _NOTHING
        if not gives_credentials(settings, self.typed):
            return settle_outside(self.request, mode, settings, SOURCE_OPTIONS)
        self.trace.append(TraceStep("environment", "found", "it fills what the options leave open", 0.0))
        return settle_outside(self.request, mode, settings, SOURCE_ENV)

    def _from_container(self, container: ContainerInfo, outer: Settings) -> DbContext:
        """The context that a running container leads to: its own server, another container's, or a remote one."""
        inner = read_container(container, self.door)
        server = container
        if inner.host and not is_local_host(inner.host) and not is_socket(inner.host):
            sibling = by_network_name(self.door.open().containers(), inner.host, container)
            if sibling is None:
                # A port that this container publishes served to find it; it is not the remote server's.
                port = 0 if binding_for(container, self.typed.port) else self.typed.port
                return settle_outside(self.request, EXTERNAL, inner, SOURCE_CONTAINER, port=port)
            server = require_running(sibling)
            if server.id != container.id:
                own = read_container(server, self.door)
                inner = replace(inner.filled_from(own), host="", port=inner.port or own.port)
        if server.env.get("PGSERVICE"):
            raise BackupError(
                "INVALID_DB_CONFIG", "container {0} sets PGSERVICE, which would lead its tools elsewhere".format(
                    server.name),
                hint="Remove PGSERVICE from the container's environment.",
            )
        source = SOURCE_ENV if outer is self.environment and outer is not _NOTHING else SOURCE_CONTAINER
        settings = self.typed.filled_from(outer).filled_from(inner)
        if not (settings.user and settings.password):
            kept = self._file_about(server)
            source = SOURCE_FILE if gives_credentials(kept, settings) else source
            settings = settings.filled_from(kept)
        # The persisted file keeps the port inside; the environment's is one to be found by.
        own_port = 0 if outer is self.environment else outer.port
        return settle_inside(
            self.request, server, settings, SOURCE_OPTIONS if self.typed.password else source,
            socket=inner.host if is_socket(inner.host) else "",
            published=(self.typed.port, outer.port, inner.port),
            port=self.typed.port or own_port or inner.port,
        )

    # Looking things up.

    def _in_container_asked(self) -> bool:
        return (
            self.request.mode == IN_CONTAINER
            or self.request.asks_for_container
            or bool(self.typed.host and is_local_host(self.typed.host))
        )

    def _find_container(self) -> Tuple[Optional[ContainerInfo], str]:
        named = self.typed.container or self.environment.container
        if named:
            return self._named_container(named), "{0} was named".format(named)
        return choose_container(
            self.door.open().containers(),
            host_port=self.typed.port or self.environment.port,
            image=self.request.container_image,
            labels=self.request.container_labels,
        )

    def _named_container(self, name: str) -> ContainerInfo:
        container = self.door.open().inspect(name)
        if container is None:
            others = [other.name for other in self.door.open().containers() if other.running]
            raise BackupError("CONTAINER_NOT_FOUND", "there is no container {0!r}; running: {1}".format(
                name, ", ".join(others) or "none"))
        return require_running(container)

    def _read_file(self) -> Settings:
        path = self.request.credentials_file
        try:
            return read_file(path)
        except FileNotFoundError as error:
            raise _Skip("{0} does not exist".format(path)) from error

    def _file_about(self, container: ContainerInfo) -> Settings:
        """What the persisted file adds about a container that was found but does not say everything itself."""
        path = self.request.credentials_file

        def read() -> Tuple[None, str]:
            settings = self._read_file()
            if settings.container != container.name:
                raise _Skip("{0} names the container {1}, not {2}".format(
                    path, settings.container or "(none)", container.name))
            filling.append(settings)
            return None, "{0} fills what container {1} leaves open".format(path, container.name)

        filling: List[Settings] = []
        self._record("file", read)
        return filling[0] if filling else _NOTHING
