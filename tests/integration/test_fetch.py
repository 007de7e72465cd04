# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing sets to the controller by real Ansible over real connections."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import find_sets
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import check_files
from ansible_collections.pgfleet.backup.tests.support.cli import CliResult
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.ssh import SshHost, missing_for_ssh
from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until
from ansible_collections.pgfleet.backup.tests.unit.manifests import write_set

MIB = 1024 * 1024
KEY = "a key of more than sixteen characters"


def play(*, check: bool = False, defaults: dict[str, Any] | None = None, **options: Any) -> list[dict[str, Any]]:
    task = {"name": "fetch", "pgfleet.backup.pg_backup_fetch": options, "check_mode": check}
    group = {"group/pgfleet.backup.postgresql": defaults or {}}
    return [{"hosts": "all", "gather_facts": False, "module_defaults": group, "tasks": [task]}]


def test_a_backup_comes_home_and_restores_from_there(
    local: Local, database: str, tmp_path: Path, ansible_playbook: Callable[..., CliResult]
) -> None:
    made = local.back_up(database, signing_key=KEY)
    options: dict[str, Any] = {"backup_dir": str(local.backup_dir), "dest": str(tmp_path / "dest"), "database": database}
    planned = ansible_playbook(play(check=True, **options), switches=["--diff"]).succeeded()
    assert planned.of("fetch")["changed"]
    assert made["id"] in planned.stdout
    assert not (tmp_path / "dest").exists()

    done = ansible_playbook(play(**options, signing_key=KEY), switches=["-vvv"]).succeeded()
    (copy,) = done.of("fetch")["fetched"]
    assert KEY not in done.output
    assert copy["verified"]
    home = tmp_path / "dest" / "localhost"
    assert Path(copy["path"]) == home / made["instance"] / database / made["id"]

    shared = {"container": "app", "login_password": "secret", "signing_key": KEY}
    target = {"retention": {"keep_last": 1}, "format": "custom", "login_user": "app"}  # as for pg_backup
    again = ansible_playbook(play(**options, defaults=shared, options=target)).succeeded().of("fetch")
    assert not again["changed"]
    assert [item["id"] for item in again["present"]] == [made["id"]]

    before = local.look(database)
    local.server.sql(database, "DROP TABLE t")
    local.restore(
        backup_dir=str(home), instance=made["instance"], database=database, confirm=database, signing_key=KEY,
        login_host=local.server.host, login_unix_socket="", mode="local", login_password=local.server.password,
    ).succeeded()
    assert local.look(database) == before


def test_a_copy_that_is_brought_back_is_proven_before_it_replaces_anything(
    local: Local, database: str, tmp_path: Path, ansible_playbook: Callable[..., CliResult]
) -> None:
    made = local.back_up(database, format="custom", signing_key=KEY)
    copies, host = made["path"], tmp_path / "host"
    before = local.look(database)
    local.server.sql(database, "DELETE FROM t")
    bring = {"name": "bring", "ansible.builtin.copy": {
        "src": f"{copies}/", "dest": f"{host}/{made['id']}/", "mode": "0600", "directory_mode": "0700"}}
    restore = {"name": "restore", "pgfleet.backup.pg_restore": local.options(
        backup_dir=str(tmp_path / "another"), database=database, backup=str(host / made["id"]), confirm=database,
        signing_key=KEY), "environment": {"PATH": local.server.path()}}
    damage = {"name": "damage", "ansible.builtin.command": {"argv": ["truncate", "-s", "-1", f"{host}/{made['id']}/database.dump"]}}

    def play(*tasks: dict[str, Any]) -> CliResult:
        return ansible_playbook([{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}])

    assert play(bring, damage, restore).of("restore")["code"] == "CHECKSUM_MISMATCH"
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["0"]
    play(bring, restore).succeeded()
    assert local.look(database) == before


