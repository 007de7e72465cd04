# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door: discover, select, guard, connect. Backup, restore and info all come in here, and only here."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._context import (
    LOCAL,
    ContainerInfo,
    DbContext,
    TraceStep,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._discovery import discover
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._guard import DOCKER, executor_for, guard
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import default_credentials_file
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._request import Request, read_request

__all__ = ["Run", "Session", "instance_name", "open_session", "select_executor"]

_SOCKET_FOLDERS = ("", "/var/run/postgresql", "/tmp")  # noqa: S108  # where packages compile it in


class Run(NamedTuple):
    """What belongs to one run of a module: its id, its log, its redactor, and the code its failures carry."""

    run_id: str
    log: RunLog
    redactor: Redactor
    failure: str


class Session(NamedTuple):
    """An open door: the settled context, its executor, and what the server said of itself.

    ``server`` has ``server_version``, ``server_version_num``, ``user``, ``superuser``, ``createdb``, ``in_recovery``,
    ``databases`` (those that can be connected to, templates aside) and ``system_identifier`` (None where the role may
    not ask). ``maintenance_db`` is the database to connect to for everything that is not about one database.
    """

    context: DbContext
    executor: PgExecutor
    server: Mapping[str, Any]
    maintenance_db: str
    engine_client: str

    def part(self, name: str, log: RunLog, stop: threading.Event) -> Session:
        """The same door for one part of a run, see :meth:`ToolRunner.part`."""
        return self._replace(executor=self.executor.part(name, log, stop))

    def describe(self) -> Dict[str, Any]:
        """The returned ``context``, trace included."""
        return dict(
            self.context.describe(),
            executor=self.executor.name,
            engine_client=self.engine_client,
            transport=self.executor.transport,
            client_version=self.executor.client.version,
            trace=list(self.context.describe_trace()),
        )


def open_session(
    params: Mapping[str, Any],
    env: Mapping[str, str],
    *,
    run: Run,
    database: Optional[str],
    maintenance: bool = False,
) -> Session:
    """Discover the server, select its executor, pass the guard, and connect once to learn what it is.

    ``database`` is the one that is meant, None for the discovered one. With ``maintenance`` the connection is made to
    the maintenance database, since the one that is meant need not exist. Raises ``BackupError``; what is known of the
    context by then is in its ``result``.
    """
    request = _read_request(params, database)
    run.redactor.add(request.settings.password)
    door = EngineDoor(request.docker_host, env)
    try:
        context = discover(request, environ=env, door=door)
    except BackupError as error:
        error.result["context"] = {"engine_client": door.client, "trace": error.result.pop("trace", [])}
        raise
    run.redactor.add(context.password)
    executor = select_executor(context, env, door=door, run=run)
    try:
        return _connect(executor, door=door, run=run, params=params, maintenance=maintenance)
    except BackupError as error:
        error.result.setdefault("context", dict(
            executor.context.describe(), executor=executor.name, engine_client=door.client,
            transport=executor.transport, trace=list(context.describe_trace()),
        ))
        raise


def _read_request(params: Mapping[str, Any], database: Optional[str]) -> Request:
    """What the user typed; options that cannot be meant are the first step's rejection."""
    try:
        return read_request(
            params,
            database=database,
            credentials_file=params.get("credentials_file") or default_credentials_file(params["backup_dir"]),
        )
    except BackupError as error:
        error.result["context"] = {"trace": [TraceStep("options", "rejected", str(error), 0.0).describe()]}
        raise


def select_executor(context: DbContext, env: Mapping[str, str], *, door: EngineDoor, run: Run) -> PgExecutor:
    """The one executor for the context's mode, past the guard."""
    name = executor_for(context.mode)
    guard(context, executor=name, tool="executor", failure=run.failure)
    if name == DOCKER:
        from ansible_collections.pgfleet.backup.plugins.module_utils._executor_docker import DockerPGExecutor  # noqa: PLC0415

        return DockerPGExecutor(
            context, log=run.log, redactor=run.redactor, run_id=run.run_id, failure=run.failure, door=door
        )
    from ansible_collections.pgfleet.backup.plugins.module_utils._executor_host import HostPGExecutor  # noqa: PLC0415

    return HostPGExecutor(
        context, log=run.log, redactor=run.redactor, run_id=run.run_id, failure=run.failure, environ=env
    )


def _connect(
    executor: PgExecutor, *, door: EngineDoor, run: Run, params: Mapping[str, Any], maintenance: bool
) -> Session:
    context = executor.context
    for warning in context.warnings:
        run.log.add_warning(warning)
    _announce(executor, run.log)
    wanted = str(params.get("maintenance_db") or "").strip()
    maintenance_dbs = (wanted,) if wanted else ("postgres", "template1")
    server, used = _probe(executor, maintenance_dbs if maintenance else (context.database,))
    executor.context = context = replace(
        executor.context,
        server_version=server["server_version"].split()[0],
        server_version_num=server["server_version_num"],
        superuser=bool(server["superuser"]),
    )
    executor.control_database = used
    executor.client  # noqa: B018  # raises CLIENT_TOO_OLD before anything else is done
    return Session(context, executor, server, used if maintenance else maintenance_dbs[0], door.client)


def _announce(executor: PgExecutor, log: RunLog) -> None:
    context = executor.context
    if executor.name == DOCKER:
        place = "Container: {0}".format(context.container_name)
    elif context.host:
        place = "Host: {0}:{1}".format(context.host, context.port)
    else:
        place = "Socket: {0}".format(context.socket or "default")
    log.add("DB mode: {0}, Executor: {1}, {2}".format(context.mode, executor.name, place))


def _probe(executor: PgExecutor, databases: Tuple[str, ...]) -> Tuple[Dict[str, Any], str]:
    """Connect by the first way that works; each way keeps to the same server.

    Returns the server's answer and the database it came from. Raises the most telling of the refusals.
    """
    refusals = []
    for way in _ways(executor.context):
        executor.context = way
        for database in databases:
            try:
                return executor.ask_first(_queries.PROBE, database=database), database
            except BackupError as error:
                refusals.append(error)
                if error.code not in ("CONNECTION_FAILED", "AUTH_FAILED", "DATABASE_NOT_FOUND"):
                    raise
                if error.code != "DATABASE_NOT_FOUND":
                    break
    # A refused login says more than a door that was not there.
    raise next((error for error in refusals if error.code != "CONNECTION_FAILED"), refusals[0])


def _ways(context: DbContext) -> Iterator[DbContext]:
    """The ways to reach one server: as told, else by the usual sockets, else (in a container) by its loopback."""
    if context.socket or context.host:
        yield context
        return
    if context.mode == LOCAL:
        for folder in _SOCKET_FOLDERS:
            yield replace(context, socket=folder)
        return
    yield context
    networks = context.container.networks if context.container else ()
    if networks and "host" not in networks:  # in a shared network namespace the loopback is somebody else's too
        yield replace(context, host="127.0.0.1")


def instance_name(context: DbContext, given: str) -> str:
    """The name under which sets are filed: given, else Compose's or Swarm's, else container, host or local port."""
    if given:
        return given
    container: Optional[ContainerInfo] = context.container
    if container is not None:
        labels = container.labels
        project, service = labels.get("com.docker.compose.project"), labels.get("com.docker.compose.service")
        if project and service:
            return "{0}_{1}".format(project, service)
        return labels.get("com.docker.swarm.service.name") or container.name
    if context.mode == LOCAL:
        return "local_{0}".format(context.port)
    return "{0}_{1}".format(context.host, context.port)
