-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Code, and what runs it: functions, procedures, aggregates, operators, casts, views, rules, triggers.

CREATE SCHEMA code;

-- Functions: bodies that must come back to the byte, and every property.
CREATE FUNCTION code.add(a integer, b integer DEFAULT 5, VARIADIC more integer[] DEFAULT '{}') RETURNS integer
    LANGUAGE sql IMMUTABLE LEAKPROOF PARALLEL SAFE COST 7 AS 'SELECT a + b + coalesce((SELECT sum(m)::integer FROM unnest(more) AS m), 0)';
CREATE FUNCTION code.odd_text() RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET work_mem = '5MB' SET search_path TO "we ird", pg_catalog SET datestyle FROM CURRENT AS
$body$
BEGIN
    -- tabs	and \back\slashes, 'quotes', $$ dollars $$, ünïcode, and a line that ends in blanks:   
    RETURN E'\\.';
END
$body$;
CREATE FUNCTION code.carriage_returns() RETURNS integer LANGUAGE sql AS E'SELECT 1\r\n;\r\nSELECT 2\r\n';
CREATE FUNCTION code.many(OUT a integer, INOUT b text, OUT c kinds.pair[]) LANGUAGE sql AS 'SELECT 1, b, NULL::kinds.pair[]';
CREATE FUNCTION code.rows(p kinds.pair) RETURNS TABLE (x integer, "y z" text) LANGUAGE sql ROWS 42 AS 'SELECT p.a, ''z''';
CREATE FUNCTION code.sets() RETURNS SETOF kinds.everything LANGUAGE sql STRICT AS 'TABLE kinds.everything';
CREATE FUNCTION code."Same Name"(text) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION code."Same Name"(integer) RETURNS integer LANGUAGE sql AS 'SELECT 2';
CREATE FUNCTION code.poly(anyelement, anyarray DEFAULT NULL) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
-- Standard SQL bodies are stored parsed, and know what they depend on.
CREATE FUNCTION code.standard(a integer) RETURNS integer LANGUAGE sql IMMUTABLE RETURN a * 2 + length('it''s');
CREATE FUNCTION code.standard_atomic(a integer) RETURNS SETOF text LANGUAGE sql
    BEGIN ATOMIC
        SELECT m::text FROM unnest(enum_range(NULL::kinds.mood)) AS m WHERE a > 0;
        SELECT "b ""c""" FROM kinds.of_pair;
    END;
CREATE PROCEDURE code.work(INOUT a integer, b text DEFAULT 'x') LANGUAGE plpgsql AS $$ BEGIN a := a + 1; COMMIT; END $$;
-- One that finds nothing under an empty search_path; nothing that a restore does may call it.
SET search_path = kinds, pg_catalog;
CREATE FUNCTION code.relies_on_search_path() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM of_pair';
CREATE VIEW code.calls_it AS SELECT code.relies_on_search_path() AS n;
RESET search_path;
CREATE TABLE code.default_calls_it (n bigint DEFAULT code.relies_on_search_path(), id integer);
INSERT INTO code.default_calls_it VALUES (1, 1);
-- pg_dump writes a language out in full only when its functions are the database's own, and no extension's.
CREATE FUNCTION code.pl_call() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION code.pl_inline(internal) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE FUNCTION code.pl_validate(oid) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_validator';
CREATE TRUSTED LANGUAGE fidelity_pl HANDLER code.pl_call INLINE code.pl_inline VALIDATOR code.pl_validate;
CREATE FUNCTION code.of_own_language() RETURNS integer LANGUAGE fidelity_pl AS 'BEGIN RETURN 1; END';

-- Aggregates: plain, moving, ordered set, parallel, variadic.
CREATE AGGREGATE code.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0', COMBINEFUNC = int4pl, PARALLEL = SAFE,
    MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = integer, MINITCOND = '0', SORTOP = operator(pg_catalog.<));
