# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._globals import roles_script, setting_assignment

PLAIN = {
    "rolsuper": False, "rolinherit": True, "rolcreaterole": False, "rolcreatedb": False, "rolcanlogin": False,
    "rolreplication": False, "rolbypassrls": False, "rolconnlimit": -1, "rolvaliduntil": None,
}


def role(name: str, *, verifier: str | None = None, settings: tuple[str, ...] = (), comment: str | None = None,
         member_of: tuple[tuple[str, dict[str, Any]], ...] = (), **attributes: Any) -> dict[str, Any]:
    return {
        "row": {"rolname": name, **PLAIN, **attributes}, "verifier": verifier, "settings": list(settings),
        "comment": comment,
        "member_of": [{"role": other, "row": row} for other, row in member_of],
    }


def script(*roles: dict[str, Any], database: str = "shop") -> str:
    return roles_script(roles, database=database)


def test_a_whole_script() -> None:
    assert script(role("shop", rolcanlogin=True)) == """\
-- The roles that database shop refers to, and their memberships.
-- Missing roles are created; a role that exists is left as it is. Run it by: psql -d postgres -f globals.sql

SELECT 'CREATE ROLE "shop" LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'shop')
\\gexec
"""


@pytest.mark.parametrize(("attributes", "statement"), [
    ({}, 'CREATE ROLE "r"'),
    ({"rolsuper": True, "rolcreaterole": True, "rolcreatedb": True, "rolcanlogin": True, "rolreplication": True,
      "rolbypassrls": True}, 'CREATE ROLE "r" SUPERUSER CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS'),
    ({"rolinherit": False}, 'CREATE ROLE "r" NOINHERIT'),
    ({"rolconnlimit": 0}, 'CREATE ROLE "r" CONNECTION LIMIT 0'),
    ({"rolvaliduntil": "2027-01-01 00:00:00+00"}, "CREATE ROLE \"r\" VALID UNTIL ''2027-01-01 00:00:00+00''"),
    ({"verifier": "SCRAM-SHA-256$4096:c2FsdA==$a:b"}, "CREATE ROLE \"r\" PASSWORD ''SCRAM-SHA-256$4096:c2FsdA==$a:b''"),
])
def test_only_what_differs_from_the_default_is_said(attributes: dict[str, Any], statement: str) -> None:
    assert "SELECT '{0}'\nWHERE".format(statement) in script(role("r", **attributes))


def test_what_belongs_to_a_role() -> None:
    text = script(role("r", settings=("work_mem=64MB", 'search_path="$user", public'), comment="it's"))
    assert text.splitlines()[3:8] == [
        "SELECT 'CREATE ROLE \"r\"',",
        "       'ALTER ROLE \"r\" SET \"work_mem\" TO ''64MB''',",
        "       'ALTER ROLE \"r\" SET \"search_path\" TO ''$user'', ''public''',",
        "       'COMMENT ON ROLE \"r\" IS ''it''''s''',".rstrip(","),
        "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'r')",
    ]


def test_awkward_names() -> None:
    text = script(role('we"ird\\ o\'role'), database="a\n\\! touch x")
    assert 'SELECT E\'CREATE ROLE "we""ird\\\\ o\'\'role"\'\nWHERE' in text
    assert "rolname =  E'we\"ird\\\\ o''role')" in text
    assert text.startswith("-- The roles that database a \\! touch x refers to")


@pytest.mark.parametrize(("membership", "inherits", "options"), [
    ({}, True, ""),
    ({"admin_option": False}, True, ""),
    ({"admin_option": True}, True, " WITH ADMIN OPTION"),
    # since 16
    ({"admin_option": False, "inherit_option": True, "set_option": True}, True, ""),
    ({"admin_option": False, "inherit_option": False, "set_option": True}, True, " WITH INHERIT FALSE"),
    ({"admin_option": True, "inherit_option": True, "set_option": False}, True, " WITH ADMIN OPTION, SET FALSE"),
    # without a word the member's own attribute decides
    ({"admin_option": False, "inherit_option": False, "set_option": True}, False, ""),
    ({"admin_option": False, "inherit_option": True, "set_option": True}, False, " WITH INHERIT TRUE"),
])
def test_memberships(membership: dict[str, Any], inherits: bool, options: str) -> None:
    text = script(role("a", rolinherit=inherits, member_of=(("g", membership),)))
    assert ",\n       'GRANT \"g\" TO \"a\"{0}'\nWHERE".format(options) in text


def test_granted_roles_come_first() -> None:
    roles = [
        role("a", member_of=(("m", {}), ("pg_monitor", {}))), role("b"), role("m", member_of=(("z", {}),)), role("z"),
    ]
    order = [line.split('"')[1] for line in script(*roles).splitlines() if "CREATE ROLE" in line]
    assert order == ["z", "m", "a", "b"]
    assert 'GRANT "pg_monitor" TO "a"' in script(*roles)


@pytest.mark.parametrize(("setting", "assignment"), [
    ("work_mem=64MB", "\"work_mem\" TO '64MB'"),
    ("application_name=a=b", "\"application_name\" TO 'a=b'"),
    ("plpgsql.extra_errors=all", "\"plpgsql\".\"extra_errors\" TO 'all'"),
    ("DateStyle=ISO, DMY", "\"DateStyle\" TO 'ISO, DMY'"),
    ("log_line_prefix=it's \\", "\"log_line_prefix\" TO  E'it''s \\\\'"),
    # lists of names: each element on its own
    ('search_path="$user", public', "\"search_path\" TO '$user', 'public'"),
    ('search_path=""', "\"search_path\" TO ''"),
    ("search_path=", "\"search_path\" TO ''"),
    ('search_path="a, ""b""",c', "\"search_path\" TO 'a, \"b\"', 'c'"),
    ("temp_tablespaces=fast", "\"temp_tablespaces\" TO 'fast'"),
    ("session_preload_libraries=\"$libdir/x\"", "\"session_preload_libraries\" TO '$libdir/x'"),
])
def test_settings(setting: str, assignment: str) -> None:
    assert setting_assignment(setting) == assignment
