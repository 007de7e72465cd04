# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever goes wrong at whatever step of a restore: the old database is served and whole, or the new one is."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._swap import _clear_the_way
from ansible_collections.pgfleet.backup.tests.support.compare import Snapshot, differences
from ansible_collections.pgfleet.backup.tests.support.faults import FAULTS, FaultyTools
from ansible_collections.pgfleet.backup.tests.support.local import Local, quoted
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, RunningModule, start_module
from ansible_collections.pgfleet.backup.tests.support.waiting import our_sessions, wait_until

NewRole = Callable[..., str]

# Restoring it takes as long as the table says; backing it up does not run it.
SLOW_VIEW = "CREATE MATERIALIZED VIEW slow AS SELECT 1 AS n FROM naps WHERE pg_sleep(seconds) IS NOT NULL"


class Scene(NamedTuple):
    """A database that is to be replaced: its backup holds ``new``, and now it holds ``old``."""

    local: Local
    database: str
    tools: FaultyTools
    old: Snapshot
    new: Snapshot

    def restore(self, **options: object) -> ModuleResult:
        return self.local.restore(
            database=self.database, confirm=self.database, jobs=1, env={"PATH": self.tools.path}, **options
        )

    def start(self, **options: object) -> RunningModule:
        """With the real tools: to be disturbed from outside."""
        asked = self.local.options(database=self.database, confirm=self.database, jobs=1, **options)
        return start_module("pg_restore", asked, env={"PATH": self.local.server.path()})

    def ours(self) -> list[str]:
        return [name for name in self.local.databases() if name.startswith(self.database + "__")]

    def row(self) -> str:
        """What ``pg_database`` says: may one connect, how many, who."""
        return self.local.server.sql("postgres", f"""
            SELECT to_jsonb(d) - 'datfrozenxid' - 'datminmxid' FROM pg_database d WHERE datname = '{self.database}'""")[0]

    def swap_back(self) -> None:
        """As it was before a restore that did succeed, so that the next one meets the same."""
        kept = self.ours()
        assert len(kept) == 1
        self.local.server.sql("postgres", f"""
            DROP DATABASE {quoted(self.database)} WITH (FORCE);
            ALTER DATABASE {quoted(kept[0])} RENAME TO {quoted(self.database)};
            ALTER DATABASE {quoted(self.database)} ALLOW_CONNECTIONS true;
            COMMENT ON DATABASE {quoted(self.database)} IS 'old'""")


@pytest.fixture
def scene(local: Local, role: NewRole, tmp_path: Path) -> Scene:
    reader = role()
    database = local.create("fired_at", "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3);"
                                        "CREATE SEQUENCE s START 7; SELECT nextval('s')")
    local.server.sql("postgres", f"""
        COMMENT ON DATABASE {database} IS 'new'; ALTER DATABASE {database} CONNECTION LIMIT 30;
        ALTER DATABASE {database} SET work_mem TO '5MB'; REVOKE ALL ON DATABASE {database} FROM PUBLIC;
        GRANT CONNECT ON DATABASE {database} TO {reader}""")
    new = local.look(database)
    local.back_up(database)
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    local.server.sql("postgres", f"""
        COMMENT ON DATABASE {database} IS 'old'; ALTER DATABASE {database} CONNECTION LIMIT 40;
        ALTER DATABASE {database} SET work_mem TO '6MB'""")
    return Scene(local, database, FaultyTools(tmp_path / "tools", local.server.bin_dir), local.look(database), new)


@contextmanager
def _someone_connected(scene: Scene) -> Iterator[None]:
    """A session that is in the way of the swap."""
    server = scene.local.server
    argv = [str(server.bin_dir / "psql"), "-XAtq", "-h", str(server.socket_dir), "-p", str(server.port), "-U", server.user,
            "-d", scene.database, "-c", "SET application_name TO 'someone'; SELECT pg_sleep(300)"]
    client = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: server.sql("postgres", "SELECT 1 FROM pg_stat_activity WHERE application_name = 'someone'"))
        yield
    finally:
        client.kill()
        client.wait()


def _judge(scene: Scene, done: ModuleResult, row: str, *, killed: bool) -> str:
    """That the old database is there as it was, or the new one is complete; which of them."""
    wait_until(lambda: not our_sessions(scene.local.server))
    now = scene.local.look(scene.database)
    if differences(scene.old, now) == []:
        assert scene.row() == row
        assert not done.changed
        assert killed or done.failed
        if not killed:
            assert scene.ours() == []
        for name in scene.ours():
            assert "__side_" in name
            scene.local.server.sql("postgres", f"DROP DATABASE {quoted(name)} WITH (FORCE)")
        return "old"
    assert differences(scene.new, now) == []
    assert killed or done.changed
    assert [name for name in scene.ours() if "__before_" not in name] == []
    scene.swap_back()
    return "new"


