# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which container is meant: pure choices over what the engine reports."""

from __future__ import annotations

import re
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo, PortBinding
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = [
    "DRILL_LABEL",
    "binding_for",
    "by_network_name",
    "choose_container",
    "is_postgres_server",
    "require_running",
]

DRILL_LABEL = "pgfleet.drill"  # of throw-away containers: the run that made them
# The name's last word tells: postgres-exporter and postgrest are no servers.
_SERVER_IMAGE = re.compile(r"(^|[/._-])(postgres|postgresql|postgis|timescaledb|pgvector)$", re.IGNORECASE)


class _Trait(NamedTuple):
    """What makes a container the one, as a message says it of the one, of none and of several."""

    one: str
    none: str
    several: str


_IS_SERVER = _Trait("is the only running PostgreSQL server", "is a PostgreSQL server", "are PostgreSQL servers")


def is_postgres_server(container: ContainerInfo) -> bool:
    """Whether a container looks like a PostgreSQL server: by what its image sets, exposes, or is called."""
    if DRILL_LABEL in container.labels:
        return False
    repository, _tag = split_image(container.image)
    return (
        "PGDATA" in container.env
        or "PG_MAJOR" in container.env
        or 5432 in container.exposed
        or any(binding.container_port == 5432 for binding in container.ports)
        or bool(_SERVER_IMAGE.search(repository))
    )


def require_running(container: ContainerInfo) -> ContainerInfo:
    """The container itself, or ``CONTAINER_NOT_RUNNING``."""
    if not container.running:
        raise BackupError(
            "CONTAINER_NOT_RUNNING",
            "container {0} is not running (state: {1})".format(container.name, container.state or "unknown"),
        )
    return container


def binding_for(container: ContainerInfo, host_port: int) -> Optional[PortBinding]:
    """The binding that publishes ``host_port``, if any."""
    return next((binding for binding in container.ports if binding.host_port == host_port), None)


def by_network_name(containers: Sequence[ContainerInfo], host: str, near: ContainerInfo) -> Optional[ContainerInfo]:
    """The container that ``host`` means when it is looked up from inside the container ``near``.

    Engines resolve names and aliases only within a shared network, so a namesake in another project is passed over.
    """
    wanted = host.lower()
    named = [
        container
        for container in containers
        if wanted in [name.lower() for name in (container.name,) + container.aliases]
    ]
    sharing = [container for container in named if set(container.networks) & set(near.networks)]
    if len(sharing) > 1:
        # A scaled service answers by one name: a running one speaks for all, two running ones are two databases.
        running = [container for container in sharing if container.running]
        if len(running) > 1:
            raise _ambiguous("answer to the network name {0}".format(host), running)
        return (running or sharing)[0]
    return sharing[0] if sharing else None


def choose_container(
    containers: Sequence[ContainerInfo],
    *,
    host_port: int = 0,
    image: str = "",
    labels: Optional[Mapping[str, str]] = None,
) -> Tuple[Optional[ContainerInfo], str]:
    """Choose by published port, else by image and labels, else the only PostgreSQL server.

    Returns the running container and why it was chosen, or ``None`` and why there is none.
    Raises ``CONTAINER_AMBIGUOUS`` that names the candidates, and ``CONTAINER_NOT_RUNNING`` when only stopped ones
    match what was asked for.
    """
    containers = [container for container in containers if DRILL_LABEL not in container.labels]
    if host_port:
        publishing = [container for container in containers if binding_for(container, host_port)]
        if publishing:
            return _only(publishing, _trait("publish", "port {0}".format(host_port)), asked=True)
    if image or labels:
        matching = [
            container
            for container in containers
            if (not image or matches_image(container.image, image)) and _has_labels(container, labels or {})
        ]
        chosen, reason = _only(_highest_version(matching) if image else matching, _wish(image, labels), asked=True)
    else:
        servers = [container for container in containers if is_postgres_server(container)]
        # A stopped server is worth a word of its own, unless a port was named: that may be yet another's.
        chosen, reason = _only(servers, _IS_SERVER, asked=not host_port)
    if chosen and host_port and not _serves(chosen, host_port):
        # The only candidate, but not at the port that was named: using it would reach another database by luck.
        return None, "no running container publishes port {0}".format(host_port)
    return chosen, reason


def _serves(container: ContainerInfo, port: int) -> bool:
    """Whether the server inside listens on ``port`` itself, so that naming it does not contradict the container."""
    inside = container.exposed + tuple(binding.container_port for binding in container.ports)
    return str(port) == (container.env.get("PGPORT") or "5432") or port in inside


def _only(
    matching: Sequence[ContainerInfo], trait: _Trait, *, asked: bool
) -> Tuple[Optional[ContainerInfo], str]:
    running = [container for container in matching if container.running]
    if len(running) > 1:
        raise _ambiguous(trait.several, running)
    if running:
        return running[0], "{0} {1}".format(running[0].name, trait.one)
    if matching and asked:
        require_running(matching[0])
    return None, "no running container {0}".format(trait.none)


def _ambiguous(what: str, candidates: Sequence[ContainerInfo]) -> BackupError:
    return BackupError(
        "CONTAINER_AMBIGUOUS",
        "several running containers {0}: {1}".format(
            what,
            ", ".join("{0} ({1})".format(container.name, container.image) for container in candidates),
        ),
    )


def split_image(image: str) -> Tuple[str, str]:
    """``docker.io/library/postgres:17@sha256:…`` → (``postgres``, ``17``): the repository as users write it."""
    reference = image.split("@", 1)[0]
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = reference, ""
    for prefix in ("docker.io/", "library/"):
        if repository.startswith(prefix):
            repository = repository[len(prefix):]
    return repository, tag


def matches_image(image: str, wanted: str) -> bool:
    """Whether ``image`` is the wanted repository, and the wanted tag when one is given."""
    repository, tag = split_image(image)
    wanted_repository, wanted_tag = split_image(wanted)
    return repository == wanted_repository and wanted_tag in ("", tag)


def _highest_version(matching: Sequence[ContainerInfo]) -> List[ContainerInfo]:
    """Of several running matches those with the highest version tag; a tag without a version never wins."""
    running = [container for container in matching if container.running]
    if len(running) < 2:
        return list(matching)
    versions = {container.id: _version(split_image(container.image)[1]) for container in running}
    highest = max(versions.values())
    return [container for container in running if versions[container.id] == highest]


def _version(tag: str) -> Tuple[int, ...]:
    match = re.match(r"^v?([0-9]+(?:\.[0-9]+)*)", tag)
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def _has_labels(container: ContainerInfo, labels: Mapping[str, str]) -> bool:
    return all(
        key in container.labels and (value in (None, "") or str(value) == container.labels[key])
        for key, value in labels.items()
    )


def _wish(image: str, labels: Optional[Mapping[str, str]]) -> _Trait:
    wishes = ["image {0}".format(image)] if image else []
    wishes += ["label {0}={1}".format(key, value) for key, value in sorted((labels or {}).items())]
    return _trait("match", " and ".join(wishes))


def _trait(verb: str, what: str) -> _Trait:
    """``publish``, ``port 5432`` → one ``publishes port 5432``, several ``publish port 5432``."""
    one = "{0}es {1}".format(verb, what)
    return _Trait(one, one, "{0} {1}".format(verb, what))
