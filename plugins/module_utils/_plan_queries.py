# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore asks the server beforehand, about itself and about the target, in one query.

It is asked in the maintenance database, changes nothing, and needs no privilege.
"""

from __future__ import annotations

import json
from typing import Iterable, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._sql import literal, together

__all__ = ["Wanted", "restore_facts"]


class Wanted(NamedTuple):
    """What the backup refers to, and the server should have; ``properties`` are the database's own."""

    roles: Tuple[str, ...]
    extensions: Tuple[str, ...]
    tablespaces: Tuple[str, ...]
    properties: Mapping[str, object]
    settings: Tuple[str, ...]


# Whether the operating system has a locale shows only when it is used: any session may set one for its own money
# format, and a transaction that ends takes it back. The names travel as a value, not as text of the block.
_TRY_LOCALES = """
SET LOCAL pgfleet.locales = {locales};
DO $$
DECLARE
  wanted text;
  missing jsonb := '[]';
BEGIN
  FOR wanted IN SELECT jsonb_array_elements_text(current_setting('pgfleet.locales')::jsonb) LOOP
    BEGIN
      PERFORM set_config('lc_monetary', wanted, true);
    EXCEPTION WHEN OTHERS THEN
      missing := missing || to_jsonb(wanted);
    END;
  END LOOP;
  PERFORM set_config('pgfleet.locales', missing::text, true);
END
$$;
"""
_SERVER = """
SELECT json_build_object(
  'data_directory', (SELECT setting FROM pg_settings WHERE name = 'data_directory'),
  'max_wal_bytes', (SELECT setting::bigint * 1048576 FROM pg_settings WHERE name = 'max_wal_size'),
  'provider_admin', EXISTS (SELECT FROM pg_roles WHERE pg_has_role(oid, 'MEMBER') AND rolname IN
                            ('rds_superuser', 'cloudsqlsuperuser', 'alloydbsuperuser', 'azure_pg_admin')),
  'icu', EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i' AND collname <> 'unicode'),
  'missing_locales', current_setting('pgfleet.locales')::json,
  'collation_version', {collation_version},
  'roles', (SELECT coalesce(json_object_agg(r.rolname, json_build_object(
              'become', pg_has_role(r.oid, {become}), 'alter', {alter})), '{{}}')
            FROM pg_roles r, pg_roles me WHERE me.rolname = current_user AND r.rolname IN ({roles})),
  'extensions', (SELECT coalesce(json_object_agg(a.name, json_build_object(
                   'version', a.default_version,
                   'superuser', v.superuser IS TRUE AND (to_jsonb(v) ->> 'trusted')::boolean IS NOT TRUE)), '{{}}')
                 FROM pg_available_extensions a
                 LEFT JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
                 WHERE a.name IN ({extensions})),
  'tablespaces', (SELECT coalesce(json_object_agg(spcname, json_build_object(
                    'create', has_tablespace_privilege(oid, 'CREATE'),
                    'location', pg_tablespace_location(oid))), '{{}}')
                  FROM pg_tablespace WHERE spcname IN ({tablespaces})),
  'settings', (SELECT coalesce(json_object_agg(w.name, json_build_object(
                 'known', s.name IS NOT NULL, 'may_set', me.rolsuper OR {may_set})), '{{}}')
               FROM unnest(ARRAY[{settings}]::text[]) AS w(name) LEFT JOIN pg_settings s ON lower(s.name) = w.name,
                    pg_roles me WHERE me.rolname = current_user AND w.name IS NOT NULL));
"""
# The version that text of this provider and locale is sorted by now: as a database here says that has the same, else
# as a collation does. All locales of one C library share its version.
_COLLATION = """
  (SELECT pg_collation_actual_version(oid) FROM pg_collation c
   WHERE collprovider = {provider}
     AND (coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', collcollate) = {locale}
          OR collprovider = 'c' AND collcollate !~* '^(c|posix)')
   LIMIT 1)"""
_DATABASE_COLLATION = """
  (SELECT pg_database_collation_actual_version(oid) FROM pg_database d
   WHERE datlocprovider = {provider}
     AND coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', datcollate) = {locale}
   LIMIT 1)"""
_LETTERS = {"libc": "c", "icu": "i", "builtin": "b"}

