# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive does not hold, and a restore must bring nevertheless: the database's own properties, and its roles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.local import Local

NewRole = Callable[..., str]


def _properties(local: Local, database: str) -> dict[str, Any]:
    """What ``pg_database`` and its neighbours say, told by the database's name only."""
    rows = local.server.sql("postgres", f"""
        SELECT json_build_object('owner', datdba::regrole::text, 'limit', datconnlimit, 'collate', datcollate,
            'encoding', pg_encoding_to_char(encoding), 'comment', shobj_description(d.oid, 'pg_database'),
            'acl', (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),
            'settings', (SELECT json_agg(json_build_array(setrole::regrole::text, setconfig) ORDER BY setrole::regrole::text)
                         FROM pg_db_role_setting WHERE setdatabase = d.oid))
        FROM pg_database d WHERE datname = '{database}'""")
    found: dict[str, Any] = json.loads(rows[0])
    return found


def _with_properties(local: Local, role: NewRole) -> str:
    """A database that has one of each."""
    owner, reader = role("LOGIN"), role()
    local.create("proper")
    local.server.sql("postgres", rf"""
        ALTER DATABASE proper OWNER TO {owner};
        ALTER DATABASE proper CONNECTION LIMIT 17;
        ALTER DATABASE proper SET search_path TO "$user", public, "Ärger & Co";
        ALTER DATABASE proper SET work_mem TO '5MB';
        ALTER ROLE {reader} IN DATABASE proper SET default_transaction_read_only TO on;
        ALTER ROLE {reader} IN DATABASE proper SET "app.greeting" TO 'it''s \ "us"';
        COMMENT ON DATABASE proper IS 'two
 \lines; it''s';
        REVOKE CONNECT, TEMPORARY ON DATABASE proper FROM PUBLIC;
        GRANT CONNECT ON DATABASE proper TO {reader} WITH GRANT OPTION;""")
    return "proper"


def test_properties_come_back_to_a_database_that_was_lost(local: Local, role: NewRole) -> None:
    database = _with_properties(local, role)
    before = _properties(local, database)
    local.back_up(database)
    local.server.sql("postgres", f"DROP DATABASE {database}")
    local.restore(database=database).succeeded()
    assert _properties(local, database) == before


def test_properties_come_back_by_a_swap(local: Local, role: NewRole) -> None:
    database = _with_properties(local, role)
    before = _properties(local, database)
    local.back_up(database)
    local.server.sql("postgres", f"""
        ALTER DATABASE {database} OWNER TO postgres; ALTER DATABASE {database} RESET ALL;
        ALTER DATABASE {database} CONNECTION LIMIT -1; GRANT ALL ON DATABASE {database} TO PUBLIC;
        COMMENT ON DATABASE {database} IS 'another'""")
    local.restore(database=database, confirm=database).succeeded()
    assert _properties(local, database) == before


def test_owner_and_privileges_can_be_left_out(local: Local, role: NewRole) -> None:
    database = _with_properties(local, role)
    local.back_up(database)
    local.restore(database=database, target_database="proper_2", strategy="create", no_owner=True, no_privileges=True).succeeded()
    found = _properties(local, "proper_2")
    assert (found["owner"], found["acl"]) == ("postgres", None)
    assert found["limit"] == 17


def test_missing_roles_are_named_before_anything_is_touched(local: Local, role: NewRole) -> None:
    owner = role()
    database = local.create("owned", f"CREATE TABLE t (n int); ALTER TABLE t OWNER TO {owner}")
    local.back_up(database)
    local.server.sql("postgres", f"DROP DATABASE {database}")
    local.server.sql("postgres", f"DROP ROLE {owner}")
    databases = local.databases()
    result = local.restore(database=database).failed_with("INCOMPATIBLE_TARGET")
    assert owner in result["msg"]
    assert "create_missing_roles" in result["hint"]
    assert local.databases() == databases
    local.restore(database=database, no_owner=True, no_privileges=True).succeeded()


def test_missing_roles_are_created_as_they_were(local: Local, role: NewRole) -> None:
    group, owner, other = role("NOLOGIN"), role("LOGIN CREATEDB CONNECTION LIMIT 3 PASSWORD 'p''w'"), role("LOGIN")
    local.server.sql("postgres", f"""
        GRANT {group} TO {owner} WITH ADMIN OPTION; COMMENT ON ROLE {owner} IS 'the "owner"';
        ALTER ROLE {owner} SET search_path TO "$user", sales; ALTER ROLE {owner} VALID UNTIL '2031-01-01 00:00:00+00'""")
    database = local.create("owned", f"CREATE TABLE t (n int); ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {other}")
    before = local.look(database)

    def roles() -> list[str]:
        """All of them, with verifiers and memberships; who granted a membership may differ."""
        return local.server.sql("postgres", f"""
            SELECT a.rolname, to_jsonb(a) - 'oid', shobj_description(a.oid, 'pg_authid'),
                (SELECT array_agg(setconfig::text) FROM pg_db_role_setting WHERE setrole = a.oid AND setdatabase = 0),
                (SELECT json_agg(json_build_array(roleid::regrole, admin_option, inherit_option, set_option))
                 FROM pg_auth_members WHERE member = a.oid)
            FROM pg_authid a WHERE rolname IN ('{group}', '{owner}', '{other}') ORDER BY 1""")

    as_they_were = roles()
    local.back_up(database)
    local.server.sql("postgres", f"DROP DATABASE {database}")
    local.server.sql("postgres", f"DROP ROLE {owner}, {group}")
    # One that exists is never altered.
    local.server.sql("postgres", f"ALTER ROLE {other} CREATEDB CONNECTION LIMIT 1")
    local.restore(database=database, create_missing_roles=True).succeeded()
    assert differences(before, local.look(database)) == []
    local.server.sql("postgres", f"ALTER ROLE {other} NOCREATEDB CONNECTION LIMIT -1")
    assert roles() == as_they_were


def test_a_missing_extension_is_named(local: Local, database: str) -> None:
    """The embedded server has no such extension; the backup says that it was there."""
    folder = Path(local.back_up(database)["path"])
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["extensions"]["postgis"] = "3.5"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = local.restore(database=database, confirm=database).failed_with("INCOMPATIBLE_TARGET")
    assert "postgis" in result["msg"]
