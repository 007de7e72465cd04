# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: a clear code and hint, before anything is touched, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.environment import clean_environment
from ansible_collections.pgfleet.backup.tests.support.local import Local, tree
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module

ContainerFactory = Callable[..., PostgresContainer]


@contextmanager
def nothing_touched(local: Local) -> Iterator[None]:
    """Neither the folder around ``backup_dir`` nor the databases of the server change inside."""
    around = local.backup_dir.parent
    files, databases = tree(around), local.databases()
    yield
    assert tree(around) == files
    assert local.databases() == databases
    assert local.sessions() == []


def _refused(done: ModuleResult, code: str, *, naming: str, hint: str = "") -> dict[str, Any]:
    """A failure of that code which names the culprit and says what to do, and is no traceback."""
    result = done.failed_with(code)
    assert naming in result["msg"]
    assert result["hint"]
    assert hint in result["hint"]
    assert not done.changed
    assert "Traceback" not in json.dumps(result["log"])
    return result


# -- who and where --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["pg_backup", "pg_restore"])
def test_a_wrong_password_is_named_as_such(local: Local, database: str, module: str) -> None:
    options = local.by_password(database=database, login_password="not the right one")
    with nothing_touched(local):
        done = local.run(module, options)
    _refused(done, "AUTH_FAILED", naming=local.server.user, hint="login_password")
    assert "not the right one" not in done.stdout


def test_a_role_that_does_not_exist_is_a_refused_login(local: Local, database: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, login_user="nobody_of_that_name")
    _refused(done, "AUTH_FAILED", naming="nobody_of_that_name", hint="login_user")


def test_a_wrong_password_of_an_external_server(
    local: Local, module_postgres_container: ContainerFactory, backup_dir: Path
) -> None:
    server = module_postgres_container()
    with nothing_touched(local):
        done = run_module("pg_backup", {
            "login_host": server.ip, "login_user": "postgres", "login_password": "not the right one", "database": "postgres",
            "backup_dir": backup_dir,
        }, env={"PATH": local.server.path()})
    result = _refused(done, "AUTH_FAILED", naming="postgres", hint="login_password")
    assert result["context"]["mode"] == "external"
    assert result["context"]["trace"]
    assert server.sql("postgres", "SELECT 1") == ["1"]


def test_a_database_that_does_not_exist(local: Local) -> None:
    with nothing_touched(local):
        done = local.backup(database="no_such_database")
    _refused(done, "DATABASE_NOT_FOUND", naming="no_such_database", hint="discover")


def test_the_backup_of_a_database_that_was_never_backed_up(local: Local, database: str) -> None:
    with nothing_touched(local):
        done = local.restore(database=database, confirm=database)
    _refused(done, "BACKUP_NOT_FOUND", naming=database, hint="pg_backup_info")


def test_a_container_that_does_not_exist(local: Local, docker_engine: object, backup_dir: Path) -> None:
    del docker_engine  # only has to run
    with nothing_touched(local):
        done = run_module("pg_backup", {"container": "no-such-container", "backup_dir": backup_dir})
    _refused(done, "CONTAINER_NOT_FOUND", naming="no-such-container", hint="docker ps")


def test_a_server_that_is_not_there(local: Local, tmp_path: Path) -> None:
    with nothing_touched(local):
        done = local.backup(login_unix_socket=str(tmp_path), database="postgres")
    _refused(done, "CONNECTION_FAILED", naming=str(tmp_path), hint="running")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "5432x"])
def test_a_port_out_of_range(local: Local, port: str) -> None:
    with nothing_touched(local):
        done = local.backup(login_port=port, database="postgres")
    result = _refused(done, "INVALID_DB_CONFIG", naming=port, hint="65535")
    assert [(step["step"], step["outcome"]) for step in result["context"]["trace"]] == [("options", "rejected")]


# -- round the guard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arg", [
    "--host=example.com", "--db=x", "-vFp", "postgres", "-f/tmp/x", "-"
])
def test_switches_smuggled_in_by_extra_args(local: Local, database: str, arg: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, extra_args=["--no-comments", arg])
    _refused(done, "INVALID_DB_CONFIG", naming="extra_args", hint="options of their own")


@pytest.mark.parametrize("keyword", ["password", "hostaddr", "PASSWORD", "host ", "x=1 host"])
def test_keywords_smuggled_in_by_connect_params(local: Local, database: str, keyword: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, connect_params={keyword: "example.com"})
    _refused(done, "INVALID_DB_CONFIG", naming="connect_params")


