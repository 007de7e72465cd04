# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures: of documents, of sets, of their verdicts, and what sets without a right one count for."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _catalog as catalog, _stored_set as stored
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_backup_options
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._freshness import fresh_set
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import to_json
from ansible_collections.pgfleet.backup.plugins.module_utils._restore_source import find_source
from ansible_collections.pgfleet.backup.plugins.module_utils._retention import RetentionPolicy, choose
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey, read_signing_key
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet
from ansible_collections.pgfleet.backup.tests.unit.manifests import FAILED, NOON, OK, UNTRIED, make_manifest, write_set
from hypothesis import given, strategies as st

SECRET = "correct horse battery staple"
KEY = SigningKey(SECRET)
OTHER = SigningKey("another key of the same length")
PROVEN = {"level": "restore", "result": "ok"}


def rewrite(backup: BackupSet, **changes: Any) -> None:
    """What somebody does who can write to the storage and has no key."""
    Path(backup.path, "manifest.json").write_bytes(to_json(dict(backup.manifest, **changes)))


def refusal(do: Callable[[], Any]) -> BackupError:
    with pytest.raises(BackupError) as caught:
        do()
    assert caught.value.code == "SIGNATURE_INVALID"
    return caught.value


# --- keys and documents


def test_a_key_tells_nothing_of_itself() -> None:
    assert KEY.id != OTHER.id
    assert repr(KEY) == "SigningKey({0})".format(KEY.id)
    assert SECRET not in "{0!r} {1}".format(BackupSet("/x", {}, key=KEY), read_backup_options(
        {"backup_dir": "/x", "format": "custom", "verify": "none", "signing_key": SECRET}))
    assert KEY.id == hmac.new(SECRET.encode(), b"pgfleet.backup signing key", hashlib.sha256).hexdigest()[:16]


@pytest.mark.parametrize("given_", [None, "", "   ", "\n"])
def test_a_blank_key_is_none(given_: Optional[str]) -> None:
    assert read_signing_key({"signing_key": given_}) is None
    assert read_signing_key({}) is None


@pytest.mark.parametrize("given_", ["tiny", "fifteen letters", "  fifteen letters   "])
def test_a_short_key_is_refused_and_not_repeated(given_: str) -> None:
    with pytest.raises(BackupError) as caught:
        read_signing_key({"signing_key": given_})
    assert caught.value.code == "INVALID_DB_CONFIG"
    assert "openssl rand" in caught.value.hint
    assert given_.strip() not in caught.value.what + caught.value.hint


