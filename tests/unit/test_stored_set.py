# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _stored_set as stored
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet
from ansible_collections.pgfleet.backup.tests.unit.manifests import FAILED, OK, UNTRIED, make_manifest, write_set
from ansible_collections.pgfleet.backup.tests.unit.processes import as_nobody, start


def rewrite(backup: BackupSet, **changes: Any) -> None:
    """Change the manifest of ``backup`` on the disk."""
    with open(os.path.join(backup.path, "manifest.json"), "w") as file:
        json.dump(dict(backup.manifest, **changes), file)


def verdict(level: str, result: str) -> Dict[str, Any]:
    return {"level": level, "result": result}


def refusal(path: Any) -> str:
    with pytest.raises(BackupError) as caught:
        stored.read_set(str(path))
    assert caught.value.code == "INVALID_BACKUP_FORMAT"
    assert str(path) in caught.value.what
    return caught.value.what


# --- reading one set


def test_a_set_tells_what_it_is(tmp_path: Path) -> None:
    backup = write_set(tmp_path, content={"database.dump": b"12345", "globals.sql": b"123"}, label="before 2.0",
                       kind="filtered", format="custom", sequence=7, created="2026-11-21T23:15:00Z",
                       finished="2026-11-21T23:16:01Z", instance="web", database="größe")
    assert (backup.instance, backup.database, backup.sequence, backup.kind) == ("web", "größe", 7, "filtered")
    assert (backup.label, backup.format, backup.status) == ("before 2.0", "custom", "ok")
    assert backup.created.isoformat() == "2026-11-21T23:15:00+00:00"
    assert backup.finished.isoformat() == "2026-11-21T23:16:01+00:00"
    assert backup.bytes == 8 + len("# How to restore\n")
    assert os.path.basename(backup.path) == backup.id
    assert backup.describe() == dict(
        backup.manifest, path=backup.path, verified=True, signature_valid=None, level="archive", bytes=backup.bytes, drill=None
    )
    assert backup.verdicts == []


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    refusal(tmp_path)
    refusal(tmp_path / "missing")
    (tmp_path / "manifest.json").mkdir()
    refusal(tmp_path)


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"null", b"\xff", b"[" * 100000, b'{"schema_version": 1}', b'{"schema_version": ' + b"9" * 5000,
])
def test_a_manifest_that_is_none(tmp_path: Path, content: Any) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    refusal(tmp_path)


def test_a_manifest_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    path = os.path.join(backup.path, "manifest.json")
    os.rename(path, str(tmp_path / "elsewhere"))
    os.symlink(str(tmp_path / "elsewhere"), path)
    refusal(backup.path)


def test_a_fifo_instead_of_a_manifest_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "manifest.json"))
    assert "Not a regular file" in refusal(tmp_path)


