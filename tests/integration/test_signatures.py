# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed backups: what was not signed by the key is refused before anything of it is opened, and counts for nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.support.local import Local, tree
from ansible_collections.pgfleet.backup.tests.support.modules import run_module

KEY = "a signing key of the tests"
OTHER = "another signing key of theirs"


def _manifest(folder: str | Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))
    return content


def _rewrite(folder: str | Path, **changes: Any) -> None:
    Path(folder, "manifest.json").write_text(json.dumps({**_manifest(folder), **changes}), encoding="utf-8")


def _forge(folder: str | Path) -> None:
    """Other rows in a plain dump, with the checksum made right: what only a signature can tell."""
    dump = Path(folder, "database.sql")
    content = dump.read_bytes().replace(b"\n3\n", b"\n4\n")
    dump.write_bytes(content)
    files = _manifest(folder)["files"]
    for file in files:
        if file["path"] == dump.name:
            file.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    _rewrite(folder, files=files)


def _refused(local: Local, **options: Any) -> dict[str, Any]:
    """A restore that must be refused: no tool was given anything of the set, nothing was made, nothing was changed."""
    before, databases = tree(local.backup_dir), local.databases()
    done = local.restore(**{"signing_key": KEY, "strategy": "create", "target_database": "copy", **options})
    result = done.failed_with("SIGNATURE_INVALID")
    assert not done.changed
    assert "pg_restore" not in "\n".join(result["log"])
    assert (tree(local.backup_dir), local.databases()) == (before, databases)
    return result


# -- restoring ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["directory", "custom", "plain", "tar"])
def test_a_signed_backup_restores_with_its_key(local: Local, database: str, format_: str) -> None:
    entry = local.back_up(database, format=format_, signing_key=KEY)
    assert (entry["verified"], entry["signature_valid"]) == (True, True)
    assert entry["signature"] == _manifest(entry["path"])["signature"]
    assert entry["signature"]["algorithm"] == "hmac-sha256"
    signed = {file["path"] for file in entry["files"]}
    found = {str(path.relative_to(entry["path"])) for path in Path(entry["path"]).rglob("*") if path.is_file()}
    assert found - signed == {"manifest.json"}
    result = local.restore(database=database, strategy="create", target_database="copy", signing_key=KEY).succeeded()
    assert f"Signature of {entry['path']}: valid" in "\n".join(result["log"])
    assert differences(local.look(database), local.look("copy")) == []


def test_without_the_key_it_is_restored_and_the_log_says_so(local: Local, database: str) -> None:
    local.back_up(database, signing_key=KEY)
    for blank in ({}, {"signing_key": ""}, {"signing_key": "  "}):
        result = local.restore(database=database, strategy="drill", **blank).succeeded()
        assert "NOT CHECKED" in "\n".join(result["log"])
    local.back_up(database)
    result = local.restore(database=database, strategy="drill").succeeded()
    assert "is not signed" in "\n".join(result["log"])


def test_a_forged_backup_is_believed_without_a_key_and_refused_with_it(local: Local, database: str) -> None:
    entry = local.back_up(database, format="plain", compression="none", signing_key=KEY)
    _forge(entry["path"])
    assert "altered" in _refused(local, database=database)["msg"]
    local.restore(database=database, strategy="create", target_database="copy").succeeded()
    assert local.server.sql("copy", "SELECT max(n) FROM t") == ["4"]


def test_an_unsigned_backup_and_one_of_another_key(local: Local, database: str) -> None:
    good = local.back_up(database, signing_key=KEY)
    for options, words in (({}, "it is not signed"), ({"signing_key": OTHER}, "another key")):
        entry = local.back_up(database, **options)
        for backup in ("latest", entry["id"], entry["path"]):
            result = _refused(local, database=database, backup=backup)
            assert words in result["msg"]
            assert entry["path"] in result["msg"]
        assert good["id"] in _refused(local, database=database)["hint"]
    local.restore(database=database, backup=good["id"], strategy="drill", signing_key=KEY).succeeded()


def test_the_signature_comes_before_all_the_rest(local: Local, database: str) -> None:
    """Every file of it is damaged, and its manifest makes no sense: still it is the signature that is told."""
    folder = Path(local.back_up(database, signing_key=KEY)["path"])
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            path.write_bytes(b"PGDMP\0\0\0")
    (folder / "verification.json").write_text("{")
    _rewrite(folder, kind="globals", format="unknown")
    _refused(local, database=database, backup=str(folder))
    _rewrite(folder, files=[{"path": "/etc/shadow", "size": 1, "sha256": ""}])
    _refused(local, database=database, backup=str(folder))
    (folder / "manifest.json").write_text("{")
    _refused(local, database=database, backup=str(folder))
    _refused(local, database=database, backup=folder.name)
    (folder / "manifest.json").unlink()
    _refused(local, database=database, backup=str(folder))


