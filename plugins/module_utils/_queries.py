# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a server, each question in SQL that answers with JSON.

``to_jsonb`` over whole catalogue rows keeps the queries the same for every server version: columns that a version
lacks are simply missing from the answer.
"""

from __future__ import annotations

from typing import Iterable

from ansible_collections.pgfleet.backup.plugins.module_utils._sql import literal

__all__ = [
    "DATABASE",
    "DATABASES",
    "NEIGHBOURS",
    "PROBE",
    "ROLE_NAMES",
    "content",
    "database_state",
    "names_that_exist",
    "roles",
]

PROBE = """
SELECT json_build_object(
  'server_version', current_setting('server_version'),
  'server_version_num', current_setting('server_version_num')::int,
  'user', current_user,
  'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  'createdb', (SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user),
  'in_recovery', pg_is_in_recovery(),
  'databases', (SELECT json_agg(datname ORDER BY datname) FROM pg_database
                WHERE datallowconn AND datconnlimit <> -2 AND NOT datistemplate),
  'system_identifier', CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE')
                            THEN (SELECT system_identifier::text FROM pg_control_system()) END);
"""

DATABASES = """
SELECT coalesce(json_agg(json_build_object(
  'name', datname,
  'template', datistemplate,
  'connectable', datallowconn AND datconnlimit <> -2,  -- -2: left by an interrupted DROP DATABASE
  'bytes', CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'MEMBER')
                THEN pg_database_size(oid) END) ORDER BY datname), '[]')
FROM pg_database;
"""

# Every database with its comment, if that is one of ours, and the runs of ours that have a session.
NEIGHBOURS = """
SELECT json_build_object(
  'comments', (SELECT json_object_agg(datname, CASE WHEN starts_with(comment, 'pgfleet.backup: ') THEN comment END)
               FROM (SELECT datname, shobj_description(oid, 'pg_database') AS comment FROM pg_database) d),
  'runs', (SELECT coalesce(json_agg(DISTINCT substr(application_name, 9)), '[]') FROM pg_stat_activity
           WHERE starts_with(application_name, 'pgfleet/')));
"""

ROLE_NAMES = "SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles;"

# What cannot be told by counting rows: tables by the names that pg_dump gives them.
_CONTENT = """
SET search_path = '';
SELECT json_build_object(
  'populated', (SELECT count(*) FROM pg_catalog.pg_class WHERE relkind = 'm' AND relispopulated),
  'of_extensions', (SELECT coalesce(json_agg(objid::regclass::text), '[]') FROM pg_catalog.pg_depend
                    WHERE classid = 'pg_catalog.pg_class'::regclass AND deptype = 'e'));
"""

# Everything about the connected database that an archive does not hold unless it is restored with --create,
# and what a restore elsewhere will need to find.
DATABASE = """
SELECT json_build_object(
  'row', to_jsonb(d) - 'datfrozenxid' - 'datminmxid',
  'owner', pg_get_userbyid(d.datdba),
  'encoding', pg_encoding_to_char(d.encoding),
  'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace),
  'comment', shobj_description(d.oid, 'pg_database'),
  'bytes', pg_database_size(d.oid),
  'acl', CASE WHEN d.datacl IS NOT NULL THEN (
           SELECT coalesce(json_agg(json_build_object(
             'grantor', pg_get_userbyid(a.grantor),
             'grantee', CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END,
             'privilege', a.privilege_type,
             'grantable', a.is_grantable)), '[]')
           FROM aclexplode(d.datacl) a) END,
  'settings', (SELECT coalesce(json_agg(json_build_object(
                 'role', CASE WHEN s.setrole = 0 THEN NULL ELSE pg_get_userbyid(s.setrole) END,
                 'setting', c)), '[]')
               FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setdatabase = d.oid),
  'security_labels', (SELECT coalesce(json_agg(json_build_object('provider', provider, 'label', label)), '[]')
                      FROM pg_shseclabel WHERE objoid = d.oid AND classoid = 'pg_database'::regclass),
  'extensions', (SELECT coalesce(json_object_agg(extname, extversion), '{}') FROM pg_extension),
  'tablespaces', (SELECT coalesce(json_agg(DISTINCT spcname), '[]')
                  FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
                  WHERE spcname NOT IN ('pg_default', 'pg_global')))
