# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, List, Tuple

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _catalog as catalog, _layout as layout
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, read_set
from ansible_collections.pgfleet.backup.tests.unit.manifests import UNTRIED, make_set, write_set

# --- finding


def test_sets_are_found_in_order(tmp_path: Path) -> None:
    made = [
        write_set(tmp_path, instance=instance, database=database, sequence=sequence, created=created)
        for instance, database, sequence, created in [
            ("b", "x", 1, "2026-01-01T00:00:00Z"),
            ("a", "x", 10, "2026-01-01T00:00:00Z"),
            ("a", "x", 9, "2026-01-02T00:00:00Z"),
            ("a", "w/ö", 1, "2026-01-02T00:00:00Z"),
        ]
    ]
    sets, problems = catalog.find_sets(str(tmp_path))
    assert [item.path for item in sets] == [made[3].path, made[2].path, made[1].path, made[0].path]
    assert problems == []

    def found(**chosen: Any) -> List[Tuple[str, str, int]]:
        return [(item.instance, item.database, item.sequence) for item in catalog.find_sets(str(tmp_path), **chosen)[0]]

    assert found(instance="b") == [("b", "x", 1)]
    assert found(database="x") == [("a", "x", 9), ("a", "x", 10), ("b", "x", 1)]
    assert found(instance="a", database="w/ö") == [("a", "w/ö", 1)]
    assert found(instance="a", database="nothing") == []


def test_nothing_is_found_in_no_folder(tmp_path: Path) -> None:
    assert catalog.find_sets(str(tmp_path / "missing")) == ([], [])


def test_the_manifest_is_right_and_the_folder_is_not(tmp_path: Path) -> None:
    backup = write_set(tmp_path, instance="old", database="shop")
    os.makedirs(str(tmp_path / "new"))
    os.rename(os.path.dirname(backup.path), str(tmp_path / "new" / "store"))
    os.rename(str(tmp_path / "new" / "store" / backup.id), str(tmp_path / "new" / "store" / "monday"))
    sets, problems = catalog.find_sets(str(tmp_path), instance="old", database="shop")
    assert [item.path for item in sets] == [str(tmp_path / "new" / "store" / "monday")]
    assert problems == []
    assert catalog.find_sets(str(tmp_path), instance="new")[0] == []


def test_what_is_no_set_is_passed_over_and_what_is_a_broken_one_is_told(tmp_path: Path) -> None:
    good = write_set(tmp_path)
    parent = os.path.dirname(good.path)
    for name in (".partial-20261121T231500Z-4f1c", ".removing-x"):
        shutil.copytree(good.path, os.path.join(parent, name))
    os.makedirs(os.path.join(parent, "notes"))
    os.makedirs(str(tmp_path / ".slots" / "x" / "20261121T231500Z-4f1c"))
    os.makedirs(str(tmp_path / "lost+found" / "x" / "20261121T231500Z-4f1c"))
    (tmp_path / "README").write_text("")
    empty = os.path.join(parent, "20261121T231500Z-4f1c")
    os.makedirs(empty)
    torn = os.path.join(parent, "torn")
    os.makedirs(torn)
    with open(os.path.join(torn, "manifest.json"), "w") as file:
        file.write("{")
    sets, problems = catalog.find_sets(str(tmp_path))
    assert [item.path for item in sets] == [good.path]
    assert [problem["path"] for problem in problems] == [empty, torn]
    assert all(problem["path"] in problem["msg"] for problem in problems)


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sets, problems = catalog.find_sets(str(tmp_path / "file"))
    assert (sets, [problem["path"] for problem in problems]) == ([], [str(tmp_path / "file")])


