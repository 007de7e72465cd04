# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A password is nowhere to be seen: not in processes, output, results, files or the engine's records."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.pgfleet.backup.tests.support.cli import CliResult
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.engine import Engine
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

ContainerFactory = Callable[..., PostgresContainer]

# Forty characters, all that shells, URLs, JSON, YAML, libpq and Jinja make something of.
AWKWARD = "p 'w\"d\\$HOME`id`{{x}}%n&<>|;*?#=@:/ü€日!~"
assert len(AWKWARD) == 40
# Any piece of it this long gives it away; a mask that leaves the rest standing is no mask.
PIECES = (AWKWARD[1:14], AWKWARD[14:27], AWKWARD[27:])


def _spelled(secret: str) -> list[str]:
    """The secret as it stands in text, in JSON, in a log of Python's, and in a URL."""
    return [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1], quote(secret)]


def _gives_away(text: str, *secrets: str) -> list[str]:
    return [spelled for secret in secrets or (AWKWARD, *PIECES) for spelled in _spelled(secret) if spelled in text]


# -- watching -------------------------------------------------------------------------------------------------------


class Watch:
    """Looks at every process of the machine over and over, those inside containers among them, and, with an engine, at
    every exec that is created: for as long as the ``with`` block lasts.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self.commands: set[str] = set()
        self.execs: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._look, daemon=True)]
        self._events: Any = None
        if engine is not None:
            self._events = engine.client.api.events(filters={"type": "container"}, decode=True)
            self._threads.append(threading.Thread(target=self._listen, args=(engine,), daemon=True))

    def _look(self) -> None:
        while not self._stop.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    self.commands.add(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            self._stop.wait(0.01)

    def _listen(self, engine: Engine) -> None:
        # Closing it from outside ends the loop with whichever error the transport thinks fit.
        with suppress(Exception):
            for event in self._events:
                self.commands.add(event["Action"])
                if event["Action"].startswith("exec_create"):
                    self.execs.append(engine.client.api.exec_inspect(event["Actor"]["Attributes"]["execID"]))

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        if self._events is not None:
            self._events.close()
        for thread in self._threads:
            thread.join(10)


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes().decode("utf-8", errors="replace")


def _nothing_shows(done: CliResult | ModuleResult, watch: Watch, folder: Path, *secrets: str) -> None:
    output = done.stdout + done.stderr
    assert _gives_away(output, *secrets) == []
    shown = "\n".join(watch.commands)
    assert "pg_dump" in shown
    assert _gives_away(shown, *secrets) == []
    assert _gives_away(json.dumps(watch.execs, ensure_ascii=False), *secrets) == []
    assert [path for path, text in _files(folder) if _gives_away(text, *secrets)] == []


# -- forty awkward characters ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(password=AWKWARD) as server:
        yield server


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Back up
      pgfleet.backup.pg_backup: "{{ back_up }}"
    - name: Restore
      pgfleet.backup.pg_restore: "{{ restore }}"
"""


def test_an_awkward_password_shows_nowhere_on_the_host(
    guarded: EmbeddedServer, backup_dir: Path, ansible_playbook: Callable[..., CliResult]
) -> None:
    here = Local(guarded, backup_dir)
    create_shop(guarded, "typed", size=50)
    options = here.by_password(database="typed", login_password="{{ lookup('env', 'TEST_SECRET') }}")
    variables = {"back_up": options, "restore": {**options, "strategy": "drill"}}
    with Watch() as watch:
        done = ansible_playbook(PLAY, extra_vars=variables, switches=["-vvv"],
                                env={"PATH": guarded.path(), "TEST_SECRET": AWKWARD}).succeeded()
    assert done.of("Back up")["backups"][0]["verified"]
    _nothing_shows(done, watch, backup_dir)
    assert _gives_away(json.dumps(done.of("Back up"), ensure_ascii=False) + json.dumps(done.of("Restore"))) == []


def test_a_signing_key_shows_nowhere(
    local: Local, database: str, tmp_path: Path, ansible_playbook: Callable[..., CliResult]
) -> None:
    key = AWKWARD[::-1]
    options = local.options(database=database, signing_key="{{ lookup('env', 'TEST_SECRET') }}")
    variables = {"back_up": {**options, "verify": "restore"}, "restore": {**options, "strategy": "drill"}}
    with Watch() as watch:
        done = ansible_playbook(PLAY, extra_vars=variables, switches=["-vvv"],
                                env={"PATH": local.server.path(), "TEST_SECRET": key}).succeeded()
    secrets = (key, *(piece[::-1] for piece in PIECES))
    assert done.of("Back up")["backups"][0]["signature_valid"] is True
    _nothing_shows(done, watch, local.backup_dir, *secrets)
    for task in ("Back up", "Restore"):
        assert _gives_away(json.dumps(done.of(task), ensure_ascii=False), *secrets) == []
    altered = tmp_path / "backups" / "not a set"
    altered.write_bytes(b"PGDMP")
    for module, more in (("pg_restore", {"backup": str(altered)}), ("pg_backup_info", {"verify": "checksum"}),
                         ("pg_backup", {"signing_key": key[:15]})):
        failed = local.run(module, {**local.options(database=database, signing_key=key), **more}, verbosity=3)
        assert failed.failed == (module != "pg_backup_info")
        assert _gives_away(failed.stdout + failed.stderr, *secrets, key[:15]) == []