CREATE AGGREGATE code.middle(VARIADIC "any" ORDER BY VARIADIC "any") (SFUNC = ordered_set_transition_multi, STYPE = internal, SSPACE = 64, FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL);
CREATE FUNCTION code.first_of(anyelement, anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1';
CREATE FUNCTION code.same(anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE AGGREGATE code.first(anyelement) (SFUNC = code.first_of, STYPE = anyelement, FINALFUNC = code.same, FINALFUNC_MODIFY = READ_WRITE);

-- Operators, their families and classes, casts, conversions, transforms.
CREATE FUNCTION code.pair_less(kinds.pair, kinds.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a < ($2).a';
CREATE FUNCTION code.pair_same(kinds.pair, kinds.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a = ($2).a';
CREATE FUNCTION code.pair_cmp(kinds.pair, kinds.pair) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a - ($2).a';
CREATE OPERATOR code.<# (LEFTARG = kinds.pair, RIGHTARG = kinds.pair, FUNCTION = code.pair_less, COMMUTATOR = OPERATOR(code.#>), NEGATOR = OPERATOR(code.#>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE FUNCTION code.pair_more(kinds.pair, kinds.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a > ($2).a';
CREATE OPERATOR code.#> (LEFTARG = kinds.pair, RIGHTARG = kinds.pair, FUNCTION = code.pair_more, COMMUTATOR = OPERATOR(code.<#));
CREATE OPERATOR code.=# (LEFTARG = kinds.pair, RIGHTARG = kinds.pair, FUNCTION = code.pair_same, COMMUTATOR = OPERATOR(code.=#), HASHES, MERGES, RESTRICT = eqsel);
CREATE OPERATOR code.!! (RIGHTARG = integer, FUNCTION = pg_catalog.int4um);
CREATE OPERATOR FAMILY code.pairs USING btree;
CREATE OPERATOR CLASS code.pair_ops FOR TYPE kinds.pair USING btree FAMILY code.pairs AS
    OPERATOR 1 code.<#, OPERATOR 3 code.=#, OPERATOR 5 code.#>, FUNCTION 1 code.pair_cmp(kinds.pair, kinds.pair);
ALTER OPERATOR FAMILY code.pairs USING btree ADD OPERATOR 1 pg_catalog.<(integer, integer), FUNCTION 1 (integer, integer) pg_catalog.btint4cmp(integer, integer);
CREATE OPERATOR CLASS code.by_length DEFAULT FOR TYPE kinds.label USING gist AS STORAGE box;
CREATE TABLE code.pairs (p kinds.pair);
INSERT INTO code.pairs VALUES ('(3,c)'), ('(1,a)'), ('(2,b)');
CREATE INDEX pairs_by_ops ON code.pairs (p code.pair_ops);
CREATE FUNCTION code.to_integer(kinds.pair) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a';
CREATE CAST (kinds.pair AS integer) WITH FUNCTION code.to_integer(kinds.pair) AS ASSIGNMENT;
CREATE CAST (kinds.label AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (kinds.mood AS bytea) WITH INOUT;
CREATE CAST (text AS point) WITH INOUT AS ASSIGNMENT;
CREATE CONVERSION code.odd_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE DEFAULT CONVERSION code.default_conversion FOR 'LATIN2' TO 'UTF8' FROM iso8859_to_utf8;
CREATE TRANSFORM FOR kinds.label LANGUAGE sql (FROM SQL WITH FUNCTION pg_catalog.prsd_lextype(internal));

-- Views: of views, recursive, with every option, updatable, with columns named anew; rules beside them.
CREATE VIEW code.plain (n, "M m") WITH (security_barrier = true, check_option = cascaded) AS SELECT n, a FROM kinds.everything WHERE n > 0;
CREATE VIEW code.of_view AS SELECT v.*, row_number() OVER w AS r FROM code.plain AS v WINDOW w AS (PARTITION BY v."M m" ORDER BY v.n DESC NULLS LAST ROWS 3 PRECEDING);
SET search_path = code;
CREATE RECURSIVE VIEW counted (i) AS VALUES (1) UNION ALL SELECT i + 1 FROM counted WHERE i < 5;
RESET search_path;
CREATE VIEW code.many_clauses AS
    WITH RECURSIVE t (a, b) AS (SELECT 1, ARRAY[1] UNION SELECT a + 1, b || a FROM t WHERE a < 3) SEARCH DEPTH FIRST BY a SET o CYCLE a SET c USING p
    SELECT DISTINCT ON (t.a) t.a, t.b, CASE WHEN t.a IS DISTINCT FROM 2 THEN 'x' COLLATE "C" ELSE U&'\00e9' END AS "case", g.s, l.l, ROW(t.a, 'r')::kinds.pair AS r,
        count(*) FILTER (WHERE t.a > 1) OVER () AS f, percentile_cont(0.5) WITHIN GROUP (ORDER BY g.s) AS m
    FROM t CROSS JOIN LATERAL generate_series(1, t.a) WITH ORDINALITY AS g (s, nr) LEFT JOIN LATERAL (SELECT upper('l') AS l) AS l ON true
    GROUP BY GROUPING SETS ((t.a, t.b, g.s, l.l), ROLLUP (t.a, t.b, g.s, l.l)) HAVING count(*) > 0 ORDER BY t.a, t.b DESC LIMIT 10 OFFSET 0;
\if :since_15
CREATE VIEW code.invoker WITH (security_invoker = on) AS TABLE kinds.of_pair;
\endif
ALTER VIEW code.plain ALTER COLUMN n SET DEFAULT 77;
CREATE TABLE code.ruled (a integer, b text);
CREATE TABLE code.ruled_log (what text);
INSERT INTO code.ruled VALUES (1, 'before the rules');
CREATE RULE "also log" AS ON INSERT TO code.ruled WHERE new.a > 5 DO ALSO (INSERT INTO code.ruled_log VALUES ('a' || new.a); UPDATE code.ruled SET b = new.b WHERE a = -1);
CREATE RULE telling AS ON DELETE TO code.ruled DO ALSO NOTIFY "it's ruled";
CREATE RULE never AS ON DELETE TO code.ruled DO INSTEAD NOTHING;
CREATE RULE replica_only AS ON UPDATE TO code.ruled DO ALSO INSERT INTO code.ruled_log VALUES ('u');
ALTER TABLE code.ruled ENABLE REPLICA RULE replica_only;
ALTER TABLE code.ruled DISABLE RULE never;
CREATE VIEW code.ruled_view AS SELECT a FROM code.ruled;
CREATE RULE upsert AS ON INSERT TO code.ruled_view DO INSTEAD INSERT INTO code.ruled (a) VALUES (new.a) RETURNING a;
-- Two views that need each other, which only rules can bring about.
CREATE VIEW code.circle_a AS SELECT 1 AS x;
CREATE VIEW code.circle_b AS SELECT x FROM code.circle_a;
CREATE RULE circle AS ON INSERT TO code.circle_a DO INSTEAD DELETE FROM code.ruled WHERE a IN (SELECT x FROM code.circle_b);

-- Materialised views on materialised views; one that was never filled, and one on top of it.
CREATE MATERIALIZED VIEW code.z_first AS SELECT region, count(*) AS n FROM tables.parts GROUP BY region;
CREATE UNIQUE INDEX ON code.z_first (region);
CREATE MATERIALIZED VIEW code.m_second WITH (fillfactor = 60) AS SELECT sum(n) AS total FROM code.z_first;
CREATE VIEW code.between AS SELECT total * 2 AS twice FROM code.m_second;
CREATE MATERIALIZED VIEW code.a_third AS SELECT twice, (SELECT count(*) FROM code.z_first) AS n, tables.by_search_path('x') AS s FROM code.between;
CREATE MATERIALIZED VIEW code.unfilled AS SELECT n FROM kinds.everything WITH NO DATA;
CREATE MATERIALIZED VIEW code.on_unfilled AS SELECT count(*) AS n FROM code.unfilled WITH NO DATA;
CREATE STATISTICS code.of_matview ON region, n FROM code.z_first;

-- Triggers: each time, each state, with transition tables, arguments, conditions, on views, deferred, on partitions.
CREATE TABLE code.watched (a integer PRIMARY KEY, b text, c text);
CREATE TABLE code.watched_log (n serial, what text);
CREATE FUNCTION code.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO code.watched_log (what) VALUES (concat_ws(' ', TG_NAME, TG_OP, array_to_string(TG_ARGV, ',')));
    RETURN coalesce(NEW, OLD);
END $$;
CREATE FUNCTION code.note_by_search_path() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO watched_log (what) VALUES (TG_NAME); RETURN NULL; END $$;
CREATE TRIGGER a_row BEFORE INSERT OR UPDATE OF b, c ON code.watched FOR EACH ROW WHEN (NEW.a > 0) EXECUTE FUNCTION code.note('it''s', '', 'two words', E'\\');
CREATE TRIGGER b_statement AFTER UPDATE ON code.watched REFERENCING OLD TABLE AS was NEW TABLE AS is_now FOR EACH STATEMENT EXECUTE FUNCTION code.note_by_search_path();
CREATE TRIGGER c_disabled BEFORE DELETE ON code.watched FOR EACH ROW EXECUTE FUNCTION code.note();
CREATE TRIGGER "d, always" AFTER TRUNCATE ON code.watched EXECUTE FUNCTION code.note();
CREATE TRIGGER e_replica AFTER INSERT ON code.watched FOR EACH ROW EXECUTE FUNCTION code.note();
CREATE CONSTRAINT TRIGGER f_deferred AFTER INSERT ON code.watched FROM kinds.of_pair DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION code.note();
CREATE TRIGGER g_instead INSTEAD OF INSERT ON code.of_view FOR EACH ROW EXECUTE FUNCTION code.note();
ALTER TABLE code.watched DISABLE TRIGGER c_disabled, ENABLE ALWAYS TRIGGER "d, always", ENABLE REPLICA TRIGGER e_replica;
INSERT INTO code.watched VALUES (1, 'b', 'c'), (-1, NULL, NULL);
CREATE TRIGGER on_parts AFTER INSERT ON tables.parts FOR EACH ROW EXECUTE FUNCTION code.note();
ALTER TABLE tables.parts_old DISABLE TRIGGER on_parts;

-- Event triggers see every command of a restore that comes after them, and may forbid it or write it down.
CREATE TABLE code.commands (tag text);
CREATE FUNCTION code.note_command() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO code.commands VALUES (TG_TAG); END $$;
CREATE FUNCTION code.forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no % here', TG_TAG; END $$;
CREATE EVENT TRIGGER fidelity_notes ON ddl_command_end EXECUTE FUNCTION code.note_command();
CREATE EVENT TRIGGER fidelity_forbids ON sql_drop WHEN TAG IN ('DROP TABLE', 'DROP VIEW') EXECUTE FUNCTION code.forbid();
ALTER EVENT TRIGGER fidelity_forbids DISABLE;
CREATE EVENT TRIGGER "fidelity replica" ON table_rewrite EXECUTE FUNCTION code.forbid();
ALTER EVENT TRIGGER "fidelity replica" ENABLE REPLICA;
ALTER EVENT TRIGGER fidelity_notes DISABLE;
-- A restore fills the materialised views last, when this one is there and enabled.
CREATE EVENT TRIGGER fidelity_refreshes ON ddl_command_end WHEN TAG IN ('REFRESH MATERIALIZED VIEW') EXECUTE FUNCTION code.note_command();

ALTER FUNCTION code.odd_text() OWNER TO fidelity_owner;
ALTER AGGREGATE code.total(integer) OWNER TO fidelity_owner;
ALTER OPERATOR CLASS code.pair_ops USING btree OWNER TO fidelity_owner;
-- A restore fills a materialised view as its owner, who must be allowed to read what it is made of.
GRANT USAGE ON SCHEMA tables TO fidelity_owner;
GRANT SELECT ON tables.parts TO fidelity_owner;
ALTER MATERIALIZED VIEW code.z_first OWNER TO fidelity_owner;
