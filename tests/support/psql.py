# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests call psql and read what it prints, the same for every server."""

from __future__ import annotations

__all__ = ["PSQL_SWITCHES", "SqlError", "dbname", "split_rows"]

# Rows end in a zero byte, the one character that no value can hold, so a text with line breaks stays one row.
PSQL_SWITCHES = (
    "--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align", "--record-separator-zero",
    "--set=ON_ERROR_STOP=1", "--file=-",
)


class SqlError(Exception):
    """psql's own message about a statement that failed."""


def dbname(database: str) -> str:
    """The value of ``--dbname`` for any name: one with ``=`` or ``://`` in it would be taken for a connection string."""
    return "dbname='{0}'".format(database.replace("\\", "\\\\").replace("'", "\\'"))


def split_rows(stdout: bytes) -> list[str]:
    """The rows of psql's output, columns joined by ``|``."""
    text = stdout.decode("utf-8", errors="strict")
    rows = text.split("\0")
    return rows[:-1] if rows[-1] == "" else rows
