-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Collations, text search, foreign data, replication.

CREATE SCHEMA search;
CREATE COLLATION search.plain (PROVIDER = libc, LOCALE = 'C');
CREATE COLLATION search.two_locales (LC_COLLATE = 'C', LC_CTYPE = 'POSIX');
\if :has_icu
CREATE COLLATION search.ignore_case (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
CREATE COLLATION search.numeric_german (PROVIDER = icu, LOCALE = 'de-u-kn-true');
\if :since_16
CREATE COLLATION search.with_rules (PROVIDER = icu, LOCALE = 'und', RULES = '&a < g');
\endif
CREATE TABLE search.collated (a text COLLATE search.ignore_case UNIQUE, b text COLLATE search.numeric_german);
INSERT INTO search.collated VALUES ('Straße', 'a10'), ('äöü', 'a9'), (NULL, 'ß');
CREATE INDEX ON search.collated (b COLLATE search.ignore_case DESC);
\endif
\if :since_17
CREATE COLLATION search.built_in (PROVIDER = builtin, LOCALE = 'C.UTF-8');
\endif
CREATE DOMAIN search.collated_text AS text COLLATE search.plain;

CREATE TEXT SEARCH DICTIONARY search.words (TEMPLATE = snowball, LANGUAGE = 'german', STOPWORDS = 'german');
CREATE TEXT SEARCH DICTIONARY search.simple_words (TEMPLATE = simple, ACCEPT = false);
CREATE TEXT SEARCH TEMPLATE search.template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY search.of_template (TEMPLATE = search.template);
CREATE TEXT SEARCH PARSER search.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, HEADLINE = prsd_headline, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH CONFIGURATION search."Deutsch" (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION search."Deutsch" ALTER MAPPING FOR asciiword, word WITH search.simple_words, search.words;
ALTER TEXT SEARCH CONFIGURATION search."Deutsch" DROP MAPPING FOR url, email;
CREATE TEXT SEARCH CONFIGURATION search.own_parser (PARSER = search.parser);
CREATE TABLE search.pages (body text, found tsvector GENERATED ALWAYS AS (to_tsvector('search."Deutsch"'::regconfig, body)) STORED);
INSERT INTO search.pages (body) VALUES ('Die Katzen und die Häuser'), (''), (NULL);
CREATE INDEX ON search.pages USING gin (found) WITH (fastupdate = off);
CREATE INDEX ON search.pages USING gist (found tsvector_ops (siglen = 64));
ALTER TEXT SEARCH CONFIGURATION search."Deutsch" OWNER TO fidelity_owner;
ALTER TEXT SEARCH DICTIONARY search.words OWNER TO fidelity_owner;

CREATE SCHEMA "foreign";
CREATE FOREIGN DATA WRAPPER fidelity_wrapper OPTIONS (debug 'true', "odd option" 'it''s');
CREATE SERVER fidelity_server TYPE 'odd' VERSION '1.2' FOREIGN DATA WRAPPER fidelity_wrapper OPTIONS (host 'db.example.com', password 'in "plain" sight');
CREATE USER MAPPING FOR PUBLIC SERVER fidelity_server;
CREATE USER MAPPING FOR fidelity_reader SERVER fidelity_server OPTIONS ("user" 'x', password 'it''s \ secret');
CREATE FOREIGN TABLE "foreign".rows (a integer OPTIONS (column_name 'A') NOT NULL DEFAULT 3, b text COLLATE "C", CONSTRAINT known CHECK (a > 0)) SERVER fidelity_server OPTIONS (schema_name 'x', "table" 'y z');
CREATE TABLE "foreign".parts (a integer) PARTITION BY RANGE (a);
CREATE FOREIGN TABLE "foreign".far PARTITION OF "foreign".parts FOR VALUES FROM (0) TO (10) SERVER fidelity_server;
CREATE TABLE "foreign".near PARTITION OF "foreign".parts DEFAULT;
INSERT INTO "foreign".near VALUES (11), (NULL);
GRANT USAGE ON FOREIGN SERVER fidelity_server TO fidelity_reader WITH GRANT OPTION;
GRANT USAGE ON FOREIGN DATA WRAPPER fidelity_wrapper TO fidelity_owner;
GRANT SELECT (a) ON "foreign".rows TO fidelity_group;
ALTER SERVER fidelity_server OWNER TO fidelity_owner;

CREATE PUBLICATION "fidelity all" FOR ALL TABLES WITH (publish = 'insert, truncate');
CREATE PUBLICATION fidelity_some FOR TABLE tables.egg, ONLY tables.animal WITH (publish_via_partition_root = true);
CREATE PUBLICATION fidelity_none;
ALTER PUBLICATION fidelity_none OWNER TO fidelity_owner;
\if :since_15
CREATE PUBLICATION fidelity_parts FOR TABLE tables.parents (a, b) WHERE (a > 1 AND b <> 77), tables.hen (id);
CREATE PUBLICATION fidelity_schemas FOR TABLES IN SCHEMA search, "foreign";
\endif
CREATE SUBSCRIPTION fidelity_subscription CONNECTION 'host=publisher.invalid dbname=''it\''s'' password=''not used''' PUBLICATION "one, two", three
    WITH (connect = false, slot_name = NONE, binary = true, synchronous_commit = off);
\if :since_16
CREATE SUBSCRIPTION fidelity_newer CONNECTION 'host=publisher.invalid' PUBLICATION p WITH (connect = false, slot_name = NONE, streaming = parallel, two_phase = false, disable_on_error = true, origin = none, run_as_owner = true, password_required = false);
\endif
