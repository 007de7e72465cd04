# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore that was killed leaves behind, and that the next one removes it, and nothing that is in use."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._outcome import new_run
from ansible_collections.pgfleet.backup.plugins.module_utils._scratch import new_database, sweep_databases
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Session, open_session
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted
from ansible_collections.pgfleet.backup.tests.support.modules import RunningModule, run_module
from ansible_collections.pgfleet.backup.tests.support.shop import SqlServer
from ansible_collections.pgfleet.backup.tests.support.slow import SLOW, standing_still, stands_still
from ansible_collections.pgfleet.backup.tests.support.waiting import our_sessions, wait_until

Starter = Callable[..., RunningModule]

MADE = "SELECT datname FROM pg_database WHERE datname LIKE '%\\_\\_side\\_%' OR datname LIKE '%\\_\\_drill\\_%' ORDER BY 1"


def made(server: SqlServer) -> list[str]:
    """The databases of restores and drills under way."""
    return server.sql("postgres", MADE)


def kill(running: RunningModule) -> None:
    running.process.send_signal(signal.SIGKILL)
    running.finish()


def mentions(result: dict[str, Any], beginning: str) -> list[str]:
    return [line for line in result["log"] if line.startswith(beginning)]


@pytest.fixture
def start_local(local: Local, start_module: Starter) -> Starter:
    """Start ``pg_restore`` on the embedded server; ``tmp`` is the folder for temporary files."""
    def start(tmp: Path | None = None, **options: Any) -> RunningModule:
        env = {"PATH": local.server.path(), **({"TMPDIR": str(tmp)} if tmp else {})}
        return start_module("pg_restore", local.options(**options), env=env)

    return start


def session_of(local: Local) -> Session:
    """The door opened by a run of its own, in this process."""
    return open_session(
        local.options(), {"PATH": local.server.path()}, run=new_run("RESTORE_FAILED"), database=None, maintenance=True
    )


# -- on the host ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["swap", "drill"])
def test_the_next_run_drops_what_a_killed_one_left(
    local: Local, start_local: Starter, tmp_path: Path, strategy: str
) -> None:
    database = local.create("slow " + strategy, SLOW + "CREATE TABLE big AS SELECT repeat(md5(n::text), 9) FROM generate_series(1, 2000) AS n")
    local.back_up(database, compression="zstd")  # which these tools cannot read, so it is unpacked for them
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    with standing_still(local.server):
        running = start_local(tmp, database=database, strategy=strategy, confirm=database)
        stands_still(local.server)
        kill(running)
        (left,) = made(local.server)
    (folder,) = tmp.glob("pgfleet-*")
    assert [path for path in folder.iterdir() if b"c81e728d9d4c2f636f067f89cc14862c" in path.read_bytes()], "rows in the clear"
    # Its tool goes on to its end; only then is nobody there any more.
    wait_until(lambda: our_sessions(local.server) == [])
    done = local.restore(database=database, strategy="drill", env={"TMPDIR": str(tmp)}).succeeded()
    assert [line.split(",", maxsplit=1)[0] for line in mentions(done, "Dropped ")] == ["Dropped " + left]
    assert mentions(done, "Removed ") == [f"Removed what a killed run left: {folder}"]
    assert (made(local.server), list(tmp.iterdir())) == ([], [])
    assert local.server.sql(database, "SELECT count(*) FROM t") == ["3"]


def test_a_restore_under_way_is_left_alone(
    local: Local, start_local: Starter, backup_dir: Path, tmp_path: Path
) -> None:
    database = local.create("busy", SLOW)
    local.back_up(database)
    # As on another host: no lock of ours is in the way.
    elsewhere = shutil.copytree(backup_dir, tmp_path / "elsewhere")
    with standing_still(local.server):
        first = start_local(database=database, confirm=database)
        stands_still(local.server)
        second = start_local(database=database, strategy="drill", backup_dir=str(elsewhere))
        stands_still(local.server, databases=2)
    first.finish().succeeded()
    done = second.finish().succeeded()
    assert mentions(done, "Dropped ") == []
    assert len([line for line in done["log"] if "is in use by the run" in line]) == 1
    assert made(local.server) == []


def test_a_run_that_is_between_two_tools_is_alive(local: Local, database: str) -> None:
    """No tool of it is connected just then; its own session tells."""
    name = database + "__drill_20260101T000000Z"
    first, second = session_of(local), session_of(local)
    wait_until(lambda: our_sessions(local.server) == [])  # of a test before, which killed
    with new_database(first, name, None, target=database):
        assert len(our_sessions(local.server)) == 1
        sweep_databases(second, database)
        assert made(local.server) == [name]
    wait_until(lambda: our_sessions(local.server) == [])
    sweep_databases(second, database)
    assert made(local.server) == []


