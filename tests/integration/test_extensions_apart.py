# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions whose databases cannot be restored like others. Stand-ins have their names, and their tables of settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.modules import run_module

CRON = """
CREATE SCHEMA cron;
CREATE SEQUENCE cron.jobid_seq;
CREATE TABLE cron.job (jobid bigint PRIMARY KEY DEFAULT nextval('cron.jobid_seq'), command text NOT NULL);
SELECT pg_extension_config_dump('cron.job', '');
SELECT pg_extension_config_dump('cron.jobid_seq', '');
CREATE TABLE cron.place (id int PRIMARY KEY, name text);
INSERT INTO cron.place VALUES (1, 'of the extension');
SELECT pg_extension_config_dump('cron.place', 'WHERE id > 100');
"""
EXTENSIONS = {"pg_cron": CRON, "timescaledb": "CREATE FUNCTION timescaledb_pre_restore() RETURNS int LANGUAGE sql AS 'SELECT 1';"}


@pytest.fixture(scope="module")
def server(module_postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    container = module_postgres_container()
    script = """
        cd "/usr/share/postgresql/$PG_MAJOR/extension" &&
        echo "default_version = '1.0'" >"$1.control" && printf %s "$2" >"$1--1.0.sql"
    """
    for name, sql in EXTENSIONS.items():
        container.shell("sh", "-c", script, "sh", name, sql)
        container.sql("postgres", f"CREATE DATABASE {name}")
        container.sql(name, f"CREATE EXTENSION {name}; CREATE TABLE t AS SELECT 1 AS n")
    return container


@pytest.fixture
def wish(server: PostgresContainer, backup_dir: Path) -> Callable[..., dict[str, Any]]:
    return lambda database, **more: {"container": server.name, "database": database, "backup_dir": str(backup_dir), **more}


def test_pg_cron_goes_nowhere_but_in_place(server: PostgresContainer, wish: Callable[..., dict[str, Any]]) -> None:
    server.sql("pg_cron", "INSERT INTO cron.job (command) VALUES ('VACUUM'), ('ANALYZE'); INSERT INTO cron.place VALUES (101, 'ours')")
    run_module("pg_backup", wish("pg_cron")).succeeded()
    server.sql("pg_cron", "DELETE FROM cron.job WHERE jobid = 1; INSERT INTO cron.job (command) VALUES ('later');"
                          "UPDATE cron.place SET name = 'changed'; DELETE FROM t")
    before = server.sql("postgres", "SELECT oid, datname FROM pg_database ORDER BY 1")
    for strategy in ("swap", "drill"):
        refused = run_module("pg_restore", wish("pg_cron", strategy=strategy, confirm="pg_cron")).failed_with("INCOMPATIBLE_TARGET")
        assert "pg_cron" in refused["msg"]
        assert "in_place" in refused["hint"]
    assert server.sql("postgres", "SELECT oid, datname FROM pg_database ORDER BY 1") == before
    done = run_module("pg_restore", wish("pg_cron", strategy="in_place", confirm="pg_cron", safety_backup=False)).succeeded()
    print(done["restore"], done["log"])
    assert server.sql("pg_cron", "SELECT jobid, command FROM cron.job ORDER BY 1") == ["1|VACUUM", "2|ANALYZE"]
    assert server.sql("pg_cron", "SELECT * FROM cron.place ORDER BY 1") == ["1|changed", "101|ours"]
    assert server.sql("pg_cron", "SELECT n FROM t") == ["1"]


@pytest.mark.parametrize("how", [{"confirm": "timescaledb"}, {"strategy": "create", "target_database": "other"},
                                 {"confirm": "timescaledb", "strategy": "in_place"}])
def test_timescaledb_is_refused_before_anything_is_touched(
    how: dict[str, str], server: PostgresContainer, wish: Callable[..., dict[str, Any]]
) -> None:
    run_module("pg_backup", wish("timescaledb")).succeeded()
    before = server.sql("postgres", "SELECT oid, datname FROM pg_database ORDER BY 1")
    refused = run_module("pg_restore", wish("timescaledb", **how)).failed_with("INCOMPATIBLE_TARGET")
    assert "timescaledb_pre_restore()" in refused["msg"]
    assert "safety_backup" not in refused
    assert server.sql("postgres", "SELECT oid, datname FROM pg_database ORDER BY 1") == before
