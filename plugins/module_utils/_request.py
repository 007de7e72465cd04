# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options that every module shares, validated and with blanks taken as unset."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._context import (
    EXTERNAL,
    IN_CONTAINER,
    LOCAL,
    Tls,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._settings import (
    SSL_MODES,
    Settings,
    check_host,
    is_local_host,
    is_socket,
    parse_port,
)

__all__ = ["Request", "read_request"]

# What these would set has an option of its own, or would lead a tool past the guard, or put a secret into argv.
_REFUSED_KEYWORDS = frozenset((
    "application_name", "dbname", "host", "hostaddr", "oauth_client_secret", "options", "passfile", "password", "port",
    "replication", "scram_client_key", "scram_server_key", "service", "servicefile", "sslpassword", "user",
))


@dataclass(frozen=True)
class Request:
    """What the user typed about the server. ``settings`` is step 0 of discovery."""

    mode: str
    settings: Settings
    socket: str = ""
    container_image: str = ""
    container_labels: Mapping[str, str] = field(default_factory=dict)
    docker_host: str = ""
    tls: Tls = field(default_factory=Tls)
    connect_params: Mapping[str, str] = field(default_factory=dict)
    credentials_file: str = ""

    @property
    def asks_for_container(self) -> bool:
        return bool(self.settings.container or self.container_image or self.container_labels)


def read_request(params: Mapping[str, Any], *, database: Optional[str], credentials_file: str) -> Request:
    """Read the module's parameters; an empty string is unset, everywhere. Raises ``INVALID_DB_CONFIG``."""

    def text(name: str) -> str:
        return str(params.get(name) or "").strip()

    host, socket, mode = text("login_host"), text("login_unix_socket"), text("mode") or "auto"
    if is_socket(host):
        host, socket = "", socket or host
    if socket and not is_socket(socket):
        raise _invalid("login_unix_socket={0} is not an absolute path".format(socket))
    check_host(host, where="login_host")
    check_host(socket, where="login_unix_socket")
    ssl_mode = text("ssl_mode")
    if ssl_mode and ssl_mode not in SSL_MODES:
        raise _invalid("ssl_mode={0} is not one of {1}".format(ssl_mode, ", ".join(SSL_MODES)))
    request = Request(
        mode="" if mode == "auto" else mode,
        settings=Settings(
            host=host,
            port=parse_port(params.get("login_port"), where="login_port"),
            database=database or "",
            user=text("login_user"),
            # A password is never stripped: spaces may belong to it.
            password=str(params.get("login_password") or ""),
            container=text("container"),
        ),
        socket=socket,
        container_image=text("container_image"),
        container_labels=dict(params.get("container_labels") or {}),
        docker_host=text("docker_host"),
        tls=Tls(sslmode=ssl_mode, ca_cert=text("ca_cert"), cert=text("ssl_cert"), key=text("ssl_key")),
        connect_params=read_connect_params(params.get("connect_params") or {}),
        credentials_file=credentials_file,
    )
    _check_mode(request)
    return request


def read_connect_params(params: Mapping[str, Any]) -> Dict[str, str]:
    """Further libpq keywords. Raises ``INVALID_DB_CONFIG`` for those that would go round the guard or the secrecy."""
    for keyword in params:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(keyword)):
            raise _invalid("connect_params holds {0!r}, which is not a libpq keyword".format(str(keyword)[:60]))
        if keyword in _REFUSED_KEYWORDS:
            raise _invalid(
                "connect_params may not hold {0}".format(keyword),
                hint="Use the module's own options for who, where and which password; they pass through the guard.",
            )
    return {str(keyword): str(value) for keyword, value in params.items()}


def _check_mode(request: Request) -> None:
    """Refuse options that contradict each other, before anything is looked for."""
    host, remote = request.settings.host, not is_local_host(request.settings.host)
    if request.mode == IN_CONTAINER and remote:
        raise _invalid("mode=in_container contradicts login_host={0}, which is not this machine".format(host))
    if request.mode == LOCAL and remote:
        raise _invalid("mode=local contradicts login_host={0}, which is not this machine".format(host))
    if request.mode == EXTERNAL and (request.socket or (host and not remote)):
        raise _invalid(
            "mode=external contradicts login_host={0}, which is this machine".format(request.socket or host),
            hint="Use mode=local for a server on this machine itself, or container for one in a container.",
        )
    if request.mode == LOCAL and request.asks_for_container:
        raise _invalid("mode=local contradicts container, container_image and container_labels")
    if request.asks_for_container and remote:
        raise _invalid("container contradicts login_host={0}, which is not this machine".format(host))


def _invalid(what: str, hint: Optional[str] = None) -> BackupError:
    return BackupError("INVALID_DB_CONFIG", what, hint=hint)
