# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup set looks like on the disk, and that its RESTORE.md can be followed by hand."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.shop import ROLES, create_shop

SCHEMA = json.loads((REPOSITORY / "docs/schemas/manifest-1.json").read_text(encoding="utf-8"))
DUMPS = {"directory": "database", "custom": "database.dump", "tar": "database.tar", "plain": "database.sql.gz"}


def _manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return content


def _check(folder: Path) -> None:
    """Manifest by its schema, exactly the listed files, each with its checksum, nothing open to others."""
    manifest = _manifest(folder)
    jsonschema.validate(manifest, SCHEMA, format_checker=jsonschema.FormatChecker())
    beside = {"manifest.json", "verification.json"}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - beside
    assert found == {file["path"] for file in manifest["files"]}
    for file in manifest["files"]:
        content = (folder / file["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


# -- layout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", DUMPS)
def test_a_set_lies_where_the_contract_says(local: Local, database: str, format_: str) -> None:
    entry = local.back_up(database, format=format_, instance="app")
    folder = Path(entry["path"])
    assert folder == local.backup_dir / "app" / database / entry["id"]
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", entry["id"])
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "RESTORE.md", "globals.sql", DUMPS[format_]}
    _check(folder)
    assert list(local.backup_dir.rglob(".partial-*")) == []
    # What is returned is what is written.
    returned = {key: entry[key] for key in _manifest(folder)}
    assert returned == {**_manifest(folder), "status": "ok"}


@pytest.mark.parametrize("format_", DUMPS)
@pytest.mark.parametrize("umask", ["000", "277"])
def test_modes_do_not_depend_on_the_umask(local: Local, database: str, tmp_path: Path, format_: str, umask: str) -> None:
    if umask == "277" and os.geteuid() != 0:
        pytest.skip("with this umask only root can start a Python program at all")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\numask {umask}\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    entry = local.back_up(database, format=format_, verify="restore", python=python)
    folder = Path(entry["path"])
    _check(folder)
    for parent in (folder.parent, folder.parent.parent, local.backup_dir):
        assert parent.stat().st_mode & 0o777 == 0o700, parent
    assert (folder.parent / ".lock").stat().st_mode & 0o777 == 0o600


def test_names_are_encoded_only_where_a_path_needs_it(local: Local) -> None:
    for name in ("a/b", "..", "@globals", ".hidden", "100%", "Ärger & Co"):
        local.create(name)
        entry = local.back_up(name, instance="../x")
        assert entry["database"] == name
        assert _manifest(Path(entry["path"]))["instance"] == "../x"
    assert [path.name for path in local.backup_dir.iterdir()] == ["%2E.%2Fx"]
    assert sorted(path.name for path in (local.backup_dir / "%2E.%2Fx").iterdir()) == [
        "%2E.", "%2Ehidden", "%40globals", "100%25", "a%2Fb", "Ärger & Co",
    ]


# -- by hand --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[EmbeddedServer]:
    """Another server, to restore to."""
    with EmbeddedServer() as server:
        yield server


def _commands(folder: Path) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (folder / "RESTORE.md").read_text(encoding="utf-8"), re.DOTALL)


def _follow(folder: Path, server: EmbeddedServer) -> None:
    """Do what RESTORE.md says, with nothing but the server's client tools."""
    env = {"PATH": server.path("/usr/bin:/bin"), "PGHOST": str(server.socket_dir), "PGPORT": str(server.port),
           "PGUSER": server.user}
    blocks = _commands(folder)
    assert blocks
    for block in blocks:
        done = subprocess.run(["sh", "-e", "-c", block], cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def _without_the_shop(server: EmbeddedServer, database: str) -> None:
    server.sql("postgres", f'DROP DATABASE IF EXISTS "{database}"')
    for role in ROLES:
        server.sql("postgres", f"DROP ROLE IF EXISTS {role}")


@pytest.mark.parametrize("format_", DUMPS)
def test_restore_md_brings_back_the_whole_database(local: Local, elsewhere: EmbeddedServer, format_: str) -> None:
    database = "the shop's"
    create_shop(local.server, database, size=20)
    local.server.sql("postgres", f'ALTER DATABASE "{database}" OWNER TO shop_owner')
    before = local.look(database)
    folder = Path(local.back_up(database, format=format_)["path"])
    _check(folder)
    _without_the_shop(elsewhere, database)
    _follow(folder, elsewhere)
    assert differences(before, snapshot(functools.partial(elsewhere.sql, database))) == []


@pytest.mark.parametrize("damaged", ["globals.sql", "database/toc.dat"])
def test_the_first_command_of_restore_md_finds_what_was_damaged(local: Local, database: str, damaged: str) -> None:
    folder = Path(local.back_up(database)["path"])

    def check() -> tuple[int, list[str]]:
        done = subprocess.run(["sh", "-c", _commands(folder)[0]], cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    names = sorted(file["path"] for file in _manifest(folder)["files"])
    assert check() == (0, [f"{name}: OK" for name in names])
    with (folder / damaged).open("ab") as file:
        file.write(b"\0")
    assert check() == (1, [f"{name}: {'FAILED' if name == damaged else 'OK'}" for name in names])


def test_restore_md_of_a_cluster_s_globals(local: Local, elsewhere: EmbeddedServer, role: Callable[..., str]) -> None:
    group, member = role("NOLOGIN"), role("LOGIN PASSWORD 'p'")
    local.server.sql("postgres", f"GRANT {group} TO {member}; ALTER ROLE {member} SET search_path TO a, b")
    result = local.backup(all_databases=True, exclude_databases=local.databases()).succeeded()
    [found] = result["backups"]
    folder = Path(found["path"])
    assert folder == local.backup_dir / found["instance"] / "@globals" / found["id"]
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "RESTORE.md", "globals.sql"}
    _check(folder)
    elsewhere.sql("postgres", f"DROP ROLE IF EXISTS {group}; DROP ROLE IF EXISTS {member}")
    _follow(folder, elsewhere)
    query = f"""SELECT rolname, rolcanlogin, rolpassword, (SELECT setconfig FROM pg_db_role_setting WHERE setrole = r.oid),
                    pg_has_role(r.oid, '{group}', 'MEMBER') FROM pg_authid r WHERE rolname IN ('{group}', '{member}') ORDER BY 1"""
    assert elsewhere.sql("postgres", query) == local.server.sql("postgres", query)
    elsewhere.sql("postgres", f"DROP ROLE {member}; DROP ROLE {group}")


def test_restore_md_inside_another_container(
    postgres_container: Callable[..., PostgresContainer], backup_dir: Path
) -> None:
    """As it says: copy the folder into the container, and run the commands there."""
    lost, fresh = postgres_container(), postgres_container()
    create_shop(lost, size=20)
    before = snapshot(functools.partial(lost.sql, "shop"))
    done = run_module("pg_backup", {"container": lost.name, "database": "shop", "backup_dir": backup_dir}).succeeded()
    folder = Path(done["backups"][0]["path"])
    _check(folder)
    lost.remove()
    subprocess.run(["docker", "cp", "-q", f"{folder}/.", f"{fresh.name}:/tmp/restore"], check=True)
    for block in _commands(folder):
        fresh.shell("sh", "-e", "-c", 'cd /tmp/restore && export PGUSER=postgres && eval "$1"', "sh", block)
    assert differences(before, snapshot(functools.partial(fresh.sql, "shop"))) == []