def test_an_awkward_password_shows_nowhere_in_and_around_a_container(
    docker_engine: Engine, postgres_container: ContainerFactory, backup_dir: Path,
    ansible_playbook: Callable[..., CliResult],
) -> None:
    server = postgres_container(password=AWKWARD)
    create_shop(server, "found", size=50)
    # From now on it is asked for on every way in, so that it is really used.
    server.shell("sed", "-i", "s/trust$/scram-sha-256/", server.sql("postgres", "SHOW hba_file")[0])
    server.sql("postgres", "SELECT pg_reload_conf()")
    options = {"container": server.name, "database": "found", "backup_dir": str(backup_dir)}
    variables = {"back_up": {**options, "persist_credentials": True}, "restore": {**options, "strategy": "drill"}}
    with Watch(docker_engine) as watch:
        done = ansible_playbook(PLAY, extra_vars=variables, switches=["-vvv"]).succeeded()
    assert len(watch.execs) > 3
    _nothing_shows(done, watch, backup_dir)
    # Where it is meant to be kept it is kept, for its owner only.
    kept = backup_dir.parent / "state" / "db.env"
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("module", ["pg_backup", "pg_restore", "pg_backup_info"])
def test_a_wrong_password_is_not_repeated_by_the_failure(local: Local, database: str, module: str) -> None:
    options = local.by_password(database=database, login_password=AWKWARD)
    if module == "pg_backup_info":
        options["discover"] = True
    with Watch() as watch:
        done = local.run(module, options, verbosity=3)
    assert "AUTH_FAILED" in done.stdout
    assert _gives_away(done.stdout + done.stderr) == []
    assert _gives_away("\n".join(watch.commands)) == []


# -- passwords that are words of the result -------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["shop", "5432", "postgres"])
def test_results_stay_readable_with_a_typed_password(
    backup_dir: Path, ansible_adhoc: Callable[..., CliResult], password: str
) -> None:
    with EmbeddedServer(password=password) as server:
        create_shop(server, size=20)
        options = Local(server, backup_dir).by_password(database="shop", login_password=password, instance="shop_5432")
        done = ansible_adhoc("pgfleet.backup.pg_backup", options, switches=["-vvv"], env={"PATH": server.path()}).succeeded()
    [task] = done.tasks
    [entry] = task.result["backups"]
    assert (entry["database"], entry["instance"]) == ("shop", "shop_5432")
    assert Path(entry["path"]).is_dir()
    assert "sales.orders_2024" in json.dumps(entry["fingerprint"])
    assert task.result["context"]["user"] == "postgres"
    assert task.result["invocation"]["module_args"]["login_password"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_results_stay_readable_with_a_discovered_password(
    postgres_container: ContainerFactory, backup_dir: Path
) -> None:
    server = postgres_container(user="shop", password="shop", database="shop")
    done = run_module("pg_backup", {"container": server.name, "backup_dir": backup_dir, "instance": "shop"}, verbosity=1)
    result = done.succeeded()
    assert result["context"]["user"] == "shop"
    assert Path(result["backups"][0]["path"]).is_dir()
    assert result["context"]["database"] == "shop"
    # Free text is scrubbed, for nobody can tell there what is meant.
    assert any("dbname=********" in line for line in result["log"])
    assert not [line for line in result["log"] if "shop" in line]


def test_free_text_is_scrubbed_all_the_same(local: Local, database: str) -> None:
    """The server's own words may repeat what it was told: here, in the message about a role."""
    done = local.run("pg_backup", local.by_password(database=database, login_user="no secret of mine",
                                                    login_password="secret of"))
    result = done.failed_with("AUTH_FAILED")
    assert "secret of" not in result["msg"]
    assert "secret of" not in "\n".join(result["log"])


def test_what_fails_before_a_server_is_found_is_scrubbed_as_well(local: Local, tmp_path: Path) -> None:
    """A password too short for Ansible to scrub it, and a message that repeats it: here, the name of a file."""
    file = tmp_path / "hush.env"
    file.write_text("nonsense\n", encoding="utf-8")
    done = run_module("pg_backup", {"login_password": "hush", "credentials_file": file, "backup_dir": local.backup_dir},
                      env={"DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    assert "********.env cannot be used" in done.failed_with("INVALID_DB_CONFIG")["msg"]
