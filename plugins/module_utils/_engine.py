# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine as the rest of the collection sees it: what is there, and a process inside one of it.

Two clients stand behind the interface, the Docker SDK for Python and the ``docker`` or ``podman`` command. Neither
knows anything of PostgreSQL.
"""

from __future__ import annotations

import os
import re
import shutil
from abc import ABC, abstractmethod
from typing import ClassVar, List, Mapping, Optional, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import ToolProcess

__all__ = [
    "Engine",
    "ambiguous",
    "clean_name",
    "gone",
    "no_image",
    "not_running",
    "one_line",
    "open_engine",
    "says_ambiguous",
    "says_not_started",
    "unavailable",
]

DOCKER_SOCKET = "/var/run/docker.sock"
PODMAN_SOCKET = "/run/podman/podman.sock"

# The engines' own rule for names, which ids satisfy as well.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_REASON_LENGTH = 300

# How Docker begins the message that takes the place of a tool's output when the tool could not be started.
_NOT_STARTED = (b"OCI runtime exec failed", b"unable to find user", b"unable to find group")


class Engine(ABC):
    """A container engine that has answered. Every method raises ENGINE_UNAVAILABLE when it no longer does."""

    client: ClassVar[str]

    @abstractmethod
    def containers(self) -> List[ContainerInfo]:
        """All of them, stopped ones too, ordered by name."""

    @abstractmethod
    def inspect(self, name_or_id: str) -> Optional[ContainerInfo]:
        """The container of this name, or this full or shortened id; ``None`` when there is none.

        Raises CONTAINER_AMBIGUOUS for a shortened id that fits several.
        """

    @abstractmethod
    def exec(
        self,
        container: ContainerInfo,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: bool = False,
        user: str = "",
    ) -> ToolProcess:
        """Start ``argv`` in ``container``, never with a terminal, ``env`` added to the container's own environment.

        Raises CONTAINER_NOT_FOUND, CONTAINER_NOT_RUNNING. A tool that is missing in the container shows as a process
        with exit status 126 or 127 and the engine's words on its stderr.
        """

    @abstractmethod
    def run_throwaway(self, image: str, *, env: Mapping[str, str], labels: Mapping[str, str]) -> ContainerInfo:
        """Create and start a container without any network, which the engine removes when it ends, its volumes too.

        Nothing is pulled: raises CONTAINER_NOT_FOUND when the engine does not have the image.
        """

    @abstractmethod
    def remove(self, container: ContainerInfo) -> None:
        """End and remove a container with its volumes; one that is gone already is as good."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connections to the engine; processes that were started keep theirs."""


def open_engine(docker_host: str = "", *, environ: Mapping[str, str]) -> Engine:
    """The engine at ``docker_host``, else at ``DOCKER_HOST`` of ``environ``, else at the first usual socket there is.

    Through the Docker SDK where that serves, else the docker command, else podman's. Raises ENGINE_UNAVAILABLE when
    there is no client at all, or when the engine does not answer.
    """
    # Both build on this file, hence not at its top.
    from ansible_collections.pgfleet.backup.plugins.module_utils._engine_cli import CliEngine  # noqa: PLC0415
    from ansible_collections.pgfleet.backup.plugins.module_utils._engine_sdk import open_sdk  # noqa: PLC0415

    chosen = _url(docker_host.strip() or environ.get("DOCKER_HOST", "").strip())
    address = chosen or _usual_socket(environ)
    path = environ.get("PATH", os.defpath)
    docker = shutil.which("docker", path=path)
    podman = shutil.which("podman", path=path)
    over_ssh = address.startswith("ssh:")
    # The commands come first where the SDK cannot be used (ssh), or not for a tool's input (TLS), and where there is no
    # socket: they may still know a way, by a context, or do without a daemon.
    commands_first = over_ssh or not address or _over_tls(address, environ)
    if not (commands_first and (docker or podman)) and not over_ssh:
        engine = open_sdk(address or "unix://" + DOCKER_SOCKET, environ)
        if engine:
            return engine
    if docker:
        return CliEngine.open(docker, host=chosen or _unusual(address), environ=environ)
    if podman:
        return CliEngine.open(podman, host=chosen, environ=environ)
    raise BackupError(
        "ENGINE_UNAVAILABLE",
        "neither a Docker SDK for Python that can be used (not over ssh) nor a docker or podman command was found",
    )


def _url(host: str) -> str:
    return "unix://" + host if host.startswith("/") else host


def _unusual(address: str) -> str:
    """An address that the command would not take by itself; where it is the usual one, its contexts may know better."""
    return "" if address == "unix://" + DOCKER_SOCKET else address


def _over_tls(address: str, environ: Mapping[str, str]) -> bool:
    """By the variables that the SDK and the docker command share."""
    wanted = environ.get("DOCKER_TLS_VERIFY") or environ.get("DOCKER_CERT_PATH")
    return address.startswith("https:") or (address.startswith("tcp:") and bool(wanted))


def _usual_socket(environ: Mapping[str, str]) -> str:
    """Docker's, else podman's, root's before the user's; empty when none of them exists."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    own = (os.path.join(runtime, "docker.sock"), os.path.join(runtime, "podman/podman.sock")) if runtime else ()
    for path in (DOCKER_SOCKET, PODMAN_SOCKET) + own:
        if os.path.exists(path):
            return "unix://" + path
    return ""


def clean_name(name_or_id: str) -> str:
    """``name_or_id`` as engines spell it, empty when it cannot be a container's.

    Only such a name may become part of a command line or of a URL's path, where others mean something else.
    """
    name = name_or_id.strip().lstrip("/")
    return name if _NAME.match(name) else ""


def one_line(text: str) -> str:
    """``text`` on one line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def says_ambiguous(complaint: str) -> bool:
    """Whether Docker's or podman's ``complaint`` is that a shortened id fits several containers."""
    return "Multiple IDs" in complaint or "more than one result" in complaint


def says_not_started(first_output: bytes) -> bool:
    """Whether a stdout that begins so may be the engine's message that it could not start the tool."""
    return first_output.startswith(_NOT_STARTED)


def unavailable(where: str, reason: str) -> BackupError:
    return BackupError(
        "ENGINE_UNAVAILABLE", "the container engine at {0} cannot be used: {1}".format(where, one_line(reason))
    )


def gone(container: ContainerInfo) -> BackupError:
    return BackupError("CONTAINER_NOT_FOUND", "container {0} is no longer there".format(container.name))


def no_image(image: str) -> BackupError:
    return BackupError(
        "CONTAINER_NOT_FOUND", "the engine has no image {0}".format(image),
        hint="Pull the image that the backup was made from, or use drill_location=server.",
    )


def not_running(container: ContainerInfo, state: str) -> BackupError:
    return BackupError("CONTAINER_NOT_RUNNING", "container {0} is {1}".format(container.name, state or "not running"))


def ambiguous(name_or_id: str) -> BackupError:
    return BackupError("CONTAINER_AMBIGUOUS", "several containers have an id that begins with {0}".format(name_or_id))
