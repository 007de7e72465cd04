# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one source of discovery says about a server: the alias table, and the one definition of a local host."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, List, Mapping, Tuple
from urllib.parse import parse_qsl, unquote

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["SSL_MODES", "Settings", "check_host", "is_local_host", "is_socket", "parse_port", "read_settings"]

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# The first alias that is set wins. Each may also be given as <ALIAS>_FILE, as the official image allows.
_ALIASES: Dict[str, Tuple[str, ...]] = {
    "host": ("POSTGRES_HOST", "PGHOST"),
    "port": ("POSTGRES_PORT", "PGPORT"),
    "database": ("POSTGRES_DATABASE", "POSTGRES_DB", "PGDATABASE"),
    "user": ("POSTGRES_USERNAME", "POSTGRES_USER", "POSTGRESQL_USERNAME", "PGUSER"),
    "password": ("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "PGPASSWORD"),
    "sslmode": ("POSTGRES_SSLMODE", "PGSSLMODE"),
    "container": ("POSTGRES_CONTAINER",),
}
_URL = "DATABASE_URL"
# As libpq takes a URI apart: everything up to the last "@" before a slash is about the user, "#" and "?" included.
_URI = re.compile(
    r"postgres(?:ql)?(?:\+[a-z0-9_]+)?://(?:(?P<user>[^:/@]*)(?::(?P<password>[^/]*))?@)?"
    r"(?P<host>\[[^]/]*\]|[^:/?]*)(?::(?P<port>[^/?]*))?(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_address("::1"))


@dataclass(frozen=True)
class Settings:
    """What one source says. An empty string means that it says nothing; ``port`` is 0 then."""

    host: str = ""
    port: int = 0
    database: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    sslmode: str = ""
    container: str = ""
    warnings: Tuple[str, ...] = ()

    def filled_from(self, other: Settings) -> Settings:
        """Fill what this source leaves open about user, password, database and TLS.

        A password is taken only together with its user: the password of one role is never tried for another.
        """
        same_user = not self.user or not other.user or self.user == other.user
        return replace(
            self,
            database=self.database or other.database,
            user=self.user or other.user,
            password=self.password or (other.password if same_user else ""),
            sslmode=self.sslmode or other.sslmode,
            warnings=self.warnings + other.warnings,
        )


def is_socket(host: str) -> bool:
    """A host that begins with a slash is the folder of a Unix socket (libpq's rule)."""
    return host.startswith("/")


def is_local_host(host: str) -> bool:
    """The one definition: empty, ``localhost`` in any case, 127.0.0.0/8, ``::1`` and ``[::1]``."""
    bare = host.strip().lower()
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    if bare in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    return address in _LOOPBACK[0] or address == _LOOPBACK[1]


def parse_port(value: object, *, where: str) -> int:
    """A TCP port from an option or a variable, 0 when it is unset. Raises ``INVALID_DB_CONFIG``."""
    text = "" if value is None else str(value).strip()
    if not text:
        return 0
    if not re.match(r"^[0-9]{1,5}$", text) or not 1 <= int(text) <= 65535:
        raise BackupError(
            "INVALID_DB_CONFIG",
            "{0} is not a port: {1!r}".format(where, text[:60]),
            hint="A port is a whole number from 1 to 65535.",
        )
    return int(text)


def read_settings(
    variables: Mapping[str, str],
    *,
    where: str,
    read_file: Callable[[str], str],
) -> Settings:
    """Read a source's variables through the alias table.

    ``where`` names the source in messages. ``read_file`` returns the content of a ``…_FILE`` variable's file, read
    where the source lives (for a container: inside it), and raises ``BackupError``.
    Raises ``INVALID_DB_CONFIG`` for values that cannot be meant.
    """
    url = _parse_url(variables.get(_URL, ""), where=where)
    found: Dict[str, str] = {}
    warnings: List[str] = []
    for name, aliases in _ALIASES.items():
        candidates = [(alias, value) for alias in aliases for value in [_value(variables, alias, read_file)] if value]
        if url.get(name):
            candidates.append((_URL, url[name]))
        if not candidates:
            continue
        chosen, found[name] = candidates[0]
        differing = [alias for alias, value in candidates[1:] if value != found[name]]
        if differing:
            warnings.append(
                "{0}: {1} and {2} disagree; {1} is used.".format(where, chosen, " and ".join(differing))
            )
    host = found.get("host", "").strip()
    check_host(host, where=where)
    sslmode = found.get("sslmode", "").strip()
    if sslmode and sslmode not in SSL_MODES:
        raise BackupError(
            "INVALID_DB_CONFIG",
            "{0}: {1!r} is not an sslmode".format(where, sslmode[:60]),
            hint="Use one of {0}.".format(", ".join(SSL_MODES)),
        )
    return Settings(
        host=host,
        port=parse_port(found.get("port"), where="{0}: POSTGRES_PORT".format(where)),
        database=_checked(found.get("database", ""), "database", where),
        user=_checked(found.get("user", ""), "user", where),
        password=_checked(found.get("password", ""), "password", where),
        sslmode=sslmode,
        container=found.get("container", "").strip(),
        warnings=tuple(warnings),
    )


def _value(variables: Mapping[str, str], alias: str, read_file: Callable[[str], str]) -> str:
    if variables.get(alias):
        return variables[alias]
    path = variables.get(alias + "_FILE")
    # The official image strips the line break that an editor leaves at the end: "$(< file)".
    return read_file(path).rstrip("\r\n") if path else ""


def _checked(value: str, what: str, where: str) -> str:
    if "\0" in value:
        raise BackupError("INVALID_DB_CONFIG", "{0}: the {1} holds a NUL character".format(where, what))
    return value


def check_host(host: str, *, where: str) -> None:
    """Refuse what libpq would take for several hosts, or for none. Raises ``INVALID_DB_CONFIG``."""
    if "," in host:
        raise BackupError(
            "INVALID_DB_CONFIG",
            "{0} names several hosts".format(where),
            hint="A backup is of one server: name the host that is to be backed up.",
        )
    if not is_socket(host) and (re.search(r"[\s\x00-\x1f/@?#]", host) or len(host) > 255):
        raise BackupError("INVALID_DB_CONFIG", "{0}: {1!r} is not a host".format(where, host[:60]))


def _parse_url(url: str, *, where: str) -> Dict[str, str]:
    """The parts of a ``postgresql://`` connection URI, after the manual's section on connection strings."""
    if not re.match(r"postgres(ql)?(\+[a-z0-9_]+)?://", url.strip()):
        return {}  # another database's URL is none of our business
    match = _URI.fullmatch(url.strip())
    parts = match.groupdict(default="") if match else {}
    if not re.fullmatch(r"[0-9]*", parts.get("port", "?")):
        # What stands there may be a piece of a password that was not encoded, so it is not shown.
        raise BackupError("INVALID_DB_CONFIG", "{0}: {1} cannot be parsed".format(where, _URL))
    query = dict(parse_qsl(parts["query"].replace("+", "%2B")))  # a plus sign is one
    return {
        "host": query.get("host", unquote(parts["host"].strip("[]"))),
        "port": query.get("port", parts["port"]),
        "database": unquote(parts["database"]) or query.get("dbname", ""),
        "user": unquote(parts["user"]) or query.get("user", ""),
        "password": unquote(parts["password"]) or query.get("password", ""),
        "sslmode": query.get("sslmode", ""),
    }
