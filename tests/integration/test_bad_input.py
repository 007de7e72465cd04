# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: a clear code and hint, before anything is touched, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.local import Local, tree
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module

ContainerFactory = Callable[..., PostgresContainer]

DIFFICULT = 'we"ird $(touch x) näme'


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


@pytest.mark.parametrize("port", ["0", "65536", "-1", "5432x", "1.5", "99999999999999999999"])
def test_a_port_out_of_range(local: Local, port: str) -> None:
    with nothing_touched(local):
        done = local.backup(login_port=port, database="postgres")
    _refused(done, "INVALID_DB_CONFIG", naming=port, hint="65535")


# -- round the guard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arg", [
    "--host=example.com", "-hexample.com", "--hos=example.com", "-d", "--dbname=postgres", "--db=x", "-U", "--username=x",
    "-p5433", "--file=/tmp/x", "-f/tmp/x", "--format=p", "-Fp", "-vFp", "postgres", "host=example.com", "--clean", "-c",
    "--password", "-W", "--jobs=9", "--compress=0", "-Z0", "--table=t", "-tt", "--schema-only", "-s", "--", "-",
])  # fmt: skip
def test_switches_smuggled_in_by_extra_args(local: Local, database: str, arg: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, extra_args=["--no-comments", arg])
    _refused(done, "INVALID_DB_CONFIG", naming="extra_args", hint="options of their own")


@pytest.mark.parametrize("keyword", [
    "password", "sslpassword", "passfile", "host", "hostaddr", "service", "servicefile", "dbname", "user", "port",
    "options", "PASSWORD", "host ", "x=1 host",
])
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
    with nothing_touched(local):
        done = local.backup(database=database, instance="app")
    _refused(done, "BACKUP_DIR_UNUSABLE", naming=database)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_backup_folder_that_another_user_may_not_write(local: Local, tmp_path: Path) -> None:
    """As a task with ``become_user`` would: the account that is also the server's."""
    owner = (local.server.socket_dir).stat()
    local.backup_dir.mkdir(0o755)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    answer = _as_user(owner.st_uid, owner.st_gid, local, {"database": "postgres"})
    assert answer["code"] == "BACKUP_DIR_UNUSABLE"
    assert str(local.backup_dir) in answer["msg"]
    assert list(local.backup_dir.iterdir()) == []


def _as_user(uid: int, gid: int, local: Local, options: dict[str, Any]) -> dict[str, Any]:
    """Run ``back_up`` in a child that is that user: the interpreter's own folders may be closed to it, so it forks."""
    from ansible_collections.pgfleet.backup.plugins.module_utils import _backup, _errors, _outcome

    params = dict(local.options(**options), format="directory", verify="archive", timeout=0, lock_timeout=0,
                  lock_wait_timeout=60, max_concurrent=0, persist_credentials=False)
    environ = {"PATH": local.server.path()}
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            try:
                _backup.back_up(params, environ, run=_outcome.new_run("BACKUP_FAILED"), check=False, result={})
                answer = {"code": "", "msg": ""}
            except _errors.BackupError as error:
                answer = {"code": error.code, "msg": error.msg}
            os.write(write, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    assert text, sys.executable
    found: dict[str, Any] = json.loads(text)
    return found


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


@pytest.mark.parametrize("compression", ["brotli", "gzip:0", "gzip:10", "zstd:23", "gzip:fast", "none:1", ":", "GZIP"])
def test_an_unknown_compression(local: Local, database: str, compression: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, compression=compression)
    _refused(done, "UNSUPPORTED_BY_CLIENT", naming=compression, hint="gzip")


@pytest.mark.parametrize("compression", ["zstd", "zstd:3", "lz4"])
@pytest.mark.parametrize("format_", ["directory", "custom", "plain"])
def test_a_compression_that_this_client_was_built_without(
    local: Local, database: str, compression: str, format_: str
) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, compression=compression, format=format_)
    _refused(done, "UNSUPPORTED_BY_CLIENT", naming=compression.split(":")[0], hint="gzip")


def test_an_unknown_format(local: Local, database: str) -> None:
    with nothing_touched(local):
        done = local.backup(database=database, format="zip")
    assert done.failed
    assert "zip" in done.result["msg"]
    assert "directory" in done.result["msg"]
