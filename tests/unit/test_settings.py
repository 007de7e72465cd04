# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._settings import (
    Settings,
    is_local_host,
    is_socket,
    parse_port,
    read_settings,
)

FILES = {"/run/secret": "from a file\n", "/run/windows": "x\r\n", "/run/user": "fileuser", "/run/spaces": " x \t\n\n"}


def read(variables: Mapping[str, str]) -> Settings:
    return read_settings(variables, where="environment", read_file=FILES.__getitem__)


def refusal(variables: Mapping[str, str]) -> str:
    with pytest.raises(BackupError) as caught:
        read(variables)
    assert caught.value.code == "INVALID_DB_CONFIG"
    return caught.value.what


@pytest.mark.parametrize("host", [
    "", " ", "localhost", "LocalHost", "127.0.0.1", "127.8.9.1", "127.255.255.255", "::1", "[::1]", "0:0:0:0:0:0:0:1",
])
def test_local_hosts(host: str) -> None:
    assert is_local_host(host)


@pytest.mark.parametrize("host", [
    "db", "localhost.example.com", "mylocalhost", "126.255.255.255", "128.0.0.1", "127.0.0.1.example.com",
    "0.0.0.0",  # noqa: S104
    "::", "::2", "[::2]", "::ffff:127.0.0.1", "10.0.0.1", "/var/run/postgresql",
])
def test_other_hosts(host: str) -> None:
    assert not is_local_host(host)


def test_a_socket_is_a_folder() -> None:
    assert is_socket("/var/run/postgresql")
    assert not is_socket("db")
    assert not is_socket("")


@pytest.mark.parametrize(("value", "port"), [(None, 0), ("", 0), (" ", 0), ("5432", 5432), (" 1 ", 1), (65535, 65535)])
def test_ports(value: object, port: int) -> None:
    assert parse_port(value, where="login_port") == port


@pytest.mark.parametrize("value", ["0", "65536", "-1", "5432x", "5432.0", "1 2", "٥٤٣٢", "0x10", True, "9" * 5000])
def test_what_is_no_port(value: object) -> None:
    with pytest.raises(BackupError, match=r"^INVALID_DB_CONFIG: login_port is not a port"):
        parse_port(value, where="login_port")


