# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that tell two databases apart: one query per kind of object, each giving (name, everything about it).

Names are written out in full (the search path is empty), oids never appear, and what belongs to an extension is left to
the extension's own version.
"""

from __future__ import annotations

__all__ = ["QUERIES"]

_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def _no_extension(catalogue: str, oid: str) -> str:
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalogue}'::regclass AND e.objid = {oid}"
        " AND e.deptype = 'e')"
    )


def _acl(acl: str, kind: str, owner: str) -> str:
    """The privileges in a fixed order. None stored, and the built-in ones written out, are the same thing."""
    ordered = "(SELECT array_agg(a::text ORDER BY a::text) FROM unnest({0}) a)"
    built_in = ordered.format(f"acldefault('{kind}', {owner})")
    return f"coalesce(nullif({ordered.format(acl)}, {built_in})::text, 'built-in privileges')"


QUERIES: dict[str, str] = {
    "schema": f"""
        SELECT quote_ident(n.nspname), concat_ws(' ', n.nspowner::regrole, {_acl("n.nspacl", "n", "n.nspowner")})
        FROM pg_namespace n WHERE {_OURS} AND {_no_extension("pg_namespace", "n.oid")}""",
    "relation": f"""
        SELECT c.oid::regclass::text, concat_ws(' ', 'kind', c.relkind, 'persistence', c.relpersistence, c.relowner::regrole,
            {_acl("c.relacl", "r", "c.relowner")}, c.reloptions, 'rls', c.relrowsecurity, c.relforcerowsecurity,
            'identity', c.relreplident, 'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace),
            'method', (SELECT amname FROM pg_am WHERE oid = c.relam), 'populated', c.relispopulated,
            'part', pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), 'parents',
            (SELECT array_agg(inhparent::regclass ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = c.oid),
            CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_no_extension("pg_class", "c.oid")}""",
    "column": f"""
        SELECT c.oid::regclass || '.' || quote_ident(a.attname), concat_ws(' ',
            row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
            'not null', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated, 'default',
            pg_get_expr(d.adbin, d.adrelid), 'collation', nullif(a.attcollation, 0)::regcollation, 'storage', a.attstorage,
            'target', coalesce(nullif(to_jsonb(a) ->> 'attstattarget', '-1'), 'default'),
            -- pg_attver is the server's own count of changes, which no dump carries.
            (SELECT array_agg(o ORDER BY o) FROM unnest(a.attoptions) o WHERE o !~ '^pg_attver='), 'acl',
            (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(a.attacl) x), 'inherited', a.attinhcount, a.attislocal)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {_OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped
            AND {_no_extension("pg_class", "c.oid")}""",
    "constraint": f"""
        SELECT concat_ws('.', nullif(r.conrelid, 0)::regclass, nullif(r.contypid, 0)::regtype, quote_ident(r.conname)),
            concat_ws(' ', pg_get_constraintdef(r.oid), 'valid', r.convalidated, 'inherited', r.coninhcount, r.conislocal)
        FROM pg_constraint r JOIN pg_namespace n ON n.oid = r.connamespace
        WHERE {_OURS} AND r.contype <> 'n' AND {_no_extension("pg_constraint", "r.oid")}
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid IN (r.conrelid, r.contypid)
                AND e.classid IN ('pg_class'::regclass, 'pg_type'::regclass) AND e.deptype = 'e')""",
    "index": f"""
        SELECT c.oid::regclass::text, concat_ws(' ', pg_get_indexdef(c.oid), 'clustered', i.indisclustered, 'valid',
            i.indisvalid, 'identity', i.indisreplident, 'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace))
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND {_no_extension("pg_class", "i.indrelid")}""",
    "sequence": f"""
        SELECT c.oid::regclass::text, concat_ws(' ', c.relowner::regrole, {_acl("c.relacl", "s", "c.relowner")},
            format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, 'of',
            (SELECT refobjid::regclass || ' ' || refobjsubid || ' ' || deptype::text FROM pg_depend
             WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('a', 'i')))
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND {_no_extension("pg_class", "c.oid")}""",
    "routine": f"""
        SELECT p.oid::regprocedure::text, concat_ws(' ', p.proowner::regrole, {_acl("p.proacl", "f", "p.proowner")},
            CASE WHEN p.prokind = 'a' THEN (SELECT row(g.aggtransfn, g.aggfinalfn, g.aggtranstype::regtype, g.agginitval)::text
                FROM pg_aggregate g WHERE g.aggfnoid = p.oid) ELSE pg_get_functiondef(p.oid) END)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_OURS} AND {_no_extension("pg_proc", "p.oid")}""",
    "trigger": """
        SELECT t.tgrelid::regclass || '.' || quote_ident(t.tgname), concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
        FROM pg_trigger t WHERE NOT t.tgisinternal""",
    "event trigger": "SELECT evtname, concat_ws(' ', evtevent, evtenabled, evtfoid::regproc, evttags) FROM pg_event_trigger",
    "rule": f"""
        SELECT r.ev_class::regclass || '.' || quote_ident(r.rulename), concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled)
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND r.rulename <> '_RETURN' AND {_no_extension("pg_class", "c.oid")}""",
    "policy": """
        SELECT polrelid::regclass || '.' || quote_ident(polname), concat_ws(' ', polcmd, polpermissive,
            (SELECT array_agg(r::regrole::text ORDER BY r::regrole::text) FROM unnest(polroles) r),
            pg_get_expr(polqual, polrelid), 'check', pg_get_expr(polwithcheck, polrelid))
        FROM pg_policy""",
    "type": f"""
        SELECT t.oid::regtype::text, concat_ws(' ', t.typtype, t.typowner::regrole, {_acl("t.typacl", "T", "t.typowner")},
            (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
            'of', nullif(t.typbasetype, 0)::regtype, t.typtypmod, t.typnotnull, t.typdefault,
            (SELECT r.rngsubtype::regtype FROM pg_range r WHERE r.rngtypid = t.oid))
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE {_OURS} AND t.typtype <> 'b' AND (c.oid IS NULL OR c.relkind = 'c') AND {_no_extension("pg_type", "t.oid")}""",
    "extended statistics": f"""
        SELECT s.stxname, concat_ws(' ', n.nspname, s.stxowner::regrole, pg_get_statisticsobjdef(s.oid))
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {_OURS}""",
    "operator, cast, collation": f"""
        SELECT o.oid::regoperator::text, concat_ws(' ', o.oprowner::regrole, o.oprcode) FROM pg_operator o
            JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {_OURS} AND {_no_extension("pg_operator", "o.oid")}
        UNION ALL SELECT concat(castsource::regtype, ' -> ', casttarget::regtype), concat_ws(' ', nullif(castfunc, 0)::regprocedure,
            castcontext, castmethod) FROM pg_cast k WHERE k.oid >= 16384 AND {_no_extension("pg_cast", "k.oid")}
        UNION ALL SELECT l.oid::regcollation::text, concat_ws(' ', l.collowner::regrole, l.collprovider, l.collcollate,
            l.collisdeterministic) FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE {_OURS}""",
    "text search": f"""
        SELECT t.oid::regconfig::text, concat_ws(' ', t.cfgowner::regrole, (SELECT array_agg(m::text ORDER BY m::text) FROM
            (SELECT maptokentype, mapseqno, mapdict::regdictionary FROM pg_ts_config_map WHERE mapcfg = t.oid) m))
        FROM pg_ts_config t JOIN pg_namespace n ON n.oid = t.cfgnamespace WHERE {_OURS}
        UNION ALL SELECT d.oid::regdictionary::text, concat_ws(' ', d.dictowner::regrole, d.dictinitoption)
        FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace
        WHERE {_OURS} AND {_no_extension("pg_ts_dict", "d.oid")}""",
    "foreign server": f"""
        SELECT srvname::text, concat_ws(' ', srvowner::regrole, srvoptions, {_acl("srvacl", "S", "srvowner")},
            (SELECT array_agg(umuser::regrole || ' ' || umoptions::text ORDER BY umuser::regrole::text) FROM pg_user_mapping
             WHERE umserver = s.oid)) FROM pg_foreign_server s""",
    "publication, subscription": """
        SELECT pubname::text, concat_ws(' ', pubowner::regrole, puballtables, pubinsert, pubupdate, pubdelete, (SELECT
            array_agg(prrelid::regclass::text ORDER BY prrelid::regclass::text) FROM pg_publication_rel WHERE prpubid = p.oid))
        FROM pg_publication p
        UNION ALL SELECT subname, concat_ws(' ', subowner::regrole, subpublications) FROM pg_subscription
        WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "default privileges": """
        SELECT concat_ws(' ', defaclrole::regrole, nullif(defaclnamespace, 0)::regnamespace, defaclobjtype),
            (SELECT array_agg(a::text ORDER BY a::text)::text FROM unnest(defaclacl) a) FROM pg_default_acl""",
    "extension": """
        SELECT extname::text, concat_ws(' ', extversion, extnamespace::regnamespace, extowner::regrole,
            extconfig IS NOT NULL) FROM pg_extension""",
    "large object": f"""
        SELECT m.oid::text, concat_ws(' ', m.lomowner::regrole, {_acl("m.lomacl", "L", "m.lomowner")}, md5(lo_get(m.oid)))
        FROM pg_largeobject_metadata m""",
    "comment": """
        SELECT o.type || ' ' || o.identity, d.description
        FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) o
        WHERE coalesce(o.schema, '') !~ '^(pg_|information_schema)' AND d.objoid >= 16384
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')
        UNION ALL SELECT 'schema public', obj_description('public'::regnamespace)""",
    "security label": "SELECT concat_ws(' ', objtype, objname, provider), label FROM pg_seclabels WHERE objtype <> 'database'",
    "database": f"""
        SELECT 'properties', concat_ws(' ', d.datdba::regrole, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
            coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
            'limit', d.datconnlimit, 'connections', d.datallowconn, 'template', d.datistemplate,
            (SELECT spcname FROM pg_tablespace WHERE oid = d.dattablespace), {_acl("d.datacl", "d", "d.datdba")}, 'comment',
            shobj_description(d.oid, 'pg_database')) FROM pg_database d WHERE d.datname = current_database()
        UNION ALL SELECT concat_ws(' ', 'settings', nullif(setrole, 0)::regrole),
            (SELECT array_agg(s ORDER BY s)::text FROM unnest(setconfig) s) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())""",
}
