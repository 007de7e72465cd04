# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._context import Tls
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._request import Request, read_request
from ansible_collections.pgfleet.backup.plugins.module_utils._settings import Settings

BLANK = dict.fromkeys((
    "mode", "container", "container_image", "docker_host", "login_host", "login_port", "login_user", "login_password",
    "login_unix_socket", "ssl_mode", "ca_cert", "ssl_cert", "ssl_key",
), "")


def read(**params: Any) -> Request:
    return read_request(params, database=params.pop("database", None), credentials_file="/state/db.env")


def refusal(**params: Any) -> str:
    with pytest.raises(BackupError) as caught:
        read(**params)
    assert caught.value.code == "INVALID_DB_CONFIG"
    return caught.value.what


def test_everything_that_can_be_said() -> None:
    request = read(
        login_host="db", login_port="5433", login_user="u", login_password=" p ", database="shop",
        docker_host="tcp://x",
        ssl_mode="verify-full", ca_cert="/ca", ssl_cert="/cert", ssl_key="/key", connect_params={"keepalives": 1},
    )
    assert request == Request(
        mode="", settings=Settings(host="db", port=5433, user="u", password=" p ", database="shop"),
        docker_host="tcp://x", tls=Tls("verify-full", "/ca", "/cert", "/key"), connect_params={"keepalives": "1"},
        credentials_file="/state/db.env",
    )
    assert not request.asks_for_container


@pytest.mark.parametrize("params", [
    {}, BLANK, dict.fromkeys(BLANK), {**dict.fromkeys(BLANK, "  "), "login_password": ""},
    {"container_labels": {}, "connect_params": None}, {"mode": "auto"},
])
def test_blanks_are_unset(params: dict[str, Any]) -> None:
    assert read(**params) == Request(mode="", settings=Settings(), credentials_file="/state/db.env")


@pytest.mark.parametrize("params", [
    {"container": "app"}, {"container_image": "postgres"}, {"container_labels": {"a": ""}},
])
def test_asking_for_a_container(params: dict[str, Any]) -> None:
    assert read(**params).asks_for_container


def test_a_host_that_is_a_folder_is_a_socket() -> None:
    request = read(login_host="/var/run/postgresql")
    assert (request.settings.host, request.socket) == ("", "/var/run/postgresql")
    assert read(login_host="/a", login_unix_socket="/b").socket == "/b"


@pytest.mark.parametrize("port", ["0", "65536", "-5", "x", 5432.5])
def test_ports_out_of_range(port: Any) -> None:
    assert "login_port" in refusal(login_port=port)


@pytest.mark.parametrize("params", [
    {"mode": "in_container", "login_host": "db"},
    {"mode": "local", "login_host": "db"},
    {"mode": "external", "login_host": "localhost"},
    {"mode": "external", "login_host": "127.0.0.1"},
    {"mode": "external", "login_unix_socket": "/tmp"},
    {"mode": "external", "login_host": "/tmp"},
    {"mode": "local", "container": "app"},
    {"mode": "local", "container_image": "postgres"},
    {"mode": "local", "container_labels": {"a": "b"}},
    {"container": "app", "login_host": "db"},
    {"container_labels": {"a": "b"}, "login_host": "10.0.0.1"},
])
def test_contradictions(params: dict[str, Any]) -> None:
    assert "contradicts" in refusal(**params)


@pytest.mark.parametrize("params", [
    {"mode": "in_container", "login_host": "localhost"}, {"mode": "local", "login_host": "::1"},
    {"mode": "local", "login_unix_socket": "/tmp"}, {"mode": "external", "login_host": "db"},
    {"mode": "external", "container": "app"}, {"mode": "in_container", "login_unix_socket": "/tmp"},
    {"container": "app", "login_host": "localhost", "login_port": "55432"},
])
def test_no_contradictions(params: dict[str, Any]) -> None:
    assert read(**params).mode == params.get("mode", "")


@pytest.mark.parametrize(("params", "named"), [
    ({"login_unix_socket": "tmp"}, "login_unix_socket"),
    ({"ssl_mode": "on"}, "ssl_mode"),
    # libpq would take these for several hosts and try one after the other.
    ({"login_host": "db,localhost"}, "login_host"),
    ({"login_unix_socket": "/tmp,db.example.com"}, "login_unix_socket"),
    ({"login_host": "/tmp,db.example.com"}, "login_unix_socket"),
    ({"login_host": "user@db"}, "login_host"),
    ({"login_host": "postgresql://db"}, "login_host"),
])
def test_values_that_cannot_be_meant(params: dict[str, Any], named: str) -> None:
    assert named in refusal(**params)


@pytest.mark.parametrize("keyword", [
    "password", "sslpassword", "passfile", "host", "hostaddr", "service", "servicefile", "port", "user", "dbname",
    "options", "application_name", "replication", "scram_client_key", "oauth_client_secret",
    "host\n", "password ", " host", "PASSWORD", "host=x", "", "1x",
])
def test_connect_params_that_would_go_round_the_guard(keyword: str) -> None:
    assert "hunter2" not in refusal(connect_params={"keepalives": "1", keyword: "hunter2"})
