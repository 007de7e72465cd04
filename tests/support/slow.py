# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database whose restore stands still for as long as a test wants: while a role exists, its rows do not go in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.pgfleet.backup.tests.support.shop import SqlServer
from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until

__all__ = ["SLOW", "standing_still", "stands_still"]

_GATE = "closed_gate"
SLOW = f"""
    CREATE FUNCTION public.passes(int) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
      WHILE EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{_GATE}') LOOP
        PERFORM pg_catalog.pg_sleep(0.05);
      END LOOP;
      RETURN true;
    END $$;
    CREATE TABLE t (n int CHECK (public.passes(n)));
    INSERT INTO t VALUES (1), (2), (3);
"""


@contextmanager
def standing_still(server: SqlServer) -> Iterator[None]:
    """While this lasts, no restore of such a database gets further than to its rows."""
    server.sql("postgres", f"CREATE ROLE {_GATE}")
    try:
        yield
    finally:
        server.sql("postgres", f"DROP ROLE {_GATE}")


def stands_still(server: SqlServer, databases: int = 1) -> None:
    """Wait until restores into that many databases stand before the gate."""
    waiting = "SELECT DISTINCT datname FROM pg_stat_activity WHERE application_name LIKE 'pgfleet/%' AND query ILIKE 'COPY%'"
    wait_until(lambda: len(server.sql("postgres", waiting)) == databases)