@pytest.mark.parametrize(("field", "aliases"), [
    ("host", ["POSTGRES_HOST", "PGHOST"]),
    ("database", ["POSTGRES_DATABASE", "POSTGRES_DB", "PGDATABASE"]),
    ("user", ["POSTGRES_USERNAME", "POSTGRES_USER", "POSTGRESQL_USERNAME", "PGUSER"]),
    ("password", ["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "PGPASSWORD"]),
    ("container", ["POSTGRES_CONTAINER"]),
])
def test_every_alias_is_known_and_the_first_wins(field: str, aliases: list[str]) -> None:
    for first, alias in enumerate(aliases):
        assert getattr(read({alias: "it"}), field) == "it"
        # Whatever the order in the environment; an empty one is not set.
        later = {name: "value of " + name for name in reversed(aliases[first + 1:])}
        if field == "host":
            later = dict.fromkeys(later, "later")
        earlier = dict.fromkeys(aliases[:first], "")
        settings = read({**later, alias: "it", **earlier})
        assert getattr(settings, field) == "it"
        assert len(settings.warnings) == bool(later)


@pytest.mark.parametrize("alias", ["POSTGRES_PORT", "PGPORT"])
def test_the_port_and_the_sslmode(alias: str) -> None:
    assert read({alias: "5433"}).port == 5433
    assert read({"PGSSLMODE": "require"}).sslmode == "require"
    assert read({"POSTGRES_SSLMODE": "verify-full", "PGSSLMODE": "require"}).sslmode == "verify-full"


def test_nothing_is_said() -> None:
    assert read({"HOME": "/root", "POSTGRES_HOST": "", "DATABASE_URL": ""}) == Settings()


def test_two_aliases_that_disagree_are_named_without_their_values() -> None:
    settings = read({"POSTGRES_PASSWORD": "first", "PGPASSWORD": "second", "POSTGRES_USER": "a", "PGUSER": "a"})
    assert settings.password == "first"
    assert settings.warnings == ("environment: POSTGRES_PASSWORD and PGPASSWORD disagree; POSTGRES_PASSWORD is used.",)
    assert "second" not in repr(settings)
    assert "first" not in repr(settings)


def test_files() -> None:
    assert read({"POSTGRES_PASSWORD_FILE": "/run/secret"}).password == "from a file"
    assert read({"PGPASSWORD_FILE": "/run/windows"}).password == "x"
    assert read({"PGPASSWORD_FILE": "/run/spaces"}).password == " x \t"
    assert read({"POSTGRES_USER_FILE": "/run/user"}).user == "fileuser"
    both = read({"POSTGRES_PASSWORD": "direct", "POSTGRES_PASSWORD_FILE": "/run/missing"})
    assert (both.password, both.warnings) == ("direct", ())
    assert read({"PGPASSWORD": "p", "POSTGRES_PASSWORD_FILE": "/run/secret"}).warnings != ()


@pytest.mark.parametrize(("url", "expected"), [
    ("postgresql://u:p@db.example.com:5433/shop",
     Settings(host="db.example.com", port=5433, user="u", password="p", database="shop")),
    ("postgres://db", Settings(host="db")),
    (" postgres://db/shop\n", Settings(host="db", database="shop")),
    ("postgresql+psycopg2://u@db/shop", Settings(host="db", user="u", database="shop")),
    ("postgresql+psycopg_async://u@db/shop", Settings(host="db", user="u", database="shop")),
    ("postgresql://us%40er:p%2Fa%3As%25s%C3%A4%23@db/my%20shop",
     Settings(host="db", user="us@er", password="p/a:s%sä#", database="my shop")),
    ("postgresql://u:p@[2001:db8::1]:5433/shop",
     Settings(host="2001:db8::1", port=5433, user="u", password="p", database="shop")),
    ("postgresql://[::1]/shop", Settings(host="::1", database="shop")),
    ("postgresql://u:p@%2Fvar%2Frun%2FPostgreSQL:5433/shop",
     Settings(host="/var/run/PostgreSQL", port=5433, user="u", password="p", database="shop")),
    ("postgresql:///shop?host=/var/run/postgresql&port=5433&user=u&password=a+b%20c",
     Settings(host="/var/run/postgresql", port=5433, user="u", password="a+b c", database="shop")),
    ("postgresql://db/shop?sslmode=verify-full&application_name=x",
     Settings(host="db", database="shop", sslmode="verify-full")),
    ("postgresql:///?dbname=shop", Settings(database="shop")),
    # What libpq accepts without encoding: a password's end is the last "@" before a slash.
    ("postgresql://u:12#x@db/shop", Settings(host="db", user="u", password="12#x", database="shop")),
    ("postgresql://u:12?x@db/shop", Settings(host="db", user="u", password="12?x", database="shop")),
    ("postgresql://u:p@ss@db/shop", Settings(host="db", user="u", password="p@ss", database="shop")),
    ("postgresql://u:p:ss@db/shop", Settings(host="db", user="u", password="p:ss", database="shop")),
    ("mysql://u:p@db/shop", Settings()),
    ("sqlite:///shop.db", Settings()),
])
def test_urls(url: str, expected: Settings) -> None:
    assert read({"DATABASE_URL": url}) == expected


@pytest.mark.parametrize("url", [
    "postgresql://u:secret@a,b/shop", "postgresql://u:secret@a:5432,b:5433/shop", "postgresql://u:secret@/d?host=a,b",
    "postgresql://u:secret@db:0/shop", "postgresql://u:secret@db:65536/shop", "postgresql://u:secret@db:port/shop",
    "postgresql://u:secret/x@db/shop", "postgresql://u:secret@[::1/shop", "postgresql://u:secret%00@db/shop",
    "postgresql://u:secret@db/shop?sslmode=maybe", "postgresql://u:secret@d b/shop", "postgresql://u:secret@db%00/x",
])
def test_urls_that_cannot_be_meant(url: str) -> None:
    assert "secret" not in refusal({"DATABASE_URL": url})


def test_a_single_variable_wins_over_the_url() -> None:
    settings = read({"DATABASE_URL": "postgresql://u:p@db/shop", "PGUSER": "v", "POSTGRES_DB": "shop"})
    assert (settings.user, settings.password, settings.database) == ("v", "p", "shop")
    assert settings.warnings == ("environment: PGUSER and DATABASE_URL disagree; PGUSER is used.",)


@pytest.mark.parametrize("host", [
    "a,b", "/tmp,evil", "two words", "user@db", "db/x", "postgresql://db", "db?x=1", "d\nb", "d\0b", "x" * 256,
])
def test_hosts_that_cannot_be_meant(host: str) -> None:
    assert "environment" in refusal({"POSTGRES_HOST": host})


@pytest.mark.parametrize("variables", [
    {"PGPORT": "99999"}, {"PGSSLMODE": "on"}, {"PGUSER": "a\0"}, {"PGDATABASE": "a\0"}, {"PGPASSWORD": "a\0"},
])
def test_values_that_cannot_be_meant(variables: dict[str, str]) -> None:
    refusal(variables)


@pytest.mark.parametrize(("own", "other", "expected"), [
    (Settings(), Settings(user="u", password="p"), ("u", "p")),
    (Settings(user="u"), Settings(user="u", password="p"), ("u", "p")),
    (Settings(user="a"), Settings(user="u", password="p"), ("a", "")),
    (Settings(password="q"), Settings(user="u", password="p"), ("u", "q")),
    (Settings(user="a", password="q"), Settings(user="u", password="p"), ("a", "q")),
])
def test_a_password_comes_only_with_its_user(own: Settings, other: Settings, expected: tuple[str, str]) -> None:
    filled = own.filled_from(other)
    assert (filled.user, filled.password) == expected


def test_what_is_filled_and_what_is_not() -> None:
    other = Settings("host", 1, "database", "user", "password", "require", "container", ("careful",))
    assert Settings(warnings=("first",)).filled_from(other) == Settings(
        database="database", user="user", password="password", sslmode="require", warnings=("first", "careful"))
    full = Settings("h", 2, "d", "user", "p", "prefer", "c")
    assert full.filled_from(other) == Settings("h", 2, "d", "user", "p", "prefer", "c", ("careful",))
