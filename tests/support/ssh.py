# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed host that is reached by real SSH, with an account of its own that may use sudo with a password.

It is this machine, in a mount namespace where the files of accounts and of sudo are others: nothing of it is changed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until

__all__ = ["SshHost", "missing_for_ssh"]

SSHD = "/usr/sbin/sshd"
USER = "pgfleet-t"
UID = 64321

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""
# The files stand in the place of the machine's own, for sshd and whatever it starts.
START = """\
set -e
mount --make-rprivate /
for name in passwd shadow sudoers; do mount --bind "$1/$name" "/etc/$name"; done
mkdir -p /run/sshd
exec "$2" -D -e -f "$1/sshd_config"
"""


def missing_for_ssh() -> str:
    """What it takes and is not there; empty when everything is."""
    if os.geteuid() != 0:
        return "root"
    programs = (SSHD, "ssh", "sudo", "unshare", "openssl")
    missing = ", ".join(name for name in programs if not shutil.which(name))
    if not missing and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "the right to make mount namespaces"
    return missing


class SshHost:
    """As a context manager it runs for as long as the block; ``variables`` are the host's for an inventory."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pgfleet-ssh-"))
        self.become_password = secrets.token_hex(8)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def variables(self, **more: Any) -> dict[str, Any]:
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ControlPath=none -o IdentitiesOnly=yes"
        return {
            "ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": self.port, "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.folder / "key"), "ansible_ssh_common_args": options,
            "ansible_python_interpreter": sys.executable, "ansible_remote_tmp": "/tmp/.ansible-" + USER, **more,
        }

    def with_sudo(self, **more: Any) -> dict[str, Any]:
        """The host reached by an account that becomes root by sudo, with a password."""
        return self.variables(
            ansible_user=USER, ansible_become=True, ansible_become_method="sudo",
            ansible_become_password=self.become_password, ansible_pipelining=True, **more,
        )

    def __enter__(self) -> SshHost:
        self.folder.chmod(0o755)
        for name in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        (self.folder / "key.pub").chmod(0o644)
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", self.become_password], check=True, capture_output=True, text=True
        ).stdout.strip()
        self._write("passwd", _read("/etc/passwd") + f"{USER}:x:{UID}:{UID}::/tmp:/bin/sh\n", 0o644)
        self._write("shadow", _read("/etc/shadow") + f"{USER}:{hashed}:19000:0:99999:7:::\n", 0o600)
        self._write("sudoers", f"root ALL=(ALL) ALL\n{USER} ALL=(ALL) ALL\n", 0o440)
        self._write("sshd_config", CONFIG.format(port=self.port, folder=self.folder), 0o600)
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", START, "sh", self.folder, SSHD], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )
        try:
            wait_until(self._answers)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cut(self) -> None:
        """End the server and every connection there is, as if the host had lost its power."""
        assert self._process is not None
        family = [self._process.pid]
        for pid in family:
            family += [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _write(self, name: str, text: str, mode: int) -> None:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, _read(self.folder / "log")
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


def _read(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")
