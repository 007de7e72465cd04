# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive does not hold, and a restore must bring nevertheless: the database's own properties, and its roles."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
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


def test_an_existing_role_is_not_touched_by_what_is_created_beside_it(local: Local, role: NewRole) -> None:
    team, lead, guest = role(), role("LOGIN PASSWORD 'theirs' VALID UNTIL '2031-01-01'"), role("LOGIN")
    local.server.sql("postgres", f"GRANT {team} TO {guest}; GRANT {lead} TO {team}")
    database = local.create("teamed", f"CREATE TABLE t (n int); ALTER TABLE t OWNER TO {team};"
                                      f"GRANT SELECT ON t TO {lead}, {guest}")
    local.back_up(database)
    local.server.sql("postgres", f"DROP DATABASE {database}")
    local.server.sql("postgres", f"DROP ROLE {team}")

    def others() -> list[str]:
        return local.server.sql("postgres", f"""
            SELECT to_jsonb(a) FROM pg_authid a WHERE rolname <> '{team}' UNION ALL
            SELECT to_jsonb(m) FROM pg_auth_members m WHERE member <> coalesce(to_regrole('{team}')::oid, 0) ORDER BY 1""")

    before = others()
    local.restore(database=database, create_missing_roles=True).succeeded()
    # The new role is a member of the one that it was a member of; nobody who was there became a member of it.
    assert others() == before
    assert local.server.sql("postgres", f"SELECT pg_has_role('{team}', '{lead}', 'MEMBER'), pg_has_role('{guest}', '{team}', 'MEMBER')") == ["t|f"]


def test_roles_that_may_not_be_created_are_said_and_none_is_left_half(local: Local, role: NewRole) -> None:
    login, small, great = role("LOGIN CREATEDB CREATEROLE"), role(), role("SUPERUSER")
    database = local.create("great", f"CREATE TABLE t (n int); CREATE TABLE u (n int);"
                                     f"ALTER TABLE t OWNER TO {small}; ALTER TABLE u OWNER TO {great}")
    local.back_up(database)
    local.server.sql("postgres", f"DROP DATABASE {database}")
    local.server.sql("postgres", f"DROP ROLE {small}, {great}")
    failed = local.restore(database=database, create_missing_roles=True, no_owner=True, login_user=login)
    assert great in failed.failed_with("INCOMPATIBLE_TARGET")["msg"]
    assert not failed.changed
    assert local.server.sql("postgres", f"SELECT rolname FROM pg_roles WHERE rolname IN ('{small}', '{great}')") == []


def test_what_the_owner_gave_up_stays_given_up(local: Local, role: NewRole) -> None:
    owner = role("LOGIN")
    database = local.create("modest")
    local.server.sql("postgres", f"ALTER DATABASE {database} OWNER TO {owner}; REVOKE TEMPORARY ON DATABASE {database} FROM {owner}")
    before = _properties(local, database)
    local.back_up(database)
    local.restore(database=database, confirm=database).succeeded()
    assert _properties(local, database) == before


@pytest.mark.parametrize("made", [
    "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'UTF8'",
    "LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'LATIN1'",
])
def test_encoding_and_locale_are_those_of_the_backup(local: Local, made: str) -> None:
    local.server.sql("postgres", f"CREATE DATABASE spelled TEMPLATE template0 {made}")
    local.server.sql("spelled", "CREATE TABLE t (word text); INSERT INTO t VALUES ('Ärger')")
    row = "SELECT to_jsonb(d) - 'oid' - 'datfrozenxid' - 'datminmxid' FROM pg_database d WHERE datname = 'spelled'"
    before, content = local.server.sql("postgres", row), local.look("spelled")
    local.back_up("spelled")
    local.restore(database="spelled", confirm="spelled").succeeded()
    assert local.server.sql("postgres", row) == before
    assert differences(content, local.look("spelled")) == []


def test_a_database_goes_back_to_its_tablespace(local: Local) -> None:
    folder = local.server.base / "tablespace"
    folder.mkdir()
    data = (local.server.base / "data").stat()
    os.chown(folder, data.st_uid, data.st_gid)
    local.server.sql("postgres", f"CREATE TABLESPACE fast LOCATION '{folder}'")
    try:
        local.server.sql("postgres", "CREATE DATABASE placed TABLESPACE fast")
        local.server.sql("placed", "CREATE TABLE t (n int)")
        local.back_up("placed")
        local.restore(database="placed", confirm="placed", keep_previous=0).succeeded()
        where = "SELECT spcname FROM pg_database d JOIN pg_tablespace s ON s.oid = dattablespace WHERE datname = 'placed'"
        assert local.server.sql("postgres", where) == ["fast"]
    finally:
        local.server.sql("postgres", "DROP DATABASE IF EXISTS placed WITH (FORCE)")
        local.server.sql("postgres", "DROP TABLESPACE fast")


def test_a_missing_extension_is_named(local: Local, database: str) -> None:
    """The embedded server has no such extension; the backup says that it was there."""
    folder = Path(local.back_up(database)["path"])
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["extensions"]["postgis"] = "3.5"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = local.restore(database=database, confirm=database).failed_with("INCOMPATIBLE_TARGET")
    assert "postgis" in result["msg"]


# -- in a hurry -----------------------------------------------------------------------------------------------------


def test_only_the_sessions_that_fill_a_database_are_told_to_hurry(local: Local, role: NewRole) -> None:
    """What they were told is kept by a materialized view, which is filled by them."""
    admin = role("LOGIN SUPERUSER")
    local.server.sql("postgres", f"ALTER ROLE {admin} SET synchronous_commit TO local; ALTER ROLE {admin} SET maintenance_work_mem TO '2MB'")
    local.create("hurried", """
        CREATE TABLE noise AS SELECT n, (SELECT string_agg(decode(md5(n::text || k), 'hex'), '')
            FROM generate_series(1, 2000) k) AS bytes FROM generate_series(1, 200) n;
        SET synchronous_commit TO on;
        CREATE MATERIALIZED VIEW told AS SELECT current_setting('synchronous_commit') AS commit,
            pg_size_bytes(current_setting('maintenance_work_mem')) / 1024 AS memory;
        ALTER DATABASE hurried SET synchronous_commit TO remote_write""")
    ask = "SELECT name, setting FROM pg_settings WHERE name ~ 'synchronous_commit|maintenance_work_mem' ORDER BY 1"
    assert local.server.sql("hurried", "SELECT commit FROM told") == ["on"]
    before = local.server.sql("postgres", ask), _properties(local, "hurried")
    local.back_up("hurried")
    log = local.restore(database="hurried", confirm="hurried", keep_previous=0, login_user=admin).succeeded()["log"]
    [(commit, memory)] = [row.split("|") for row in local.server.sql("hurried", "SELECT commit, memory FROM told")]
    assert commit == "off"
    assert int(memory) > 2048
    assert f"Sessions are told synchronous_commit=off, maintenance_work_mem={memory}kB" in log
    assert (local.server.sql("postgres", ask), _properties(local, "hurried")) == before
    roles = local.server.sql("postgres", f"SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = '{admin}'::regrole")
    assert roles == ["synchronous_commit=local", "maintenance_work_mem=2MB"]
