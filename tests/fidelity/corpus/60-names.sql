-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Names: with everything in them that has to be quoted somewhere, as long as can be, and a great many.

CREATE SCHEMA names;
CREATE TABLE names.plain (id integer);
DO $do$
DECLARE
    odd CONSTANT text[] := ARRAY[
        'two words', 'MixedCase', 'quo"te', 'it''s', 'do.t', 'back\slash', 'per%cent %s %I', '$dollar$', 'semi;colon', 'com,ma', 'br[ack]ets {b} (c)',
        'new' || chr(10) || 'line', 'carriage' || chr(13) || 'return', 'tab' || chr(9) || 'stop', ' leading', 'trailing ', '--', '/* comment', 'ünïcödé', '表🙂', '-dash', '=',
        'select', 'user', 'table', 'pg_like', 'a*b?', '\.', '\N', '1', 'öffentlich.t"x', 'NULL', '~', 'C:\t', 'x'':y', '@SIZE@', '\restrict x'];
    long CONSTANT text := repeat('long name ', 7);
    name text;
    n integer := 0;
BEGIN
    FOREACH name IN ARRAY odd || ARRAY[left(long, 63), rpad('', 63, 'a'), left(repeat('ü', 31), 31)] LOOP
        n := n + 1;
        EXECUTE format('CREATE SCHEMA %I', 's ' || left(name, 20));
        EXECUTE format('CREATE TABLE %1$I.%2$I (%2$I integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, %3$I text DEFAULT %4$L, CONSTRAINT %5$I CHECK (%3$I <> %4$L))',
            's ' || left(name, 20), name, 'c ' || left(name, 20), 'd' || name, 'k ' || left(name, 20));
        EXECUTE format('INSERT INTO %I.%I (%I) VALUES (%L)', 's ' || left(name, 20), name, 'c ' || left(name, 20), name);
        EXECUTE format('CREATE INDEX %I ON %I.%I (%I)', 'i ' || left(name, 20), 's ' || left(name, 20), name, 'c ' || left(name, 20));
        EXECUTE format('CREATE VIEW %1$I.%2$I AS SELECT %3$I AS %4$I FROM %1$I.%5$I', 's ' || left(name, 20), 'v ' || left(name, 20), 'c ' || left(name, 20), name, name);
        EXECUTE format('CREATE FUNCTION %1$I.%2$I(%2$I text) RETURNS text LANGUAGE sql AS %3$L', 's ' || left(name, 20), name, 'SELECT ' || quote_literal(name));
        EXECUTE format('CREATE TYPE %I.%I AS ENUM (%L)', 's ' || left(name, 20), 't ' || left(name, 20), left(name, 20));
        EXECUTE format('COMMENT ON TABLE %I.%I IS %L', 's ' || left(name, 20), name, name);
        EXECUTE format('COMMENT ON COLUMN %I.%I.%I IS %L', 's ' || left(name, 20), name, name, name);
        EXECUTE format('GRANT SELECT (%I) ON %I.%I TO "Fidelity ""the"" Röle"', name, 's ' || left(name, 20), name);
        EXECUTE format('CREATE TRIGGER %I AFTER DELETE ON %I.%I EXECUTE FUNCTION code.note(%L)', 'g ' || left(name, 20), 's ' || left(name, 20), name, name);
        EXECUTE format('CREATE POLICY %I ON %I.%I USING (%I <> %L)', 'p ' || left(name, 20), 's ' || left(name, 20), name, 'c ' || left(name, 20), name);
    END LOOP;
    -- The same name for everything, in every schema.
    FOR i IN 1..100 LOOP
        EXECUTE format('CREATE SCHEMA %I', 'tenant ' || i);
        EXECUTE format('CREATE TABLE %I.same (id integer, same text)', 'tenant ' || i);
        EXECUTE format('INSERT INTO %I.same VALUES (%s, %L)', 'tenant ' || i, i, 'of tenant ' || i);
        EXECUTE format('CREATE INDEX same_id ON %I.same (id)', 'tenant ' || i);
    END LOOP;
END $do$;
CREATE TABLE names.odd_default (a text DEFAULT E'new\nline' COLLATE "C");
INSERT INTO names.odd_default VALUES (DEFAULT);
