# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers outside containers: on this machine only when that is said, elsewhere by TCP and by TLS, and with which client."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.shop import SqlServer, create_shop

Make = Callable[..., PostgresContainer]


def round_trip(server: SqlServer, database: str, wish: dict[str, Any], env: dict[str, str] | None = None) -> dict[str, Any]:
    """Backup, loss and restore, proven equal; what the backup returned."""
    create_shop(server, database, size=20)
    before = snapshot(functools.partial(server.sql, database))
    wish = {**wish, "database": database}
    taken = run_module("pg_backup", {**wish, "verify": "restore", "jobs": 2}, env=env).succeeded()
    server.sql(database, "DROP SCHEMA sales CASCADE")
    restored = run_module("pg_restore", {**wish, "confirm": database}, env=env).succeeded()
    assert differences(before, snapshot(functools.partial(server.sql, database))) == []
    keys = ("mode", "executor", "engine_client", "host", "port", "socket", "credential_source", "client_version")
    assert {key: taken["context"][key] for key in keys} == {key: restored["context"][key] for key in keys}
    return taken


# -- on this machine ------------------------------------------------------------------------------------------------


@pytest.fixture
def database(embedded_server: EmbeddedServer, unique_name: Callable[[str], str]) -> Iterator[str]:
    name = unique_name("db")
    yield name
    for found in embedded_server.sql("postgres", f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%'"):
        embedded_server.sql("postgres", f'DROP DATABASE "{found}" WITH (FORCE)')


@pytest.mark.parametrize("how", ["socket", "host that is a socket", "loopback", "environment"])
def test_a_server_on_this_machine(how: str, embedded_server: EmbeddedServer, database: str, backup_dir: Path) -> None:
    server, env = embedded_server, {"PATH": embedded_server.path()}
    folder, tcp = str(server.socket_dir), {"login_user": server.user, "login_password": server.password}
    wish: dict[str, Any] = {
        "socket": {"login_unix_socket": folder, "login_port": server.port},
        "host that is a socket": {"login_host": folder, "login_port": server.port},
        "loopback": {"mode": "local", "login_host": server.host, "login_port": server.port, **tcp},
        "environment": {},
    }[how]
    if how == "environment":
        env |= {"POSTGRES_HOST": folder, "POSTGRES_PORT": str(server.port), "POSTGRES_USER": server.user}
    taken = round_trip(server, database, {**wish, "backup_dir": backup_dir}, env)
    context, loopback = taken["context"], how == "loopback"
    assert (context["mode"], context["executor"], context["container"]) == ("local", "host", None)
    assert (context["host"], context["socket"]) == ((server.host, None) if loopback else (None, folder))
    assert context["port"] == server.port
    assert context["credential_source"] == ("CredFromEnv" if how == "environment" else "CredFromOptions")
    assert taken["plan"]["instance"] == f"local_{server.port}"
    place = f"Host: {server.host}:{server.port}" if loopback else f"Socket: {folder}"
    assert taken["log"][0] == f"DB mode: local, Executor: host, {place}"


def test_loopback_alone_is_not_local(embedded_server: EmbeddedServer, backup_dir: Path) -> None:
    """The same address without the word means a container, and there is none at that port."""
    wish = {
        "login_host": embedded_server.host, "login_port": embedded_server.port, "login_user": embedded_server.user,
        "login_password": embedded_server.password, "backup_dir": backup_dir,
        "container_labels": {"pgfleet.test.nobody": "has this"},
    }
    run_module("pg_backup", wish, env={"PATH": embedded_server.path()}).failed_with("CONTAINER_NOT_FOUND")


@pytest.mark.parametrize(
    "wish",
    [
        {"mode": "in_container", "login_host": "db.example.com"},
        {"mode": "external", "login_host": "localhost"},
        {"mode": "external", "login_unix_socket": "/run/postgresql"},
        {"mode": "local", "login_host": "192.0.2.1"},
        {"mode": "local", "container": "app"},
        {"container": "app", "login_host": "192.0.2.1"},
    ],
)
def test_a_mode_is_not_talked_round(wish: dict[str, Any], backup_dir: Path) -> None:
    run_module("pg_backup", {**wish, "backup_dir": backup_dir}).failed_with("INVALID_DB_CONFIG")


# -- with which client ----------------------------------------------------------------------------------------------


def installed_majors() -> list[int]:
    names = [path.parts[-3] for path in Path("/usr/lib/postgresql").glob("*/bin/pg_dump")]
    return [int(name) for name in names if name.isdigit()]


@pytest.mark.skipif(max(installed_majors(), default=0) >= 18, reason="no installed client is older than the server")
def test_a_client_that_is_too_old_runs_nothing(embedded_server: EmbeddedServer, database: str, backup_dir: Path) -> None:
    create_shop(embedded_server, database, size=10)
    wish = {
        "login_unix_socket": embedded_server.socket_dir, "login_port": embedded_server.port, "backup_dir": backup_dir,
        "database": database,
    }
    old, new = {"PATH": "/usr/bin:/bin"}, {"PATH": embedded_server.path("/usr/bin:/bin")}
    refused = run_module("pg_backup", wish, env=old).failed_with("CLIENT_TOO_OLD")
    assert f"the newest found is {max(installed_majors())}." in refused["msg"]
    assert "18" in refused["hint"]
    assert list(backup_dir.rglob("*")) == []
    # The same before a restore, of which not even the side database is made.
    run_module("pg_backup", wish, env=new).succeeded()
    databases = embedded_server.sql("postgres", "SELECT oid, datname FROM pg_database")
    run_module("pg_restore", {**wish, "confirm": database}, env=old).failed_with("CLIENT_TOO_OLD")
    assert embedded_server.sql("postgres", "SELECT oid, datname FROM pg_database") == databases


def test_the_server_s_own_major_is_preferred(
    embedded_server: EmbeddedServer, module_postgres_container: Make, backup_dir: Path
) -> None:
    """Although the newer tools come first on PATH."""
    server = module_postgres_container()
    wish = {"login_host": server.ip, "login_password": server.password, "backup_dir": backup_dir}
    taken = run_module("pg_backup", wish, env={"PATH": embedded_server.path()}).succeeded()["context"]
    assert taken["client_version"].split(".")[0] == taken["server_version"].split(".")[0]


# -- by TLS ---------------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.certificate = folder / f"{name}.crt"
        self._make(name, "-x509", "-subj", f"/CN={name}")

    def issue(self, name: str, subject: str, *names: str) -> tuple[Path, Path]:
        """A certificate and its key. ``names`` are of the kind ``IP:192.0.2.1``."""
        extension = ["-addext", f"subjectAltName={','.join(names)}"] if names else []
        signed = ["-x509", "-CA", str(self.certificate), "-CAkey", str(self._folder / f"{self._name}.key")]
        self._make(name, *signed, "-subj", f"/CN={subject}", "-addext", "basicConstraints=CA:FALSE", *extension)
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"

    def _make(self, name: str, *more: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        files = ["-keyout", str(self._folder / f"{name}.key"), "-out", str(self._folder / f"{name}.crt")]
        subprocess.run(["openssl", "req", *key, *files, *more], check=True, capture_output=True, umask=0o077)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture
def tls_server(postgres_container: Make, authority: Authority) -> PostgresContainer:
    """A server whose certificate names its address, and that accepts nothing but TLS."""
    server = postgres_container(command=["-c", "log_connections=on"])
    present(server, *authority.issue("server", "server", f"IP:{server.ip}"))
    let_in_by(server, "scram-sha-256")
    return server


def present(server: PostgresContainer, certificate: Path, key: Path) -> None:
    script = 'umask 077; printf %s "$1" >"$2/server.crt"; printf %s "$3" >"$2/server.key"; chown postgres: "$2"/server.*'
    folder = server.sql("postgres", "SHOW data_directory")[0]
    server.shell("sh", "-c", script, "sh", certificate.read_text(), folder, key.read_text())
    server.sql("postgres", "ALTER SYSTEM SET ssl = on")
    server.sql("postgres", "SELECT pg_reload_conf()")


def let_in_by(server: PostgresContainer, method: str) -> None:
    file = server.sql("postgres", "SHOW hba_file")[0]
    server.shell("sed", "-i", f"s/^host[a-z]* all all all .*/hostssl all all all {method}/", file)
    server.sql("postgres", "SELECT pg_reload_conf()")


def sessions(server: PostgresContainer) -> list[str]:
    """What the server noted of every session of ours; it lets nobody in from outside but by TLS.

    A test that lists all servers of the engine may look in at the same time, through the socket inside.
    """
    return [line for line in server.logs().splitlines()
            if "connection authorized" in line and "pgfleet/" in line and "SSL enabled" in line]


def test_tls_reaches_every_tool(tls_server: PostgresContainer, authority: Authority, backup_dir: Path) -> None:
    wish = {
        "login_host": tls_server.ip, "login_password": tls_server.password, "backup_dir": backup_dir,
        "ssl_mode": "verify-full", "ca_cert": authority.certificate,
    }
    assert round_trip(tls_server, "shop", wish)["context"]["mode"] == "external"
    run_module("pg_backup", {**wish, "ssl_mode": "disable"}).failed_with("AUTH_FAILED")
    assert len(sessions(tls_server)) > 10
    assert [line for line in sessions(tls_server) if "SSL enabled (protocol=TLS" not in line] == []


def test_a_client_s_certificate_reaches_every_tool(
    tls_server: PostgresContainer, authority: Authority, backup_dir: Path
) -> None:
    """Without it, and without a password, none of them would be let in."""
    tls_server.sql("postgres", f"ALTER SYSTEM SET ssl_ca_file = '{put_authority(tls_server, authority)}'")
    let_in_by(tls_server, "cert")
    certificate, key = authority.issue("client", "postgres")
    wish = {
        "login_host": tls_server.ip, "backup_dir": backup_dir, "ssl_mode": "verify-full",
        "ca_cert": authority.certificate, "ssl_cert": certificate, "ssl_key": key,
    }
    round_trip(tls_server, "shop", wish)


def put_authority(server: PostgresContainer, authority: Authority) -> str:
    path = server.sql("postgres", "SHOW data_directory")[0] + "/ca.crt"
    server.shell("sh", "-c", 'printf %s "$1" >"$2"', "sh", authority.certificate.read_text(), path)
    return path


def test_a_certificate_that_does_not_prove_the_server_is_refused(
    tls_server: PostgresContainer, authority: Authority, backup_dir: Path, tmp_path: Path
) -> None:
    wish = {"login_host": tls_server.ip, "login_password": tls_server.password, "backup_dir": backup_dir, "database": "postgres"}
    stranger = Authority(tmp_path, "stranger")
    for mode in ("verify-ca", "verify-full"):
        for module in ("pg_backup", "pg_restore"):
            refused = run_module(module, {**wish, "ssl_mode": mode, "ca_cert": stranger.certificate})
            assert "certificate verify failed" in refused.failed_with("CONNECTION_FAILED")["msg"]
    # The right authority, but the certificate of another host: good for verify-ca, not for verify-full.
    present(tls_server, *authority.issue("another", "another", "IP:192.0.2.1"))
    ours = {**wish, "ca_cert": authority.certificate}
    run_module("pg_backup", {**ours, "ssl_mode": "verify-full"}).failed_with("CONNECTION_FAILED")
    missing = {**wish, "ssl_mode": "verify-full", "ca_cert": os.devnull + ".none"}
    run_module("pg_backup", missing).failed_with("CONNECTION_FAILED")
    assert list(backup_dir.rglob("*")) == []
    assert sessions(tls_server) == []
    run_module("pg_backup", {**ours, "ssl_mode": "verify-ca"}).succeeded()
