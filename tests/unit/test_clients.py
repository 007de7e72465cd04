# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _clients
from ansible_collections.pgfleet.backup.plugins.module_utils._clients import (
    Client,
    choose_client,
    client_folders,
    find_clients,
    parse_version,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError


@pytest.fixture(autouse=True)
def no_platform_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clients, "_FOLDERS", ())


def install(folder: Path, says: str = "pg_dump (PostgreSQL) 17.11", status: int = 0) -> str:
    folder.mkdir(parents=True)
    tool = folder / "pg_dump"
    tool.write_text("#!/bin/sh\necho '{0}'\nexit {1}\n".format(says, status))
    tool.chmod(0o755)
    return str(folder)


def ask(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(("output", "version", "numbers"), [
    ("pg_dump (PostgreSQL) 17.11\n", "17.11", (17, 11)),
    ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15.18", (15, 18)),
    ("pg_dump (PostgreSQL) 18beta2\n", "18beta2", (18,)),
    ("pg_dump (PostgreSQL) 9.6.24", "9.6.24", (9, 6, 24)),
])
def test_versions(output: str, version: str, numbers: tuple[int, ...]) -> None:
    client = parse_version(output, folder="/bin")
    assert (client.version, client.numbers, client.major) == (version, numbers, numbers[0])
    assert client.path("psql") == "/bin/psql"
    assert parse_version(output, folder="").path("psql") == "psql"


@pytest.mark.parametrize(("version", "told", "keeps"), [
    ("9.6.24", False, False), ("12.22", False, False), ("13.21", False, False), ("13.22", True, False), ("15.13", False, False),
    ("15.14", True, False), ("15.18", True, False), ("15.19", True, True), ("17beta1", False, False), ("17.6", True, False),
    ("17.11", True, True), ("18.0", True, False), ("18.6", True, True), ("19devel", True, True),
])
def test_which_psql_can_be_told_to_obey_no_commands_and_keeps_to_it(version: str, told: bool, keeps: bool) -> None:
    client = parse_version("pg_dump (PostgreSQL) " + version, folder="")
    assert (client.restricts, client.keeps_to_sql) == (told, keeps)


@pytest.mark.parametrize("output", ["", "pg_dump 17.11", "pg_dump (EnterpriseDB) 17", "sh: not found"])
def test_what_is_no_version(output: str) -> None:
    with pytest.raises(BackupError, match=r"^CLIENT_NOT_FOUND"):
        parse_version(output, folder="/bin")


def test_all_installations_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = install(tmp_path / "first", "pg_dump (PostgreSQL) 16.4")
    for version in ("15", "17"):
        install(tmp_path / "platform" / version / "bin", "pg_dump (PostgreSQL) {0}.1".format(version))
    monkeypatch.setattr(_clients, "_FOLDERS", (str(tmp_path / "platform/*/bin"),))
    path = os.pathsep.join(["", str(tmp_path / "missing"), first, first])
    found = [(client.folder, client.version) for client in find_clients(path, ask=ask)]
    platform = str(tmp_path / "platform")
    assert found == [(first, "16.4"), (platform + "/15/bin", "15.1"), (platform + "/17/bin", "17.1")]


def test_what_is_not_taken_for_one(tmp_path: Path) -> None:
    wrapper = Path(install(tmp_path / "usr/share", "pg_dump (PostgreSQL) 99.0"))
    (wrapper / "pg_dump").rename(wrapper / "pg_wrapper")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pg_dump").symlink_to(wrapper / "pg_wrapper")
    (tmp_path / "folder/pg_dump").mkdir(parents=True)
    plain = Path(install(tmp_path / "plain"))
    (plain / "pg_dump").chmod(0o644)
    assert client_folders(os.pathsep.join(str(tmp_path / name) for name in ("bin", "folder", "plain"))) == []


def test_a_link_leads_to_the_folder_with_the_sister_tools(tmp_path: Path) -> None:
    real = install(tmp_path / "pgsql-17/bin")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pg_dump").symlink_to(Path(real) / "pg_dump")
    assert client_folders(os.pathsep.join([str(tmp_path / "bin"), real])) == [real]


def test_a_broken_installation_beside_a_good_one(tmp_path: Path) -> None:
    folders = [install(tmp_path / "silent", ""), install(tmp_path / "gone"), install(tmp_path / "good")]

    def ask_them(program: str) -> str:
        if program.startswith(folders[1]):
            raise OSError("Exec format error")
        return ask(program)

    assert [client.folder for client in find_clients(os.pathsep.join(folders), ask=ask_them)] == [folders[2]]


def clients(*versions: str) -> list[Client]:
    return [parse_version("pg_dump (PostgreSQL) " + version, folder="/" + version) for version in versions]


@pytest.mark.parametrize(("installed", "server", "at_least", "chosen"), [
    (("15.1", "16.1", "17.1"), 16, 0, "16.1"),
    (("15.1", "17.1", "18.1"), 16, 0, "17.1"),
    (("16.2", "16.10", "16.9"), 16, 0, "16.10"),
    (("18.1", "17.1"), 0, 0, "17.1"),
    (("15.1", "17.1", "18.1"), 15, 17, "17.1"),
    (("15.1", "17.1", "18.1"), 18, 15, "18.1"),
])
def test_the_same_major_else_the_nearest_newer(
    installed: tuple[str, ...], server: int, at_least: int, chosen: str
) -> None:
    assert choose_client(clients(*installed), server_major=server, at_least=at_least).version == chosen


@pytest.mark.parametrize(("server", "at_least", "needs"), [
    (18, 0, "a server of version 18 needs a client of version 18 or newer; the newest found is 17.1 in /17.1"),
    (16, 18, "the archive needs a client of version 18 or newer; the newest found is 17.1 in /17.1"),
])
def test_too_old(server: int, at_least: int, needs: str) -> None:
    with pytest.raises(BackupError) as caught:
        choose_client(clients("17.1", "9.6.24"), server_major=server, at_least=at_least)
    assert (caught.value.code, caught.value.what) == ("CLIENT_TOO_OLD", needs)
    assert "postgresql-client-18" in caught.value.hint


def test_none_at_all() -> None:
    with pytest.raises(BackupError, match=r"^CLIENT_NOT_FOUND"):
        choose_client([], server_major=17)