def test_the_session_that_clears_the_way_may_come_when_all_is_done(local: Local, database: str) -> None:
    """It then ends at once, and does not wait for a transaction that it never saw."""
    (oid,) = local.server.sql("postgres", f"SELECT oid FROM pg_database WHERE datname = '{database}'")
    local.server.sql("postgres", f"ALTER DATABASE {database} RENAME TO {database}_kept")
    clear = _clear_the_way("pgfleet/nobody", database, int(oid))
    local.server.sql("postgres", "SET statement_timeout = '5s';" + clear)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("cut", "stay")])
def test_a_fault_at_each_single_step(scene: Scene, fault: str) -> None:
    """The steps are the calls of the tools of a good run, so a new step of the story has its fault by itself."""
    outcomes: dict[int, str] = {}
    seen: list[str] = []
    for step in range(1, 100):
        row = scene.row()
        scene.tools.at(step, fault)
        with _someone_connected(scene):
            done = scene.restore()
            calls = scene.tools.calls()
            if len(calls) < step:
                break
            seen.append(calls[step - 1])
        outcomes[step] = _judge(scene, done, row, killed=fault == "kill")
    done.succeeded()
    assert set(outcomes.values()) == {"old", "new"}
    for telling in ("CREATE DATABASE", "pg_restore ", "count(*)", "COMMENT ON DATABASE", "vacuumdb ", "RENAME TO",
                    "pg_terminate_backend"):
        assert any(telling in call for call in seen), telling


def test_a_session_that_ends_after_each_statement_of_the_swap(scene: Scene) -> None:
    scene.tools.at(0)
    scene.restore().succeeded()
    calls = scene.tools.calls()
    step, swap = next((number, call) for number, call in enumerate(calls, start=1) if "RENAME TO" in call)
    scene.swap_back()
    lines = swap.partition("\n")[2].splitlines()
    commit = lines.index("COMMIT;") + 1
    ends = [number for number, line in enumerate(lines, start=1) if line.endswith(";")]
    assert len(ends) >= 7
    for number in ends:
        row = scene.row()
        scene.tools.at(step, "cut", lines=number)
        with _someone_connected(scene):
            done = scene.restore()
        assert _judge(scene, done, row, killed=False) == ("new" if number == commit else "old"), lines[:number]


# -- in the middle of a step ----------------------------------------------------------------------------------------


def _owned_by(scene: Scene, owner: str) -> Scene:
    """The same with an owner who is no superuser, backed up by him."""
    local, database = scene.local, scene.database
    local.server.sql(database, f"ALTER DATABASE {database} OWNER TO {owner}; ALTER TABLE t OWNER TO {owner};"
                               f"ALTER SEQUENCE s OWNER TO {owner}; ALTER SCHEMA public OWNER TO {owner}")
    local.back_up(database, login_user=owner)
    return scene._replace(old=local.look(database))


def _sessions_where(scene: Scene, condition: str) -> list[str]:
    return scene.local.server.sql("postgres", f"""
        SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgfleet/%' AND {condition}""")


def _hit(scene: Scene, running: RunningModule, what: str, condition: str) -> None:
    """End the session that ``condition`` tells, or the module."""
    wait_until(lambda: _sessions_where(scene, condition))
    if what == "session":
        for pid in _sessions_where(scene, condition):
            scene.local.server.sql("postgres", f"SELECT pg_terminate_backend({pid})")
    else:
        running.process.send_signal(signal.Signals[what])


@pytest.mark.parametrize("what", ["session", "SIGTERM", "SIGKILL"])
def test_a_fault_in_the_middle_of_the_fill(scene: Scene, what: str) -> None:
    local = scene.local
    local.server.sql(scene.database, "CREATE TABLE naps (seconds float); INSERT INTO naps VALUES (0);" + SLOW_VIEW)
    local.server.sql(scene.database, "UPDATE naps SET seconds = 8")
    local.back_up(scene.database)
    scene = scene._replace(old=local.look(scene.database))
    row = scene.row()
    running = scene.start()
    _hit(scene, running, what, "query LIKE 'REFRESH%' AND state = 'active'")
    done = running.finish()
    assert _judge(scene, done, row, killed=what == "SIGKILL") == "old"


