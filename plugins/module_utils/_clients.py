# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL client installations: their versions, and the choice of the one that fits a server."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from typing import Callable, Collection, List, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._log import RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._security_floors import fixed_release, open_flaws

__all__ = ["Client", "check_patched", "choose_client", "client_folders", "find_clients", "parse_version"]

# Debian and Ubuntu, and the PostgreSQL project's RPMs, keep every major version in a folder of its own.
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_FIXED_BY_RESTRICT = "CVE-2025-8714"


@dataclass(frozen=True)
class Client:
    """One installation: the folder of its tools (empty: found by PATH, in a container), and its version."""

    folder: str
    version: str
    numbers: Tuple[int, ...]

    @property
    def major(self) -> int:
        """``15`` for 15.18. Releases before 10 have two-part majors and count by their first part."""
        return self.numbers[0]

    @property
    def restricts(self) -> bool:
        r"""Whether its psql has ``\restrict``, by which it is told to obey nothing in a script but SQL."""
        return _FIXED_BY_RESTRICT not in {flaw.cve for flaw in open_flaws(self.numbers, ("psql",))}

    @property
    def keeps_to_sql(self) -> bool:
        """Whether its psql then does, as far as is known."""
        return not open_flaws(self.numbers, ("psql",))

    def path(self, tool: str) -> str:
        return os.path.join(self.folder, tool) if self.folder else tool


def parse_version(output: str, *, folder: str) -> Client:
    """Read what ``pg_dump --version`` prints. Raises ``CLIENT_NOT_FOUND`` for anything else."""
    match = re.search(r"\(PostgreSQL\) ([0-9]+(?:\.[0-9]+)*)(\S*)", output)
    if not match:
        raise BackupError(
            "CLIENT_NOT_FOUND", "pg_dump does not say which PostgreSQL it belongs to: {0!r}".format(output[:80])
        )
    numbers = tuple(int(part) for part in match.group(1).split("."))
    return Client(folder, match.group(1) + match.group(2), numbers)


def client_folders(path: str) -> List[str]:
    """The folders that hold a ``pg_dump``: those on ``path`` first, then the platform's own.

    Debian's ``pg_wrapper`` is passed over: it chooses a version by rules of its own, and all that it can choose are
    found in their own folders.
    """
    folders = []
    for folder in path.split(os.pathsep) + [found for pattern in _FOLDERS for found in sorted(glob.glob(pattern))]:
        tool = os.path.join(folder, "pg_dump")
        if not folder or not os.access(tool, os.X_OK) or not os.path.isfile(tool):
            continue
        real = os.path.realpath(tool)
        if os.path.basename(real) == "pg_dump" and os.path.dirname(real) not in folders:
            folders.append(os.path.dirname(real))
    return folders


def find_clients(path: str, *, ask: Callable[[str], str]) -> List[Client]:
    """All installed clients. ``ask`` returns what a program prints for ``--version``, or raises ``OSError``."""
    clients = []
    for folder in client_folders(path):
        try:
            clients.append(parse_version(ask(os.path.join(folder, "pg_dump")), folder=folder))
        except (OSError, BackupError):
            continue  # a broken installation beside a good one is no reason to fail
    return clients


def choose_client(clients: Sequence[Client], *, server_major: int, at_least: int = 0) -> Client:
    """The client of the server's own major version, else the nearest newer one.

    ``at_least`` is the major version of the client that wrote the archive to be read.
    Raises ``CLIENT_NOT_FOUND`` or ``CLIENT_TOO_OLD``.
    """
    if not clients:
        raise BackupError("CLIENT_NOT_FOUND", "no PostgreSQL client tools (pg_dump, pg_restore, psql) were found")
    needed = max(server_major, at_least)
    fitting = [client for client in clients if client.major >= needed]
    if not fitting:
        newest = max(clients, key=lambda client: client.numbers)
        raise BackupError(
            "CLIENT_TOO_OLD",
            "{0} needs a client of version {1} or newer; the newest found is {2} in {3}".format(
                "the archive" if at_least > server_major else "a server of version {0}".format(server_major),
                needed,
                newest.version,
                newest.folder or "the container",
            ),
            hint="Install the PostgreSQL {0} client tools (for example postgresql-client-{0}).".format(needed),
        )
    # Of one major version the newest minor: it has the fixes.
    nearest = min(client.major for client in fitting)
    return max((client for client in fitting if client.major == nearest), key=lambda client: client.numbers)


def check_patched(client: Client, tools: Collection[str], *, required: bool, log: RunLog) -> None:
    """Warn of security fixes that ``client`` lacks for ``tools``, all in one line; ``required`` makes it a failure.

    Raises ``CLIENT_UNPATCHED``.
    """
    flaws = open_flaws(client.numbers, tools)
    if not flaws:
        return
    release = fixed_release(flaws, client.major)
    error = BackupError(
        "CLIENT_UNPATCHED",
        "the PostgreSQL client {0} in {1} lacks security fixes: {2}; {3}".format(
            client.version, client.folder or "the container",
            "; ".join("{0}, {1}".format(flaw.cve, flaw.what) for flaw in flaws),
            "fixed in {0}".format(release) if release else "no release of {0} has the fix".format(client.major),
        ),
        hint="Update the PostgreSQL client, which in a container is that of its image, to {0}.".format(
            "{0} or newer".format(release) if release else "a major version that is still maintained"),
    )
    if required:
        raise error
    log.add_warning(error.msg)
