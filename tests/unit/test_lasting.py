# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _lasting
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._lasting import require_lasting, vanishes

CONTAINER = r"""
600 500 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
601 600 0:51 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
602 600 254:0 /srv/back\040ups /srv/my\040backups rw,relatime - ext4 /dev/vda rw
603 600 0:52 / /srv/my\040backups/fast rw - tmpfs tmpfs rw
604 600 254:0 /tmp/awx_1 /runner rw,relatime - ext4 /dev/vda rw
""".strip()


@pytest.mark.parametrize(("path", "reason"), [
    ("/backups", "overlay, mounted at /"),
    ("/srv/my backupsX", "overlay, mounted at /"),
    ("/dev/shm/x", "tmpfs, mounted at /dev"),
    ("/srv/my backups/fast/x", "tmpfs, mounted at /srv/my backups/fast"),
    ("/srv/my backups", ""),
    ("/srv/my backups/host", ""),
])
def test_what_vanishes_with_a_container(path: str, reason: str) -> None:
    found = vanishes(path, CONTAINER, in_awx=False)
    assert (reason in found) if reason else not found


def test_a_job_folder_of_awx_vanishes_although_it_is_a_mount() -> None:
    assert not vanishes("/runner/backups", CONTAINER, in_awx=False)
    assert "/runner" in vanishes("/runner/backups", CONTAINER, in_awx=True)
    assert not vanishes("/srv/my backups", CONTAINER, in_awx=True)


def test_memory_is_refused_in_a_container_and_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_lasting, "_MARKS", ())
    require_lasting("/dev/shm/backups", option="dest", env={})
    mark = tmp_path / ".dockerenv"
    mark.touch()
    monkeypatch.setattr(_lasting, "_MARKS", (str(mark),))
    with pytest.raises(BackupError, match="INVALID_DB_CONFIG: dest=/dev/shm/backups would vanish"):
        require_lasting("/dev/shm/backups", option="dest", env={})