FROM pg_database d WHERE d.datname = current_database();
"""

# The roles that the connected database refers to, and, upwards, the roles they are members of. Objects of the
# bootstrap superuser leave no trace in pg_shdepend, so it is looked for where it usually owns something.
_ROLES = """
WITH RECURSIVE referred AS (
  SELECT refobjid AS id FROM pg_shdepend
  WHERE refclassid = 'pg_authid'::regclass
    AND (dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         OR (dbid = 0 AND classid = 'pg_database'::regclass
             AND objid = (SELECT oid FROM pg_database WHERE datname = current_database())))
  UNION SELECT datdba FROM pg_database WHERE datname = current_database()
  UNION SELECT setrole FROM pg_db_role_setting
        WHERE setrole <> 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION SELECT relowner FROM pg_class WHERE oid >= 16384
  UNION SELECT proowner FROM pg_proc WHERE oid >= 16384
  UNION SELECT nspowner FROM pg_namespace WHERE oid >= 16384
), closed AS (
  SELECT id FROM referred
  UNION SELECT m.roleid FROM pg_auth_members m JOIN closed c ON m.member = c.id
)
SELECT coalesce(json_agg(json_build_object(
  'row', to_jsonb(r) - 'rolpassword',
  'verifier', {verifier},
  'settings', (SELECT coalesce(json_agg(c), '[]') FROM pg_db_role_setting s, unnest(s.setconfig) c
               WHERE s.setrole = r.oid AND s.setdatabase = 0),
  'comment', shobj_description(r.oid, 'pg_authid'),
  'member_of', (SELECT coalesce(json_agg(json_build_object(
                  'role', pg_get_userbyid(m.roleid), 'row', to_jsonb(m)) ORDER BY pg_get_userbyid(m.roleid)), '[]')
                FROM pg_auth_members m WHERE m.member = r.oid)) ORDER BY r.rolname), '[]')
FROM {relation} r WHERE r.oid IN (SELECT id FROM closed) AND r.rolname !~ '^pg_';
"""


def roles(*, with_verifiers: bool) -> str:
    """The roles the connected database refers to. Verifiers are stored password hashes; only superusers read them."""
    if with_verifiers:
        return _ROLES.format(relation="pg_authid", verifier="r.rolpassword")
    return _ROLES.format(relation="pg_roles", verifier="NULL")


def database_state(name: str) -> str:
    """The database's identity, size and sessions by application, or nothing when there is none."""
    return """
SELECT json_build_object(
  'oid', d.oid::text, 'owner', pg_get_userbyid(d.datdba), 'connectable', d.datallowconn,
  'bytes', CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END,
  'comment', shobj_description(d.oid, 'pg_database'),
  'sessions', (SELECT coalesce(json_object_agg(application, count), '{{}}') FROM (
     SELECT coalesce(nullif(application_name, ''), '(none)') AS application, count(*) AS count
     FROM pg_stat_activity WHERE datid = d.oid AND pid <> pg_backend_pid() GROUP BY 1) s))
FROM pg_database d WHERE d.datname = {0};
""".format(literal(name))


def content(tables: Iterable[str], sequences: Iterable[str]) -> str:
    """What the connected database holds, three answers: about special tables, rows by table, values by sequence.

    Tables and sequences are given by their quoted SQL names. Rows are counted as ``COPY`` dumps them, without children;
    only a partitioned table that was dumped by itself holds the rows of its partitions.
    """
    # The server puts the counting together, for it knows which tables are partitioned.
    counting = """
SELECT 'SELECT coalesce(json_object_agg(name, rows), ''{{}}'') FROM ('
  || coalesce(string_agg(format('SELECT %L AS name, count(*) AS rows FROM %s%s', name,
       CASE WHEN (SELECT relkind FROM pg_catalog.pg_class WHERE oid = to_regclass(name)) = 'p' THEN '' ELSE 'ONLY ' END,
       name), ' UNION ALL '), 'SELECT NULL::text AS name, 0 AS rows WHERE false') || ') t'
FROM unnest(ARRAY[{0}]::text[]) AS name
\\gexec
""".format(", ".join(literal(table) for table in tables))
    values = [
        "SELECT {0} AS name, last_value FROM {1}".format(literal(sequence), sequence) for sequence in sequences
    ]
    reading = "SELECT coalesce(json_object_agg(name, last_value), '{{}}') FROM ({0}) s;\n".format(
        "\nUNION ALL ".join(values or ["SELECT NULL::text AS name, 0 AS last_value WHERE false"])
    )
    return _CONTENT + counting + reading


def names_that_exist(names: Iterable[str]) -> str:
    """Those of these names that a database has."""
    return "SELECT coalesce(json_agg(datname), '[]') FROM pg_database WHERE datname IN ({0});".format(
        ", ".join(literal(name) for name in names))
