-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Types of one's own, with values of them in tables.

CREATE SCHEMA kinds;

CREATE TYPE kinds.mood AS ENUM ('sad', 'Ok, fine', 'it''s "great"', '');
ALTER TYPE kinds.mood ADD VALUE 'between' BEFORE 'Ok, fine';
CREATE TYPE kinds.no_labels AS ENUM ();
CREATE DOMAIN kinds.percent AS numeric(5, 2) DEFAULT 50 NOT NULL CONSTRAINT in_bounds CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN kinds.even_percent AS kinds.percent CHECK (VALUE % 2 = 0);
ALTER DOMAIN kinds.even_percent ADD CONSTRAINT not_ninety CHECK (VALUE <> 90) NOT VALID;
CREATE DOMAIN kinds.words AS text[] COLLATE "C" CHECK (cardinality(VALUE) < 5);
CREATE TYPE kinds.pair AS (a integer, "b ""c""" text COLLATE "C");
CREATE TYPE kinds.nested AS (p kinds.pair, l kinds.pair[], m kinds.mood, w kinds.words);
CREATE DOMAIN kinds.positive_pair AS kinds.pair CHECK ((VALUE).a > 0);
CREATE TYPE kinds.float_range AS RANGE (subtype = float8, subtype_diff = float8mi, multirange_type_name = kinds.many_floats);
CREATE TYPE kinds.text_range AS RANGE (subtype = text, collation = "C");

-- A base type made of built-in functions, and one that was declared and never made.
CREATE TYPE kinds.label;
CREATE FUNCTION kinds.label_in(cstring) RETURNS kinds.label LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textin';
CREATE FUNCTION kinds.label_out(kinds.label) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textout';
CREATE TYPE kinds.label (INPUT = kinds.label_in, OUTPUT = kinds.label_out, LIKE = text, CATEGORY = 'S', DEFAULT = 'none', DELIMITER = ';', COLLATABLE = true);
CREATE TYPE kinds.shell;

CREATE TABLE kinds.everything (
    n integer PRIMARY KEY, a kinds.mood, b kinds.mood[], c kinds.percent, d kinds.even_percent, e kinds.words, f kinds.pair, g kinds.nested,
    h kinds.positive_pair[], i kinds.float_range, j kinds.many_floats, k kinds.text_range, l kinds.label, m kinds.label[]
);
INSERT INTO kinds.everything VALUES
    (1, 'it''s "great"', '{"it''s \"great\"","",NULL}', 0, 100, '{a,NULL}', '(1,"x,""y""")', ROW(ROW(NULL, ''), ARRAY[ROW(1, 'a')::kinds.pair, NULL], 'sad', '{}'),
     ARRAY[ROW(5, NULL)]::kinds.positive_pair[], '[-Infinity,NaN]', '{[1,2),(5,)}', '["a","b""c")', 'a label', '{"x;y";z}'),
    (2, NULL, NULL, 50, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, '', '[0:1]={sad,between}', 0.01, 4, '[3:3]={x}', '(,)', '(,,,)', '{}', 'empty', '{}', '(,)', '', '{}');
CREATE INDEX ON kinds.everything (a) WHERE a > 'sad'::kinds.mood;

-- A table of a type, and a type that a table gave.
CREATE TABLE kinds.of_pair OF kinds.pair (a WITH OPTIONS DEFAULT 3 PRIMARY KEY);
INSERT INTO kinds.of_pair VALUES (1, 'one'), (DEFAULT, 'three');
CREATE TABLE kinds.rows_of_rows (r kinds.everything, rs kinds.of_pair[]);
INSERT INTO kinds.rows_of_rows SELECT whole, ARRAY(SELECT p FROM kinds.of_pair AS p) FROM kinds.everything AS whole;

GRANT USAGE ON TYPE kinds.mood TO fidelity_reader WITH GRANT OPTION;
REVOKE USAGE ON TYPE kinds.pair FROM PUBLIC;
ALTER TYPE kinds.mood OWNER TO fidelity_owner;
ALTER DOMAIN kinds.percent OWNER TO fidelity_owner;