def test_links_beside_what_they_lead_to_make_no_second_set(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    os.symlink("shop_db", str(tmp_path / "alias"))
    os.symlink(backup.id, os.path.join(os.path.dirname(backup.path), "20991231T000000Z-aaaa"))
    assert len(catalog.find_sets(str(tmp_path))[0]) == 1


def test_an_instance_may_lie_on_another_disk(tmp_path: Path) -> None:
    write_set(tmp_path / "disk2")
    (tmp_path / "backups").mkdir()
    os.symlink(str(tmp_path / "disk2" / "shop_db"), str(tmp_path / "backups" / "shop_db"))
    assert len(catalog.find_sets(str(tmp_path / "backups"))[0]) == 1


def test_a_set_that_retention_takes_away_meanwhile_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = write_set(tmp_path)

    def too_late(path: str, _key: None) -> BackupSet:
        shutil.rmtree(path)
        return read_set(path)

    monkeypatch.setattr(catalog, "read_set", too_late)
    assert catalog.sets_in(os.path.dirname(backup.path)) == ([], [])


# --- choosing


def test_latest_goes_by_sequence_among_verified_full_sets() -> None:
    sets = [
        make_set(sequence=3, created="2020-01-01T00:00:00Z"),
        make_set(sequence=2, created="2026-01-01T00:00:00Z"),
        make_set(sequence=4, kind="filtered"),
        make_set(sequence=5, verification=UNTRIED),
        make_set(sequence=6, status="suspicious"),
    ]
    assert catalog.latest(sets) is sets[0]
    assert catalog.newest_verified(sets) is sets[2]
    assert catalog.latest(sets[2:]) is None
    assert catalog.newest_verified([]) is None
    assert catalog.next_sequence(sets) == 7
    assert catalog.next_sequence([]) == 1


def test_a_backup_is_found_by_word_id_and_path(tmp_path: Path) -> None:
    first = write_set(tmp_path, sequence=1)
    second = write_set(tmp_path, sequence=2)
    third = write_set(tmp_path, sequence=3, kind="filtered", verification=UNTRIED)
    write_set(tmp_path, sequence=9, database="other")
    write_set(tmp_path, sequence=8, instance="other")

    def find(backup: str) -> str:
        return catalog.find_backup(str(tmp_path), instance="shop_db", database="shop", backup=backup).path

    assert find("latest") == second.path
    assert find(first.id) == first.path
    assert find(third.id) == third.path
    assert find(first.path) == first.path
    moved = str(tmp_path / "moved")
    os.rename(first.path, moved)
    assert find(moved) == moved


def test_what_is_not_found_comes_with_what_there_is(tmp_path: Path) -> None:
    doubtful = write_set(tmp_path, database="shop", verification=UNTRIED)
    others = [write_set(tmp_path, instance="an_other", database="crm", sequence=sequence) for sequence in range(1, 8)]
    with pytest.raises(BackupError) as caught:
        catalog.find_backup(str(tmp_path), instance="shop_db", database="shop", backup="latest")
    assert caught.value.code == "BACKUP_NOT_FOUND"
    what = caught.value.what
    assert "shop_db / shop: {0} (full, not verified); an_other / crm: {1} (full),".format(
        doubtful.id, others[-1].id
    ) in what
    assert others[2].id in what
    assert others[1].id not in what
    assert "and 2 more" in what


@pytest.mark.parametrize("backup", ["latest", "20200101T000000Z-0000", "/no/where", "no"])
def test_nothing_there_at_all(tmp_path: Path, backup: str) -> None:
    with pytest.raises(BackupError) as caught:
        catalog.find_backup(str(tmp_path), instance="shop_db", database="shop", backup=backup)
    assert caught.value.code == "BACKUP_NOT_FOUND"
    assert "/no/where" in caught.value.what or "no backups at all" in caught.value.what


def test_a_broken_set_that_was_asked_for_is_called_broken(tmp_path: Path) -> None:
    backup = write_set(tmp_path)
    os.unlink(os.path.join(backup.path, "manifest.json"))
    for name in (backup.id, backup.path):
        with pytest.raises(BackupError, match="INVALID_BACKUP_FORMAT"):
            catalog.find_backup(str(tmp_path), instance="shop_db", database="shop", backup=name)


# --- whose folder it is


def test_a_folder_of_another_machine(tmp_path: Path) -> None:
    write_set(tmp_path, instance="a/b", database="shop", machine_id="m1", hostname="web7")
    write_set(tmp_path, instance="mine", database="shop", machine_id="m2")
    write_set(tmp_path, instance="unknown", database="shop", machine_id=None)
    for machine_id in ("m1", None, ""):
        catalog.check_owner(str(tmp_path), "a/b", machine_id)
    for instance in ("mine", "unknown", "not there"):
        catalog.check_owner(str(tmp_path), instance, "m2")
    with pytest.raises(BackupError) as caught:
        catalog.check_owner(str(tmp_path), "a/b", "m2")
    assert caught.value.code == "INSTANCE_CONFLICT"
    assert layout.instance_dir(str(tmp_path), "a/b") in caught.value.what
    assert "web7" in caught.value.what


def test_one_manifest_of_each_database_is_asked_and_a_broken_one_says_nothing(tmp_path: Path) -> None:
    write_set(tmp_path, sequence=1, machine_id="m1")
    newest = write_set(tmp_path, sequence=2, machine_id="m2")
    catalog.check_owner(str(tmp_path), "shop_db", "m2")
    os.unlink(os.path.join(newest.path, "manifest.json"))
    catalog.check_owner(str(tmp_path), "shop_db", "m2")
    write_set(tmp_path, database="zoo", machine_id="m1")
    with pytest.raises(BackupError, match="INSTANCE_CONFLICT"):
        catalog.check_owner(str(tmp_path), "shop_db", "m2")
