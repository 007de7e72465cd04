# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine's inspect says of a container, as ContainerInfo: Docker's form and both of podman's (API, command).

Nothing in the JSON is taken for granted: engines leave keys out, or set them to null, and its text was chosen by
whoever made the container.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Set, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._context import ContainerInfo, PortBinding

__all__ = ["container_from_inspect"]

_HEX_DIGEST_LENGTH = 64
# Docker's way of writing it, which podman leaves empty.
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104


def container_from_inspect(data: Mapping[str, Any]) -> ContainerInfo:
    """One element of what inspect returned, as ContainerInfo; what is missing there is empty here.

    Values of the environment and of labels are kept as they are. In everything else, which goes into logs, a
    character that does not print becomes ``?``. The ports of a stopped container are those it asks for.
    """
    state = _mapping(data, "State")
    config = _mapping(data, "Config")
    settings = _mapping(data, "NetworkSettings")
    networks = _mapping(settings, "Networks")
    host_config = _mapping(data, "HostConfig")
    wanted_ports = _mapping(host_config, "PortBindings")
    actual_ports = _mapping(settings, "Ports")
    name = _text(data.get("Name")).lstrip("/")
    running = _is_running(state)
    return ContainerInfo(
        id=_text(data.get("Id")),
        name=name,
        image=_text(config.get("Image")) or _text(data.get("ImageName")),
        digest=_digest(data),
        running=running,
        state=_text(state.get("Status")),
        env=_env(config.get("Env")),
        labels={str(key): str(value or "") for key, value in _mapping(config, "Labels").items()},
        ports=_bindings(actual_ports if running else wanted_ports),
        exposed=_exposed(_mapping(config, "ExposedPorts"), actual_ports, wanted_ports),
        aliases=_aliases(networks, config, shares_host=host_config.get("NetworkMode") == "host", name=name),
        networks=tuple(sorted(_text(network) for network in networks)),
        pid=_number(state.get("Pid")),
    )


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> List[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """``value`` if it is text, fit for one line of a log."""
    return "".join(char if char.isprintable() else "?" for char in value) if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _is_running(state: Mapping[str, Any]) -> bool:
    """Between two tries of a restart policy Docker calls a container running, although nothing can run in it."""
    running = bool(state.get("Running", state.get("Status") == "running"))
    return running and not state.get("Restarting") and not state.get("Dead")


def _digest(data: Mapping[str, Any]) -> str:
    """The image's id. The podman command leaves the algorithm out."""
    digest = _text(data.get("Image")) or _text(data.get("ImageDigest"))
    return "sha256:" + digest if len(digest) == _HEX_DIGEST_LENGTH and ":" not in digest else digest


def _env(value: Any) -> Dict[str, str]:
    pairs = (item.partition("=") for item in _strings(value) if "=" in item)
    return {key: text for key, _sign, text in pairs}


def _tcp_ports(ports: Mapping[str, Any]) -> Iterator[Tuple[int, Any]]:
    """Of ``{"5432/tcp": …}``, the TCP ports and what is said of each."""
    for key, value in ports.items():
        port, _slash, protocol = str(key).partition("/")
        if port.isdigit() and protocol in ("", "tcp"):
            yield int(port), value


def _bindings(ports: Mapping[str, Any]) -> Tuple[PortBinding, ...]:
    """The published ones; ``null`` is a port that is only exposed, host port 0 or none one not yet chosen."""
    found: Set[Tuple[int, str, int]] = set()
    for container_port, bindings in _tcp_ports(ports):
        for binding in bindings if isinstance(bindings, list) else ():
            host_port = str(binding.get("HostPort") or "") if isinstance(binding, dict) else ""
            if host_port.isdigit() and int(host_port):
                found.add((container_port, _text(binding.get("HostIp")) or _EVERY_ADDRESS, int(host_port)))
    return tuple(PortBinding(host_ip, host_port, port) for port, host_ip, host_port in sorted(found))


def _exposed(*ports: Mapping[str, Any]) -> Tuple[int, ...]:
    """The podman command does not repeat under ExposedPorts what it lists under Ports."""
    return tuple(sorted({port for mapping in ports for port, _said in _tcp_ports(mapping)}))


def _aliases(
    networks: Mapping[str, Any], config: Mapping[str, Any], *, shares_host: bool, name: str
) -> Tuple[str, ...]:
    """Network aliases and the hostname, unless that is the host's own."""
    found: Set[str] = set()
    for network in networks:
        endpoint = _mapping(networks, network)
        found.update(_text(alias) for key in ("Aliases", "DNSNames") for alias in _strings(endpoint.get(key)))
    if not shares_host:
        found.add(_text(config.get("Hostname")))
    return tuple(sorted(found - {"", name}))