def test_a_failure_has_what_every_failure_has(tmp_path: Path, ansible_playbook: Callable[..., CliResult]) -> None:
    empty: dict[str, Any] = {"backup_dir": str(tmp_path / "none"), "dest": str(tmp_path / "dest"), "retention": ""}
    done = ansible_playbook(play(**empty))
    result = done.of("fetch")
    assert done.rc == 2
    assert result["msg"].startswith("BACKUP_NOT_FOUND: ")
    assert result["code"] == "BACKUP_NOT_FOUND"
    assert {"hint", "severity", "data_risk", "retryable", "log"} <= set(result)
    wrong = ansible_playbook(play(**empty, login_port="x", nonsense=1)).of("fetch")
    assert "nonsense" in wrong["msg"]


# -- over SSH -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ssh_host() -> Iterator[Callable[[], SshHost]]:
    """``ssh_host()``: another host that is reached by SSH, until the test ends."""
    if missing_for_ssh():
        pytest.skip(f"a host by SSH needs {missing_for_ssh()}")
    made: list[SshHost] = []

    def make() -> SshHost:
        made.append(SshHost().__enter__())
        return made[-1]

    yield make
    for host in made:
        host.__exit__(None, None, None)


def test_root_by_a_sudo_password_brings_the_same_as_root(
    tmp_path: Path, ssh_host: Callable[[], SshHost], ansible_playbook: Callable[..., CliResult]
) -> None:
    awkward = {"database/it's $1.dat": bytes(range(256)) * 40000, "database/toc.dat": b"BECOME-SUCCESS-x\r\n\0"}
    made = write_set(tmp_path / "backups", content=awkward)
    ssh = ssh_host()
    done = ansible_playbook(
        play(backup_dir=str(tmp_path / "backups"), dest=str(tmp_path / "dest")),
        hosts={"root": ssh.variables(), "sudo": ssh.with_sudo()},
    ).succeeded()
    assert ssh.become_password not in done.output
    for host in ("root", "sudo"):
        (copy,), _problems = find_sets(str(tmp_path / "dest" / host))
        check_files(copy)
        assert copy.manifest == made.manifest


def test_a_host_that_dies_midway_costs_what_was_on_the_way_and_little_memory(
    tmp_path: Path, ssh_host: Callable[[], SshHost], ansible_playbook: Callable[..., CliResult]
) -> None:
    made = write_set(tmp_path / "backups", content={"database.dump": os.urandom(MIB) * 160})
    tasks = play(backup_dir=str(tmp_path / "backups"), dest=str(tmp_path / "dest"))
    ssh = ssh_host()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(ansible_playbook, tasks, hosts={"far": ssh.variables()})
        wait_until(lambda: running.done() or _bytes_below(tmp_path / "dest") > 32 * MIB)
        ssh.cut()
        result = running.result().of("fetch")
    assert result.get("code") == "CONNECTION_FAILED", result
    assert result["retryable"]
    assert not result["changed"]
    assert find_sets(str(tmp_path / "dest" / "far")) == ([], [])

    with _memory_of_workers(tmp_path) as grown:
        again = ansible_playbook(tasks, hosts={"far": ssh_host().variables()}).succeeded().of("fetch")
    assert again["bytes"] < made.bytes - 16 * MIB
    (copy,), _problems = find_sets(str(tmp_path / "dest" / "far"))
    check_files(copy)
    assert grown, "no worker was seen"
    assert max(grown) < 100 * MIB


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _memory_of_workers(folder: Path) -> Iterator[list[int]]:
    """While the block runs: by how many bytes Ansible's workers of this test outgrow the process they are forked from."""
    grown: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with suppress(OSError, StopIteration):
                    parent = _status(pid, "PPid")
                    if all(str(folder) in Path("/proc", each, "cmdline").read_text() for each in (pid, str(parent))):
                        grown.append((_status(pid, "VmHWM") - _status(str(parent), "VmRSS")) * 1024)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        over.set()
        thread.join()


def _status(pid: str, key: str) -> int:
    lines = Path("/proc", pid, "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key + ":")).split()[1])
