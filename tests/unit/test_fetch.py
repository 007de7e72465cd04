# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of fetching on real folders, read by a real shell in the place of a connection."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import find_sets
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._fetch import fetch
from ansible_collections.pgfleet.backup.plugins.module_utils._fetch_plan import read_fetch_options
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import GLOBALS
from ansible_collections.pgfleet.backup.plugins.module_utils._lock import database_lock
from ansible_collections.pgfleet.backup.plugins.module_utils._outcome import new_run
from ansible_collections.pgfleet.backup.plugins.module_utils._remote_files import BLOCK, RemoteFiles
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, append_verdict, check_files
from ansible_collections.pgfleet.backup.tests.unit.manifests import FAILED, UNTRIED, write_set
from ansible_collections.pgfleet.backup.tests.unit.test_remote_files import by_shell

KEY = "a key of more than sixteen characters"
BIG = os.urandom(2 * BLOCK + 7)


class Fleet:
    """A host with a folder of sets, and a controller that fetches from it."""

    def __init__(self, folder: Path) -> None:
        self.host = folder / "host"
        self.dest = folder / "dest"
        self.commands = 0
        self.cut_after: Optional[int] = None
        self.lines: List[str] = []

    def execute(self, command: str, stdin: bytes) -> Tuple[int, bytes, bytes]:
        """A connection that breaks in the middle of the command after ``cut_after`` ones."""
        self.commands += 1
        status, output, errors = by_shell(command, stdin)
        if self.cut_after is not None and self.commands > self.cut_after:
            return 255, output[:len(output) // 2], b"Connection closed"
        return status, output, errors

    def fetch(self, *, check: bool = False, **options: Any) -> Dict[str, Any]:
        self.commands = 0
        key = SigningKey(options["signing_key"]) if options.get("signing_key") else None
        entries = [item.describe() for item in find_sets(str(self.host), key=key)[0]]
        params = {"dest": str(self.dest), **options}
        result: Dict[str, Any] = {}
        run = new_run("BACKUP_FAILED")
        try:
            fetch(
                read_fetch_options(params, "web 1"), json.loads(json.dumps(entries)), RemoteFiles(self.execute),
                run=run, check=check, result=result,
            )
        except BackupError as error:
            error.result = result
            raise
        finally:
            self.lines = run.log.lines
        return result

    def fails(self, code: str, **options: Any) -> BackupError:
        with pytest.raises(BackupError) as caught:
            self.fetch(**options)
        assert caught.value.code == code, caught.value
        return caught.value

    def copies(self) -> List[BackupSet]:
        """The copies, each proven whole."""
        sets, problems = find_sets(str(self.dest / "web 1"))
        assert not problems
        for item in sets:
            check_files(item)
        return sets

    def sequences(self) -> List[int]:
        return [item.sequence for item in self.copies()]

    def partial(self, backup: BackupSet, name: str = "") -> Path:
        return self.dest / "web 1" / "shop_db" / "shop" / (".partial-" + backup.id) / backup.id / name


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def big_set(fleet: Fleet, **changes: Any) -> BackupSet:
    content = {"database/toc.dat": b"toc", "database/1.dat": BIG, "database/2.dat": b""}
    return write_set(fleet.host, content=content, **changes)


# -- what is fetched ------------------------------------------------------------------------------------------------


def test_latest_is_the_newest_verified_full_set_of_each_database_and_the_newest_globals(fleet: Fleet) -> None:
    write_set(fleet.host, sequence=1)
    write_set(fleet.host, sequence=2)
    write_set(fleet.host, sequence=3, verification=UNTRIED)
    write_set(fleet.host, sequence=4, kind="filtered", filters={"tables": ["t"]})
    write_set(fleet.host, sequence=5, database="a/b ü")
    write_set(fleet.host, sequence=6, database=GLOBALS, kind="globals")
    result = fleet.fetch()
    assert result["changed"]
    assert sorted(fleet.sequences()) == [2, 5, 6]
    assert {item["path"] for item in result["fetched"]} == {item.path for item in fleet.copies()}
    again = fleet.fetch()
    assert not again["changed"]
    assert len(again["present"]) == 3
    assert fleet.commands == 0


def test_missing_is_whatever_is_verified_and_an_id_is_that_one_set(fleet: Fleet) -> None:
    for sequence in (1, 2):
        write_set(fleet.host, sequence=sequence)
    unproven = write_set(fleet.host, sequence=3, verification=UNTRIED)
    fleet.fetch(backup="missing")
    assert fleet.sequences() == [1, 2]
    fleet.fetch(backup=unproven.id)
    assert fleet.sequences() == [1, 2, 3]


def test_a_set_that_lies_twice_on_the_host_is_brought_once(fleet: Fleet) -> None:
    backup = write_set(fleet.host)
    shutil.copytree(Path(backup.path).parent, fleet.host / "shop_db" / "kept apart")
    for changed in (True, False):
        assert fleet.fetch(backup="missing")["changed"] is changed
    assert fleet.sequences() == [1]


def test_a_copy_is_the_set_to_the_byte_for_its_owner_alone(fleet: Fleet) -> None:
    original = big_set(fleet)
    append_verdict(original, {"level": "restore", "result": "ok"})
    old = os.umask(0)
    try:
        fleet.fetch()
    finally:
        os.umask(old)
    (copy,) = fleet.copies()
    there, here = Path(original.path), Path(copy.path)
    names = sorted(str(path.relative_to(there)) for path in there.rglob("*"))
    assert names == sorted(str(path.relative_to(here)) for path in here.rglob("*"))
    for name in names:
        if (here / name).is_file():
            assert (here / name).read_bytes() == (there / name).read_bytes()
    modes = {path.stat().st_mode & 0o7777 for path in fleet.dest.rglob("*")}
    assert modes == {0o700, 0o600}
    assert copy.level == "restore"


def test_nothing_there_is_an_error_that_says_so(fleet: Fleet) -> None:
    fleet.fails("BACKUP_NOT_FOUND")
    write_set(fleet.host, verification=FAILED)
    for backup in ("latest", "missing", "20260101T000000Z-0000"):
        fleet.fails("BACKUP_NOT_FOUND", backup=backup)


@pytest.mark.parametrize("options", [{"dest": "copies"}, {"backup": "../x"}, {"lock_timeout": -1}])
def test_nonsense_is_refused(fleet: Fleet, options: Dict[str, Any]) -> None:
    fleet.fails("INVALID_DB_CONFIG", **options)


def test_check_mode_plans_and_makes_nothing(fleet: Fleet) -> None:
    backup = write_set(fleet.host)
    result = fleet.fetch(check=True)
    assert result["changed"]
    assert result["plan"][0]["fetch"] == [backup.id]
    assert not fleet.dest.exists()


def test_later_verdicts_follow_to_the_copy(fleet: Fleet) -> None:
    backup = write_set(fleet.host)
    fleet.fetch()
    (copy,) = fleet.copies()
    append_verdict(copy, {"level": "restore", "result": "ok", "at": "2026-11-23T00:00:00Z"})  # on the controller
    append_verdict(backup, {"level": "restore", "result": "failed", "at": "2026-11-24T00:00:00Z"})
    append_verdict(backup, {"level": "restore", "result": "ok", "at": "2026-11-22T00:00:00Z"})
    result = fleet.fetch(backup=backup.id)
    assert result["changed"]
    (copy,) = fleet.copies()
    assert [verdict["at"][8:10] for verdict in copy.verdicts] == ["22", "23", "24"]
    assert not copy.verified
    assert not result["present"][0]["verified"]
    assert not fleet.fetch(backup=backup.id)["changed"]


# -- cut ------------------------------------------------------------------------------------------------------------


def test_a_cut_publishes_nothing_and_the_next_run_goes_on(fleet: Fleet) -> None:
    backup = big_set(fleet)
    fleet.cut_after = 3
    error = fleet.fails("CONNECTION_FAILED")
    assert error.retryable
    assert fleet.copies() == []
    so_far = error.result["bytes"]
    assert so_far > BLOCK
    fleet.cut_after = None
    result = fleet.fetch()
    assert result["bytes"] + so_far < backup.bytes + 20000
    assert fleet.sequences() == [1]
    assert not fleet.partial(backup).exists()


@pytest.mark.parametrize("damage", ["altered", "longer", "complete"])
def test_what_an_earlier_run_left_is_not_believed(fleet: Fleet, damage: str) -> None:
    backup = big_set(fleet)
    fleet.cut_after = 3
    fleet.fails("CONNECTION_FAILED")
    half = fleet.partial(backup, "database/1.dat")
    size = half.stat().st_size
    assert 0 < size < len(BIG)
    wanted = {"altered": size, "longer": len(BIG) + 1, "complete": len(BIG)}[damage]
    half.write_bytes(b"x" * wanted)
    fleet.cut_after = None
    fleet.fetch()
    assert fleet.sequences() == [1]


def test_a_partial_of_a_set_that_is_not_wanted_any_more_goes(fleet: Fleet) -> None:
    backup = big_set(fleet)
    fleet.cut_after = 3
    fleet.fails("CONNECTION_FAILED")
    fleet.cut_after = None
    write_set(fleet.host, sequence=2)
    fleet.fetch()
    assert fleet.sequences() == [2]
    assert not fleet.partial(backup).parent.exists()


def test_a_set_that_was_begun_under_another_manifest_is_begun_anew(fleet: Fleet) -> None:
    backup = big_set(fleet)
    fleet.cut_after = 3
    fleet.fails("CONNECTION_FAILED")
    shutil.rmtree(backup.path)
    other = write_set(fleet.host)
    assert other.id == backup.id
    fleet.cut_after = None
    fleet.fetch()
    (copy,) = fleet.copies()
    assert copy.manifest == other.manifest
    assert not Path(copy.path, "database/2.dat").exists()


# -- not what it should be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"PGDMP", b"PGDMX", b"PGDM", b"PGDMPX", None])
def test_an_altered_set_is_never_published_and_hides_no_other(fleet: Fleet, damage: Optional[bytes]) -> None:
    good = write_set(fleet.host, sequence=1, database="other")
    bad = write_set(fleet.host, sequence=2)
    target = Path(bad.path, "database/toc.dat")
    if damage is None:
        target.unlink()
    else:
        target.write_bytes(damage)
    if damage == b"PGDMP":  # as it was
        fleet.fetch()
        assert len(fleet.copies()) == 2
        return
    error = fleet.fails("BACKUP_NOT_FOUND" if damage is None else "CHECKSUM_MISMATCH")
    assert [item.id for item in fleet.copies()] == [good.id]
    (failed,) = error.result["failed_backups"]
    assert (failed["id"], failed["code"]) == (bad.id, error.code)
    assert error.result["changed"]


def forge(backup: BackupSet, **changes: Any) -> None:
    path = Path(backup.path, "manifest.json")
    path.write_text(json.dumps({**backup.manifest, **changes}), encoding="utf-8")


@pytest.mark.parametrize("path", ["../../../out", "/out", "database/../../../out", "manifest.json"])
def test_names_in_a_manifest_lead_nowhere_else(fleet: Fleet, path: str) -> None:
    backup = write_set(fleet.host)
    entries = [dict(backup.manifest["files"][0], path=path)]
    forge(backup, files=entries)
    fleet.fails("BACKUP_NOT_FOUND" if ".." in path or path[0] == "/" else "INVALID_BACKUP_FORMAT")
    assert not list(fleet.dest.rglob("out"))
    assert not list(fleet.dest.rglob("manifest.json"))


@pytest.mark.parametrize("name", ["../../evil", "/evil", ".."])
def test_names_of_instances_and_databases_become_folders_of_their_own(fleet: Fleet, name: str) -> None:
    forge(write_set(fleet.host), instance=name, database=name)
    fleet.fetch()
    (copy,) = fleet.copies()
    assert Path(copy.path).parents[2] == fleet.dest / "web 1"


def test_an_id_that_is_a_path_is_left_on_the_host(fleet: Fleet) -> None:
    forge(write_set(fleet.host), id="../../20261121T231500Z-4f1c")
    fleet.fails("BACKUP_NOT_FOUND")
    assert any("left there" in line for line in fleet.lines)


def test_a_manifest_that_changed_since_it_was_listed_is_refused(fleet: Fleet) -> None:
    backup = write_set(fleet.host)
    listed = backup.describe()
    forge(backup, database="another")
    with pytest.raises(BackupError, match="INVALID_BACKUP_FORMAT: .* says it is"):
        fetch(read_fetch_options({"dest": str(fleet.dest)}, "web 1"), [listed], RemoteFiles(by_shell),
              run=new_run("BACKUP_FAILED"), check=False, result={})
    assert fleet.copies() == []


def test_what_the_key_did_not_sign_is_not_brought(fleet: Fleet) -> None:
    signed = write_set(fleet.host, sequence=1, key=SigningKey(KEY))
    write_set(fleet.host, sequence=2)
    fleet.fails("SIGNATURE_INVALID", signing_key=KEY)  # latest is met and refused, never passed over
    fleet.fetch(backup="missing", signing_key=KEY)
    assert [item.id for item in fleet.copies()] == [signed.id]


def test_the_host_is_not_believed_about_the_signature(fleet: Fleet) -> None:
    backup = write_set(fleet.host)
    liar = dict(backup.describe(), signature_valid=True)
    options = read_fetch_options({"dest": str(fleet.dest), "signing_key": KEY}, "web 1")
    with pytest.raises(BackupError, match="SIGNATURE_INVALID: .*not signed"):
        fetch(options, [liar], RemoteFiles(by_shell), run=new_run("BACKUP_FAILED"), check=False, result={})
    assert fleet.copies() == []


def test_a_set_that_differs_from_its_copy_is_told(fleet: Fleet) -> None:
    backup = write_set(fleet.host)
    fleet.fetch()
    shutil.rmtree(backup.path)
    write_set(fleet.host, content={"database/toc.dat": b"other"})
    assert "one id and different content" in fleet.fails("CHECKSUM_MISMATCH").what


def test_what_is_in_the_way_is_not_replaced(fleet: Fleet) -> None:
    backup = write_set(fleet.host)
    fleet.fetch()
    (copy,) = fleet.copies()
    Path(copy.path, "manifest.json").write_text("{", encoding="utf-8")
    fleet.fails("INVALID_BACKUP_FORMAT", backup=backup.id)
    assert Path(copy.path, "database/toc.dat").exists()


# -- what is kept ---------------------------------------------------------------------------------------------------


def test_the_copies_have_a_retention_of_their_own(fleet: Fleet) -> None:
    for sequence in (1, 2):
        write_set(fleet.host, sequence=sequence)
    fleet.fetch(backup="missing")
    write_set(fleet.host, sequence=3)
    planned = fleet.fetch(check=True, retention={"keep_last": 2})
    assert len(planned["plan"][0]["prune"]) == 1
    result = fleet.fetch(retention={"keep_last": 2})
    assert fleet.sequences() == [2, 3]
    assert len(result["pruned"]) == 1


def test_what_the_retention_would_remove_is_not_brought(fleet: Fleet) -> None:
    for sequence in (1, 2, 3):
        write_set(fleet.host, sequence=sequence)
    for changed in (True, False):
        assert fleet.fetch(backup="missing", retention={"keep_last": 2})["changed"] is changed
        assert fleet.sequences() == [2, 3]


def test_nothing_goes_when_the_new_set_did_not_come(fleet: Fleet) -> None:
    for sequence in (1, 2):
        write_set(fleet.host, sequence=sequence)
    fleet.fetch(backup="missing")
    bad = write_set(fleet.host, sequence=3)
    Path(bad.path, "database/toc.dat").write_bytes(b"PGDMX")
    error = fleet.fails("CHECKSUM_MISMATCH", retention={"keep_last": 1})
    assert fleet.sequences() == [1, 2]
    assert not error.result["pruned"]


def test_two_runs_do_not_write_to_one_folder(fleet: Fleet) -> None:
    write_set(fleet.host)
    with database_lock(str(fleet.dest / "web 1" / "shop_db" / "shop"), timeout=0):
        assert fleet.fails("BACKUP_LOCKED").retryable
