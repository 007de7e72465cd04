# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose credentials are used, and where they lead, on real servers that ask for a password over TCP."""

from __future__ import annotations

import functools
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import ContainerFile, PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

AWKWARD = " p w='\"$HOME`id`#\\n\\=&;|%20{{ x }}ü€\t!"
USER = "app user"
DATABASE = "the app"
SLEEP = ["sh", "-c", "exec sleep infinity"]  # in place of a server
NOWHERE = "unix:///nonexistent.sock"

Make = Callable[..., PostgresContainer]


@pytest.fixture(scope="module")
def server(module_postgres_container: Make) -> PostgresContainer:
    """A server with an awkward user, database and password."""
    return module_postgres_container(
        user=USER, database=DATABASE, password=AWKWARD, ports={5432: ("127.0.0.1", None)}, labels={"pgfleet.test.server": ""}
    )


def discover(backup_dir: Path, env: dict[str, str] | None = None, **options: Any) -> ModuleResult:
    return run_module("pg_backup", {"backup_dir": backup_dir, **options}, env=env, check=True, verbosity=1)


def leads_outside(done: ModuleResult, server: PostgresContainer, source: str) -> None:
    """To the server by its address, with credentials that it accepted."""
    context = done.succeeded()["context"]
    assert (context["mode"], context["executor"], context["container"]) == ("external", "host", None)
    assert (context["host"], context["user"], context["database"]) == (server.ip, USER, DATABASE)
    assert context["credential_source"] == source


# -- the environment ------------------------------------------------------------------------------------------------


def url(server: PostgresContainer, host: str, password: str = AWKWARD) -> str:
    user, secret, database = (quote(part, safe="") for part in (USER, password, DATABASE))
    return f"postgresql://{user}:{secret}@{host}/{database}?sslmode=prefer"


