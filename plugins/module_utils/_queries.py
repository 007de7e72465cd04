# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a server, each question one query that answers with one JSON value.

``to_jsonb`` over whole catalogue rows keeps the queries the same for every server version: columns that a version
lacks are simply missing from the answer.
"""

from __future__ import annotations

from typing import Container, Iterable

from ansible_collections.pgfleet.backup.plugins.module_utils._sql import literal

__all__ = [
    "DATABASE",
    "DATABASES",
    "PROBE",
    "ROLE_NAMES",
    "SPECIAL_TABLES",
    "database_state",
    "databases_marked",
    "how_many_exist",
    "names_that_exist",
    "roles",
    "row_counts",
    "sequence_values",
    "unfinished_databases",
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

ROLE_NAMES = "SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles;"


# Tables whose rows are not simply their own: by the names that pg_dump gives them.
SPECIAL_TABLES = """
SET search_path = '';
SELECT json_build_object(
  'partitioned', (SELECT coalesce(json_agg(oid::regclass::text), '[]') FROM pg_catalog.pg_class WHERE relkind = 'p'),
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


def row_counts(tables: Iterable[str], *, with_partitions: Container[str] = ()) -> str:
    """Exact rows of tables given by their quoted SQL names, counted as ``COPY`` dumps them (without children).

    A partitioned table that was dumped by itself holds the rows of its partitions.
    """
    counts = [
        "SELECT {0} AS name, count(*) AS rows FROM {1}{2}".format(
            literal(table), "" if table in with_partitions else "ONLY ", table)
        for table in tables
    ]
    return "SELECT coalesce(json_object_agg(name, rows), '{{}}') FROM ({0}) t;".format(
        "\nUNION ALL ".join(counts or ["SELECT NULL::text AS name, 0 AS rows WHERE false"])
    )


def sequence_values(sequences: Iterable[str]) -> str:
    """``last_value`` of sequences given by their quoted SQL names."""
    values = [
        "SELECT {0} AS name, last_value FROM {1}".format(literal(sequence), sequence) for sequence in sequences
    ]
    return "SELECT coalesce(json_object_agg(name, last_value), '{{}}') FROM ({0}) s;".format(
        "\nUNION ALL ".join(values or ["SELECT NULL::text AS name, 0 AS last_value WHERE false"])
    )


def how_many_exist(names: Iterable[str]) -> str:
    """How many databases of these names there are."""
    return "SELECT count(*) FROM pg_database WHERE datname IN ({0});".format(", ".join(literal(name) for name in names))


def names_that_exist(names: Iterable[str]) -> str:
    """Those of these names that a database has."""
    return "SELECT coalesce(json_agg(datname), '[]') FROM pg_database WHERE datname IN ({0});".format(
        ", ".join(literal(name) for name in names))


def databases_marked(prefix: str) -> str:
    """Databases whose comment begins with ``prefix``."""
    return """
SELECT coalesce(json_agg(datname), '[]') FROM pg_database d
WHERE starts_with(shobj_description(d.oid, 'pg_database'), {0});
""".format(literal(prefix))


def unfinished_databases(prefix: str) -> str:
    """Databases whose comment begins with ``prefix``, and whether the run that ends the comment has a session."""
    return """
SELECT coalesce(json_agg(json_build_object(
  'name', datname, 'comment', comment,
  'alive', EXISTS (SELECT FROM pg_stat_activity
                   WHERE application_name = 'pgfleet/' || substr(comment, length({0}) + 1))) ORDER BY datname), '[]')
FROM (SELECT datname, shobj_description(oid, 'pg_database') AS comment FROM pg_database) d
WHERE starts_with(comment, {0});
""".format(literal(prefix))