def test_what_only_looks_like_one_of_ours_stays(local: Local, database: str) -> None:
    """By its name, or by its comment; neither alone tells."""
    local.back_up(database)
    named = local.create(database + "__side_20260101T000000Z")
    renamed = local.create(database + "_in_use")
    marker = 'pgfleet.backup: unfinished, for "{0}", by run 20260101T000000Z-dead'.format(database)
    local.server.sql("postgres", f"COMMENT ON DATABASE {quoted(renamed)} IS '{marker}'")
    other = local.create("x__side_20260101T000000Z")
    local.server.sql("postgres", f"COMMENT ON DATABASE {quoted(other)} IS '{marker.replace(database, 'x')}'")
    swept = local.create(database + "__side_20260102T000000Z")
    local.server.sql("postgres", f"COMMENT ON DATABASE {quoted(swept)} IS '{marker}'")
    local.restore(database=database, confirm=database).succeeded()
    assert {named, renamed, other} <= set(local.databases())
    assert swept not in local.databases()


@pytest.mark.parametrize("comment", ["NULL", "'the shop'"])
def test_a_finished_database_has_its_own_comment(local: Local, database: str, comment: str) -> None:
    local.server.sql("postgres", f"COMMENT ON DATABASE {quoted(database)} IS {comment}")
    local.back_up(database)
    local.restore(database=database, target_database=database + "_2", strategy="create").succeeded()
    local.restore(database=database, confirm=database).succeeded()
    for name in (database, database + "_2"):
        found = f"SELECT quote_nullable(shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname = '{name}'"
        assert local.server.sql("postgres", found) == [comment]


# -- in a container -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(module_postgres_container: Callable[..., PostgresContainer]) -> PostgresContainer:
    return module_postgres_container()


@pytest.fixture
def slow_database(server: PostgresContainer) -> Iterator[str]:
    server.sql("postgres", "CREATE DATABASE slow")
    server.sql("slow", SLOW)
    yield "slow"
    server.sql("postgres", "DROP DATABASE slow WITH (FORCE)")


def staged(server: PostgresContainer) -> list[str]:
    return server.shell("sh", "-c", "ls -d /tmp/.pgfleet-* 2>/dev/null || true").split()


@pytest.mark.parametrize("client", ["sdk", "cli"])
def test_a_drill_killed_in_a_container(
    client: str, server: PostgresContainer, slow_database: str, start_module: Starter, backup_dir: Path,
    without_sdk: dict[str, str],
) -> None:
    env = without_sdk if client == "cli" else {}
    wish = {"container": server.name, "database": slow_database, "backup_dir": str(backup_dir)}
    run_module("pg_backup", wish, env=env).succeeded()
    with standing_still(server):
        running = start_module("pg_restore", {**wish, "strategy": "drill"}, env=env)
        stands_still(server)
        assert len(staged(server)) == 1
        kill(running)
        wait_until(lambda: staged(server) == [])  # by itself
        (left,) = made(server)
    # So does the session by which the run was told to be alive, besides those of its tool.
    wait_until(lambda: our_sessions(server) == [])
    done = run_module("pg_restore", {**wish, "strategy": "drill"}, env=env).succeeded()
    assert [line.split(",", maxsplit=1)[0] for line in mentions(done, "Dropped ")] == ["Dropped " + left]
    assert (made(server), staged(server), our_sessions(server)) == ([], [], [])


def test_what_was_staged_is_removed_unless_its_run_is_there(
    server: PostgresContainer, slow_database: str, backup_dir: Path
) -> None:
    wish = {"container": server.name, "database": slow_database, "backup_dir": str(backup_dir)}
    run_module("pg_backup", wish).succeeded()
    server.shell("mkdir", "/tmp/.pgfleet-dead", "/tmp/.pgfleet-alive", "/tmp/target")
    server.shell("ln", "-s", "/tmp/target", "/tmp/.pgfleet-link")
    server.shell("install", "-d", "-o", "postgres", "/tmp/.pgfleet-foreign")
    server.container.exec_run(["sleep", "600"], environment={"PGAPPNAME": "pgfleet/alive"}, detach=True)
    done = run_module("pg_restore", {**wish, "strategy": "drill"}).succeeded()
    assert len(mentions(done, "Removed what a killed run left in container")) == 1
    assert staged(server) == ["/tmp/.pgfleet-alive", "/tmp/.pgfleet-foreign", "/tmp/.pgfleet-link"]
    server.shell("rm", "-r", *staged(server))