# A session may be ended by its own role's members and by pg_signal_backend, but a superuser's only by superusers.
# What kind of session another role's is shows only to those who may read statistics.
_TARGET = """
SELECT json_build_object(
  'oid', d.oid::text, 'owner', pg_get_userbyid(d.datdba), 'connectable', d.datallowconn,
  'ours', pg_has_role(d.datdba, 'USAGE'),
  'bytes', CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END,
  'comment', shobj_description(d.oid, 'pg_database'),
  'encoding', pg_encoding_to_char(d.encoding), 'row', to_jsonb(d) - 'datfrozenxid' - 'datminmxid',
  'sessions', (SELECT coalesce(json_agg(row_to_json(s) ORDER BY s.count DESC, s.application), '[]') FROM (
     SELECT coalesce(nullif(a.application_name, ''), '(none)') AS application,
            coalesce(u.rolname, '') AS "user",
            coalesce(a.backend_type, 'client backend') AS kind,
            me.rolsuper OR coalesce(NOT u.rolsuper AND (pg_has_role(u.oid, 'USAGE')
              OR pg_has_role('pg_signal_backend', 'USAGE')), false) AS may_be_ended,
            count(*) AS count
     FROM pg_stat_activity a LEFT JOIN pg_roles u ON u.oid = a.usesysid, pg_roles me
     WHERE a.datid = d.oid AND a.pid <> pg_backend_pid() AND me.rolname = current_user
     GROUP BY 1, 2, 3, 4) s),
  'prepared', (SELECT coalesce(json_agg(gid ORDER BY gid), '[]') FROM pg_prepared_xacts x WHERE x.database = d.datname),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'active', active) ORDER BY slot_name), '[]')
            FROM pg_replication_slots l WHERE l.database = d.datname),
  'subscriptions', (SELECT coalesce(json_agg(json_build_object('name', subname, 'enabled', subenabled)
                                             ORDER BY subname), '[]')
                    FROM pg_subscription WHERE subdbid = d.oid))
FROM pg_database d WHERE d.datname = {0};
"""


def restore_facts(wanted: Wanted, target: str, *, server_version_num: int) -> str:
    """``server``: what it has of what is wanted, and what our role may do with it.

    ``target``: that database's identity, size, sessions, and whatever clings to it; null when there is none.
    """
    if server_version_num >= 160000:
        become, alter = "'SET'", "me.rolcreaterole AND pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')"
    else:
        become, alter = "'MEMBER'", "me.rolcreaterole AND NOT r.rolsuper"
    may_set = "coalesce(s.context NOT IN ('superuser', 'superuser-backend'), false)"
    if server_version_num >= 150000:
        may_set += " OR has_parameter_privilege(w.name, 'SET')"
    server = _SERVER.format(
        collation_version=_collation_version(wanted.properties, server_version_num),
        become=become,
        alter="r.oid = me.oid OR me.rolsuper OR {0}".format(alter),
        may_set=may_set,
        roles=_in(wanted.roles),
        extensions=_in(wanted.extensions),
        tablespaces=_in(wanted.tablespaces),
        settings=_in({name.lower() for name in wanted.settings}),
    )
    locales = sorted({str(wanted.properties[key]) for key in ("collate", "ctype") if wanted.properties.get(key)})
    select = together({"server": server, "target": _TARGET.format(literal(target))})
    return "BEGIN;{0}{1}COMMIT;\n".format(_TRY_LOCALES.format(locales=literal(json.dumps(locales))), select)


def _collation_version(properties: Mapping[str, object], server_version_num: int) -> str:
    provider = str(properties.get("locale_provider"))
    locale: Optional[object] = properties.get("collate") if provider == "libc" else properties.get("locale")
    if provider not in _LETTERS or not locale:
        return "NULL"
    parts = [_DATABASE_COLLATION] if server_version_num >= 150000 else []
    values = {"provider": literal(_LETTERS[provider]), "locale": literal(str(locale))}
    return "coalesce({0})".format(",".join(part.format(**values) for part in [*parts, _COLLATION]))


def _in(names: Iterable[str]) -> str:
    """What goes between the brackets of IN; NULL is equal to nothing."""
    return ", ".join(literal(name) for name in sorted(names)) or "NULL"