def test_a_name_that_somebody_takes_meanwhile_stays_theirs(scene: Scene) -> None:
    local = scene.local
    local.server.sql(scene.database, "CREATE TABLE naps (seconds float); INSERT INTO naps VALUES (0);" + SLOW_VIEW)
    local.server.sql(scene.database, "UPDATE naps SET seconds = 3")
    local.back_up(scene.database)
    running = scene.start(target_database="taken", strategy="create")
    wait_until(lambda: _sessions_where(scene, "query LIKE 'REFRESH%' AND state = 'active'"))
    local.create("taken", "CREATE TABLE theirs (n int)")
    running.finish().failed_with("TARGET_EXISTS")
    assert local.server.sql("taken", "SELECT count(*) FROM theirs") == ["0"]
    assert [name for name in local.databases() if name.startswith("taken__")] == []


@pytest.mark.parametrize("what", ["session", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("which", ["A", "B"])
def test_a_fault_while_the_swap_waits(scene: Scene, role: NewRole, which: str, what: str) -> None:
    """It waits for a superuser's session, which an owner may not end, and which came when the plan was made already."""
    owner = role("LOGIN CREATEDB")
    server = scene.local.server
    server.sql(scene.database, f"CREATE TABLE naps (seconds float); INSERT INTO naps VALUES (0); {SLOW_VIEW};"
                               f"UPDATE naps SET seconds = 3; ALTER TABLE naps OWNER TO {owner};"
                               f"ALTER MATERIALIZED VIEW slow OWNER TO {owner}")
    scene = _owned_by(scene, owner)
    row = scene.row()
    running = scene.start(login_user=owner)
    wait_until(lambda: _sessions_where(scene, "query LIKE 'REFRESH%' AND state = 'active'"))
    with _someone_connected(scene):
        query = "query LIKE 'ALTER DATABASE%RENAME%'" if which == "A" else "query LIKE '%EXIT WHEN NOT EXISTS%'"
        _hit(scene, running, what, f"state = 'active' AND {query}")
        done = running.finish()
        assert server.sql("postgres", "SELECT 1 FROM pg_stat_activity WHERE application_name = 'someone'")
    assert _judge(scene, done, row, killed=what == "SIGKILL") == "old"
    if what == "session" and which == "B":
        done.failed_with("TARGET_IN_USE")


# -- the applications -----------------------------------------------------------------------------------------------

_CLIENT = r"""
i=0
while [ $i -lt 2000 ] && [ ! -e "$0" ]; do
  i=$((i + 1))
  "$@" 2>/dev/null || echo refused
done
"""


@pytest.mark.parametrize("outcome", ["swapped", "refused by the last statement", "interrupted"])
def test_ten_applications_that_reconnect_all_the_time(scene: Scene, tmp_path: Path, outcome: str) -> None:
    server, database = scene.local.server, scene.database
    scene.tools.at(0)
    if outcome != "swapped":
        scene.restore().succeeded()
        calls = scene.tools.calls()
        step, swap = next((number, call) for number, call in enumerate(calls, start=1) if "RENAME TO" in call)
        lines = swap.partition("\n")[2].splitlines()
        scene.swap_back()
        scene.tools.at(step, "cut" if "last" in outcome else "term", lines=lines.index("COMMIT;"))
    stop = tmp_path / "stop"
    argv = [str(server.bin_dir / "psql"), "-XAtq", "-h", str(server.socket_dir), "-p", str(server.port), "-U", server.user,
            "-d", database, "-c", "SELECT count(*), (SELECT last_value FROM s), current_setting('work_mem') FROM t"]
    answers = [tmp_path / f"answers-{number}" for number in range(10)]
    clients = []
    try:
        for path in answers:
            with path.open("wb") as file:
                clients.append(subprocess.Popen(["sh", "-c", _CLIENT, str(stop), *argv], stdout=file))
        done = scene.restore()
        at_the_end = [path.stat().st_size for path in answers]
        # Everybody is let in again, whatever the outcome.
        wait_until(lambda: all(_last(path) not in ("", "refused") and path.stat().st_size > size + 20
                               for path, size in zip(answers, at_the_end, strict=True)))
    finally:
        stop.touch()
        for client in clients:
            client.wait()
    seen = {line for path in answers for line in path.read_text().splitlines()}
    old, new = "4|7|6MB", "3|7|5MB"
    if outcome == "swapped":
        done.succeeded()
        assert seen - {"refused"} == {old, new}
        for path in answers:
            lines = [line for line in path.read_text().splitlines() if line != "refused"]
            assert lines == sorted(lines, key=lambda line: line == new), "back and forth"
    else:
        assert done.failed
        assert seen - {"refused"} == {old}
        assert scene.ours() == []


def _last(path: Path) -> str:
    return (path.read_text().splitlines() or [""])[-1]
