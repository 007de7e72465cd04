# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A swap inside a container goes wrong at each of its steps, while ten applications reconnect all the time.

They see the old database or the new one, whole, and are let in again on every outcome.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.faults import ContainerFaultyTools
from ansible_collections.pgfleet.backup.tests.support.modules import ModuleResult, run_module, start_module
from ansible_collections.pgfleet.backup.tests.support.waiting import our_sessions, wait_until

# What the steps are known by, in the order in which they come.
STEPS = ("CREATE DATABASE", "pg_restore ", "vacuumdb ", "AS rows", "pg_terminate_backend", "RENAME TO")
_CLIENTS = r"""
for client in 0 1 2 3 4 5 6 7 8 9; do
  (
    i=0
    while [ $i -lt 20000 ] && [ ! -e /tmp/stop ]; do
      i=$((i + 1))
      /usr/lib/postgresql/$PG_MAJOR/bin/psql -XAtqU postgres -d shop -c "$0" 2>/dev/null || echo refused
      sleep 0.4
    done >/tmp/answers-$client
  ) &
done
wait
"""
ASK = "SELECT count(*), (SELECT last_value FROM s), current_setting('work_mem') FROM t"
PATIENCE = 300.0  # ten clients take their share of the machine
OLD, NEW = "4|7|6MB", "3|7|5MB"
ROW = """
    SELECT to_jsonb(d) - 'oid' - 'datfrozenxid' - 'datminmxid', shobj_description(oid, 'pg_database')
    FROM pg_database d WHERE datname = 'shop'"""


class Scene:
    """A server with a database that is to be replaced: its backup holds ``NEW``, and now it holds ``OLD``."""

    def __init__(self, server: PostgresContainer, backup_dir: Path) -> None:
        self.server = server
        self.wish: dict[str, Any] = {"container": server.name, "database": "shop", "backup_dir": str(backup_dir), "jobs": 1}
        server.sql("postgres", "CREATE ROLE reader; CREATE DATABASE shop CONNECTION LIMIT 50")
        server.sql("shop", "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3);"
                           "CREATE SEQUENCE s START 7; SELECT nextval('s')")
        server.sql("postgres", "ALTER DATABASE shop SET work_mem TO '5MB'; COMMENT ON DATABASE shop IS 'new';"
                               "REVOKE ALL ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO reader")
        self.new = server.sql("postgres", ROW)
        run_module("pg_backup", self.wish).succeeded()
        server.sql("shop", "INSERT INTO t VALUES (4)")
        server.sql("postgres", "ALTER DATABASE shop SET work_mem TO '6MB'; COMMENT ON DATABASE shop IS 'old';"
                               "ALTER DATABASE shop CONNECTION LIMIT 60; GRANT CREATE ON DATABASE shop TO reader")
        self.old = server.sql("postgres", ROW)
        self.tools = ContainerFaultyTools(server)
        self.restore().succeeded()
        calls = self.tools.calls()
        self.steps = {step: next(n for n, call in enumerate(calls, start=1) if step in call) for step in STEPS}
        swap = calls[self.steps["RENAME TO"] - 1].partition("\n")[2].splitlines()
        self.commit = swap.index("COMMIT;")
        self.swap_back()

    def restore(self) -> ModuleResult:
        return run_module("pg_restore", {**self.wish, "confirm": "shop"})

    def restore_killed(self) -> ModuleResult:
        """Killed while a tool is at work, which then goes on as it can."""
        running = start_module("pg_restore", {**self.wish, "confirm": "shop"})
        try:
            wait_until(lambda: self.tools.stays() or running.process.poll() is not None, PATIENCE)
        finally:
            running.process.send_signal(signal.SIGKILL)
            done = running.finish()
            self.tools.go()
        return done

    def ours(self) -> list[str]:
        return self.server.sql("postgres", "SELECT datname FROM pg_database WHERE starts_with(datname, 'shop__')")

    def swap_back(self) -> None:
        (kept,) = self.ours()
        self.server.sql("postgres", f"""
            DROP DATABASE shop WITH (FORCE); ALTER DATABASE "{kept}" RENAME TO shop;
            ALTER DATABASE shop ALLOW_CONNECTIONS true; COMMENT ON DATABASE shop IS 'old'""")

    def answers(self) -> list[list[str]]:
        text = self.server.shell("sh", "-c", "for n in 0 1 2 3 4 5 6 7 8 9; do cat /tmp/answers-$n; printf '\\0'; done")
        return [part.splitlines() for part in text.split("\0")[:-1]]

    def everybody_is_let_in(self) -> list[list[str]]:
        """Wait until each of the ten has got an answer that was asked for after now."""
        before = [len(answers) for answers in self.answers()]

        def answered() -> bool:
            return all("refused" not in answers[-2:] and len(answers) > seen + 2
                       for answers, seen in zip(self.answers(), before, strict=True))

        wait_until(answered, PATIENCE)
        return self.answers()


@pytest.fixture(scope="module")
def scene(module_postgres_container: Callable[..., PostgresContainer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    scene = Scene(module_postgres_container(), tmp_path_factory.mktemp("container") / "backups")
    scene.server.container.exec_run(["sh", "-c", _CLIENTS, ASK], detach=True)
    wait_until(lambda: all(scene.answers()), PATIENCE)
    yield scene
    scene.server.shell("touch", "/tmp/stop")


@pytest.mark.parametrize(("step", "fault"), [
    ("CREATE DATABASE", "refused"), ("pg_restore ", "stay"), ("vacuumdb ", "stay"), ("AS rows", "refused"),
    ("pg_terminate_backend", "refused"), ("RENAME TO", "stay"), ("RENAME TO", "lost"), ("RENAME TO", "cut"),
])
def test_everybody_is_let_in_on_every_outcome(scene: Scene, step: str, fault: str) -> None:
    seen = [len(answers) for answers in scene.everybody_is_let_in()]  # no answer of before is still on its way
    scene.tools.at(scene.steps[step], fault, lines=scene.commit)
    done = scene.restore_killed() if fault == "stay" else scene.restore()
    wait_until(lambda: not our_sessions(scene.server), PATIENCE)
    answers = [found[before:] for found, before in zip(scene.everybody_is_let_in(), seen, strict=True)]
    assert step in scene.tools.calls()[scene.steps[step] - 1], "another call was hit"
    scene.tools.at(0)
    got = {answer for each in answers for answer in each} - {"refused"}
    row = scene.server.sql("postgres", ROW)
    if row == scene.old:
        assert fault != "lost", "it was carried out"
        assert got == {OLD}
        assert done.failed or fault == "stay"
        assert not done.changed
        for name in scene.ours():
            assert fault == "stay"
            assert "__side_" in name
            scene.server.sql("postgres", f'DROP DATABASE "{name}" WITH (FORCE)')
    else:
        assert row == scene.new
        assert fault != "cut"
        assert {answers_of_one[-1] for answers_of_one in answers} == {NEW}
        assert got <= {OLD, NEW}
        assert done.changed or fault == "stay"
        scene.swap_back()
