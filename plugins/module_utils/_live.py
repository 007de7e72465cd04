# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a live database, by the names that an archive's table of contents uses, and what depends on what."""

from __future__ import annotations

from typing import Any, FrozenSet, List, Mapping, NamedTuple, Set, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._script import Attached

__all__ = ["CLASSES", "EMPTY", "LIVE", "Live", "Name", "read_live"]

Name = Tuple[str, str, str]  # class, schema, name

# The kinds of a table of contents, and the class by which a live database names them here.
CLASSES = {
    "TABLE": "relation",
    "VIEW": "relation",
    "MATERIALIZED VIEW": "relation",
    "FOREIGN TABLE": "relation",
    "SEQUENCE": "relation",
    "FUNCTION": "function",
    "PROCEDURE": "function",
    "AGGREGATE": "function",
    "TYPE": "type",
    "SHELL TYPE": "type",
    "DOMAIN": "type",
    "SCHEMA": "schema",
    "EXTENSION": "extension",
    "PUBLICATION": "publication",
}

# Everything of a user's own, and for what belongs to something (a rule to its view, an index or a constraint to its
# table) the one that it belongs to. Dropping a table drops its partitions without a word, so they depend on it too.
LIVE = """
SET search_path = '';
WITH named AS (
  SELECT 'pg_catalog.pg_class'::regclass AS classid, c.oid AS objid,
    CASE WHEN c.relkind = 'c' THEN 'type' ELSE 'relation' END AS class, c.relnamespace AS schema,
    c.relname::text AS name
  FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  UNION ALL SELECT 'pg_catalog.pg_proc'::regclass, p.oid, 'function', p.pronamespace,
    p.proname || '(' || pg_catalog.oidvectortypes(p.proargtypes) || ')'
  FROM pg_catalog.pg_proc p
  UNION ALL SELECT 'pg_catalog.pg_type'::regclass, t.oid, 'type', t.typnamespace, t.typname::text
  FROM pg_catalog.pg_type t WHERE t.typtype IN ('b', 'd', 'e', 'r') AND NOT (t.typelem <> 0 AND t.typlen = -1)
), objects AS (
  SELECT o.classid, o.objid, o.class, n.nspname::text AS schema, o.name
  FROM named o JOIN pg_catalog.pg_namespace n ON n.oid = o.schema
  WHERE n.nspname !~ '^pg_(catalog|toast|temp)' AND n.nspname <> 'information_schema'
), parts AS (
  SELECT 'pg_catalog.pg_rewrite'::regclass AS classid, oid AS objid, ev_class AS owner FROM pg_catalog.pg_rewrite
  UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid, conrelid FROM pg_catalog.pg_constraint WHERE conrelid <> 0
  UNION ALL SELECT 'pg_catalog.pg_attrdef'::regclass, oid, adrelid FROM pg_catalog.pg_attrdef
  UNION ALL SELECT 'pg_catalog.pg_trigger'::regclass, oid, tgrelid FROM pg_catalog.pg_trigger
  UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, oid, polrelid FROM pg_catalog.pg_policy
  UNION ALL SELECT 'pg_catalog.pg_class'::regclass, indexrelid, indrelid FROM pg_catalog.pg_index
  UNION ALL SELECT 'pg_catalog.pg_type'::regclass, oid, typrelid FROM pg_catalog.pg_type WHERE typrelid <> 0
), owners AS (
  SELECT classid, objid, class, schema, name FROM objects
  UNION ALL SELECT p.classid, p.objid, o.class, o.schema, o.name
  FROM parts p JOIN objects o ON o.objid = p.owner AND o.classid = 'pg_catalog.pg_class'::regclass
), needs AS (
  SELECT DISTINCT o.class, o.schema, o.name, r.class AS ref_class, r.schema AS ref_schema, r.name AS ref_name
  FROM pg_catalog.pg_depend d
  JOIN owners o ON o.classid = d.classid AND o.objid = d.objid
  JOIN owners r ON r.classid = d.refclassid AND r.objid = d.refobjid
  WHERE (o.class, o.schema, o.name) <> (r.class, r.schema, r.name)
    AND (d.deptype = 'n' OR d.deptype = 'a' AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid IN (
      SELECT oid FROM pg_catalog.pg_class WHERE relispartition AND relkind NOT IN ('i', 'I')))
)
SELECT json_build_object(
  'schemas', (SELECT json_agg(nspname) FROM pg_catalog.pg_namespace),
  'extensions', (SELECT coalesce(json_agg(extname), '[]') FROM pg_catalog.pg_extension),
  'publications', (SELECT coalesce(json_agg(pubname), '[]') FROM pg_catalog.pg_publication),
  'objects', (SELECT coalesce(json_agg(json_build_array(class, schema, name, EXISTS (
      SELECT FROM pg_catalog.pg_depend e
      WHERE e.classid = o.classid AND e.objid = o.objid AND e.deptype = 'e'))), '[]') FROM objects o),
  'needs', (SELECT coalesce(json_agg(json_build_array(
      json_build_array(class, schema, name), json_build_array(ref_class, ref_schema, ref_name))), '[]') FROM needs),
  'extension_rows', (SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname, x.condition)), '[]')
    FROM pg_catalog.pg_extension e, unnest(e.extconfig, e.extcondition) AS x(id, condition)
    JOIN pg_catalog.pg_class c ON c.oid = x.id AND c.relkind IN ('r', 'p')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace),
  'attached', (SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname, t.relname, k.conname)), '[]')
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('i', 'I')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')));
"""


class Live(NamedTuple):
    """``names`` is everything there is, ``own`` what no extension brought; ``needs`` pairs of who and what.

    ``extension_rows`` tells of each table of an extension, by ``(schema, name)``, which of its rows are dumped: the
    condition, empty for all.
    """

    names: FrozenSet[Name]
    own: FrozenSet[Name]
    needs: Tuple[Tuple[Name, Name], ...]
    attached: Attached
    extension_rows: Mapping[Tuple[str, str], str] = {}  # never changed


# A new database, which is made from template0.
EMPTY = Live(frozenset({("schema", "", "public")}), frozenset(), (), Attached())


def read_live(answer: Mapping[str, Any]) -> Live:
    """The answer to :data:`LIVE`."""
    names: Set[Name] = {
        (kind, "", name)
        for kind, key in (("schema", "schemas"), ("extension", "extensions"), ("publication", "publications"))
        for name in answer[key]
    }
    objects: List[List[Any]] = answer["objects"]
    found = {(item[0], item[1], item[2]) for item in objects}
    return Live(
        names=frozenset(names | found),
        own=frozenset((item[0], item[1], item[2]) for item in objects if not item[3]),
        needs=tuple((tuple(who), tuple(what)) for who, what in answer["needs"]),
        attached=Attached(
            indexes=frozenset((item[0], item[1]) for item in answer["attached"]),
            constraints=frozenset((item[0], item[2], item[3]) for item in answer["attached"] if item[3]),
        ),
        extension_rows={(item[0], item[1]): item[2] for item in answer["extension_rows"]},
    )
