# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that is older than the client, and speaks German: what is harmless is known, and errors have their codes.

A superuser has the server answer in English, so nothing here is done by one.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Run, Session, open_session
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.psql import SqlError
from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until

SLEEPING = "FROM pg_stat_activity WHERE datname = 'busy' AND wait_event = 'PgSleep'"
PASSWORD = "s3cret-of-the-owner"


@pytest.fixture(scope="module")
def server(module_postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    """With a database ``shop`` of a role of that name, who may create databases."""
    container = module_postgres_container()
    # Into a folder: the server has looked for an archive of locales when it started.
    container.shell("localedef", "--no-archive", "-i", "de_DE", "-f", "UTF-8", "de_DE.UTF-8")
    container.sql("postgres", "ALTER SYSTEM SET lc_messages = 'de_DE.UTF-8'")
    container.sql("postgres", "SELECT pg_reload_conf()")
    container.sql("postgres", f"CREATE ROLE shop LOGIN CREATEDB PASSWORD '{PASSWORD}'; CREATE DATABASE shop OWNER shop")
    container.sql("shop", "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)", user="shop")
    wait_until(lambda: "FEHLER" in complaint(container))
    return container


def complaint(server: PostgresContainer) -> str:
    try:
        server.sql("postgres", "SELECT 1 / 0")
    except SqlError as error:
        return str(error)
    return ""


def options(server: PostgresContainer, **more: Any) -> dict[str, Any]:
    return {"login_host": server.ip, "login_user": "shop", "login_password": PASSWORD, **more}


@pytest.fixture(scope="module")
def dumps(server: PostgresContainer, embedded_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database as the newer client dumps it."""
    folder = tmp_path_factory.mktemp("dumps")
    for form in ("plain", "custom", "directory"):
        subprocess.run(
            [embedded_server.bin_dir / "pg_dump", "-h", server.ip, "-U", "shop", "-F", form, "-f", folder / form, "shop"],
            check=True, env={**os.environ, "PGPASSWORD": PASSWORD},
        )
    return folder


@pytest.mark.parametrize(("form", "how"), [
    ("custom", {"confirm": "shop", "keep_previous": 0}),
    ("directory", {"confirm": "shop", "strategy": "in_place", "safety_backup": False}),
    ("directory", {"strategy": "create", "target_database": "shop 2"}),
    ("plain", {"strategy": "drill"}),
])
def test_a_setting_that_the_server_does_not_know_is_counted_and_does_no_harm(
    form: str, how: dict[str, Any], server: PostgresContainer, embedded_server: EmbeddedServer, dumps: Path, backup_dir: Path
) -> None:
    server.sql("shop", "INSERT INTO t VALUES (4) ON CONFLICT DO NOTHING")
    wish = options(server, database="shop", backup=str(dumps / form), backup_dir=str(backup_dir), **how)
    done = run_module("pg_restore", wish, env={"PATH": embedded_server.path()}).succeeded()
    (warning,) = set(done["restore"]["warnings"])  # of each job
    assert "transaction_timeout" in warning
    assert warning.endswith("(a setting of the dump that this older server does not know)")
    assert done["restore"]["verification"]["rows"] == 3
    if form != "plain":  # which any psql can read
        assert done["context"]["client_version"].startswith("18.")
    if how.get("strategy") != "drill":
        assert server.sql(str(how.get("target_database", "shop")), "SELECT count(*) FROM t") == ["3"]


@pytest.fixture(scope="module")
def session(server: PostgresContainer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The door opened as the role, while a superuser stays in his database ``busy``."""
    redactor = Redactor()
    run = Run("test", RunLog(redactor), redactor, "RESTORE_FAILED")
    server.sql("postgres", "CREATE DATABASE busy OWNER shop")
    argv = ["docker", "exec", server.id, "psql", "-U", "postgres", "-d", "busy", "-c", "SELECT pg_advisory_lock(1), pg_sleep(300)"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as client:
        wait_until(lambda: server.sql("postgres", f"SELECT pid {SLEEPING}"))
        folder = str(tmp_path_factory.mktemp("session"))
        yield open_session(options(server, backup_dir=folder), dict(os.environ), run=run, database="postgres")
        server.sql("postgres", f"SELECT pg_terminate_backend(pid) {SLEEPING}")
        client.wait()


@pytest.mark.parametrize(("database", "statement", "code"), [
    ("postgres", "ALTER DATABASE busy RENAME TO other", "TARGET_IN_USE"),
    ("postgres", "CREATE DATABASE shop", "TARGET_EXISTS"),
    ("busy", "BEGIN; SELECT set_config('lock_timeout', '10ms', true); SELECT pg_advisory_lock(1)", "LOCK_CONTENTION"),
    ("postgres", "DROP TABLE nobody", "RESTORE_FAILED"),
])
def test_codes_do_not_depend_on_the_language(database: str, statement: str, code: str, session: Session) -> None:
    def staying() -> None:
        with session.executor.made_by(statement + ";", database=database):
            pass

    for run in (lambda: session.executor.query(statement, database=database), staying):
        with pytest.raises(BackupError, match="FEHLER:  [0-9A-Z]{5}: ") as caught:
            run()
        assert caught.value.code == code