@pytest.mark.parametrize("how", ["POSTGRES_*", "PG*", "files", "url"])
def test_the_environment_leads_to_a_remote_server(
    how: str, server: PostgresContainer, backup_dir: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(AWKWARD + "\n", encoding="utf-8")
    env = {
        "POSTGRES_*": {
            "POSTGRES_HOST": server.ip, "POSTGRES_USER": USER, "POSTGRES_PASSWORD": AWKWARD, "POSTGRES_DB": DATABASE,
        },
        "PG*": {
            "POSTGRES_HOST": server.ip, "PGPORT": "5432", "PGUSER": USER, "PGPASSWORD": AWKWARD, "PGDATABASE": DATABASE,
        },
        "files": {
            "POSTGRES_HOST": server.ip, "POSTGRES_USERNAME": USER, "POSTGRES_PASSWORD_FILE": str(secret),
            "POSTGRES_DATABASE": DATABASE,
        },
        "url": {"DATABASE_URL": url(server, server.ip)},
    }[how]
    leads_outside(discover(backup_dir, env), server, "CredFromEnv")
    # The password was really asked for.
    discover(backup_dir, {**env, "POSTGRES_PASSWORD": "wrong"}).failed_with("AUTH_FAILED")


def test_the_environment_s_url_may_name_a_published_port(server: PostgresContainer, backup_dir: Path) -> None:
    found = discover(backup_dir, {"DATABASE_URL": url(server, f"localhost:{server.host_port}")})
    context = found.succeeded()["context"]
    assert (context["mode"], context["container"]["id"], context["port"]) == ("in_container", server.id, 5432)
    assert (context["user"], context["database"], context["credential_source"]) == (USER, DATABASE, "CredFromEnv")


def test_invalid_data_ends_discovery(server: PostgresContainer, backup_dir: Path) -> None:
    """It does not fall through to the container, which would be found."""
    env = {"POSTGRES_HOST": "localhost", "POSTGRES_PORT": "54x"}
    refused = discover(backup_dir, env, container=server.name).failed_with("INVALID_DB_CONFIG")
    assert [step["outcome"] for step in refused["context"]["trace"]] == ["found", "rejected"]


# -- a container that names another server --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["variables", "secret file", "url"])
def test_a_container_s_environment_names_a_remote_server(
    how: str, server: PostgresContainer, postgres_container: Make, backup_dir: Path
) -> None:
    env = {
        "variables": {"POSTGRES_HOST": server.ip, "POSTGRESQL_PASSWORD": AWKWARD},
        "secret file": {"POSTGRES_HOST": server.ip, "POSTGRES_PASSWORD_FILE": "/run/secrets/db password"},
        "url": {"DATABASE_URL": url(server, server.ip)},
    }[how]
    files = {"/run/secrets/db password": ContainerFile(AWKWARD + "\n", 0o600, "root")}
    names = {"POSTGRES_USER": USER, "POSTGRES_DB": DATABASE} if how != "url" else {}
    # An application's container: no server runs in it.
    app = postgres_container(
        user=None, password=None, env={**env, **names}, files=files, entrypoint=SLEEP, wait=False
    )
    leads_outside(discover(backup_dir, container=app.name), server, "CredFromRunningContainer")


def test_a_secret_that_is_missing_in_the_container_is_an_error(postgres_container: Make, backup_dir: Path) -> None:
    app = postgres_container(
        password=None, env={"POSTGRES_PASSWORD_FILE": "/run/secrets/none"}, entrypoint=SLEEP, wait=False
    )
    refused = discover(backup_dir, container=app.name).failed_with("INVALID_DB_CONFIG")
    assert "/run/secrets/none" in refused["msg"]
    assert app.name in refused["msg"]


def test_a_container_s_environment_names_another_container(
    docker_network: str, postgres_container: Make, backup_dir: Path
) -> None:
    """By its network alias, as a Compose service does; a namesake in another network is not meant."""
    namesake = postgres_container(wait=False, hostname="main-db")
    server = postgres_container(user="app", database="app", network=docker_network, aliases=["main-db"])
    app = postgres_container(
        user=None, password=None, network=docker_network, wait=False, entrypoint=SLEEP,
        env={"DATABASE_URL": f"postgres://app:{server.password}@MAIN-DB:5432/app"},
    )
    server.sql("app", "CREATE TABLE t AS SELECT 1 AS n")
    taken = run_module("pg_backup", {"container": app.name, "backup_dir": backup_dir}).succeeded()
    context = taken["context"]
    assert (context["mode"], context["container"]["id"]) == ("in_container", server.id)
    assert (context["user"], context["database"]) == ("app", "app")
    assert context["credential_source"] == "CredFromRunningContainer"
    assert context["container"]["id"] != namesake.id
    assert taken["log"][0] == f"DB mode: in_container, Executor: docker, Container: {server.name}"
    server.sql("app", "DROP TABLE t")
    run_module("pg_restore", {"container": app.name, "backup_dir": backup_dir, "confirm": "app"}).succeeded()
    assert server.sql("app", "TABLE t") == ["1"]


# -- the persisted file ---------------------------------------------------------------------------------------------


def test_the_persisted_file_leads_back_to_the_container(
    server: PostgresContainer, backup_dir: Path, narrow_engine: Callable[[str], str]
) -> None:
    create_shop(server, "shop", size=10)
    wish = {"backup_dir": backup_dir, "database": "shop"}
    run_module("pg_backup", {**wish, "container": server.name}).succeeded()
    file = backup_dir.parent / "state" / "db.env"
    assert not file.exists(), "only when asked for"
    run_module("pg_backup", {**wish, "container": server.name, "persist_credentials": True}).succeeded()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    said = subprocess.check_output(["sh", "-c", f". {shlex.quote(str(file))}; printf %s \"$POSTGRES_PASSWORD\""])
    assert said.decode() == AWKWARD, "a shell reads it, too"

    before = snapshot(functools.partial(server.sql, "shop"))
    server.sql("shop", "DROP SCHEMA sales CASCADE")
    # Nothing is named, nothing is in the environment, and the engine shows no server: only the file is left.
    wish |= {"docker_host": narrow_engine("pgfleet.test.nobody=has-this"), "confirm": "shop"}
    restored = run_module("pg_restore", wish, verbosity=1).succeeded()
    assert restored["context"]["credential_source"] == "CredFromPersistedFile"
    assert restored["context"]["container"]["id"] == server.id
    assert [step["outcome"] for step in restored["context"]["trace"]] == ["skipped", "skipped", "skipped", "found"]
    assert differences(before, snapshot(functools.partial(server.sql, "shop"))) == []

    # The server itself takes the password as it was read back: over TCP it asks for it.
    file.write_text(file.read_text(encoding="utf-8").replace("=localhost", f"={server.ip}"), encoding="utf-8")
    outside = discover(backup_dir, docker_host=NOWHERE, database=DATABASE)
    leads_outside(outside, server, "CredFromPersistedFile")
    skipped = {step["step"]: step for step in outside.result["context"]["trace"]}["container"]
    assert skipped["outcome"] == "skipped"
    assert "nonexistent.sock" in skipped["reason"]


def test_the_file_fills_what_its_container_leaves_open_and_no_other(
    postgres_container: Make, server: PostgresContainer, backup_dir: Path, tmp_path: Path
) -> None:
    silent = postgres_container(user=None, password=None, env={"POSTGRES_HOST_AUTH_METHOD": "trust"})
    silent.sql("postgres", "CREATE ROLE keeper SUPERUSER LOGIN")
    file = tmp_path / "db.env"

    def user(named: str) -> tuple[str, str, str]:
        file.write_text(f"POSTGRES_USER=keeper\nPOSTGRES_PASSWORD=x\nPOSTGRES_CONTAINER={named}\n", encoding="utf-8")
        found = discover(backup_dir, container=silent.name, credentials_file=str(file), database="postgres").succeeded()
        step = {step["step"]: step for step in found["context"]["trace"]}["file"]
        assert named in step["reason"]
        return found["context"]["user"], step["outcome"], found["context"]["credential_source"]

    assert user(silent.name) == ("keeper", "found", "CredFromPersistedFile")
    assert user(server.name) == ("postgres", "skipped", "CredFromRunningContainer"), "a file about another says nothing"


@pytest.mark.parametrize("content", ["POSTGRES_HOST=a b\n", "nonsense\n", "POSTGRES_PASSWORD='open\n", "POSTGRES_PORT=0\n"])
def test_a_malformed_file_ends_discovery(content: str, backup_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "db.env"
    file.write_text(content, encoding="utf-8")
    refused = discover(backup_dir, docker_host=NOWHERE, credentials_file=str(file)).failed_with("INVALID_DB_CONFIG")
    assert str(file) in refused["msg"]
