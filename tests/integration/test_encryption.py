# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted sets: nothing of them can be read without the key, and with it everything comes back."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.support.local import Local, tree
from ansible_collections.pgfleet.backup.tests.support.modules import run_module

pytestmark = pytest.mark.skipif(not shutil.which("age"), reason="needs the program age")

AGE = b"age-encryption.org/v1\n"
NEEDLES = (b"needle in a row", b"needle in a setting", b"needle in a comment", b"needle_role", b"SCRAM-SHA-256")


class Key(NamedTuple):
    public: str
    file: Path


def make_key(folder: Path) -> Key:
    file = folder / "identity.txt"
    subprocess.run(["age-keygen", "-o", str(file)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(file)], check=True, capture_output=True, text=True).stdout
    return Key(public.strip(), file)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return make_key(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[EmbeddedServer]:
    """Another server, to restore to by hand."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def secret(local: Local, role: Callable[..., str]) -> Iterator[str]:
    """A database in which everything that could be told of it holds a needle."""
    owner = "needle_role"
    local.server.sql("postgres", f"DROP ROLE IF EXISTS {owner}; CREATE ROLE {owner} LOGIN PASSWORD 'needle in a password'")
    name = local.create("sealed", f"""
        CREATE TABLE t AS SELECT n, 'needle in a row ' || n AS body FROM generate_series(1, 3000) n;
        ALTER TABLE t OWNER TO {owner};
        ALTER DATABASE sealed SET app.jwt_secret = 'needle in a setting';
        COMMENT ON DATABASE sealed IS 'needle in a comment'""")
    del role
    yield name
    local.server.sql("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    local.server.sql("postgres", f"DROP ROLE {owner}")


def readable(folder: Path, *, told: tuple[bytes, ...] = ()) -> list[bytes]:
    """The needles that can be read anywhere below the folder."""
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return [needle for needle in NEEDLES if needle in content and needle not in told]


def follow(folder: Path, server: EmbeddedServer, key: Key) -> None:
    """Do what RESTORE.md says, with nothing but age and the server's client tools."""
    page = (folder / "RESTORE.md").read_text(encoding="utf-8")
    assert key.public in page
    env = {"PATH": server.path("/usr/bin:/bin"), "PGHOST": str(server.socket_dir), "PGPORT": str(server.port),
           "PGUSER": server.user, "IDENTITY_FILE": str(key.file)}
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        done = subprocess.run(["sh", "-e", "-c", block], cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(("format_", "dump"), [("directory", "database.dump"), ("plain", "database.sql.gz")])
def test_nothing_can_be_read_and_everything_comes_back(
    local: Local, elsewhere: EmbeddedServer, secret: str, key: Key, format_: str, dump: str
) -> None:
    before = local.look(secret)
    done = local.backup(database=secret, encryption_recipients=[key.public], format=format_).succeeded()
    [made] = done["backups"]
    folder = Path(made["path"])
    sealed = {f"{name}.age" for name in (dump, "globals.sql", "properties.json", "properties.sql")}
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "RESTORE.md", *sealed}
    assert all((folder / name).read_bytes().startswith(AGE) for name in sealed)
    assert readable(local.backup_dir, told=(b"needle_role",)) == [], "roles are named in the manifest, which says what is needed"
    assert [line for line in done["log"] if " pg_dump" in line and " -f " in line] == [], "it was streamed"
    # The proof of the archive needs no key.
    assert (made["verified"], made["level"], made["fingerprint"]["tables"]) == (True, "archive", {"public.t": 3000})
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    jsonschema.validate(manifest, json.loads((REPOSITORY / "docs/schemas/manifest-1.json").read_text(encoding="utf-8")))
    assert manifest["encryption"] == {"method": "age", "recipients": [key.public]}

    elsewhere.sql("postgres", f"DROP DATABASE IF EXISTS {secret}")
    follow(folder, elsewhere, key)
    assert differences(before, snapshot(functools.partial(elsewhere.sql, secret))) == []

    local.server.sql(secret, "DELETE FROM t")
    local.server.sql("postgres", f"ALTER DATABASE {secret} RESET ALL")
    restored = local.restore(database=secret, confirm=secret, keep_previous=0, identity_file=str(key.file)).succeeded()
    assert restored["restore"]["verification"]["rows"] == 3000
    assert differences(before, local.look(secret)) == []


def test_a_set_proves_itself_where_the_key_is(local: Local, secret: str, key: Key, other: Key) -> None:
    keys = {"encryption_recipients": [other.public, key.public], "identity_file": str(key.file)}
    done = local.backup(database=secret, verify="restore", **keys).succeeded()
    assert "The encrypted dump was decrypted and compared with what pg_dump wrote" in done["log"]
    assert done["backups"][0]["level"] == "restore"
    # A set in the clear is not what is asked for, however young it is.
    clear = local.back_up(secret)
    planned = [local.backup(database=secret, max_age="1h", check=True, **more).succeeded()["plan"]["databases"][0]["fresh"]
               for more in ({}, {"encryption_recipients": [key.public], "verify": "archive"})]
    assert planned == [clear["id"], done["backups"][0]["id"]]
    looked = local.info(verify="archive").succeeded()
    assert [item["reverified"]["level"] for item in looked["backups"]] == ["checksum", "archive"]
    assert "1 of 2 backups are encrypted" in str(looked["warnings"])
    looked = local.info(verify="archive", identity_file=str(other.file)).succeeded()
    assert [item["reverified"] for item in looked["backups"]] == [
        {"level": "archive", "result": "ok", "code": None, "msg": None}] * 2


def test_it_fails_before_anything_is_written(local: Local, database: str, key: Key, other: Key) -> None:
    wish = {"database": database, "encryption_recipients": [key.public]}
    wrong = local.backup(**wish, identity_file=str(other.file)).failed_with("ENCRYPTION_UNAVAILABLE")
    assert "cannot be decrypted" in wrong["msg"]
    missing = local.backup(**wish, env={"PATH": str(local.server.bin_dir)}).failed_with("ENCRYPTION_UNAVAILABLE")
    assert "no age program" in missing["msg"]
    assert not local.backup_dir.exists()


def test_what_breaks_off_leaves_nothing(
    local: Local, secret: str, key: Key, tmp_path: Path, role: Callable[..., str]
) -> None:
    """The dump, the encryption and the proof run at the same time; whichever fails ends the others."""
    wish = {"database": secret, "encryption_recipients": [key.public], "compression": "none"}

    def with_age_that(does: str) -> dict[str, str]:
        age = tmp_path / "bin/age"
        age.parent.mkdir(exist_ok=True)
        age.write_text(f"#!/bin/sh\nhead -c 20000 | {shutil.which('age')} \"$@\"\n{does}\n", encoding="utf-8")
        age.chmod(0o755)
        return {"PATH": f"{age.parent}:{local.server.path()}"}

    told = local.backup(**wish, env=with_age_that('[ "$(wc -c)" = 0 ]')).failed_with("BACKUP_FAILED")
    assert "age exited with status 1" in told["msg"]
    silent = local.backup(**wish, env=with_age_that("true"), identity_file=str(key.file)).failed_with("VERIFY_FAILED")
    assert "does not decrypt to what pg_dump wrote" in silent["msg"]
    denied = local.backup(**wish, login_user=role("LOGIN")).failed_with("BACKUP_FAILED")
    assert "permission denied for table t" in denied["msg"]
    assert [path for path in local.backup_dir.rglob("*") if path.is_file() and path.name != ".lock"] == []
    assert local.sessions() == []


def test_without_the_key_nothing_is_touched(local: Local, secret: str, key: Key, other: Key) -> None:
    local.back_up(secret, encryption_recipients=[key.public])
    before = tree(local.backup_dir), local.databases(), local.look(secret)
    for wish in ({}, {"identity_file": str(other.file)}):
        for check in (True, False):
            local.restore(database=secret, confirm=secret, check=check, **wish).failed_with("ENCRYPTION_UNAVAILABLE")
    [looked] = local.info(verify="archive", identity_file=str(other.file)).succeeded()["backups"]
    assert (looked["reverified"]["code"], looked["verified"]) == ("ENCRYPTION_UNAVAILABLE", True), "it is the key that is wrong"
    assert (tree(local.backup_dir), local.databases(), local.look(secret)) == before


def test_in_place_the_safety_backup_is_encrypted_as_well(local: Local, secret: str, key: Key) -> None:
    local.back_up(secret, encryption_recipients=[key.public])
    local.server.sql(secret, "UPDATE t SET body = 'needle in a row, later'")
    done = local.restore(
        database=secret, confirm=secret, strategy="in_place", identity_file=str(key.file)).succeeded()
    assert readable(local.backup_dir, told=(b"needle_role",)) == []
    later = local.restore(database=secret, backup=done["safety_backup"], target_database="sealed_later", strategy="create",
                          identity_file=str(key.file)).succeeded()
    assert later["restore"]["verification"]["rows"] == 3000
    assert local.server.sql("sealed_later", "SELECT DISTINCT body FROM t") == ["needle in a row, later"]
    local.server.sql("postgres", "DROP DATABASE sealed_later")


@pytest.mark.usefixtures("drilling_alone")
def test_in_a_container_globals_included(
    postgres_container: Callable[..., PostgresContainer], backup_dir: Path, key: Key
) -> None:
    server = postgres_container()
    server.sql("postgres", "CREATE ROLE needle_role LOGIN PASSWORD 'p'; CREATE DATABASE sealed")
    server.sql("sealed", """CREATE TABLE t AS SELECT n, 'needle in a row ' || n AS body FROM generate_series(1, 3000) n;
        ALTER TABLE t OWNER TO needle_role""")
    shared = {"container": server.name, "backup_dir": backup_dir, "identity_file": str(key.file)}
    done = run_module("pg_backup", {
        **shared, "all_databases": True, "exclude_databases": ["postgres"], "encryption_recipients": [key.public]}).succeeded()
    assert {item["database"] for item in done["backups"]} == {"sealed", "@globals"}
    assert all(item["verified"] for item in done["backups"])
    assert readable(backup_dir, told=(b"needle_role",)) == []
    assert server.shell("sh", "-c", "ls -A /tmp") == "", "nothing is left in the container"
    drilled = run_module("pg_restore", {
        **shared, "database": "sealed", "strategy": "drill", "drill_location": "container"}).succeeded()
    assert drilled["restore"]["verification"]["rows"] == 3000
    [page] = [Path(item["path"]) / "RESTORE.md" for item in done["backups"] if item["database"] == "@globals"]
    [check, restore] = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for command in (check, restore.split("|")[0]):
        subprocess.run(["sh", "-e", "-c", command], cwd=page.parent, check=True, capture_output=True,
                       env={**os.environ, "IDENTITY_FILE": str(key.file)})
