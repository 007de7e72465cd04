# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs beside the dump itself: how many tools it starts, and what it asks of the container engine.

Each process in a container takes longer than what it is asked. So whoever adds one here does it knowingly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgfleet.backup.tests.support.container import PostgresContainer
from ansible_collections.pgfleet.backup.tests.support.faults import FaultyTools
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.modules import run_module
from ansible_collections.pgfleet.backup.tests.support.narrow import NarrowEngine
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop


def test_on_the_host(local: Local, database: str, tmp_path: Path) -> None:
    tools = FaultyTools(tmp_path / "tools", local.server.bin_dir)

    def started(work: Callable[..., Any], **options: Any) -> list[str]:
        tools.at(0)
        work(database=database, env={"PATH": tools.path}, **options).succeeded()
        return [call.split()[0] for call in tools.calls()]

    # Who is there; what a dump cannot tell. Then pg_dump is asked for its compressions, and dumps.
    assert started(local.backup) == ["psql", "psql", "pg_dump", "pg_dump"]
    assert started(local.backup, max_age="1d") == ["psql"]
    assert started(local.backup, check=True) == ["psql"]
    # Who is there; what matters to this restore.
    assert started(local.restore, check=True, confirm=database) == ["psql", "psql"]
    # The neighbours, the new database, the content to compare, the properties, and the two sessions that swap; at last
    # the neighbours again, to drop those that were kept longest.
    assert sorted(started(local.restore, confirm=database)) == ["pg_restore", *["psql"] * 9, "vacuumdb"]


@pytest.fixture
def engine() -> Iterator[NarrowEngine]:
    engine = NarrowEngine("nobody=listed")
    yield engine
    engine.close()


def test_in_a_container(
    postgres_container: Callable[..., PostgresContainer], engine: NarrowEngine, backup_dir: Path
) -> None:
    server = postgres_container()
    create_shop(server, "shop", size=10)

    def asked(module: str, **options: Any) -> list[str]:
        """The requests by their kind, without versions and names."""
        engine.requests.clear()
        wish = {"container": server.name, "backup_dir": backup_dir, "database": "shop", "docker_host": engine.url}
        run_module(module, {**wish, **options}).succeeded()
        return [re.sub(r"/v[0-9.]+|/[0-9a-f]{64}", "", request.replace(server.name, "X")) for request in engine.requests]

    door = ["GET /version", "GET /containers/X/json"]
    process = ["POST /containers/exec", "POST /exec/start", "GET /exec/json"]
    backup = asked("pg_backup")
    assert backup[:2] == door
    # Who is there, and the client's version along; what a dump cannot tell; a place for it; the dump; if it could pack.
    newer = server.sql("postgres", "SELECT current_setting('server_version_num')::int >= 160000") == ["t"]
    assert sorted(backup[2:]) == sorted(process * (5 if newer else 4))
    assert asked("pg_backup", max_age="1d") == door + process
