# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""``globals.sql`` of one database: the roles it refers to and their memberships, as a script for psql.

The script creates what is missing and never alters a role that exists, so that it can be run anywhere, twice too.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils._sql import ident, literal

__all__ = ["roles_script"]

# Only what differs from CREATE ROLE's own defaults is spelled out: a role with CREATEROLE may not even say NOSUPERUSER.
_ATTRIBUTES = (
    ("rolsuper", True, "SUPERUSER"),
    ("rolinherit", False, "NOINHERIT"),
    ("rolcreaterole", True, "CREATEROLE"),
    ("rolcreatedb", True, "CREATEDB"),
    ("rolcanlogin", True, "LOGIN"),
    ("rolreplication", True, "REPLICATION"),
    ("rolbypassrls", True, "BYPASSRLS"),
)
_HEADER = """-- The roles that database {database} refers to, and their memberships.
-- Missing roles are created; a role that exists is left as it is. Run it by: psql -d postgres -f globals.sql
"""


def roles_script(roles: Sequence[Mapping[str, Any]], *, database: str) -> str:
    """The script for what the ``roles`` query returned."""
    parts = [_HEADER.format(database=" ".join(database.split()))]
    for role in _granted_first(roles):
        name = role["row"]["rolname"]
        statements = [_create(role)] + _settings(role) + [_grant(role["row"], member) for member in role["member_of"]]
        if role["comment"]:
            statements.append("COMMENT ON ROLE {0} IS {1}".format(ident(name), literal(role["comment"])))
        # \\gexec runs each column of the row as a statement; without a row it runs nothing.
        parts.append(
            "SELECT {0}\nWHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {1})\n\\gexec\n".format(
                ",\n       ".join(literal(statement).strip() for statement in statements), literal(name)
            )
        )
    return "\n".join(parts)


def _create(role: Mapping[str, Any]) -> str:
    row = role["row"]
    words = ["CREATE ROLE", ident(row["rolname"])]
    words += [word for column, value, word in _ATTRIBUTES if row.get(column) is value]
    if row.get("rolconnlimit", -1) != -1:
        words.append("CONNECTION LIMIT {0}".format(int(row["rolconnlimit"])))
    if row.get("rolvaliduntil"):
        words.append("VALID UNTIL {0}".format(literal(row["rolvaliduntil"])))
    if role["verifier"]:
        words.append("PASSWORD {0}".format(literal(role["verifier"])))
    return " ".join(words)


def _settings(role: Mapping[str, Any]) -> List[str]:
    name = ident(role["row"]["rolname"])
    return [
        "ALTER ROLE {0} SET {1}".format(name, setting_assignment(setting)) for setting in role["settings"]
    ]


def setting_assignment(setting: str) -> str:
    """``name=value`` as the catalogue keeps it → ``name TO 'value'``; lists are kept as lists."""
    name, _equals, value = setting.partition("=")
    spelled = ".".join(ident(part) for part in name.split("."))
    if name.lower() in _LIST_SETTINGS:
        # Elements become strings, as pg_dump writes them: an empty or overlong one could not be an identifier.
        elements = [quoted.replace('""', '"') or bare for quoted, bare in _LIST_ELEMENT.findall(value)]
        return "{0} TO {1}".format(spelled, ", ".join(literal(each).strip() for each in elements or [""]))
    return "{0} TO {1}".format(spelled, literal(value))


_LIST_ELEMENT = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')
# GUC_LIST_QUOTE variables (pg_dump's variable_is_guc_list_quote): their stored value is a list of quoted identifiers.
_LIST_SETTINGS = frozenset(
    (
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    )
)


def _grant(member: Mapping[str, Any], membership: Mapping[str, Any]) -> str:
    row = membership["row"]
    options = []
    if row.get("admin_option"):
        options.append("ADMIN OPTION")
    # Since PostgreSQL 16 a membership says whether it inherits and may be switched to.
    # Without a word the member's own attribute decides about the first.
    inherits = row.get("inherit_option")
    if inherits is not None and inherits is not member.get("rolinherit", True):
        options.append("INHERIT {0}".format(str(inherits).upper()))
    if row.get("set_option") is False:
        options.append("SET FALSE")
    return "GRANT {0} TO {1}{2}".format(
        ident(membership["role"]), ident(member["rolname"]), " WITH " + ", ".join(options) if options else ""
    )


def _granted_first(roles: Sequence[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """Roles in an order in which every granted role comes before its members; PostgreSQL allows no circles."""
    by_name: Dict[str, Mapping[str, Any]] = {role["row"]["rolname"]: role for role in roles}
    ordered: Dict[str, Mapping[str, Any]] = {}

    def visit(name: str) -> None:
        if name in ordered or name not in by_name:
            return
        for membership in by_name[name]["member_of"]:
            visit(membership["role"])
        ordered[name] = by_name[name]

    for name in by_name:
        visit(name)
    return list(ordered.values())