def test_with_the_right_signature_the_files_come_next(local: Local, database: str) -> None:
    folder = Path(local.back_up(database, signing_key=KEY)["path"])
    page = folder / "RESTORE.md"
    before = page.read_bytes()
    page.write_bytes(before.replace(b"pg_restore", b"curl evil"))
    for name in ("RESTORE.md", "globals.sql"):
        result = local.restore(database=database, strategy="drill", signing_key=KEY).failed_with("CHECKSUM_MISMATCH")
        assert name in result["msg"]
        page.write_bytes(before)
        (folder / "globals.sql").write_text("DROP TABLE t;")


def test_roles_that_were_planted_are_not_created(local: Local, database: str) -> None:
    folder = Path(local.back_up(database, include_globals="none", signing_key=KEY)["path"])
    (folder / "globals.sql").write_text("CREATE ROLE intruder SUPERUSER;")
    result = local.restore(database=database, strategy="create", target_database="copy", signing_key=KEY,
                           create_missing_roles=True).failed_with("CHECKSUM_MISMATCH")
    assert "globals.sql is not part of the backup" in result["msg"]
    assert local.server.sql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'intruder'") == ["0"]


def test_a_signed_backup_of_another_database_is_not_taken_for_this_one(local: Local, database: str) -> None:
    other = local.create("other", "CREATE TABLE secrets (n int)")
    mine, theirs = local.back_up(database, signing_key=KEY), local.back_up(other, signing_key=KEY)
    place = Path(mine["path"]).parent / theirs["id"]
    shutil.move(theirs["path"], place)
    assert f"one of database {other}" in _refused(local, database=database, backup=str(place))["msg"]
    restored = local.restore(database=database, strategy="drill", signing_key=KEY).succeeded()
    assert restored["restore"]["backup"]["id"] == mine["id"]
    local.restore(database=database, backup=theirs["id"], strategy="drill", signing_key=KEY).failed_with("BACKUP_NOT_FOUND")
    # The name of the newer one, with the content of the older.
    shutil.rmtree(place)
    shutil.copytree(mine["path"], place)
    assert f"as the backup {mine['id']}" in _refused(local, database=database, backup=str(place))["msg"]


def test_a_foreign_dump_is_refused(local: Local, database: str, tmp_path: Path) -> None:
    dump = tmp_path / "foreign.dump"
    shutil.copy(Path(local.back_up(database, format="custom")["path"]) / "database.dump", dump)
    assert "no signature" in _refused(local, database=database, backup=str(dump))["msg"]
    local.restore(database=database, backup=str(dump), strategy="drill").succeeded()


@pytest.mark.parametrize("module", ["pg_backup", "pg_restore", "pg_backup_info"])
def test_a_key_that_could_be_guessed_is_refused(local: Local, database: str, module: str) -> None:
    result = local.run(module, local.options(database=database, signing_key="fifteen letters")).failed_with("INVALID_DB_CONFIG")
    assert "openssl rand" in result["hint"]
    assert not local.backup_dir.exists()


# -- verdicts -------------------------------------------------------------------------------------------------------


def _levels(local: Local, **options: Any) -> dict[str, str]:
    """For each set, whether ``max_age`` takes it for restored: what a level counts for."""
    plan = local.backup(check=True, verify="restore", max_age="1d", **options).succeeded()["plan"]
    return {item["database"]: item["fresh"] for item in plan["databases"]}


def test_the_verdict_of_a_drill_is_signed(local: Local, database: str) -> None:
    entry = local.back_up(database, signing_key=KEY)
    assert _levels(local, database=database, signing_key=KEY) == {database: None}
    local.restore(database=database, strategy="drill").succeeded()
    assert _levels(local, database=database) == {database: entry["id"]}
    assert _levels(local, database=database, signing_key=KEY) == {database: None}
    local.restore(database=database, strategy="drill", signing_key=KEY).succeeded()
    assert _levels(local, database=database, signing_key=KEY) == {database: entry["id"]}
    verdicts = json.loads(Path(entry["path"], "verification.json").read_text())
    assert ["signature" in verdict for verdict in verdicts] == [False, True]


def test_a_backup_that_restores_itself_signs_its_verdict(local: Local, database: str) -> None:
    entry = local.back_up(database, verify="restore", signing_key=KEY)
    assert _levels(local, database=database, signing_key=KEY) == {database: entry["id"]}
    again = local.backup(database=database, verify="restore", max_age="1d", signing_key=KEY).succeeded()
    assert (again["backups"][0]["status"], again["backups"][0]["id"]) == ("fresh", entry["id"])


def test_the_safety_backup_is_signed(local: Local, database: str) -> None:
    local.back_up(database, signing_key=KEY)
    done = local.restore(database=database, strategy="in_place", confirm=database, signing_key=KEY).succeeded()
    safety = done["safety_backup"]
    assert _manifest(safety)["kind"] == "safety"
    local.restore(database=database, backup=safety, strategy="drill", signing_key=KEY).succeeded()


