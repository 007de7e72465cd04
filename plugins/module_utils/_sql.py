# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quoting for SQL and for libpq's connection strings."""

from __future__ import annotations

import re
from typing import List, Mapping

__all__ = ["conninfo", "ident", "literal", "name_parts", "together", "truncate_name"]

_NAME_BYTES = 63  # NAMEDATALEN - 1


def ident(name: str) -> str:
    """A quoted identifier: ``we"ird`` → ``"we""ird"``. Plain lower-case names are quoted too; it does no harm."""
    return '"{0}"'.format(name.replace('"', '""'))


def name_parts(name: str) -> List[str]:
    """The parts of a name as SQL spells it: ``public."We.ird"`` → ``public``, ``We.ird``."""
    parts = re.findall(r'"((?:[^"]|"")+)"|([^".]+)', name)
    return [quoted.replace('""', '"') or plain for quoted, plain in parts]


def literal(value: str) -> str:
    """A string constant that means the same whatever ``standard_conforming_strings`` is."""
    quoted = value.replace("'", "''")
    if "\\" in quoted:
        return " E'{0}'".format(quoted.replace("\\", "\\\\"))
    return "'{0}'".format(quoted)


def together(queries: Mapping[str, str]) -> str:
    """One query for several that each answer with one value: it answers with all of them, by their names."""
    parts = ("{0}, ({1})".format(literal(name), query.strip().rstrip(";")) for name, query in queries.items())
    return "SELECT json_build_object({0});\n".format(",\n".join(parts))


def conninfo(database: str, keywords: Mapping[str, str]) -> str:
    """A keyword/value connection string. It is used even for a bare name: one with ``=`` in it would be taken apart.

    Never give it a secret: it becomes an argument.
    """
    pairs = dict(keywords, dbname=database)
    return " ".join("{0}={1}".format(key, _conninfo_value(value)) for key, value in sorted(pairs.items()))


def _conninfo_value(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.:/@%+-]+", value):
        return value
    return "'{0}'".format(re.sub(r"(['\\])", r"\\\1", value))


def truncate_name(name: str, suffix: str) -> str:
    """``name + suffix`` cut to PostgreSQL's 63 bytes at a character boundary of ``name``; ASCII suffixes stay whole."""
    room = _NAME_BYTES - len(suffix.encode("utf-8"))
    return name.encode("utf-8")[:room].decode("utf-8", "ignore") + suffix