def test_a_manifest_of_a_newer_version_says_so(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    rewrite(backup, schema_version=2, files="another shape")
    assert "newer version" in refusal(backup.path)


def test_a_manifest_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = write_set(tmp_path)
    size = os.stat(os.path.join(backup.path, "manifest.json")).st_size
    monkeypatch.setattr(stored, "_LIMIT", size)
    stored.read_set(backup.path)
    monkeypatch.setattr(stored, "_LIMIT", size - 1)
    assert "larger" in refusal(backup.path)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../other/database.dump", "database/../../x", None, 3])
def test_a_manifest_whose_files_lie_elsewhere(tmp_path: Path, path: Any) -> None:
    backup = write_set(tmp_path)
    rewrite(backup, files=[{"path": path, "size": 1, "sha256": "00"}])
    assert "files" in refusal(backup.path)


@pytest.mark.parametrize("files", [[], ["x"], [{"path": "x", "sha256": "00"}], [{"path": "x", "size": 1}],
                                   [{"path": "x", "size": True, "sha256": "00"}], {"path": "x"}])
def test_a_manifest_whose_files_are_none(tmp_path: Path, files: Any) -> None:
    backup = write_set(tmp_path)
    rewrite(backup, files=files)
    assert "files" in refusal(backup.path)


@pytest.mark.parametrize("key", sorted(make_manifest()))
def test_every_key_is_needed_in_its_type(tmp_path: Path, key: str) -> None:
    backup = write_set(tmp_path)
    rewrite(backup, **{key: True})
    assert key in refusal(backup.path)
    manifest = dict(backup.manifest)
    del manifest[key]
    with open(os.path.join(backup.path, "manifest.json"), "w") as file:
        json.dump(manifest, file)
    assert key in refusal(backup.path)


@pytest.mark.parametrize("changes", [
    {"schema_version": 0}, {"sequence": 0}, {"kind": "partial"}, {"status": "fine"}, {"id": ""}, {"instance": ""},
    {"database": ""}, {"created": "yesterday"}, {"finished": "2026-11-21T23:15:00+01:00"},
    {"verification": {"level": "archive", "result": "good"}}, {"verification": {"level": "all", "result": "ok"}},
])
def test_values_that_mean_nothing(tmp_path: Path, changes: Dict[str, Any]) -> None:
    backup = write_set(tmp_path)
    rewrite(backup, **changes)
    refusal(backup.path)


# --- verdicts


@pytest.mark.parametrize(("changes", "verdicts", "level", "verified"), [
    ({}, [], "archive", True),
    ({"verification": {"level": "checksum", "result": "ok"}}, [], "checksum", True),
    ({"verification": UNTRIED}, [], "none", False),
    ({"verification": {"level": "none", "result": "ok"}}, [], "none", False),
    ({"verification": {"level": "none", "result": "failed"}}, [], "none", False),
    ({"verification": FAILED}, [], "none", False),
    ({"status": "suspicious"}, [], "archive", False),
    ({}, [verdict("restore", "ok")], "restore", True),
    ({}, [verdict("restore", "ok"), verdict("checksum", "ok")], "restore", True),
    ({}, [verdict("restore", "failed")], "archive", False),
    ({}, [verdict("checksum", "failed")], "archive", False),
    ({}, [verdict("restore", "none")], "archive", True),
    ({}, [verdict("none", "failed")], "archive", False),
    ({}, [verdict("checksum", "failed"), verdict("restore", "none")], "archive", False),
    ({}, [verdict("restore", "failed"), verdict("checksum", "ok")], "archive", False),
    ({}, [verdict("checksum", "failed"), verdict("checksum", "ok")], "archive", True),
    ({}, [verdict("checksum", "failed"), verdict("restore", "ok")], "restore", True),
    ({}, [verdict("restore", "failed"), verdict("checksum", "failed"), verdict("archive", "ok")], "archive", False),
    ({"verification": UNTRIED}, [verdict("checksum", "ok")], "checksum", True),
    ({"status": "suspicious"}, [verdict("restore", "ok")], "restore", False),
])
def test_what_counts_as_verified(changes: Dict[str, Any], verdicts: List[Dict[str, Any]], level: str, verified: bool) -> None:
    backup = stored.BackupSet("/x", make_manifest(**changes), verdicts)
    assert (backup.level, backup.verified) == (level, verified)


def test_verdicts_are_added_and_the_manifest_stays(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    manifest = os.path.join(backup.path, "manifest.json")
    with open(manifest, "rb") as file:
        before = file.read()
    umask = os.umask(0)
    try:
        stored.append_verdict(backup, dict(FAILED, run_id="1"))
        stored.append_verdict(backup, dict(OK, run_id="2"))
    finally:
        os.umask(umask)
    assert stored.read_set(backup.path).verdicts == [dict(FAILED, run_id="1"), dict(OK, run_id="2")]
    assert stat.S_IMODE(os.stat(os.path.join(backup.path, "verification.json")).st_mode) == 0o600
    with open(manifest, "rb") as file:
        assert file.read() == before
    assert sorted(os.listdir(backup.path)) == ["RESTORE.md", "database", "manifest.json", "verification.json"]


def test_a_verdict_that_says_nothing_is_refused(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    with pytest.raises(ValueError, match="verification"):
        stored.append_verdict(backup, {"level": "restore"})
    assert not os.path.exists(os.path.join(backup.path, "verification.json"))


def test_a_verdict_that_cannot_be_written_leaves_no_trace(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    os.makedirs(os.path.join(backup.path, "verification.json", "in the way"))
    with pytest.raises(BackupError, match="BACKUP_DIR_UNUSABLE"):
        stored.append_verdict(backup, OK)
    assert not [name for name in os.listdir(backup.path) if name.startswith(".")]


def test_two_who_add_verdicts_lose_none(tmp_path: Path) -> None:
    backup = write_set(tmp_path)

    def add() -> None:
        for _time in range(25):
            stored.append_verdict(backup, OK)

    workers = [start(add) for _time in range(4)]
    for worker in workers:
        worker.join()
    assert len(stored.read_set(backup.path).verdicts) == 100


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"3", b'[{"level": "restore"}]', b'["ok"]', b"[" * 100000])
def test_malformed_verdicts_are_none(tmp_path: Path, content: Any) -> None:
    backup = write_set(tmp_path)
    with open(os.path.join(backup.path, "verification.json"), "wb") as file:
        file.write(content)
    assert stored.read_set(backup.path).verdicts == []


# --- checking files


@pytest.fixture
def backup(tmp_path: Path) -> BackupSet:
    return write_set(tmp_path, content={"database/toc.dat": b"PGDMP" * 300000, "database/1.dat": b"1", "globals.sql": b""})


def mismatch(backup: BackupSet) -> str:
    with pytest.raises(BackupError) as caught:
        stored.check_files(backup)
    assert caught.value.code == "CHECKSUM_MISMATCH"
    return caught.value.what


def test_an_unharmed_set(backup: BackupSet) -> None:
    os.mkdir(os.path.join(backup.path, "database", "empty"))
    with open(os.path.join(backup.path, "notes.txt"), "w"):
        pass
    stored.append_verdict(backup, OK)
    stored.check_files(backup)


def edit(path: str, place: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(0, place)
        file.write(data)


def touch(path: str) -> None:
    with open(path, "xb"):
        pass


def replace_by_folder(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


def replace_by_fifo(path: str) -> None:
    os.unlink(path)
    os.mkfifo(path)


def replace_by_link(path: str) -> None:
    os.rename(path, os.path.dirname(path) + "/../aside")
    os.symlink("../aside", path)


def plant_folder(path: str) -> None:
    os.mkdir(path)
    touch(os.path.join(path, "2.dat"))


@pytest.mark.parametrize(("harm", "words"), [
    (os.unlink, "No such file"),
    (replace_by_folder, "Not a regular file"),
    (replace_by_fifo, "Not a regular file"),
    (replace_by_link, ""),
    (lambda path: os.truncate(path, 1000000), "1000000 bytes instead of 1500000"),
    (lambda path: edit(path, os.SEEK_END, b"x"), "1500001 bytes instead of 1500000"),
    (lambda path: edit(path, os.SEEK_SET, b"X"), "altered"),
])
def test_a_harmed_file_is_named(backup: BackupSet, harm: Callable[[str], Any], words: str) -> None:
    path = os.path.join(backup.path, "database", "toc.dat")
    harm(path)
    what = mismatch(backup)
    assert path in what
    assert words in what


def test_a_folder_that_became_a_link(backup: BackupSet) -> None:
    os.rename(os.path.join(backup.path, "database"), os.path.join(backup.path, "moved"))
    os.symlink("moved", os.path.join(backup.path, "database"))
    mismatch(backup)


@pytest.mark.parametrize("name", ["database.dump", "database.tar", "database.sql", "database.sql.gz"])
def test_a_dump_or_script_that_does_not_belong_there(backup: BackupSet, name: str) -> None:
    path = os.path.join(backup.path, name)
    touch(path)
    assert path in mismatch(backup)


def test_roles_that_do_not_belong_there(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    touch(os.path.join(backup.path, "globals.sql"))
    assert "globals.sql is not part of the backup" in mismatch(backup)


@pytest.mark.parametrize("plant", [
    touch, plant_folder, os.mkfifo, lambda path: os.symlink("1.dat", path), lambda path: os.symlink("/etc", path),
])
def test_a_file_that_does_not_belong_there(backup: BackupSet, plant: Callable[[str], Any]) -> None:
    path = os.path.join(backup.path, "database", "blobs.toc")
    plant(path)
    assert path in mismatch(backup)


def test_a_file_that_may_not_be_read_is_not_called_harmed(backup: BackupSet) -> None:
    folder = os.path.join(backup.path, "database")
    os.chmod(folder, 0)
    code, what = as_nobody(stored.check_files, backup)
    os.chmod(folder, 0o700)
    assert code == "BACKUP_DIR_UNUSABLE"
    assert backup.path in what
