# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others use, each with its own defaults, from the host, by the client of the server's version.

None of them reads back what it wrote. One that is not installed is said to be absent.
"""

from __future__ import annotations

import json
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.pgfleet.backup.tests.benchmarks.timing import Measured, command, together
from ansible_collections.pgfleet.backup.tests.benchmarks.workloads import SHOP, Workload

__all__ = ["Autopostgresqlbackup", "Borgmatic", "CommunityPostgresql", "Peer", "all_peers"]


class Peer(ABC):
    """One of them at work on one workload. ``venv`` is where ``requirements.txt`` was installed."""

    name: str

    def __init__(self, work: Workload, venv: Path) -> None:
        self.work = work
        self.venv = venv
        self.folder = work.folder / type(self).__name__
        self.folder.mkdir(exist_ok=True)

    @abstractmethod
    def absent(self) -> str:
        """What is not installed; empty when nothing is missing."""

    @abstractmethod
    def dump(self, databases: Sequence[str]) -> Measured:
        """Back up these databases in the peer's own way."""

    def _bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def _empty(self) -> None:
        """Nothing of an earlier run helps, or is in the way."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()


class CommunityPostgresql(Peer):
    """``community.postgresql.postgresql_db`` with ``state: dump``, in pg_dump's custom format; a task for each database."""

    name = "community.postgresql"
    # The module alone, as ours are measured: without Ansible's own cost for a task.
    _SCRIPT = (
        "import json, sys; from ansible.module_utils.testing import patch_module_args as args; "
        "from ansible_collections.community.postgresql.plugins.modules.postgresql_db import main\n"
        "with open(sys.argv[1]) as file, args(json.load(file)): main()"
    )

    def absent(self) -> str:
        found = list(self.venv.glob("lib/python*/site-packages/ansible_collections/community/postgresql"))
        return "" if found else "tests/benchmarks/requirements.txt is not installed"

    def dump(self, databases: Sequence[str]) -> Measured:
        measured = together(self._run(name, "dump", self._file(name)) for name in databases)
        return measured._replace(size=sum(self._file(name).stat().st_size for name in databases))

    def restore(self) -> Measured:
        """Restore what was dumped last, into an empty database."""
        self.work.fresh("usual")
        measured = self._run("usual", "restore", self._file(SHOP))
        self.work.drop("usual")
        return measured

    def _file(self, database: str) -> Path:
        return self.folder / f"{database}.pgc"

    def arguments(self, database: str, state: str, target: Path) -> dict[str, str]:
        """What a task would tell the module."""
        server = self.work.server
        return {"name": database, "state": state, "target": str(target), "login_host": server.ip,
                "login_user": "postgres", "login_password": server.password}

    def _run(self, database: str, state: str, target: Path) -> Measured:
        arguments = self.work.folder / "community.json"
        internal = {"_ansible_tmpdir": str(self.work.folder), "_ansible_remote_tmp": str(self.work.folder)}
        arguments.write_text(json.dumps({**self.arguments(database, state, target), **internal}), encoding="utf-8")
        argv = [str(self.venv / "bin/python"), "-c", self._SCRIPT, str(arguments)]
        # Only its own collections must be found, not the folder that ours is in.
        return command(argv, env={**self.work.environment, "PYTHONPATH": ""})


class Borgmatic(Peer):
    """borgmatic's PostgreSQL hook, which streams custom dumps into a new and unencrypted borg repository.

    A repository that has an earlier archive would take less room and time by what has not changed; a first one is what
    can be compared.
    """

    name = "borgmatic"

    def absent(self) -> str:
        if not (self.venv / "bin/borgmatic").exists():
            return "tests/benchmarks/requirements.txt is not installed"
        return "" if shutil.which("borg") else "the Debian package borgbackup is not installed"

    def dump(self, databases: Sequence[str]) -> Measured:
        self._empty()
        server = self.work.server
        login = {"hostname": server.ip, "username": "postgres", "password": server.password, "format": "custom"}
        config = self.work.folder / "borgmatic.yaml"
        config.write_text(json.dumps({  # which is YAML as well
            "repositories": [{"path": str(self.folder / "repository")}],
            "postgresql_databases": [{"name": name, **login} for name in databases],
            "unknown_unencrypted_repo_access_is_ok": True,
            "borg_base_directory": str(self.work.folder),
            "user_runtime_directory": str(self.work.folder), "user_state_directory": str(self.work.folder),
        }), encoding="utf-8")
        borgmatic = [str(self.venv / "bin/borgmatic"), "--config", str(config), "--verbosity", "-1"]
        command([*borgmatic, "repo-create", "--encryption", "none"], env=self.work.environment)
        return command([*borgmatic, "create"], env=self.work.environment)._replace(size=self._bytes())


class Autopostgresqlbackup(Peer):
    """Debian's script, which pipes plain dumps through gzip. A copy of it, since it reads its settings below /etc."""

    name = "autopostgresqlbackup"
    _PROGRAM = Path("/usr/sbin/autopostgresqlbackup")

    def absent(self) -> str:
        return "" if self._PROGRAM.exists() else "the Debian package autopostgresqlbackup is not installed"

    def dump(self, databases: Sequence[str]) -> Measured:
        self._empty()
        settings, script = self.work.folder / "settings", self.work.folder / "autopostgresqlbackup"
        settings.write_text("\n".join((
            f"SU_USERNAME= USERNAME=postgres DBHOST={self.work.server.ip} BACKUPDIR={self.folder}",
            f'DBNAMES="{" ".join(databases)}" MDBNAMES="$DBNAMES" DOWEEKLY=0 MAILCONTENT=stdout',
            f"PATH={self.work.environment['PATH']}", "",
        )), encoding="utf-8")
        text = self._PROGRAM.read_text(encoding="utf-8").replace("/etc/default/autopostgresqlbackup", str(settings))
        script.write_text(re.sub(r"^PATH=.*", "", text, count=1, flags=re.MULTILINE), encoding="utf-8")
        return command(["bash", str(script)], env=self.work.environment)._replace(size=self._bytes())


def all_peers(work: Workload, venv: Path) -> list[Peer]:
    return [kind(work, venv) for kind in (CommunityPostgresql, Borgmatic, Autopostgresqlbackup)]
