-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Extensions that come with PostgreSQL, where they are installed: in schemas of their own, with data that depends on them.

CREATE SCHEMA "ext, ensions";
\if :has_hstore
CREATE EXTENSION hstore SCHEMA "ext, ensions";
CREATE TABLE "ext, ensions".pairs (h "ext, ensions".hstore);
INSERT INTO "ext, ensions".pairs VALUES ('a=>1, "b \"c"=>NULL'), (''), (NULL);
CREATE INDEX ON "ext, ensions".pairs USING gin (h);
\endif
\if :has_citext
CREATE EXTENSION citext;
COMMENT ON EXTENSION citext IS 'of an extension, not its own';
CREATE TABLE "ext, ensions".insensitive (v public.citext PRIMARY KEY);
INSERT INTO "ext, ensions".insensitive VALUES ('Abc'), ('ÄÖ');
REVOKE EXECUTE ON FUNCTION public.citext_cmp(public.citext, public.citext) FROM PUBLIC;
\endif
\if :has_ltree
CREATE EXTENSION ltree SCHEMA "ext, ensions";
CREATE TABLE types.trees (v "ext, ensions".ltree, q "ext, ensions".lquery, c "ext, ensions".ltree[]);
INSERT INTO types.trees VALUES ('Top.Science', 'Top.*{1,2}.!x', '{a.b,"",NULL}'), ('', NULL, NULL);
\endif
\if :has_pg_trgm
CREATE EXTENSION pg_trgm SCHEMA search;
CREATE INDEX pages_trigrams ON search.pages USING gist (body search.gist_trgm_ops (siglen = 32));
\endif
\if :has_btree_gist
CREATE EXTENSION btree_gist;
CREATE TABLE tables.reserved (room integer, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO tables.reserved VALUES (1, '[2024-01-01,2024-01-02)'), (2, '[2024-01-01,2024-01-02)');
\endif
\if :has_cube
CREATE EXTENSION cube;
\if :has_earthdistance
CREATE EXTENSION earthdistance;
\endif
CREATE TABLE types.cubes (v public.cube);
INSERT INTO types.cubes VALUES ('(1,2,3),(4,5,6)'), ('(0)');
\endif
\if :has_isn
CREATE EXTENSION isn;
CREATE TABLE types.numbers (v public.isbn13);
INSERT INTO types.numbers VALUES ('978-0-393-04002-9');
\endif
\if :has_postgres_fdw
CREATE EXTENSION postgres_fdw;
CREATE SERVER fidelity_postgres FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'db.invalid', dbname 'x', fetch_size '7');
CREATE FOREIGN TABLE "foreign".postgres (a integer OPTIONS (column_name 'A')) SERVER fidelity_postgres;
\endif
\if :has_unaccent
CREATE EXTENSION unaccent SCHEMA search;
CREATE TEXT SEARCH CONFIGURATION search.without_accents (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION search.without_accents ALTER MAPPING FOR word WITH search.unaccent, simple;
\endif
