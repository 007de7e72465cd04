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
    """The privileges in a fixed order. None stored, and the built-in ones written out, are the same thing; having none is not."""
    ordered = "(SELECT array_agg(a::text ORDER BY a::text) FROM unnest({0}) a)"
    built_in = ordered.format(f"acldefault('{kind}', {owner})")
    return f"CASE cardinality({acl}) WHEN 0 THEN 'none' ELSE coalesce(nullif({ordered.format(acl)}, {built_in})::text, 'built-in privileges') END"


def _sorted(options: str) -> str:
    """A list whose order means nothing: options of the foreign kind, settings, privileges."""
    return f"(SELECT array_agg(o::text ORDER BY o::text) FROM unnest({options}) o)"


def _full_name(schema: str, name: str) -> str:
    return f"concat_ws('.', quote_ident({schema}), quote_ident({name}))"


QUERIES: dict[str, str] = {
    "schema": f"""
        SELECT quote_ident(n.nspname), concat_ws(' ', n.nspowner::regrole, {_acl("n.nspacl", "n", "n.nspowner")})
        FROM pg_namespace n WHERE {_OURS} AND {_no_extension("pg_namespace", "n.oid")}""",
    "relation": f"""
        SELECT c.oid::regclass::text, concat_ws(' ', 'kind', c.relkind, 'persistence', c.relpersistence, c.relowner::regrole,
            {_acl("c.relacl", "r", "c.relowner")}, {_sorted("c.reloptions")}, 'rls', c.relrowsecurity, c.relforcerowsecurity,
            'toast', (SELECT {_sorted("t.reloptions")} FROM pg_class t WHERE t.oid = c.reltoastrelid), 'of', nullif(c.reloftype, 0)::regtype,
            'identity', c.relreplident, 'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace),
            'method', (SELECT amname FROM pg_am WHERE oid = c.relam), 'populated', c.relispopulated,
            'part', pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), 'parents',
            (SELECT array_agg(inhparent::regclass ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = c.oid),
            (SELECT concat_ws(' ', 'foreign', f.srvname, {_sorted("x.ftoptions")}) FROM pg_foreign_table x JOIN pg_foreign_server f
             ON f.oid = x.ftserver WHERE x.ftrelid = c.oid),
            CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_no_extension("pg_class", "c.oid")}""",
    "column": f"""
        SELECT c.oid::regclass || '.' || quote_ident(a.attname), concat_ws(' ',
            row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
            'not null', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated, 'default',
            pg_get_expr(d.adbin, d.adrelid), 'collation', nullif(a.attcollation, 0)::regcollation, 'storage', a.attstorage,
            'compression', nullif(a.attcompression, ''), 'foreign', {_sorted("a.attfdwoptions")},
            'target', coalesce(nullif(to_jsonb(a) ->> 'attstattarget', '-1'), 'default'),
            -- pg_attver is the server's own count of changes, which no dump carries.
            (SELECT array_agg(o ORDER BY o) FROM unnest(a.attoptions) o WHERE o !~ '^pg_attver='), 'acl',
            (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(a.attacl) x), 'inherited', a.attinhcount, a.attislocal)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {_OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'i', 'I') AND a.attnum > 0 AND NOT a.attisdropped
            AND {_no_extension("pg_class", "c.oid")}""",
    "constraint": f"""
        SELECT concat_ws('.', nullif(r.conrelid, 0)::regclass, nullif(r.contypid, 0)::regtype, quote_ident(r.conname)),
            concat_ws(' ', pg_get_constraintdef(r.oid), 'valid', r.convalidated, 'inherited', r.coninhcount, r.conislocal,
            -- Of keys it means nothing, and tells only how a partition's came about.
            'not inherited', r.connoinherit AND r.contype IN ('c', 'n'),
            'enforced', to_jsonb(r) ->> 'conenforced', 'deferred', r.condeferrable, r.condeferred,
            'index', nullif(r.conindid, 0)::regclass)
        FROM pg_constraint r JOIN pg_namespace n ON n.oid = r.connamespace
        WHERE {_OURS} AND r.contype <> 't' AND {_no_extension("pg_constraint", "r.oid")}
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid IN (r.conrelid, r.contypid)
                AND e.classid IN ('pg_class'::regclass, 'pg_type'::regclass) AND e.deptype = 'e')""",
    "index": f"""
        SELECT c.oid::regclass::text, concat_ws(' ', pg_get_indexdef(c.oid), 'clustered', i.indisclustered, 'valid',
            i.indisvalid, i.indisready, i.indislive, 'identity', i.indisreplident, 'of', (SELECT inhparent::regclass FROM pg_inherits
            WHERE inhrelid = c.oid), 'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace))
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND {_no_extension("pg_class", "i.indrelid")}""",
    "sequence": f"""
        SELECT c.oid::regclass::text, concat_ws(' ', c.relpersistence, c.relowner::regrole, {_acl("c.relacl", "s", "c.relowner")},
            format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, 'of',
            (SELECT refobjid::regclass || ' ' || refobjsubid || ' ' || deptype::text FROM pg_depend
             WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('a', 'i')))
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND {_no_extension("pg_class", "c.oid")}""",
    "routine": f"""
        SELECT p.oid::regprocedure::text, concat_ws(' ', p.proowner::regrole, {_acl("p.proacl", "f", "p.proowner")},
            CASE WHEN p.prokind = 'a' THEN (SELECT concat_ws(' ', pg_get_function_result(p.oid), pg_get_function_arguments(p.oid), p.proparallel,
                (SELECT string_agg(concat_ws('=', key, CASE WHEN key ~ 'type$' THEN (value::oid)::regtype::text
                    WHEN key = 'aggsortop' THEN (value::oid)::regoperator::text ELSE value END), ' ' ORDER BY key)
                 FROM jsonb_each_text(to_jsonb(g) - 'aggfnoid') AS each (key, value)))
                FROM pg_aggregate g WHERE g.aggfnoid = p.oid) ELSE pg_get_functiondef(p.oid) END)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_OURS} AND {_no_extension("pg_proc", "p.oid")}""",
    "trigger": """
        SELECT t.tgrelid::regclass || '.' || quote_ident(t.tgname), concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled,
            'of', (SELECT tgrelid::regclass FROM pg_trigger u WHERE u.oid = t.tgparentid))
        FROM pg_trigger t WHERE NOT t.tgisinternal""",
    "event trigger": "SELECT evtname, concat_ws(' ', evtowner::regrole, evtevent, evtenabled, evtfoid::regproc, evttags) FROM pg_event_trigger",
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
            'of', nullif(t.typbasetype, 0)::regtype, t.typtypmod, t.typnotnull, t.typdefault, nullif(t.typcollation, 0)::regcollation, t.typisdefined,
            (SELECT concat_ws(' ', r.rngsubtype::regtype, r.rngmultitypid::regtype, nullif(r.rngcollation, 0)::regcollation, r.rngcanonical, r.rngsubdiff,
                (SELECT opcname FROM pg_opclass WHERE oid = r.rngsubopc)) FROM pg_range r WHERE r.rngtypid = t.oid),
            CASE WHEN t.typtype IN ('b', 'p') THEN concat_ws(' ', t.typlen, t.typbyval, t.typcategory, t.typispreferred, t.typdelim, t.typinput, t.typoutput,
                t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze, t.typalign, t.typstorage, to_jsonb(t) ->> 'typsubscript') END)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE {_OURS} AND (c.oid IS NULL OR c.relkind = 'c') AND {_no_extension("pg_type", "t.oid")}
            AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)""",
    "extended statistics": f"""
        SELECT s.stxname, concat_ws(' ', n.nspname, s.stxowner::regrole, pg_get_statisticsobjdef(s.oid),
            'target', coalesce(nullif(to_jsonb(s) ->> 'stxstattarget', '-1'), 'default'))
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {_OURS}""",
    "operator, cast, collation": f"""
        SELECT o.oid::regoperator::text, concat_ws(' ', o.oprowner::regrole, o.oprcode, o.oprresult::regtype, o.oprcanmerge, o.oprcanhash,
            nullif(o.oprcom, 0)::regoperator, 'negator', nullif(o.oprnegate, 0)::regoperator, o.oprrest, o.oprjoin) FROM pg_operator o
            JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {_OURS} AND {_no_extension("pg_operator", "o.oid")}
        UNION ALL SELECT concat('class ', {_full_name("n.nspname", "c.opcname")}, ' ', a.amname), concat_ws(' ', c.opcowner::regrole,
            c.opcintype::regtype, c.opcdefault, nullif(c.opckeytype, 0)::regtype, (SELECT opfname FROM pg_opfamily WHERE oid = c.opcfamily))
        FROM pg_opclass c JOIN pg_am a ON a.oid = c.opcmethod JOIN pg_namespace n ON n.oid = c.opcnamespace
        WHERE {_OURS} AND {_no_extension("pg_opclass", "c.oid")}
        UNION ALL SELECT concat('family ', {_full_name("n.nspname", "f.opfname")}, ' ', a.amname), concat_ws(' ', f.opfowner::regrole,
            (SELECT array_agg(concat_ws(' ', amopstrategy, amoppurpose, amopopr::regoperator) ORDER BY amopstrategy, amoplefttype::regtype::text)
             FROM pg_amop WHERE amopfamily = f.oid),
            (SELECT array_agg(concat_ws(' ', amprocnum, amproclefttype::regtype, amprocrighttype::regtype, amproc::regprocedure)
             ORDER BY amprocnum, amproclefttype::regtype::text) FROM pg_amproc WHERE amprocfamily = f.oid))
        FROM pg_opfamily f JOIN pg_am a ON a.oid = f.opfmethod JOIN pg_namespace n ON n.oid = f.opfnamespace
        WHERE {_OURS} AND {_no_extension("pg_opfamily", "f.oid")}
        UNION ALL SELECT concat(castsource::regtype, ' -> ', casttarget::regtype), concat_ws(' ', nullif(castfunc, 0)::regprocedure,
            castcontext, castmethod) FROM pg_cast k WHERE k.oid >= 16384 AND {_no_extension("pg_cast", "k.oid")}
        -- The version is the library's, and no dump carries it; the others were renamed over time.
        UNION ALL SELECT l.oid::regcollation::text, concat_ws(' ', l.collowner::regrole, l.collprovider, l.collisdeterministic, l.collencoding,
            to_jsonb(l) - '{{oid,collname,collnamespace,collowner,collprovider,collisdeterministic,collencoding,collversion}}'::text[])
        FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE {_OURS}
        UNION ALL SELECT concat('conversion ', {_full_name("n.nspname", "k.conname")}), concat_ws(' ', k.conowner::regrole,
            pg_encoding_to_char(k.conforencoding), pg_encoding_to_char(k.contoencoding), k.conproc, k.condefault)
        FROM pg_conversion k JOIN pg_namespace n ON n.oid = k.connamespace WHERE {_OURS}""",
    "language, transform, access method": f"""
        SELECT concat('language ', lanname), concat_ws(' ', lanowner::regrole, lanpltrusted, lanplcallfoid::regproc, laninline::regproc,
            lanvalidator::regproc, {_acl("lanacl", "l", "lanowner")}) FROM pg_language l WHERE oid >= 16384 AND {_no_extension("pg_language", "l.oid")}
        UNION ALL SELECT concat('transform ', trftype::regtype, ' ', lanname), concat_ws(' ', trffromsql, trftosql)
        FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang WHERE {_no_extension("pg_transform", "t.oid")}
        UNION ALL SELECT concat('access method ', amname), concat_ws(' ', amtype, amhandler) FROM pg_am a
        WHERE oid >= 16384 AND {_no_extension("pg_am", "a.oid")}""",
    "text search": f"""
        SELECT t.oid::regconfig::text, concat_ws(' ', t.cfgowner::regrole, (SELECT prsname FROM pg_ts_parser WHERE oid = t.cfgparser),
            (SELECT array_agg(m::text ORDER BY m::text) FROM
            (SELECT maptokentype, mapseqno, mapdict::regdictionary FROM pg_ts_config_map WHERE mapcfg = t.oid) m))
        FROM pg_ts_config t JOIN pg_namespace n ON n.oid = t.cfgnamespace WHERE {_OURS} AND {_no_extension("pg_ts_config", "t.oid")}
        UNION ALL SELECT concat('dictionary ', d.oid::regdictionary), concat_ws(' ', d.dictowner::regrole, d.dictinitoption,
            (SELECT tmplname FROM pg_ts_template WHERE oid = d.dicttemplate))
        FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace
        WHERE {_OURS} AND {_no_extension("pg_ts_dict", "d.oid")}
        UNION ALL SELECT concat('template ', {_full_name("n.nspname", "t.tmplname")}), concat_ws(' ', t.tmplinit, t.tmpllexize)
        FROM pg_ts_template t JOIN pg_namespace n ON n.oid = t.tmplnamespace WHERE {_OURS} AND {_no_extension("pg_ts_template", "t.oid")}
        UNION ALL SELECT concat('parser ', {_full_name("n.nspname", "p.prsname")}), concat_ws(' ', p.prsstart, p.prstoken, p.prsend,
            p.prsheadline, p.prslextype)
        FROM pg_ts_parser p JOIN pg_namespace n ON n.oid = p.prsnamespace WHERE {_OURS} AND {_no_extension("pg_ts_parser", "p.oid")}""",
    "foreign server": f"""
        SELECT srvname::text, concat_ws(' ', srvowner::regrole, srvtype, srvversion, {_sorted("srvoptions")}, {_acl("srvacl", "S", "srvowner")},
            (SELECT fdwname FROM pg_foreign_data_wrapper WHERE oid = s.srvfdw),
            (SELECT array_agg(concat_ws(' ', nullif(umuser, 0)::regrole, 'user', {_sorted("umoptions")}) ORDER BY umuser::regrole::text) FROM pg_user_mapping
             WHERE umserver = s.oid)) FROM pg_foreign_server s
        UNION ALL SELECT concat('wrapper ', fdwname), concat_ws(' ', fdwowner::regrole, fdwhandler::regproc, fdwvalidator::regproc, {_sorted("fdwoptions")},
            {_acl("fdwacl", "F", "fdwowner")}) FROM pg_foreign_data_wrapper w WHERE {_no_extension("pg_foreign_data_wrapper", "w.oid")}""",
    "publication, subscription": """
        -- The view says which columns and rows, where the version knows of them.
        SELECT pubname::text, concat_ws(' ', pubowner::regrole, to_jsonb(p) - '{oid,pubname,pubowner}'::text[],
            (SELECT array_agg(prrelid::regclass::text ORDER BY prrelid::regclass::text) FROM pg_publication_rel WHERE prpubid = p.oid),
            (SELECT array_agg(to_jsonb(t)::text ORDER BY t.schemaname, t.tablename) FROM pg_publication_tables t WHERE t.pubname = p.pubname))
        FROM pg_publication p
        UNION ALL SELECT 'schema of a publication ' || o.identity, '' FROM pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) o
        WHERE o.type = 'publication namespace' AND d.refclassid = 'pg_publication'::regclass
        UNION ALL SELECT 'subscription ' || subname, concat_ws(' ', subowner::regrole,
            to_jsonb(s) - '{oid,subdbid,subname,subowner,subskiplsn}'::text[]) FROM pg_subscription s
        WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "privileges of the system and of extensions": """
        -- Where they differ from what initdb or CREATE EXTENSION set.
        SELECT concat_ws(' ', o.type, o.identity), p.acl FROM (
            SELECT 'pg_proc'::regclass AS class, oid, 0 AS sub, proacl AS acl FROM pg_proc UNION ALL SELECT 'pg_class'::regclass, oid, 0, relacl FROM pg_class
            UNION ALL SELECT 'pg_type'::regclass, oid, 0, typacl FROM pg_type UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, nspacl FROM pg_namespace
            UNION ALL SELECT 'pg_language'::regclass, oid, 0, lanacl FROM pg_language
            UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, attacl FROM pg_attribute
        ) x CROSS JOIN LATERAL (SELECT (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(x.acl) a)::text) p (acl)
        CROSS JOIN LATERAL (SELECT (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(i.initprivs) a)::text FROM (SELECT) none
            LEFT JOIN pg_init_privs i ON i.classoid = x.class AND i.objoid = x.oid AND i.objsubid = x.sub) i (acl)
        CROSS JOIN LATERAL pg_identify_object(x.class, x.oid, x.sub) o
        WHERE p.acl IS DISTINCT FROM i.acl AND (x.oid < 16384 AND o.identity <> 'public' OR EXISTS (SELECT FROM pg_depend e
            WHERE e.classid = x.class AND e.objid = x.oid AND e.deptype = 'e'))""",
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
        UNION ALL SELECT 'schema public', obj_description(oid) FROM pg_namespace WHERE nspname = 'public'""",
    # The view shows those of every database's subscriptions.
    "security label": """
        SELECT DISTINCT concat_ws(' ', objtype, objname, provider), label FROM pg_seclabels WHERE objtype <> 'database'
        AND (objtype <> 'subscription' OR objoid IN (SELECT s.oid FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
                                                     WHERE d.datname = current_database()))""",
    "database": f"""
        SELECT 'properties', concat_ws(' ', d.datdba::regrole, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
            coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
            coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), to_jsonb(d) ->> 'daticurules',
            'limit', d.datconnlimit, 'connections', d.datallowconn, 'template', d.datistemplate,
            (SELECT spcname FROM pg_tablespace WHERE oid = d.dattablespace), {_acl("d.datacl", "d", "d.datdba")}, 'comment',
            shobj_description(d.oid, 'pg_database'), 'labels',
            (SELECT array_agg(concat_ws(' ', provider, label) ORDER BY provider) FROM pg_shseclabel
             WHERE classoid = 'pg_database'::regclass AND objoid = d.oid)) FROM pg_database d WHERE d.datname = current_database()
        UNION ALL SELECT concat_ws(' ', 'settings', nullif(setrole, 0)::regrole),
            (SELECT array_agg(s ORDER BY s)::text FROM unnest(setconfig) s) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())""",
}
