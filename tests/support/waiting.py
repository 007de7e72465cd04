# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a backup wait for a table, and waiting until it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ansible_collections.pgfleet.backup.tests.support.psql import SqlError
from ansible_collections.pgfleet.backup.tests.support.shop import SqlServer

__all__ = ["our_sessions", "table_locked", "wait_until", "waiting_for_locks"]

SECONDS = 60.0

_WAITING = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'pgfleet/%' AND wait_event_type = 'Lock'"


def wait_until(what: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return as soon as ``what`` says so; that it never does is a failure."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def our_sessions(server: SqlServer) -> list[str]:
    """What is connected to the server under our application names."""
    return server.sql("postgres", "SELECT application_name, query FROM pg_stat_activity WHERE application_name LIKE 'pgfleet%'")


def waiting_for_locks(server: SqlServer) -> set[str]:
    """The application names of our sessions that wait for a lock."""
    return set(server.sql("postgres", _WAITING))


@contextmanager
def table_locked(server: SqlServer, database: str, table: str = "t") -> Iterator[Callable[[], None]]:
    """A session that lets nobody read the table. It yields a function that waits until a backup stands before it."""
    name = f"locker of {database}"

    def lock() -> None:
        with suppress(SqlError):  # it ends by being ended
            server.sql(database, f"SET application_name TO '{name}'; BEGIN; LOCK TABLE {table}; SELECT pg_sleep(300)")

    def holds() -> bool:
        return bool(server.sql(database, f"SELECT 1 FROM pg_locks WHERE relation = '{table}'::regclass"
                                         " AND mode = 'AccessExclusiveLock' AND granted"))

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        wait_until(holds)
        yield lambda: wait_until(lambda: bool(waiting_for_locks(server)))
    finally:
        server.sql("postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'")
        thread.join()
