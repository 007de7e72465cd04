# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _backup_set, _storage
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import HashedFile, PartialSet
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import append_verdict
from ansible_collections.pgfleet.backup.tests.unit.manifests import OK, make_manifest, write_set
from ansible_collections.pgfleet.backup.tests.unit.processes import as_nobody, start

SET_ID = "20261121T231500Z-4f1c"


@pytest.fixture(params=[0o000, 0o022, 0o777])
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def parent(tmp_path: Path) -> str:
    return str(tmp_path / "backups" / "shop_db" / "shop")


@pytest.fixture
def partial(parent: str) -> PartialSet:
    return _backup_set.PartialSet.create(parent, SET_ID)


def mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def modes_below(top: str) -> Dict[str, int]:
    found = {}
    for folder, _subfolders, names in os.walk(top):
        found[os.path.relpath(folder, top)] = mode(folder)
        found.update((os.path.relpath(os.path.join(folder, name), top), mode(os.path.join(folder, name)))
                     for name in names)
    return found


def fail(writer: HashedFile) -> None:
    writer.write(b"half")
    raise RuntimeError


def publish(partial: PartialSet) -> str:
    return partial.publish(make_manifest(id=SET_ID), "# By hand\n")


@pytest.fixture
def locked_folder() -> Iterator[str]:
    """A folder that everybody may enter and nobody but root may write in."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    yield str(folder)
    folder.chmod(0o700)
    folder.rmdir()


# --- a set from its birth to its name


def test_what_is_published_is_complete_and_private(tmp_path: Path, any_umask: None) -> None:
    outer = tmp_path / "mnt"
    outer.mkdir()
    outer.chmod(0o755)
    parent = str(outer / "backups" / "shop_db" / "shop")
    with _backup_set.PartialSet.create(parent, SET_ID) as partial:
        partial.write_text("globals.sql", "CREATE ROLE größe;\n")
        with partial.open("database/blobs/1.dat") as file:
            file.write(b"ab")
            file.write(b"c" * 100000)
        path = publish(partial)

    assert path == partial.path == os.path.join(parent, SET_ID)
    assert os.listdir(parent) == [SET_ID]
    assert mode(str(outer)) == 0o755
    assert {mode(folder) for folder in (parent, os.path.dirname(parent), str(outer / "backups"))} == {0o700}
    assert modes_below(path) == {
        ".": 0o700, "database": 0o700, "database/blobs": 0o700, "database/blobs/1.dat": 0o600,
        "globals.sql": 0o600, "manifest.json": 0o600, "RESTORE.md": 0o600,
    }
    with open(os.path.join(path, "RESTORE.md"), encoding="utf-8") as file:
        assert file.read() == "# By hand\n"
    contents = {
        "RESTORE.md": b"# By hand\n",
        "database/blobs/1.dat": b"ab" + b"c" * 100000,
        "globals.sql": "CREATE ROLE größe;\n".encode(),
    }
    with open(os.path.join(path, "manifest.json"), "rb") as file:
        manifest = json.loads(file.read().decode("utf-8"))
    assert manifest == make_manifest(id=SET_ID, files=[
        {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()
    ])
    for name, data in contents.items():
        assert Path(path, name).read_bytes() == data


def test_the_manifest_is_readable_for_people_and_keeps_odd_names(partial: PartialSet) -> None:
    partial.write_text("database.sql", "-- \udcff\n")
    path = partial.publish(make_manifest(roles=["größe", "\udcff"]), "\udcff")
    with open(os.path.join(path, "manifest.json"), "rb") as file:
        content = file.read()
    with open(os.path.join(path, "database.sql"), "rb") as file:
        assert file.read() == b"-- \xff\n"
    assert "größe".encode() in content
    assert json.loads(content.decode("utf-8"))["roles"] == ["größe", "\udcff"]
    keys = [line.split(b'"')[1].decode() for line in content.splitlines() if line.startswith(b'  "')]
    assert keys == sorted(make_manifest())


def test_a_reader_sees_nothing_before_the_set_is_published(partial: PartialSet, parent: str) -> None:
    with partial.open("database.dump") as file:
        file.write(b"x")
    assert [name for name in os.listdir(parent) if not name.startswith(".")] == []
    publish(partial)
    assert os.listdir(parent) == [SET_ID]


def test_publish_leaves_the_callers_manifest_alone(partial: PartialSet) -> None:
    manifest = make_manifest()
    partial.write_text("database.sql", "x")
    partial.publish(manifest, "")
    assert manifest == make_manifest()


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """What is fsynced or renamed while a test runs, in its order."""
    calls: List[str] = []
    fsync, rename = os.fsync, os.rename

    def seen_fsync(descriptor: int) -> None:
        calls.append(os.readlink("/proc/self/fd/{0}".format(descriptor)))
        fsync(descriptor)

    def seen_rename(source: str, target: str) -> None:
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    return calls


def test_everything_is_on_the_disk_before_the_set_has_its_name(parent: str, synced: List[str]) -> None:
    partial = _backup_set.PartialSet.create(parent, SET_ID)
    above = [parent]
    for _level in range(3):
        above.insert(0, os.path.dirname(above[0]))
    assert synced == above[:-1]  # a new folder lasts by the one that names it
    os.mkdir(os.path.join(partial.path, "database"))
    with open(os.path.join(partial.path, "database", "1.dat"), "w") as file:
        file.write("x")
    partial.adopt("database")
    partial.write_text("globals.sql", "x")
    hidden = partial.path
    publish(partial)
    renamed = synced.index("rename")
    names = ("", "/database", "/database/1.dat", "/globals.sql", "/manifest.json", "/RESTORE.md")
    assert {hidden + name for name in names} <= set(synced[:renamed])
    assert synced[renamed + 1:] == [parent]


def test_a_removal_lasts(tmp_path: Path, synced: List[str]) -> None:
    backup = write_set(tmp_path)
    del synced[:]
    _backup_set.remove_set(backup.path)
    assert synced == ["rename", os.path.dirname(backup.path)]


def test_a_verdict_lasts(tmp_path: Path, synced: List[str]) -> None:
    backup = write_set(tmp_path)
    del synced[:]
    append_verdict(backup, OK)
    assert len(synced) == 2
    assert synced[0].startswith(backup.path + "/.verification.json.")
    assert synced[1] == backup.path


# --- what must never become a set


def test_a_failed_run_leaves_nothing(parent: str) -> None:
    with pytest.raises(RuntimeError), _backup_set.PartialSet.create(parent, SET_ID) as partial:
        fail(partial.open("database.sql"))
    assert os.listdir(parent) == []


def test_a_failed_publication_leaves_nothing(parent: str) -> None:
    with pytest.raises(ValueError, match="missing"), _backup_set.PartialSet.create(parent, SET_ID) as partial:
        partial.publish({}, "")
    assert os.listdir(parent) == []


def test_a_set_without_a_file_is_not_published(partial: PartialSet) -> None:
    with pytest.raises(ValueError, match="files"):
        publish(partial)


def test_a_file_that_was_never_recorded_is_not_published(partial: PartialSet) -> None:
    partial.write_text("database.sql", "x")
    with open(os.path.join(partial.path, "core"), "w"):
        pass
    with pytest.raises(BackupError, match=r"INTERNAL_ERROR.*core"):
        publish(partial)


def test_a_file_that_was_never_closed_is_not_published(partial: PartialSet) -> None:
    partial.write_text("globals.sql", "x")
    partial.open("database.sql").write(b"x")
    with pytest.raises(BackupError, match=r"INTERNAL_ERROR.*database\.sql"):
        publish(partial)


def test_a_file_that_went_away_is_not_published(partial: PartialSet) -> None:
    partial.write_text("database.sql", "x")
    partial.write_text("globals.sql", "x")
    os.unlink(os.path.join(partial.path, "globals.sql"))
    with pytest.raises(BackupError, match=r"INTERNAL_ERROR.*globals\.sql"):
        publish(partial)


def test_a_file_whose_block_failed_is_gone_and_can_be_written_again(partial: PartialSet) -> None:
    with pytest.raises(RuntimeError), partial.open("database.dump") as file:
        fail(file)
    assert partial.files == []
    partial.write_text("database.dump", "whole")
    assert [entry["size"] for entry in partial.files] == [5]
    publish(partial)


def test_a_killed_run_leaves_a_partial_that_is_swept(parent: str) -> None:
    def run() -> None:
        partial = _backup_set.PartialSet.create(parent, SET_ID)
        partial.write_text("database/1.dat", "x")
        os.kill(os.getpid(), signal.SIGKILL)

    start(run).join()
    left = os.path.join(parent, ".partial-" + SET_ID)
    assert os.listdir(parent) == [os.path.basename(left)]
    assert _backup_set.sweep_partials(parent) == [left]
    assert os.listdir(parent) == []


def test_discarding_never_raises(partial: PartialSet, parent: str) -> None:
    shutil.rmtree(os.path.dirname(parent))
    partial.discard()
    partial.discard()


# --- files


def test_a_file_is_written_once_and_in_one_piece(partial: PartialSet) -> None:
    file = partial.open("database.dump")
    assert file.write(b"abc") == 3
    assert file.write(b"") == 0
    assert partial.files == []
    file.close()
    file.close()
    assert partial.files == [{"path": "database.dump", "size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}]
    with pytest.raises(ValueError, match="closed"):
        file.write(b"d")
    with pytest.raises(BackupError, match=r"BACKUP_DIR_UNUSABLE.*database\.dump"):
        partial.open("database.dump")


def test_a_system_that_writes_a_little_at_a_time(partial: PartialSet, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    partial.write_text("database.sql", "0123456789" * 3)
    with open(os.path.join(partial.path, "database.sql")) as file:
        assert file.read() == "0123456789" * 3


@pytest.mark.parametrize("name", ["", "/etc/motd", "../x", "database/../../x", "."])
def test_names_that_lead_out_are_refused(partial: PartialSet, name: str) -> None:
    with pytest.raises(ValueError, match="does not name"):
        partial.open(name)
    with pytest.raises(ValueError, match="does not name"):
        partial.adopt(name)


def test_a_link_that_waits_at_a_name_is_not_followed(partial: PartialSet, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    os.symlink(str(victim), os.path.join(partial.path, "database.dump"))
    with pytest.raises(BackupError, match="BACKUP_DIR_UNUSABLE"):
        partial.open("database.dump")
    assert not victim.exists()


def test_a_full_disk_is_called_by_its_name(partial: PartialSet) -> None:
    file = partial.open("database.dump")
    os.close(file._descriptor or -1)
    file._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(BackupError, match=r"NO_SPACE: .*/database\.dump: No space left"):
        file.write(b"x")


@pytest.mark.parametrize(("number", "code"), [
    ("ENOSPC", "NO_SPACE"), ("EDQUOT", "NO_SPACE"), ("EROFS", "BACKUP_DIR_UNUSABLE"), ("EACCES", "BACKUP_DIR_UNUSABLE"),
    ("EPERM", "BACKUP_DIR_UNUSABLE"), ("EIO", "BACKUP_DIR_UNUSABLE"),
])
def test_errors_of_the_storage(number: str, code: str) -> None:
    with pytest.raises(BackupError, match="{0}: /backups: ".format(code)), _storage.storage_errors("/backups"):
        raise OSError(getattr(errno, number), "reason")


# --- adopting what a tool wrote


def test_adopting_a_file_and_a_folder(partial: PartialSet) -> None:
    os.makedirs(os.path.join(partial.path, "database", "blobs"))
    content = {"database/toc.dat": b"toc", "database/blobs/1.dat": b"x" * 3000000, "database.tar": b""}
    for name, data in content.items():
        path = os.path.join(partial.path, name)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, 0o664)
    Path(partial.path, "database", "blobs").chmod(0o775)
    partial.adopt("database")
    partial.adopt("database.tar")
    assert partial.files == [
        {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(content.items())
    ]
    assert set(modes_below(partial.path).values()) == {0o700, 0o600}
    publish(partial)


@pytest.mark.parametrize("place", ["database.tar", "database/1.dat"])
@pytest.mark.parametrize("plant", [
    lambda path: os.symlink("/etc/hostname", path),
    lambda path: os.symlink("/etc", path),
    os.mkfifo,
])
def test_what_is_no_file_is_not_adopted(partial: PartialSet, place: str, plant: Callable[[str], Any]) -> None:
    path = os.path.join(partial.path, place)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    plant(path)
    with pytest.raises(BackupError, match=r"BACKUP_FAILED.*{0}".format(place)):
        partial.adopt(place.split("/", maxsplit=1)[0])
    assert partial.files == []


def test_adopting_what_a_tool_did_not_write(partial: PartialSet) -> None:
    with pytest.raises(BackupError, match=r"database\.dump"):
        partial.adopt("database.dump")


# --- sweeping and removing


def test_sweeping_takes_leftovers_only(tmp_path: Path) -> None:
    kept = write_set(tmp_path)
    parent = os.path.dirname(kept.path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    for name in (".partial-a", ".removing-b"):
        os.makedirs(os.path.join(parent, name, "database"))
        with open(os.path.join(parent, name, "database", "1.dat"), "w"):
            pass
    os.symlink(str(outside), os.path.join(parent, ".partial-link"))
    with open(os.path.join(parent, ".lock"), "w"):
        pass
    swept = _backup_set.sweep_partials(parent)
    assert [os.path.basename(path) for path in swept] == [".partial-a", ".partial-link", ".removing-b"]
    assert sorted(os.listdir(parent)) == [".lock", kept.id]
    assert (outside / "file").exists()
    assert _backup_set.sweep_partials(str(tmp_path / "missing")) == []


def test_a_removed_set_is_gone(tmp_path: Path) -> None:
    gone, kept = write_set(tmp_path, sequence=1), write_set(tmp_path, sequence=2)
    _backup_set.remove_set(gone.path)
    assert os.listdir(os.path.dirname(kept.path)) == [kept.id]


def test_a_set_vanishes_before_its_first_file_does(tmp_path: Path) -> None:
    """Removal is stopped in its middle: what is left has no visible name."""
    backup = write_set(tmp_path)
    parent = os.path.dirname(backup.path)

    def killed(*_args: Any, **_more: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        os.unlink = os.rmdir = killed
        _backup_set.remove_set(backup.path)

    process = start(run)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert os.listdir(parent) == [".removing-" + backup.id]
    assert _backup_set.sweep_partials(parent) == [os.path.join(parent, ".removing-" + backup.id)]


def test_removing_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="BACKUP_DIR_UNUSABLE: {0}/none".format(tmp_path)):
        _backup_set.remove_set(str(tmp_path / "none"))


# --- the backup folder itself


def test_the_backup_folder_is_made(tmp_path: Path, any_umask: None) -> None:
    path = str(tmp_path / "a" / "b")
    _backup_set.ensure_backup_dir(path)
    assert (mode(path), mode(os.path.dirname(path)), os.listdir(path)) == (0o700, 0o700, [])
    Path(path).chmod(0o750)
    _backup_set.ensure_backup_dir(path + "/")
    assert (mode(path), os.listdir(path)) == (0o750, [])


def test_probing_makes_nothing(tmp_path: Path) -> None:
    _backup_set.probe_backup_dir(str(tmp_path / "a" / "b"))
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("check", [_backup_set.ensure_backup_dir, _backup_set.probe_backup_dir])
def test_a_file_in_the_way(tmp_path: Path, check: Callable[[str], None]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(0o700)
    os.symlink("nowhere", str(tmp_path / "dangling"))
    for path in ("file", "file/backups", "dangling", "dangling/backups"):
        with pytest.raises(BackupError, match="BACKUP_DIR_UNUSABLE: {0}".format(tmp_path)):
            check(str(tmp_path / path))


@pytest.mark.parametrize("check", [_backup_set.ensure_backup_dir, _backup_set.probe_backup_dir])
def test_a_folder_without_permission(locked_folder: str, check: Callable[[str], None]) -> None:
    for path in (locked_folder, os.path.join(locked_folder, "a", "b")):
        code, what = as_nobody(check, path)
        assert code == "BACKUP_DIR_UNUSABLE"
        assert locked_folder in what