@pytest.mark.parametrize("given_", ["sixteen letters!", "größer als sechzehn", "\udcff" * 16])
def test_the_blanks_around_a_key_are_not_part_of_it(given_: str) -> None:
    plain, wrapped = read_signing_key({"signing_key": given_}), read_signing_key({"signing_key": given_ + "\n"})
    assert plain is not None
    assert wrapped is not None
    assert plain.id == wrapped.id


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(
        st.characters(exclude_categories=()), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_a_document_is_vouched_for_as_it_is_read_back(document: Dict[str, Any]) -> None:
    document.pop("signature", None)
    document["signature"] = KEY.sign(document)
    read = json.loads(to_json(document).decode())
    assert KEY.fault(read, read["signature"]) == ""
    assert KEY.fault(dict(read, more=1), read["signature"]) == "it was altered after it was signed"
    assert "another key" in OTHER.fault(read, read["signature"])


@pytest.mark.parametrize(("signature", "words"), [
    (None, "not signed"),
    ("0" * 64, "cannot be understood"),
    ([], "cannot be understood"),
    ({}, "cannot be understood"),
    ({"algorithm": "none"}, "cannot be understood"),
    ({"algorithm": "none", "key_id": KEY.id, "value": ""}, "unknown kind"),
    ({"algorithm": "hmac-sha256", "key_id": "x", "value": ""}, "another key"),
    ({"algorithm": "hmac-sha256", "key_id": KEY.id, "value": ""}, "altered"),
    ({"algorithm": "hmac-sha256", "key_id": KEY.id, "value": "ü\ud800"}, "altered"),
    ({"algorithm": "hmac-sha256", "key_id": OTHER.id, "value": KEY.sign({})["value"]}, "another key"),
])
def test_what_is_no_signature_says_why(signature: Any, words: str) -> None:
    assert words in KEY.fault({}, signature)


def test_a_document_that_is_too_deep_is_only_refused() -> None:
    deep: Dict[str, Any] = {}
    for _level in range(100000):
        deep = {"a": deep}
    assert "too deeply" in KEY.fault(deep, KEY.sign({}))


# --- sets


def test_a_signed_set(tmp_path: Path) -> None:
    backup = write_set(tmp_path, key=KEY)
    assert (backup.fault, backup.verified, backup.describe()["signature_valid"]) == ("", True, True)
    assert backup.describe_signature().endswith("valid, by the key {0}".format(KEY.id))
    assert {entry["path"] for entry in backup.manifest["files"]} >= {"RESTORE.md"}
    stored.check_signature(backup)
    without = stored.read_set(backup.path)
    assert (without.verified, without.describe()["signature_valid"]) == (True, None)
    assert "NOT CHECKED" in without.describe_signature()
    content = Path(backup.path, "manifest.json").read_text()
    assert SECRET not in content


def test_spelling_is_not_altering(tmp_path: Path) -> None:
    backup = write_set(tmp_path, key=KEY)
    Path(backup.path, "manifest.json").write_text(json.dumps(backup.manifest, indent=7))
    assert stored.read_set(backup.path, KEY).fault == ""


@pytest.mark.parametrize("changes", [
    {"label": "x"}, {"sequence": 99}, {"database": "other"}, {"kind": "filtered"}, {"client_version": "17.12"},
    {"files": [{"path": "database/toc.dat", "size": 4, "sha256": "cd" * 32}]}, {"more": 1},
    {"verification": {"level": "restore", "result": "ok"}},
])
def test_an_altered_set(tmp_path: Path, changes: Dict[str, Any]) -> None:
    backup = write_set(tmp_path, key=KEY)
    rewrite(backup, **changes)
    read = stored.read_set(backup.path, KEY)
    assert (read.fault, read.verified) == ("it was altered after it was signed", False)
    assert backup.path in refusal(lambda: stored.check_signature(read)).what


def test_a_set_of_another_key_and_one_of_none(tmp_path: Path) -> None:
    others, unsigned = write_set(tmp_path, key=OTHER), write_set(tmp_path, sequence=2)
    assert "another key" in stored.read_set(others.path, KEY).fault
    assert stored.read_set(unsigned.path, KEY).fault == "it is not signed"


def test_a_set_under_the_name_of_another(tmp_path: Path) -> None:
    backup = write_set(tmp_path, key=KEY)
    copy = os.path.join(os.path.dirname(backup.path), "20991231T000000Z-aaaa")
    shutil.copytree(backup.path, copy)
    assert "was signed as the backup {0}".format(backup.id) in stored.read_set(copy, KEY).fault
    assert stored.read_set(backup.path + "/", KEY).fault == ""
    os.symlink(backup.path, str(tmp_path / "newest"))
    assert stored.read_set(str(tmp_path / "newest"), KEY).fault == ""


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"\xff", b"[" * 100000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"schema_version": 1}',
])
def test_with_a_key_what_cannot_be_read_may_have_been_altered(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    refusal(lambda: stored.read_set(str(tmp_path), KEY))


def test_a_signed_set_of_a_newer_version_is_not_called_altered(tmp_path: Path) -> None:
    backup = write_set(tmp_path, key=KEY)
    newer = dict(backup.manifest, schema_version=2)
    rewrite(backup, schema_version=2, signature=KEY.sign(newer))
    with pytest.raises(BackupError, match=r"INVALID_BACKUP_FORMAT.*newer version"):
        stored.read_set(backup.path, KEY)


# --- verdicts


def test_a_verdict_is_signed_where_the_set_is(tmp_path: Path) -> None:
    backup = write_set(tmp_path, key=KEY)
    stored.append_verdict(backup, PROVEN)
    assert stored.read_set(backup.path, KEY).level == "restore"
    assert stored.read_set(backup.path).level == "restore"


@pytest.mark.parametrize("key", [None, OTHER])
def test_with_a_key_other_verdicts_do_not_count_and_are_kept(tmp_path: Path, key: Optional[SigningKey]) -> None:
    backup = write_set(tmp_path, key=KEY)
    stored.append_verdict(stored.read_set(backup.path, key), FAILED)
    stored.append_verdict(backup, PROVEN)
    stored.append_verdict(stored.read_set(backup.path, key), FAILED)
    read = stored.read_set(backup.path, KEY)
    assert [item["level"] for item in read.verdicts] == ["restore"]
    assert read.verified
    assert len(stored.read_set(backup.path).verdicts) == 3


def test_a_verdict_of_one_set_proves_nothing_of_another(tmp_path: Path) -> None:
    first, second = write_set(tmp_path, key=KEY), write_set(tmp_path, sequence=2, key=KEY)
    stored.append_verdict(first, PROVEN)
    shutil.copy(os.path.join(first.path, "verification.json"), second.path)
    assert stored.read_set(second.path, KEY).level == "archive"


def test_an_altered_verdict_does_not_count(tmp_path: Path) -> None:
    backup = write_set(tmp_path, key=KEY)
    stored.append_verdict(backup, dict(PROVEN, result="failed"))
    path = Path(backup.path, "verification.json")
    path.write_text(path.read_text().replace("failed", "ok"))
    assert stored.read_set(backup.path, KEY).level == "archive"


def test_no_verdict_of_a_set_that_is_not_signed_counts(tmp_path: Path) -> None:
    unsigned = write_set(tmp_path, verification=UNTRIED)
    stored.append_verdict(stored.read_set(unsigned.path, KEY), OK)
    assert "signature" not in stored.read_set(unsigned.path).verdicts[0]
    assert stored.read_set(unsigned.path).verified
    assert not stored.read_set(unsigned.path, KEY).verified


# --- which set is meant


def find(folder: Path, backup: str, key: Optional[SigningKey] = KEY) -> str:
    return catalog.find_backup(str(folder), instance="shop_db", database="shop", backup=backup, key=key).path


def test_latest_passes_over_no_planted_set(tmp_path: Path) -> None:
    write_set(tmp_path, sequence=1)  # older than the key
    good = write_set(tmp_path, sequence=2, key=KEY)
    assert find(tmp_path, "latest") == good.path
    planted = write_set(tmp_path, sequence=3, status="suspicious")
    error = refusal(lambda: find(tmp_path, "latest"))
    assert planted.path in error.what
    assert good.id in error.hint
    assert find(tmp_path, good.id) == good.path
    refusal(lambda: find(tmp_path, planted.id))
    refusal(lambda: find(tmp_path, planted.path))
    assert find(tmp_path, "latest", key=None) == good.path


def test_a_set_that_was_altered_to_be_passed_over(tmp_path: Path) -> None:
    good, newest = (write_set(tmp_path, sequence=sequence, key=KEY) for sequence in (1, 2))
    rewrite(newest, verification=UNTRIED)
    assert newest.path in refusal(lambda: find(tmp_path, "latest")).what
    assert find(tmp_path, "latest", key=None) == good.path


def test_a_copy_does_not_stand_in_the_way_of_the_set_itself(tmp_path: Path) -> None:
    good = write_set(tmp_path, key=KEY)
    shutil.copytree(good.path, os.path.join(os.path.dirname(good.path), "20200101T000000Z-aaaa"))
    assert find(tmp_path, good.id) == good.path
    assert find(tmp_path, "latest", key=None)


def test_a_torn_set_that_was_asked_for_may_have_been_altered(tmp_path: Path) -> None:
    good = write_set(tmp_path, key=KEY)
    Path(good.path, "manifest.json").write_text("{")
    refusal(lambda: find(tmp_path, good.id))


@pytest.mark.parametrize("elsewhere", [{"database": "other"}, {"instance": "other_db"}])
def test_a_set_of_another_database_in_the_place_of_one(tmp_path: Path, elsewhere: Dict[str, Any]) -> None:
    mine, other = write_set(tmp_path, key=KEY), write_set(tmp_path, sequence=9, key=KEY, **elsewhere)
    place = os.path.join(os.path.dirname(mine.path), other.id)
    os.rename(other.path, place)
    assert find(tmp_path, "latest") == mine.path
    assert next(iter(elsewhere.values())) in refusal(lambda: find(tmp_path, place)).what
    with pytest.raises(BackupError, match="BACKUP_NOT_FOUND"):
        find(tmp_path, other.id)
    assert find(tmp_path, place, key=None) == place


def test_a_set_by_its_path_from_anywhere(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    good = write_set(backups, key=KEY)
    os.symlink("shop_db", str(backups / "alias"))
    assert find(backups, good.path)
    assert find(backups, good.path.replace("shop_db", "alias"))
    carried = str(tmp_path / good.id)
    os.rename(good.path, carried)
    assert find(backups, carried) == carried
    renamed = str(tmp_path / "renamed")
    os.rename(carried, renamed)
    assert good.id in refusal(lambda: find(backups, renamed)).what


def source(folder: Path, backup: str) -> Any:
    return find_source(backup, backup_dir=str(folder), instance="shop_db", database="shop", key=KEY)


def test_no_foreign_dump_is_opened(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"no dump of any kind")
    (tmp_path / "folder").mkdir()
    for name in ("dump", "folder"):
        error = refusal(lambda name=name: source(tmp_path, str(tmp_path / name)))  # type: ignore[misc]
        assert "not a backup set" in error.what
    with pytest.raises(BackupError, match="BACKUP_NOT_FOUND"):
        source(tmp_path, str(tmp_path / "nothing"))


def test_signature_comes_before_checksums_and_checksums_before_the_dump(tmp_path: Path) -> None:
    backup = write_set(tmp_path, key=KEY)
    dump = Path(backup.path, "database", "toc.dat")
    dump.write_bytes(b"PGDMX")
    with pytest.raises(BackupError, match="CHECKSUM_MISMATCH"):
        source(tmp_path, backup.path)
    rewrite(backup, label="x")
    refusal(lambda: source(tmp_path, backup.path))


# --- what counts


def test_retention_leaves_alone_what_the_key_did_not_sign(tmp_path: Path) -> None:
    """Neither do planted sets push out good ones, nor does a new key empty the shelf."""
    for sequence in (1, 2):
        write_set(tmp_path, sequence=sequence)
    signed = [write_set(tmp_path, sequence=sequence, key=KEY) for sequence in (3, 4, 5)]
    for sequence in (6, 7):
        write_set(tmp_path, sequence=sequence)
    sets, _problems = catalog.sets_in(os.path.dirname(signed[0].path), KEY)
    keep, remove = choose(sets, RetentionPolicy(keep_last=2), NOON)
    assert [item.path for item in remove] == [signed[0].path]
    reasons = {item.sequence: why for item, why in keep}
    assert {sequence for sequence, why in reasons.items() if why == ["not signed by this key"]} == {1, 2, 6, 7}
    without, _problems = catalog.sets_in(os.path.dirname(signed[0].path))
    assert {item.sequence for item in choose(without, RetentionPolicy(keep_last=2), NOON)[1]} == {1, 2, 3, 4, 5}


def test_copies_of_a_signed_set_do_not_push_out_others(tmp_path: Path) -> None:
    older, newest = (write_set(tmp_path, sequence=sequence, key=KEY) for sequence in (1, 2))
    for index in range(3):
        shutil.copytree(newest.path, os.path.join(os.path.dirname(newest.path), "2099010{0}T000000Z-aaaa".format(index + 1)))
    sets, _problems = catalog.sets_in(os.path.dirname(older.path), KEY)
    assert choose(sets, RetentionPolicy(keep_last=2), NOON)[1] == []


def test_a_planted_set_is_not_fresh(tmp_path: Path) -> None:
    options = read_backup_options({"backup_dir": "/x", "format": "custom", "verify": "archive", "max_age": "90d"})
    planted, signed = write_set(tmp_path), write_set(tmp_path, sequence=2, key=KEY)

    def fresh(backup: BackupSet, database: str = "shop") -> bool:
        now = backup.created + timedelta(hours=1)
        return fresh_set([backup], options, now, instance="shop_db", database=database) is backup

    assert fresh(planted)
    assert not fresh(stored.read_set(planted.path, KEY))
    assert fresh(signed)
    assert not fresh(signed, database="other")


def test_a_manifest_is_signed_with_its_files(tmp_path: Path) -> None:
    backup = write_set(tmp_path, key=KEY)
    assert make_manifest()["files"] != backup.manifest["files"]
    assert KEY.sign(dict(backup.manifest, files=[])) != backup.manifest["signature"]