def test_a_value_of_connect_params_cannot_become_another_keyword(local: Local, database: str) -> None:
    entry = local.backup(
        database=database, connect_params={"keepalives_idle": "7", "fallback_application_name": "x' host='example.com"}
    ).succeeded()["backups"][0]
    assert entry["verified"]


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [
    b"POSTGRES_HOST\n", b"POSTGRES_PASSWORD='never closed\n", b"POSTGRES_PASSWORD=two words\n", b"\xff\xfe=\n",
    b"POSTGRES_HOST=localhost\nPOSTGRES_PORT=many\n", b"POSTGRES_HOST=a,b\n",
])
def test_a_malformed_credentials_file(local: Local, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "db.env"
    file.write_bytes(content)
    with nothing_touched(local):
        done = run_module("pg_backup", {"credentials_file": file, "backup_dir": local.backup_dir},
                          env={"DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    result = _refused(done, "INVALID_DB_CONFIG", naming=str(file))
    assert "never closed" not in done.stdout
    assert "two words" not in done.stdout
    assert [step["outcome"] for step in result["context"]["trace"]][-1] == "rejected"


def test_a_credentials_file_that_is_a_folder(local: Local, tmp_path: Path) -> None:
    file = tmp_path / "db.env"
    file.mkdir()
    with nothing_touched(local):
        done = run_module("pg_backup", {"credentials_file": file, "backup_dir": local.backup_dir},
                          env={"DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    _refused(done, "INVALID_DB_CONFIG", naming=str(file), hint="readable")


def test_a_file_in_the_way_of_the_backup_folder(local: Local, database: str) -> None:
    local.backup_dir.write_text("I was here first")
    with nothing_touched(local):
        done = local.backup(database=database)
    _refused(done, "BACKUP_DIR_UNUSABLE", naming=str(local.backup_dir), hint="backup_dir")


def test_a_file_in_the_way_of_a_database_s_folder(local: Local, database: str) -> None:
    (local.backup_dir / "app").mkdir(parents=True)
    (local.backup_dir / "app" / database).write_text("I was here first")
    done = local.backup(database=database, instance="app")
    _refused(done, "BACKUP_DIR_UNUSABLE", naming=database)
    assert list(tree(local.backup_dir)) == ["app", "app/" + database]


# What may run as another user is what that user can read, so everything is imported first.
_AS_USER = """
import importlib, json, os, sys
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module("ansible_collections.pgfleet.backup.plugins.modules.pg_backup")
uid, gid, options = json.loads(sys.argv[1])
os.setgroups([])
os.setgid(gid)
os.setuid(uid)
with patch_module_args(options):
    module.main()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_backup_folder_that_another_user_may_not_write(local: Local, tmp_path: Path) -> None:
    """As a task with ``become_user``: here the account that the server runs as."""
    account = local.server.socket_dir.stat()
    local.backup_dir.mkdir(0o755)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    arguments = json.dumps([account.st_uid, account.st_gid, local.options(database="postgres")])
    done = subprocess.run([sys.executable, "-c", _AS_USER, arguments], capture_output=True, text=True, check=False,
                          cwd="/", env=clean_environment({"PATH": local.server.path()}))
    answer = json.loads(done.stdout)
    assert answer["code"] == "BACKUP_DIR_UNUSABLE", answer
    assert str(local.backup_dir) in answer["msg"]
    assert list(local.backup_dir.iterdir()) == []


def test_a_backup_folder_where_nobody_may_write(local: Local, database: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, backup_dir="/proc/pgfleet/backups")
    _refused(done, "BACKUP_DIR_UNUSABLE", naming="/proc/pgfleet", hint="backup_dir")


def test_another_machine_s_folder(local: Local, database: str) -> None:
    entry = local.back_up(database, instance="app")
    manifest = Path(entry["path"]) / "manifest.json"
    content = manifest.read_text()
    manifest.write_text(re.sub(r'("machine_id": )"[^"]*"', r'\1"0123456789abcdef0123456789abcdef"', content))
    assert manifest.read_text() != content
    with nothing_touched(local):
        done = local.backup(database=database, instance="app")
    _refused(done, "INSTANCE_CONFLICT", naming=entry["hostname"], hint="instance")
    # Reading it, to restore on a new machine, is fine.
    restored = local.restore(database=database, instance="app", target_database=database + "_new", strategy="create")
    assert restored.succeeded()["restore"]["verification"]["rows"] == 3


# -- what the client can do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["brotli", "gzip:10", "none:1"])
def test_an_unknown_compression(local: Local, database: str, compression: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, compression=compression)
    _refused(done, "UNSUPPORTED_BY_CLIENT", naming=compression, hint="gzip")


@pytest.mark.parametrize(("compression", "format_"), [
    ("zstd:3", "custom"), ("lz4", "directory"), ("lz4", "plain"), ("zstd", "tar"),
])
def test_a_compression_that_this_client_was_built_without(
    local: Local, database: str, compression: str, format_: str
) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, compression=compression, format=format_)
    _refused(done, "UNSUPPORTED_BY_CLIENT", naming=compression.split(":", maxsplit=1)[0], hint="Use")


def test_a_compression_that_neither_the_client_nor_the_host_has(local: Local, database: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, compression="zstd:3", env={"PATH": str(local.server.bin_dir)})
    _refused(done, "UNSUPPORTED_BY_CLIENT", naming="zstd", hint="Use")


def test_an_unknown_format(local: Local, database: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, format="zip")
    assert done.failed
    assert "zip" in done.result["msg"]
    assert "directory" in done.result["msg"]


def test_a_server_newer_than_every_client(local: Local, database: str, tmp_path: Path) -> None:
    """Any psql may ask the server for its version; an older pg_dump must not even be started on it."""
    newer = [path for path in glob("/usr/lib/postgresql/*/bin") if int(path.split("/")[4]) >= 18] + glob("/usr/pgsql-*/bin")
    if newer:
        pytest.skip(f"this machine has newer clients of its own: {newer}")
    old, started = tmp_path / "bin", tmp_path / "started"
    old.mkdir()
    (old / "psql").symlink_to(local.server.bin_dir / "psql")
    pg_dump = old / "pg_dump"
    pg_dump.write_text(f"#!/bin/sh\n[ \"$*\" = --version ] && echo 'pg_dump (PostgreSQL) 16.4' || touch {started}\n")
    pg_dump.chmod(0o755)
    with nothing_touched(local):
        done = local.backup(database=database, env={"PATH": f"{old}:/usr/bin:/bin"})
    _refused(done, "CLIENT_TOO_OLD", naming="18", hint="18")
    assert not started.exists()
