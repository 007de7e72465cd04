# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A believable shop: the database that the tests and the demo lose and get back.

It has one of everything that a backup can forget: see the list in ``shop.sql``. The same size gives the same content,
on every server from PostgreSQL 13 on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

__all__ = ["ROLES", "SqlServer", "create_shop", "shop_sql"]

# The roles the shop refers to. They belong to the whole server, so a test that wants them missing drops them.
ROLES = ("shop_owner", "shop_reader")

TEMPLATE = Path(__file__).with_name("shop.sql")


class SqlServer(Protocol):
    """What all the servers of the tests can do: run a script in a database and give back the rows."""

    def sql(self, database: str, text: str) -> list[str]: ...


def shop_sql(size: int = 500) -> str:
    """The script that fills an empty database. ``size`` is the number of customers; orders are three times as many."""
    if size < 10:
        raise ValueError("a shop has at least ten customers")
    return TEMPLATE.read_text(encoding="utf-8").replace("@SIZE@", str(size))


def create_shop(server: SqlServer, database: str = "shop", size: int = 500) -> None:
    """Create the database on the server and fill it."""
    quoted = '"' + database.replace('"', '""') + '"'
    server.sql("postgres", f"CREATE DATABASE {quoted} TEMPLATE template0")
    server.sql(database, shop_sql(size))
