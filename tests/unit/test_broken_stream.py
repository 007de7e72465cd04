# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be provoked for real: an engine's stream that is cut in the middle of a frame, and a null exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import read_backup_options
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import PartialSet
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import sets_in
from ansible_collections.pgfleet.backup.plugins.module_utils._context import IN_CONTAINER, DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._dump import DumpPlan, write_dump
from ansible_collections.pgfleet.backup.plugins.module_utils._engine_door import EngineDoor
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor_docker import DockerPGExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._pg_commands import Compression
from ansible_collections.pgfleet.backup.plugins.module_utils._process import STDOUT, StreamBroken, ToolProcess
from ansible_collections.pgfleet.backup.tests.unit.servers import container

HEAD = b"PGDMP and half of a frame"


class Fake(ToolProcess):
    """A tool whose output is ``frames``, and whose exit status is what ``status`` returns or raises."""

    def __init__(self, frames: Callable[[], Iterator[tuple[int, bytes]]], status: Callable[[], int]) -> None:
        super().__init__(-1)
        self._frames = frames
        self._status = status

    def frames(self, deadline: float | None) -> Iterator[tuple[int, bytes]]:
        del deadline
        return self._frames()

    def wait(self, deadline: float | None = None) -> int:
        del deadline
        return self._status()

    def feed(self, source: Iterable[bytes], *, end: bool = True) -> None:
        raise AssertionError("a dump is fed nothing")

    def ended(self) -> bool:
        return True

    def terminate(self) -> None:
        self.close()

    def kill(self) -> None:
        self.close()

    def _write(self, data: memoryview) -> int:
        return len(data)

    def _end_input(self) -> None:
        """There is none."""

    def _release(self) -> None:
        """There is nothing."""


def _cut() -> Iterator[tuple[int, bytes]]:
    yield STDOUT, HEAD
    raise StreamBroken("7 of 4096 bytes of a frame")


def _whole() -> Iterator[tuple[int, bytes]]:
    yield STDOUT, HEAD


def _null() -> int:
    raise StreamBroken("the engine does not know the exit code")


class Engine:
    """Gives ``dump`` for pg_dump, and a tool that prints a zero for everything that cleans up after it."""

    client = "sdk"

    def __init__(self, dump: Fake) -> None:
        self._dump = dump
        self.started: list[str] = []

    def exec(self, where: Any, argv: Sequence[str], **how: Any) -> ToolProcess:
        del where, how
        self.started.append(argv[0])
        if argv[0] == "pg_dump" and "--version" in argv:
            return Fake(lambda: iter([(STDOUT, b"pg_dump (PostgreSQL) 17.5\n")]), lambda: 0)
        return self._dump if argv[0] == "pg_dump" else Fake(lambda: iter([(STDOUT, b"0\n")]), lambda: 0)


class Door:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self) -> Engine:
        return self._engine


@pytest.mark.parametrize(("frames", "status"), [(_cut, lambda: 0), (_whole, _null)], ids=["cut frame", "null exit"])
def test_a_broken_stream_is_a_failed_backup_and_nothing_is_published(
    tmp_path: Path, frames: Callable[[], Iterator[tuple[int, bytes]]], status: Callable[[], int]
) -> None:
    engine = Engine(Fake(frames, status))
    redactor = Redactor()
    executor = DockerPGExecutor(
        DbContext(mode=IN_CONTAINER, database="shop", user="postgres", container=container("app")),
        log=RunLog(redactor), redactor=redactor, run_id="20261122T000000Z-0000", failure="BACKUP_FAILED",
        door=cast(EngineDoor, Door(engine)),
    )
    options = read_backup_options({"backup_dir": str(tmp_path), "format": "custom", "verify": "none"})
    plan = DumpPlan("custom", Compression("gzip"), packed=False, jobs=1, encoding="UTF8")
    with pytest.raises(BackupError) as caught, PartialSet.create(str(tmp_path), "20261122T000000Z-0000") as partial:
        write_dump(executor, partial, "shop", plan, options)
    assert caught.value.code == "BACKUP_FAILED"
    assert "the stream broke off" in caught.value.msg
    assert "sh" in engine.started  # the tool may still run there, and is ended
    assert sets_in(str(tmp_path)) == ([], [])
    assert list(tmp_path.iterdir()) == []
