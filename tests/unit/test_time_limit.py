# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time that a run is allowed bounds the work on files as it bounds the tools."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._context import LOCAL, DbContext
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor_host import HostPGExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._parallel import Stopped


def executor(failure: str) -> HostPGExecutor:
    redactor = Redactor()
    return HostPGExecutor(
        DbContext(mode=LOCAL, database="shop", user="postgres"), log=RunLog(redactor), redactor=redactor,
        run_id="20261122T000000Z-0000", failure=failure, environ={},
    )


@pytest.mark.parametrize(("failure", "code"), [("BACKUP_FAILED", "BACKUP_TIMEOUT"), ("RESTORE_FAILED", "RESTORE_TIMEOUT")])
def test_work_on_files_ends_when_the_time_is_over(failure: str, code: str) -> None:
    limited = executor(failure)
    with limited.time_limit(1000):
        chunks = limited.in_time("reading the archive", iter([b"a", b"b", b"c"]))
        assert next(chunks) == b"a"
        limited.deadline = 0.0  # long ago
        with pytest.raises(BackupError, match="reading the archive") as caught:
            next(chunks)
    assert caught.value.code == code


def test_a_part_of_a_run_ends_when_it_need_not_be_finished() -> None:
    whole, stop = executor("BACKUP_FAILED"), threading.Event()
    part = whole.part("2", whole.log.part(), stop)
    assert (whole.application_name + "-2", whole.run_id) == (part.application_name, part.run_id)
    chunks = part.in_time("anything", iter([b"a", b"b"]))
    assert next(chunks) == b"a"
    part.pause(0)
    stop.set()
    for ended in (lambda: next(chunks), lambda: part.pause(60), lambda: part.run("sleep", ["60"])):
        with pytest.raises(Stopped):
            ended()
    with part.unlimited():
        part.heed()
    whole.heed()


def test_without_a_limit_all_of_it_comes() -> None:
    assert list(executor("BACKUP_FAILED").in_time("anything", iter([b"a", b"b"]))) == [b"a", b"b"]
