-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Every built-in type, each with the values that are hard on it. A table a type, so that a difference names the type.

CREATE SCHEMA types;

-- Numbers.
CREATE TABLE types.smallint AS SELECT unnest(ARRAY[-32768, -1, 0, 32767, NULL]::smallint[]) AS v;
CREATE TABLE types.integer AS SELECT unnest(ARRAY[-2147483648, 0, 2147483647, NULL]::integer[]) AS v;
CREATE TABLE types.bigint AS SELECT unnest(ARRAY[-9223372036854775808, 0, 9223372036854775807, NULL]::bigint[]) AS v;
CREATE TABLE types.numeric AS SELECT unnest(ARRAY['NaN', 'Infinity', '-Infinity', '0', '-0.0', '0.00000', '1e-16383',
    '12345678901234567890.12345678901234567890', repeat('9', 131072), '-0.' || repeat('7', 16383), NULL]::numeric[]) AS v;
CREATE TABLE types.numeric_typed (a numeric(1000, 500), b numeric(5, 0), c numeric(3, 3));
INSERT INTO types.numeric_typed VALUES (('0.' || repeat('3', 500))::numeric, 99999, 0.999), (NULL, -99999, -0.999), ('NaN', 'NaN', 'NaN');
CREATE TABLE types.real AS SELECT unnest(ARRAY['NaN', 'Infinity', '-Infinity', '-0', '1e-45', '3.4028235e38', '0.1', NULL]::real[]) AS v;
CREATE TABLE types.double AS SELECT unnest(ARRAY['NaN', 'Infinity', '-Infinity', '-0', '4.9406564584124654e-324',
    '1.7976931348623157e308', '0.30000000000000004', NULL]::double precision[]) AS v;
CREATE TABLE types.money AS SELECT unnest(ARRAY['-92233720368547758.08', '92233720368547758.07', '0.01', NULL]::money[]) AS v;
CREATE TABLE types.boolean AS SELECT unnest(ARRAY[true, false, NULL]) AS v;