# -- looking and keeping --------------------------------------------------------------------------------------------


def test_info_says_which_sets_the_key_signed(local: Local, database: str) -> None:
    good, bad, unsigned = (local.back_up(database, signing_key=key) for key in (KEY, KEY, ""))
    _rewrite(bad["path"], label="x")
    result = local.info(signing_key=KEY).succeeded()
    found = {item["id"]: (item["signature_valid"], item["verified"]) for item in result["backups"]}
    assert found == {good["id"]: (True, True), bad["id"]: (False, False), unsigned["id"]: (False, False)}
    assert "2 of 3 backups" in "\n".join(result["log"])
    again = local.info(signing_key=KEY, verify="archive").succeeded()
    codes = {item["id"]: item["reverified"]["code"] for item in again["backups"]}
    assert codes == {good["id"]: None, bad["id"]: "SIGNATURE_INVALID", unsigned["id"]: "SIGNATURE_INVALID"}
    without = local.info().succeeded()
    assert {item["signature_valid"] for item in without["backups"]} == {None}
    assert all(item["verified"] for item in without["backups"])


def test_a_new_key_does_not_empty_the_shelf(local: Local, database: str) -> None:
    old = [local.back_up(database)["path"] for _time in range(2)]
    signed = [local.backup(database=database, signing_key=KEY, retention={"keep_last": 1}).succeeded() for _time in range(2)]
    assert all(os.path.isdir(path) for path in old)
    assert signed[1]["pruned"] == [signed[0]["backups"][0]["path"]]
    assert "Retention leaves alone 2 backups" in "\n".join(signed[1]["log"])


def test_globals_of_the_cluster_are_signed(local: Local) -> None:
    result = local.backup(all_databases=True, exclude_databases=local.databases(), signing_key=KEY).succeeded()
    [found] = result["backups"]
    assert (found["kind"], found["signature_valid"]) == ("globals", True)
    assert _check_by_hand(found["path"], KEY).startswith("Valid: backup " + found["id"])


# -- by hand --------------------------------------------------------------------------------------------------------


def _script(text: str) -> str:
    """The one block of shell in ``text`` that checks a signature."""
    [script] = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "hmac" in block]
    return str(script)


def _check_by_hand(folder: str, key: str, script: str = "") -> str:
    """What the commands of RESTORE.md, or ``script``, say."""
    file = Path(folder).parent / "signing.key"
    file.write_text(key + "\n", encoding="utf-8")
    done = subprocess.run(
        ["sh", "-e", "-c", script or _script(Path(folder, "RESTORE.md").read_text(encoding="utf-8"))], cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "SIGNING_KEY_FILE": str(file)},
        capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_signature_can_be_checked_by_hand(local: Local, database: str) -> None:
    folder = local.back_up(database, signing_key=KEY + " größer")["path"]
    assert _check_by_hand(folder, KEY + " größer").startswith(f"Valid: backup {Path(folder).name} of database {database} ")
    assert _check_by_hand(folder, OTHER) == "SIGNATURE INVALID\n"
    _rewrite(folder, label="x")
    assert _check_by_hand(folder, KEY + " größer") == "SIGNATURE INVALID\n"


def test_altered_files_are_found_by_hand(local: Local, database: str) -> None:
    folder = local.back_up(database, format="custom", signing_key=KEY)["path"]
    with Path(folder, "database.dump").open("ab") as file:
        file.write(b"x")
    assert _check_by_hand(folder, KEY) == "ALTERED: database.dump\n"
    _rewrite(folder, signature=None)
    assert _check_by_hand(folder, KEY) == "NOT SIGNED\n"


def test_the_documentation_has_the_same_commands(local: Local, database: str) -> None:
    folder = local.back_up(database, signing_key=KEY)["path"]
    documented = _script((REPOSITORY / "docs" / "backup-set.md").read_text(encoding="utf-8"))
    assert documented == _script(Path(folder, "RESTORE.md").read_text(encoding="utf-8"))
    assert "hmac" not in Path(local.back_up(database)["path"], "RESTORE.md").read_text(encoding="utf-8")


# -- in a container -------------------------------------------------------------------------------------------------


def test_a_container_s_backup_is_signed_alike(
    postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    server = postgres_container(database="shop")
    server.sql("shop", "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2), (3)")
    options = {"container": server.name, "database": "shop", "backup_dir": backup_dir, "signing_key": KEY}
    entry = run_module("pg_backup", {**options, "verify": "restore"}).succeeded()["backups"][0]
    assert entry["signature_valid"] is True
    run_module("pg_restore", {**options, "confirm": "shop"}).succeeded()
    _rewrite(entry["path"], label="x")
    failed = run_module("pg_restore", {**options, "confirm": "shop"}).failed_with("SIGNATURE_INVALID")
    assert "pg_restore" not in "\n".join(failed["log"])
