# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine through the Docker SDK for Python, 5.0 to 7.x."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo
from ansible_collections.pgfleet.backup.plugins.module_utils._engine import (
    Engine,
    ambiguous,
    clean_name,
    gone,
    no_image,
    not_running,
    says_ambiguous,
    unavailable,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_inspect import container_from_inspect
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_stream import SdkProcess, reason
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import ToolProcess

__all__ = ["SdkEngine", "open_sdk"]

_API_TIMEOUT = 60


def open_sdk(host: str, environ: Mapping[str, str]) -> Optional[SdkEngine]:
    """The engine at the URL ``host``; ``None`` when the SDK is not installed, or does not work with its own libraries.

    Raises ENGINE_UNAVAILABLE when the engine does not answer.
    """
    try:
        # Late, and not for everyone: it takes longer than all of the rest.
        from docker import APIClient  # noqa: PLC0415
        from docker.errors import DockerException  # noqa: PLC0415
        from docker.utils import kwargs_from_env  # noqa: PLC0415
    except Exception:  # noqa: BLE001 - a half-installed SDK fails in many ways, and none of them concerns us
        return None
    try:
        # Certificates are for TCP; with a local socket the SDK would take their presence for a wish for TLS.
        tls = kwargs_from_env(environment=dict(environ, DOCKER_HOST=host)).get("tls") if "unix:" not in host else None
        return SdkEngine(APIClient(base_url=host, version="auto", timeout=_API_TIMEOUT, tls=tls or False), host)
    except (DockerException, OSError) as error:
        # SDKs before 7.1 and newer releases of requests do not fit together; no engine was asked.
        if "Not supported URL scheme" in str(error):
            return None
        raise unavailable(host, reason(error)) from error


class SdkEngine(Engine):
    """The SDK's low-level client, kept open for the life of the module."""

    client = "sdk"

    def __init__(self, api: Any, host: str) -> None:
        self._api = api
        self._host = host

    def containers(self) -> List[ContainerInfo]:
        with self._translated():
            ids = [str(entry["Id"]) for entry in self._api.containers(all=True)]
        # One that went away in between is simply not there any more.
        found = [container for container in map(self.inspect, ids) if container]
        return sorted(found, key=lambda container: container.name)

    def inspect(self, name_or_id: str) -> Optional[ContainerInfo]:
        name = clean_name(name_or_id)
        if not name:
            return None
        with self._translated():
            try:
                return container_from_inspect(self._api.inspect_container(name))
            except OSError as error:
                if says_ambiguous(str(error)):
                    raise ambiguous(name) from error
                if _status(error) == 404:
                    return None
                raise

    def exec(
        self,
        container: ContainerInfo,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: bool = False,
        user: str = "",
    ) -> ToolProcess:
        if stdin and self._api.base_url.startswith("https:"):
            raise BackupError(
                "ENGINE_UNAVAILABLE",
                "the Docker SDK cannot end a tool's input over TLS, so nothing can be sent into a container that way",
                hint="Run the task on the engine's own host, where it has a local socket, or make the docker command "
                "available and the SDK not.",
                retryable=False,
            )
        with self._translated():
            try:
                created = self._api.exec_create(
                    container.id, list(argv), stdin=stdin, tty=False, user=user, environment=dict(env)
                )
                handle = self._api.exec_start(created["Id"], tty=False, socket=True)
            except OSError as error:
                if _status(error) == 404:
                    raise gone(container) from error
                if _status(error) == 409 or "container state improper" in str(error):
                    now = self.inspect(container.id)
                    raise not_running(container, now.state if now else "") from error
                raise
        return SdkProcess(self._api, created["Id"], handle, stdin=stdin)

    def run_throwaway(self, image: str, *, env: Mapping[str, str], labels: Mapping[str, str]) -> ContainerInfo:
        with self._translated():
            alone = self._api.create_host_config(network_mode="none", auto_remove=True)
            try:
                created = self._api.create_container(
                    image, environment=dict(env), labels=dict(labels), host_config=alone
                )
            except OSError as error:
                if _status(error) == 404:
                    raise no_image(image) from error
                raise
            self._api.start(created["Id"])
        found = self.inspect(created["Id"])
        if found is None:
            raise BackupError("CONTAINER_NOT_RUNNING", "a container of {0} ended at once".format(image))
        return found

    def remove(self, container: ContainerInfo) -> None:
        with self._translated():
            try:
                self._api.remove_container(container.id, v=True, force=True)
            except OSError as error:
                if _status(error) not in (404, 409):  # 409: the engine is removing it already
                    raise

    def close(self) -> None:
        self._api.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what a call of the SDK raises, all of it kinds of OSError, into ENGINE_UNAVAILABLE."""
        try:
            yield
        except OSError as error:
            raise unavailable(self._host, reason(error)) from error


def _status(error: BaseException) -> int:
    """The HTTP status the engine answered with; 0 when it did not."""
    return getattr(getattr(error, "response", None), "status_code", 0)