-- Text and bytes. Each line that COPY could take for its own end, and what looks like NULL.
CREATE TABLE types.text (n integer, v text);
INSERT INTO types.text VALUES (1, ''), (2, NULL), (3, E'\\N'), (4, E'\\.'), (5, E'\n\\.\n'), (6, E'a\r\nb\rc\td\be\ff\x0bg'),
    (7, E'\\\\ \\t \\n C:\\temp'), (8, 'NULL'), (9, E'\u00e9 is not e\u0301'), (10, E'\ufeffmark, \u200b zero width, \u202e right to left'),
    (11, E'\U0001F600 \U0010FFFF \U0001F468\u200d\U0001F469\u200d\U0001F467'), (12, repeat('long, and longer. ', 20000)),
    (13, (SELECT string_agg(chr(i), '' ORDER BY i) FROM generate_series(1, 700) AS i)), (14, ' spaces at both ends '), (15, '$$ $_$ $body$'),
    (16, E'\\restrict x\n\\! true\n-- PostgreSQL database dump complete\n'), (17, ''';--'), (18, E'\u2028 \u0085 other line ends');
CREATE TABLE types.characters (a varchar(3), b char(5), c "char", d name, e bpchar);
INSERT INTO types.characters VALUES ('äöü', 'ab', 'x', repeat('n', 63), 'blanks   '), ('', '', '', '', ''), (NULL, NULL, NULL, NULL, NULL),
    (E'\n', E'\t', E'\\', 'Ünïcode "name"', 'x');
CREATE TABLE types.bytea (n integer, v bytea);
INSERT INTO types.bytea VALUES (1, ''), (2, NULL), (3, '\x00'), (4, '\x5c2e0a'),
    (5, (SELECT string_agg(set_byte('\x00', 0, i), ''::bytea ORDER BY i) FROM generate_series(0, 255) AS i)),
    (6, decode(repeat('00ff5c4e', 60000), 'hex'));
CREATE TABLE types.bits (a bit(1), b bit(70), c varbit, d varbit(9));
INSERT INTO types.bits VALUES (B'1', repeat('10', 35)::bit(70), B'', B'101'), (NULL, NULL, NULL, NULL), (B'0', ~repeat('10', 35)::bit(70), repeat('1', 999)::varbit, B'');
CREATE TABLE types.uuid AS SELECT unnest(ARRAY['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', NULL]::uuid[]) AS v;

-- Time.
CREATE TABLE types.date AS SELECT unnest(ARRAY['-infinity', 'infinity', '4714-11-24 BC', '0001-12-31 BC', '5874897-12-31', '2024-02-29', NULL]::date[]) AS v;
CREATE TABLE types.timestamp AS SELECT unnest(ARRAY['-infinity', 'infinity', '4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999',
    '1999-12-31 23:59:59.000001', NULL]::timestamp[]) AS v;
CREATE TABLE types.timestamptz AS SELECT unnest(ARRAY['-infinity', 'infinity', '4714-11-24 00:00:00+00 BC', '294276-12-31 23:59:59.999999+00',
    '2024-10-27 02:30:00 Europe/Berlin', '1883-11-18 12:03:57 America/New_York', NULL]::timestamptz[]) AS v;
CREATE TABLE types.time_typed (a timestamp(0), b timestamptz(3), c time(2), d timetz(1), e interval(0), f interval year to month);
INSERT INTO types.time_typed VALUES ('2024-01-01 00:00:01.6', '2024-01-01 00:00:01.6666+05:45', '12:00:00.126', '12:00:00.16+05:45', '1.6 seconds', '14 months');
CREATE TABLE types.time AS SELECT unnest(ARRAY['00:00:00', '24:00:00', '23:59:59.999999', NULL]::time[]) AS v;
CREATE TABLE types.timetz AS SELECT unnest(ARRAY['00:00:00+15:59:59', '24:00:00-15:59:59', '12:00:00.000001+05:45', NULL]::timetz[]) AS v;
CREATE TABLE types.interval AS SELECT unnest(ARRAY['178000000 years', '-178000000 years', '1 mon -1 day 00:00:00.000001', '-1 mon +1 day -00:00:00.000001',
    '2147483647 days', '-2147483648 days', '0', NULL]::interval[]) AS v;
\if :since_17
INSERT INTO types.interval VALUES ('infinity'), ('-infinity');
\endif

-- Shapes.
CREATE TABLE types.shapes (a point, b line, c lseg, d box, e path, f polygon, g circle);
INSERT INTO types.shapes VALUES
    ('(0,0)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),1>'),
    ('(Infinity,-Infinity)', '{-1e300,1e-300,0.1}', '[(1e300,-0),(0,1e-300)]', '(Infinity,1),(-Infinity,0)', '((0,0),(1,1))', '((NaN,0))', '<(NaN,1e300),Infinity>'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- Addresses.
CREATE TABLE types.addresses (a inet, b cidr, c macaddr, d macaddr8);
INSERT INTO types.addresses VALUES ('0.0.0.0/0', '0.0.0.0/0', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00'),
    ('255.255.255.255', '255.255.255.255/32', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff'), ('10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:ff:fe:01:02:03'),
    ('::', '::/0', NULL, NULL), ('::ffff:1.2.3.4', 'fe80::/10', NULL, NULL), ('2001:db8::1/64', '2001:db8::/128', NULL, NULL);

-- Documents. json keeps every blank and doubled key, jsonb does not.
CREATE TABLE types.of_json (n integer, v json);
INSERT INTO types.of_json VALUES (1, '{"a" : 1,  "a":2 }'), (2, '"\u0000 is allowed here"'), (3, '"\ud83d\ude00"'), (4, 'null'), (5, NULL), (6, E'[1e400,\n -0, "\\\\"]');
CREATE TABLE types.jsonb (n integer, v jsonb);
INSERT INTO types.jsonb VALUES (1, '{"a": 1, "a": 2}'), (2, '"\u00e9\ud83d\ude00\u0001 \" \\ \/ \b"'), (3, '{}'), (4, '[]'), (5, 'null'), (6, NULL), (7, '""'),
    (8, '{"": {"": [[[[[]]]]]}}'), (9, ('[' || repeat('9', 5000) || ', -0, 1.10, 1e-300]')::jsonb), (10, (SELECT jsonb_object_agg('key ' || i, i) FROM generate_series(1, 3000) AS i));
CREATE TABLE types.jsonpath AS SELECT unnest(ARRAY['$', 'lax $.a[*] ? (@.b > 1 && @.c like_regex "^x" flag "i")', 'strict $."odd key".*.size()', NULL]::jsonpath[]) AS v;
\if :has_xml
CREATE TABLE types.xml (n integer, v xml);
INSERT INTO types.xml VALUES (1, '<?xml version="1.0"?><a b="c">ä &lt; &#233;</a>'), (2, 'text and <b/> content'), (3, ''), (4, NULL), (5, '<!-- x --><a><![CDATA[ ]] > ]]></a>');
\endif

-- Text search.
CREATE TABLE types.search (a tsvector, b tsquery);
INSERT INTO types.search VALUES ('', ''), (NULL, NULL), ($$'it''s' 'a b':1A,2B,16383C 'x\\y':3$$, $$!'it''s':* & ('a b':AB | 'x\\y') <3> c$$);

-- Ranges and multiranges.
CREATE TABLE types.ranges (a int4range, b int8range, c numrange, d tsrange, e tstzrange, f daterange);
INSERT INTO types.ranges VALUES ('empty', 'empty', 'empty', 'empty', 'empty', 'empty'), ('(,)', '(,)', '(,)', '(,)', '(,)', '(,)'), (NULL, NULL, NULL, NULL, NULL, NULL),
    ('[1,1]', '[-9223372036854775808,9223372036854775807)', '(-Infinity,NaN]', '[-infinity,infinity]', '(2024-10-27 02:30:00 Europe/Berlin,infinity)', '[4714-11-24 BC,infinity)');
CREATE TABLE types.multiranges (a int4multirange, b int8multirange, c nummultirange, d tsmultirange, e tstzmultirange, f datemultirange);
INSERT INTO types.multiranges VALUES ('{}', '{}', '{}', '{}', '{}', '{}'), ('{(,1),[3,4),[9,)}', '{[1,2)}', '{(,)}', '{[-infinity,infinity]}', NULL, '{[2024-01-01,2024-02-01),[2025-01-01,)}');

-- Arrays: with nulls, empty, of other bounds, of several dimensions, and of what has to be quoted.
CREATE TABLE types.arrays (n integer, a integer[], b text[], c numeric[][], d timestamptz[], e jsonb[], f bytea[], g point[], h int4range[], i box[]);
INSERT INTO types.arrays VALUES (1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
    (2, '{NULL,1,NULL}', '{NULL,"NULL","",",","{}","\"","\\"," x "}', '{{1,NaN},{NULL,Infinity}}', '{-infinity,NULL}', '{"{\"a\": [1]}",NULL,"null"}', '{"\\x00","\\x"}', '{"(1,2)"}', '{empty,"(,)"}', '{(1,1),(0,0);(2,2),(1,1)}'),
    (3, '[-5:-3]={1,2,3}', '[0:0]={zero}', '[2:3][-1:0]={{1,2},{3,4}}', NULL, NULL, NULL, NULL, NULL, NULL);

-- What the server uses itself.
CREATE TABLE types.internal (a oid, b pg_lsn, c xid, d xid8, e cid, f tid, g pg_snapshot, h txid_snapshot, i int2vector, j oidvector, k refcursor);
INSERT INTO types.internal VALUES (4294967295, 'FFFFFFFF/FFFFFFFF', '4294967295', '18446744073709551615', '4294967295', '(4294967295,65535)',
    '10:20:10,14,15', '10:20:10,14,15', '1 -2 32767', '0 4294967295', 'a "cursor"'), (0, '0/0', '0', '0', '0', '(0,0)', '1:1:', '1:1:', '', '', ''),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE types.names_of_objects (a regclass, b regtype, c regproc, d regprocedure, e regoper, f regoperator, g regconfig, h regdictionary, i regrole, j regnamespace, k regcollation, l aclitem);
INSERT INTO types.names_of_objects VALUES ('types.arrays', 'types.arrays[]', 'now', 'abs(integer)', 'pg_catalog.||/', '+(integer,integer)', 'simple', 'simple', 'fidelity_owner', 'types', '"C"', 'fidelity_reader=r*w/fidelity_owner'),
    ('-', '-', '-', '-', '0', '0', '-', '-', '-', '-', '-', NULL);

-- Tables without columns have rows as well.
CREATE TABLE types.no_columns ();
INSERT INTO types.no_columns SELECT FROM generate_series(1, 3);
