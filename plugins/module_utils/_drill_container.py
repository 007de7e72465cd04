# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away container to drill in: of the backup's own image, without a network, gone on every outcome.

A process in it ends it when this one is killed, and the engine then removes it. What is left all the same, because the
engine went down or the kill came before that process was there, the next drill removes.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils import _queries
from ansible_collections.pgfleet.backup.plugins.module_utils._context import IN_CONTAINER, ContainerInfo, DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor_docker import DockerPGExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._find_container import DRILL_LABEL
from ansible_collections.pgfleet.backup.plugins.module_utils._findings import Finding, blocked_by
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import GLOBALS_FILE
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_extensions import check_extensions
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_roles import read_roles_script
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import Source
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Run, Session

__all__ = ["check_away", "create_roles", "drill_container"]

_USER = "postgres"
_READY_SECONDS = 300.0
_POLL = 0.3
_NEW = timedelta(minutes=10)  # so long a drill may take to put its lifeline into the container


def check_away(session: Session, source: Source) -> List[Finding]:
    """All that stands against a drill of this backup in a throw-away container."""
    refusals = [check_extensions(source, "drill"), _tablespaces(source)]
    try:
        _image(session, source)
    except BackupError as error:
        refusals.append(error)
    return [blocked_by(refusal, "container") for refusal in refusals if refusal is not None]


@contextmanager
def drill_container(
    session: Session, source: Source, *, door: EngineDoor, run: Run
) -> Iterator[Session]:
    """A server in a container of the backup's image, by the one executor for containers and its guard.

    ``session`` is the open door to the server that the backup is of. Raises ``CONTAINER_NOT_FOUND`` when the engine
    does not have the image.
    """
    image = _image(session, source)
    engine = door.open()
    _sweep(door, run)
    password = secrets.token_urlsafe(24)
    run.redactor.add(password)
    try:
        container = engine.run_throwaway(image, env={"POSTGRES_PASSWORD": password}, labels={DRILL_LABEL: run.run_id})
        run.log.add("Drilling in a throw-away container of {0}: {1}".format(image, container.name))
        executor = _executor(container, password, door=door, run=run)
        with executor.lifeline():
            yield _connect(executor, door)
    finally:
        # By the label: whatever was interrupted, what was made has it.
        for made in _labelled(door):
            if made.labels[DRILL_LABEL] == run.run_id:
                engine.remove(made)


def create_roles(session: Session, source: Source) -> Dict[str, Any]:
    """Create the backup's roles in an empty server; the options that do without them where it has no script."""
    script = read_roles_script(source)
    if script is None:
        session.executor.log.add("There is no {0}: this drill leaves owners and privileges out".format(GLOBALS_FILE))
        return {"no_owner": True, "no_privileges": True}
    session.executor.query(script, database=session.maintenance_db)
    return {}


def _image(session: Session, source: Source) -> str:
    made_in: Mapping[str, Any] = source.manifest.get("container") or {}
    running = session.context.container
    image = made_in.get("digest") or made_in.get("image") or (running.digest or running.image if running else "")
    if not image:
        raise BackupError(
            "INVALID_DB_CONFIG", "no image is known to drill in: the backup was not made in a container",
            hint="Use drill_location=server.",
        )
    return str(image)


def _tablespaces(source: Source) -> Optional[BackupError]:
    own = (source.properties or {}).get("tablespace")
    used = sorted({*source.manifest.get("tablespaces", ()), *([own] if own else [])} - {"pg_default"})
    if not used:
        return None
    return BackupError(
        "INCOMPATIBLE_TARGET", "the backup uses tablespaces, which a throw-away container does not have: {0}".format(
            ", ".join(used)),
        hint="Use drill_location=server.",
    )


def _executor(container: ContainerInfo, password: str, *, door: EngineDoor, run: Run) -> DockerPGExecutor:
    # Over its loopback: while it initialises, the image's server answers on the socket only.
    context = DbContext(
        mode=IN_CONTAINER, database=_USER, user=_USER, host="127.0.0.1", password=password, container=container
    )
    return DockerPGExecutor(
        context, log=run.log, redactor=run.redactor, run_id=run.run_id, failure=run.failure, door=door
    )


def _connect(executor: DockerPGExecutor, door: EngineDoor) -> Session:
    """Wait until the server answers, and learn what it is."""
    container = executor.context.container
    deadline = time.monotonic() + _READY_SECONDS
    while executor.run("psql", ["-XAtqc", "SELECT 1"], database=_USER, check=False, timeout=60.0).status != 0:
        now = door.open().inspect(container.id) if container else None
        if now is None or not now.running or time.monotonic() > deadline:
            raise BackupError(
                "CONTAINER_NOT_RUNNING", "the server of the throw-away container does not start",
                hint="See what one of the image says with just POSTGRES_PASSWORD, or use drill_location=server.",
                retryable=False,
            )
        time.sleep(_POLL)
    server = executor.ask_first(_queries.PROBE, database=_USER)
    executor.context = replace(
        executor.context,
        server_version=server["server_version"].split()[0],
        server_version_num=server["server_version_num"],
    )
    return Session(executor.context, executor, server, _USER, door.client)


def _labelled(door: EngineDoor) -> List[ContainerInfo]:
    return [container for container in door.open().containers() if DRILL_LABEL in container.labels]


def _sweep(door: EngineDoor, run: Run) -> None:
    """Remove what earlier drills have left: what has ended, or has no process of its run in it. New ones are let be."""
    before = (datetime.now(timezone.utc) - _NEW).strftime("%Y%m%dT%H%M%SZ")
    for container in _labelled(door):
        owner = container.labels[DRILL_LABEL]
        ended = container.state in ("exited", "dead")
        if ended or (owner < before and not (container.running and _lives(container, owner, door=door, run=run))):
            door.open().remove(container)
            run.log.add("Removed the container {0}, which the drill {1} left".format(container.name, owner))


def _lives(container: ContainerInfo, owner: str, *, door: EngineDoor, run: Run) -> bool:
    return _executor(container, "", door=door, run=run._replace(run_id=owner)).lives()
