# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which account a PostgreSQL server of the tests runs as, and what that account may reach."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["Account", "account_for_server"]

UNPRIVILEGED = ("nobody", "postgres", "daemon")
LONGEST_FOLDER = 80  # a Unix socket's path may not exceed 107 bytes


class Account:
    """Our own account, or, for root, an unprivileged one that already exists on the machine."""

    def __init__(self, other: pwd.struct_passwd | None = None) -> None:
        self._other = other

    def of_child(self) -> dict[str, Any]:
        """The arguments of :mod:`subprocess` that make a child run as this account."""
        if self._other is None:
            return {}
        return {"user": self._other.pw_uid, "group": self._other.pw_gid, "extra_groups": []}

    def give(self, *paths: Path) -> None:
        """Make this account the owner of the paths."""
        if self._other is not None:
            for path in paths:
                os.chown(path, self._other.pw_uid, self._other.pw_gid)

    def can_run(self, program: Path) -> bool:
        """Whether it may start that program; a folder above it can be closed, as /root is."""
        if self._other is None:
            return True
        try:
            done = subprocess.run(
                [str(program), "--version"], capture_output=True, check=False, cwd="/", **self.of_child()
            )
        except OSError:
            return False
        return done.returncode == 0

    def temporary_folder(self) -> Path:
        """A new folder of its own, closed to others, with a path short enough for a socket."""
        for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
            folder = Path(tempfile.mkdtemp(prefix="pgfleet-", dir=parent)).resolve()
            if len(str(folder)) <= LONGEST_FOLDER and self._can_enter(folder.parent):
                self.give(folder)
                return folder
            folder.rmdir()
        raise RuntimeError("no temporary folder that the server's account can reach; set TMPDIR to one")

    def _can_enter(self, folder: Path) -> bool:
        if self._other is None:
            return True
        argv = ["test", "-x", str(folder)]
        return subprocess.run(argv, check=False, cwd="/", **self.of_child()).returncode == 0


def account_for_server() -> Account:
    """PostgreSQL refuses to run as root; nothing is created on the machine to get round that."""
    if os.geteuid() != 0:
        return Account()
    for name in UNPRIVILEGED:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Account(found)
    raise RuntimeError("PostgreSQL refuses to run as root, and no unprivileged account of the usual names exists")
