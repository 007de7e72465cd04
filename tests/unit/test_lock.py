# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _lock
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.tests.unit.manifests import write_set

HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(descriptor, getattr(fcntl, sys.argv[2]) | fcntl.LOCK_NB)
os.write(descriptor, b"%d" % os.getpid()) if sys.argv[3] == "sign" else None
print("held", flush=True)
sys.stdin.read()
"""


def start_holder(path: Any, kind: str = "LOCK_EX", sign: str = "sign") -> subprocess.Popen[bytes]:
    """A process of its own that locks ``path`` until its standard input ends, or ends at once when it is refused."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), kind, sign],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.read(4)
    return process


@contextmanager
def held(path: Any, kind: str = "LOCK_EX", sign: str = "sign") -> Iterator[subprocess.Popen[bytes]]:
    process = start_holder(path, kind, sign)
    try:
        yield process
    finally:
        process.communicate()
        assert process.returncode == 0


def is_free(path: Path) -> bool:
    process = start_holder(path, sign="")
    process.communicate()
    return process.returncode == 0


def refused(folder: Path, timeout: float = 0) -> BackupError:
    """The error that keeps us out of ``folder``."""
    with pytest.raises(BackupError) as caught, _lock.database_lock(str(folder), timeout=timeout):
        pytest.fail("we are in")
    return caught.value


@pytest.fixture(params=[0o000, 0o777])
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


# --- one run for each database


def test_the_lock_is_ours_alone_until_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "shop_db" / "shop"
    with _lock.database_lock(str(folder), timeout=0):
        assert not is_free(folder / ".lock")
        assert (folder / ".lock").read_text() == str(os.getpid())
    assert is_free(folder / ".lock")
    assert (folder / ".lock").read_text() == ""


def test_the_lock_ends_with_a_failing_block(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), _lock.database_lock(str(tmp_path), timeout=0):
        raise RuntimeError
    assert is_free(tmp_path / ".lock")


def test_the_lock_file_is_private(tmp_path: Path, any_umask: None) -> None:
    folder = str(tmp_path / "a" / "b")
    with _lock.database_lock(folder, timeout=0):
        assert stat.S_IMODE(os.stat(os.path.join(folder, ".lock")).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_another_process_is_named(tmp_path: Path) -> None:
    with held(tmp_path / ".lock") as process:
        error = refused(tmp_path)
    assert error.code == "BACKUP_LOCKED"
    assert error.retryable
    assert str(tmp_path) in error.what
    assert "process {0})".format(process.pid) in error.what
    with _lock.database_lock(str(tmp_path), timeout=0):
        pass


@pytest.mark.parametrize("content", ["", "rm -rf", "\xff"])
def test_a_holder_that_left_no_pid(tmp_path: Path, content: Any) -> None:
    (tmp_path / ".lock").write_text(content)
    with held(tmp_path / ".lock", sign=""):
        assert "process unknown" in refused(tmp_path).what


def test_waiting_for_the_lock(tmp_path: Path) -> None:
    process = start_holder(tmp_path / ".lock")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        process.communicate()

    with _lock.database_lock(str(tmp_path), timeout=3600, pause=pause):
        assert not is_free(tmp_path / ".lock")
    assert len(pauses) == 1


def test_waiting_ends(tmp_path: Path) -> None:
    with held(tmp_path / ".lock"):
        assert refused(tmp_path, timeout=0.25).code == "BACKUP_LOCKED"


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    process = start_holder(tmp_path / ".lock")
    process.kill()
    process.wait()
    with _lock.database_lock(str(tmp_path), timeout=0):
        pass
    process.communicate()


def test_a_process_that_we_start_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with _lock.database_lock(str(tmp_path), timeout=0):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    try:
        assert is_free(tmp_path / ".lock")
    finally:
        child.communicate()


def test_a_link_instead_of_the_lock_file(tmp_path: Path) -> None:
    os.symlink(str(tmp_path / "victim"), str(tmp_path / ".lock"))
    error = refused(tmp_path)
    assert error.code == "BACKUP_DIR_UNUSABLE"
    assert str(tmp_path / ".lock") in error.what
    assert not (tmp_path / "victim").exists()


# --- so many at once


def test_slots_are_counted(tmp_path: Path) -> None:
    backups = str(tmp_path / "backups")
    with _lock.Slots(backups, 2).take(0), held(tmp_path / "backups" / ".slots" / "1") as other:
        with pytest.raises(BackupError) as caught, _lock.Slots(backups, 2).take(0):
            pytest.fail("three are in")
        assert caught.value.code == "BACKUP_LOCKED"
        assert "process {0}, {1})".format(os.getpid(), other.pid) in caught.value.what
        with _lock.Slots(backups, 3).take(0):
            pass
    with _lock.Slots(backups, 1).take(0):
        pass


def test_a_place_that_this_run_holds_itself_is_waited_for(tmp_path: Path) -> None:
    slots, pauses = _lock.Slots(str(tmp_path), 1), []

    with ExitStack() as first:
        first.enter_context(slots.take(0))

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                first.close()

        with slots.take(0, pause):
            assert len(pauses) == 3
    with held(tmp_path / ".slots" / "0"), pytest.raises(BackupError), slots.take(0):
        pytest.fail("two are in")


def test_no_limit(tmp_path: Path) -> None:
    with _lock.Slots(str(tmp_path), 0).take(0), _lock.Slots(str(tmp_path), 0).take(0):
        assert os.listdir(str(tmp_path)) == []


# --- readers and the retention


def test_many_may_hold_a_set_and_none_may_claim_it_then(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    with _lock.hold_set(backup.path):
        with _lock.hold_set(backup.path), _lock.claim_set(backup.path) as mine:
            assert not mine
        with _lock.claim_set(backup.path) as mine:
            assert not mine
    with _lock.claim_set(backup.path) as mine:
        assert mine


def test_another_process_may_hold_it_too(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    with held(os.path.join(backup.path, "manifest.json"), "LOCK_SH", ""):
        with _lock.claim_set(backup.path) as mine:
            assert not mine
        with _lock.hold_set(backup.path):
            pass


def test_a_claimed_set_is_not_held(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    hold = _lock.hold_set(backup.path)
    with _lock.claim_set(backup.path), pytest.raises(BackupError, match="BACKUP_LOCKED"):
        hold.__enter__()
    with _lock.hold_set(backup.path):
        pass


def test_a_set_that_goes_away_while_it_is_taken_hold_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = write_set(tmp_path)
    flock = fcntl.flock

    def remove_first(descriptor: int, operation: int) -> None:
        shutil.rmtree(backup.path)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with pytest.raises(BackupError, match="BACKUP_NOT_FOUND"), _lock.hold_set(backup.path):
        pytest.fail("held what is gone")


def test_storage_without_locks_can_be_restored_from_but_not_be_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = write_set(tmp_path)

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with _lock.hold_set(backup.path), _lock.folder_lock(backup.path), _lock.claim_set(backup.path) as mine:
        assert not mine
    assert refused(tmp_path).code == "BACKUP_DIR_UNUSABLE"


def test_a_missing_set_is_neither_held_nor_claimed(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="BACKUP_NOT_FOUND"), _lock.hold_set(str(tmp_path / "none")):
        pytest.fail("held nothing")
    with _lock.claim_set(str(tmp_path / "none")) as mine:
        assert not mine


def test_a_folder_is_changed_by_one_at_a_time(tmp_path: Path) -> None:
    with _lock.folder_lock(str(tmp_path)):
        script = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        command = [sys.executable, "-c", script, str(tmp_path)]
        assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0
    assert subprocess.run(command, check=False).returncode == 0
