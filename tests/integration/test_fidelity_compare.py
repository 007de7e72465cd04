# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of two databases sees everything of the corpus: no single change to it goes unnoticed.

Each change is made in a transaction that is rolled back, and looked at from inside.
"""

from __future__ import annotations

import functools

import pytest
from ansible_collections.pgfleet.backup.tests.fidelity.corpus import features_of, writable
from ansible_collections.pgfleet.backup.tests.support.compare import Snapshot, differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.local import Local

# The part of a difference's text that must name the change, and the change.
MUTATIONS = [
    # Content: the same text of another value, the same value of another place.
    ('table types."numeric"', "UPDATE types.numeric SET v = '0' WHERE v::text = '0.00000'"),
    ('table types."real"', "UPDATE types.real SET v = '0' WHERE v::text = '-0'"),
    ("table types.double", "UPDATE types.double SET v = 0.3 WHERE v = 0.30000000000000004"),
    ("table types.date", "UPDATE types.date SET v = '0001-12-31' WHERE v = '0001-12-31 BC'"),
    ('table types."timestamp"', "UPDATE types.timestamp SET v = v + interval '1 microsecond' WHERE v = '1999-12-31 23:59:59.000001'"),
    ('table types."interval"', "UPDATE types.interval SET v = '1 mon -30 days' WHERE v = '0'"),
    ("table types.text", "UPDATE types.text SET v = NULL WHERE n = 1"),
    ("table types.text", "UPDATE types.text SET v = replace(v, E'\\r', '') WHERE n = 6"),
    ("table types.text", "UPDATE types.text SET v = normalize(v) WHERE n = 9"),
    ("table types.bytea", "UPDATE types.bytea SET v = set_byte(v, 200000, 7) WHERE n = 6"),
    ("table types.of_json", "UPDATE types.of_json SET v = v::jsonb::json WHERE n = 1"),
    ("table types.jsonb", "UPDATE types.jsonb SET v = jsonb_set(v, '{1}', '1') WHERE n = 9"),
    ("table types.arrays", "UPDATE types.arrays SET a = '{1,2,3}' WHERE n = 3"),
    ("table types.arrays", "UPDATE types.arrays SET b[1] = 'NULL' WHERE n = 2"),
    ("table types.multiranges", "UPDATE types.multiranges SET b = '{[1,3)}' WHERE b = '{[1,2)}'"),
    ("table types.no_columns", "DELETE FROM types.no_columns WHERE ctid = '(0,1)'"),
    ("table kinds.everything", "UPDATE kinds.everything SET f.a = 2 WHERE n = 1"),
    ("table tables.animal", "INSERT INTO tables.animal SELECT name, legs FROM ONLY tables.duckling; DELETE FROM tables.duckling"),
    ("table tables.parts_2024_rest_0", "DELETE FROM tables.parts WHERE id = (SELECT min(id) FROM tables.parts_2024_rest_0)"),
    ('table "tenant 77".same', "UPDATE \"tenant 77\".same SET same = 'of tenant 78'"),
    # Numbers to come.
    ("sequence value tables.at_its_end", "ALTER SEQUENCE tables.at_its_end RESTART WITH 3"),
    ("sequence value tables.huge", "ALTER SEQUENCE tables.huge RESTART"),
    ("sequence tables.owned", "ALTER SEQUENCE tables.owned OWNED BY NONE"),
    ("sequence tables.identities_a_seq", "ALTER TABLE tables.identities ALTER a SET NO CYCLE"),
    # Types.
    ("type kinds.mood", "ALTER TYPE kinds.mood RENAME VALUE '' TO ' '"),
    ("constraint kinds.even_percent.not_ninety", "DROP TABLE kinds.rows_of_rows; ALTER DOMAIN kinds.even_percent VALIDATE CONSTRAINT not_ninety"),
    ("type kinds.percent", "ALTER DOMAIN kinds.percent SET DEFAULT 51"),
    ("type kinds.percent", "ALTER DOMAIN kinds.percent DROP NOT NULL"),
    ("type kinds.pair", "GRANT USAGE ON TYPE kinds.pair TO PUBLIC"),
    ("type kinds.label", "ALTER TYPE kinds.label SET (STORAGE = external)"),
    ("type kinds.shell: missing", "DROP TYPE kinds.shell"),
    # Tables.
    ("column tables.generated.b", "ALTER TABLE tables.generated ALTER b DROP EXPRESSION"),
    ("column tables.settings.a", "ALTER TABLE tables.settings ALTER a SET STORAGE EXTENDED"),
    ("column tables.settings.b", "ALTER TABLE tables.settings ALTER b SET COMPRESSION default"),
    ("column tables.settings.d", "ALTER TABLE tables.settings ALTER d SET STATISTICS -1"),
    ("column tables.settings.d", "ALTER TABLE tables.settings ALTER d RESET (n_distinct)"),
    ("relation tables.settings", "ALTER TABLE tables.settings RESET (toast.autovacuum_vacuum_threshold)"),
    ("relation tables.egg", "ALTER TABLE tables.egg REPLICA IDENTITY DEFAULT"),
    ("relation kinds.of_pair", "ALTER TABLE kinds.of_pair NOT OF"),
    ("relation tables.of_other_method", "ALTER TABLE tables.of_other_method SET ACCESS METHOD heap"),
    ("index tables.settings_identity", "ALTER TABLE tables.settings SET WITHOUT CLUSTER"),
    ("column tables.settings_odd.expr", "ALTER INDEX tables.settings_odd ALTER COLUMN 2 SET STATISTICS -1"),
    ("index tables.settings_brin", "ALTER INDEX tables.settings_brin SET (autosummarize = off)"),
    ("index tables.only_one", "DROP INDEX tables.not_everywhere; CREATE INDEX only_one ON tables.parts_old (what)"),
    ("constraint tables.orphans.lost", "DELETE FROM tables.orphans WHERE n = 404; ALTER TABLE tables.orphans VALIDATE CONSTRAINT lost"),
    ("constraint tables.children.children_a_b_fkey", "ALTER TABLE tables.children ALTER CONSTRAINT children_a_b_fkey DEFERRABLE INITIALLY IMMEDIATE"),
    ("constraint tables.egg.egg_hen_fkey", "ALTER TABLE tables.egg DROP CONSTRAINT egg_hen_fkey"),
    ("constraint tables.bookings", "ALTER TABLE tables.bookings DROP CONSTRAINT bookings_room_during_excl"),
    ("column tables.duck.name", "ALTER TABLE tables.duck NO INHERIT tables.swimmer"),
    ("relation tables.parts_2024_rest", "ALTER TABLE tables.parts_2024 DETACH PARTITION tables.parts_2024_rest"),
    ("extended statistics", "ALTER STATISTICS tables.two_kinds SET STATISTICS -1"),
    ("relation tables.unlogged", "ALTER TABLE tables.unlogged SET LOGGED"),
    ("relation tables.elsewhere", "ALTER TABLE tables.elsewhere SET TABLESPACE pg_default"),
    # Code.
    ("routine code.odd_text()", "ALTER FUNCTION code.odd_text() RESET search_path"),
    ("routine code.carriage_returns()", "CREATE OR REPLACE FUNCTION code.carriage_returns() RETURNS integer LANGUAGE sql AS E'SELECT 1\\n;\\nSELECT 2\\n'"),
    ("routine code.add", "ALTER FUNCTION code.add(integer, integer, integer[]) COST 8"),
    ("routine code.standard(integer)", "CREATE OR REPLACE FUNCTION code.standard(a integer) RETURNS integer LANGUAGE sql IMMUTABLE RETURN a * 2"),
    ("routine code.total(integer)", "CREATE OR REPLACE AGGREGATE code.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '1')"),
    ("trigger code.watched.c_disabled", "ALTER TABLE code.watched ENABLE TRIGGER c_disabled"),
    ('trigger code.watched."d, always"', 'ALTER TABLE code.watched ENABLE TRIGGER "d, always"'),
    ("trigger tables.parts_old.on_parts", "ALTER TABLE tables.parts_old ENABLE TRIGGER on_parts"),
    ("event trigger fidelity_forbids", "ALTER EVENT TRIGGER fidelity_forbids ENABLE ALWAYS"),
    ("event trigger fidelity_refreshes", "ALTER EVENT TRIGGER fidelity_refreshes DISABLE"),
    ("rule code.ruled.never", "ALTER TABLE code.ruled ENABLE RULE never"),
    ("relation code.plain", "ALTER VIEW code.plain SET (check_option = local)"),
    ("column code.plain.n", "ALTER VIEW code.plain ALTER n DROP DEFAULT"),
    ("relation code.unfilled", "REFRESH MATERIALIZED VIEW code.unfilled"),
    ("table code.a_third", "REFRESH MATERIALIZED VIEW code.z_first; DELETE FROM tables.parts; REFRESH MATERIALIZED VIEW code.z_first; "
     "REFRESH MATERIALIZED VIEW code.a_third"),
    ("operator, cast, collation code.=#", "ALTER OPERATOR code.=# (kinds.pair, kinds.pair) SET (RESTRICT = NONE)"),
    ("operator, cast, collation family code.pairs", "ALTER OPERATOR FAMILY code.pairs USING btree DROP OPERATOR 1 (integer, integer)"),
    ("operator, cast, collation class code.pair_ops", "ALTER OPERATOR CLASS code.pair_ops USING btree OWNER TO fidelity_group"),
    ("operator, cast, collation kinds.mood -> bytea", "DROP CAST (kinds.mood AS bytea)"),
    ("operator, cast, collation conversion code.odd_conversion", "DROP CONVERSION code.odd_conversion"),
    ("operator, cast, collation search.two_locales", "DROP COLLATION search.two_locales; CREATE COLLATION search.two_locales (LOCALE = 'C')"),
    ("language, transform, access method language fidelity_pl", "GRANT USAGE ON LANGUAGE fidelity_pl TO PUBLIC"),
    ("language, transform, access method transform", "DROP TRANSFORM FOR kinds.label LANGUAGE sql"),
    # Rights.
    ("large object 4200003", "SELECT lo_put(4200003, 150000, 'x')"),
    ("large object 4200002", "REVOKE SELECT ON LARGE OBJECT 4200002 FROM PUBLIC"),
    ("large object 4294967295: missing", "SELECT lo_unlink(4294967295)"),
    ("relation rights.secrets", "ALTER TABLE rights.secrets NO FORCE ROW LEVEL SECURITY"),
    ("policy rights.secrets", "ALTER POLICY change ON rights.secrets TO PUBLIC"),
    ("relation rights.granted", "REVOKE GRANT OPTION FOR REFERENCES ON rights.granted FROM fidelity_reader"),
    ("relation rights.granted", "GRANT TRUNCATE ON rights.granted TO fidelity_owner"),
    ('column rights.granted."b B"', 'REVOKE UPDATE ("b B") ON rights.granted FROM "Fidelity ""the"" Röle"'),
    ("relation rights.closed", "GRANT SELECT ON rights.closed TO postgres"),
    ("relation rights.closed", "GRANT ALL ON rights.closed TO postgres"),
    ("large object 4200001", "GRANT ALL ON LARGE OBJECT 4200001 TO postgres"),
    ("routine rights.run()", "GRANT EXECUTE ON FUNCTION rights.run() TO PUBLIC"),
    (
        "privileges of the system and of extensions function pg_catalog.pg_sleep",
        "GRANT EXECUTE ON FUNCTION pg_sleep(double precision) TO PUBLIC",
    ),
    (
        "privileges of the system and of extensions table column pg_catalog.pg_authid.rolpassword",
        "REVOKE SELECT (rolpassword) ON pg_authid FROM fidelity_reader",
    ),
    (
        "privileges of the system and of extensions function public.citext_cmp",
        "GRANT EXECUTE ON FUNCTION public.citext_cmp(public.citext, public.citext) TO PUBLIC",
    ),
    ("schema closed", "GRANT USAGE ON SCHEMA closed TO postgres"),
    ("default privileges", "ALTER DEFAULT PRIVILEGES FOR ROLE fidelity_owner REVOKE CREATE ON SCHEMAS FROM fidelity_group"),
    # Search, foreign data, replication.
    ('text search search."Deutsch"', 'ALTER TEXT SEARCH CONFIGURATION search."Deutsch" ALTER MAPPING FOR word WITH search.words, search.simple_words'),
    ("text search dictionary search.simple_words", "ALTER TEXT SEARCH DICTIONARY search.simple_words (ACCEPT)"),
    ("foreign server fidelity_server", "ALTER SERVER fidelity_server VERSION '1.3'"),
    ("foreign server fidelity_server", "ALTER USER MAPPING FOR fidelity_reader SERVER fidelity_server OPTIONS (SET password 'other')"),
    ("foreign server wrapper fidelity_wrapper", "ALTER FOREIGN DATA WRAPPER fidelity_wrapper OPTIONS (DROP debug)"),
    ('relation "foreign".rows', 'ALTER FOREIGN TABLE "foreign".rows OPTIONS (SET "table" \'z\')'),
    ('column "foreign".rows.a', 'ALTER FOREIGN TABLE "foreign".rows ALTER a OPTIONS (DROP column_name)'),
    ("publication, subscription fidelity_some", "ALTER PUBLICATION fidelity_some SET (publish_via_partition_root = false)"),
    ("publication, subscription fidelity_parts", "ALTER PUBLICATION fidelity_parts SET TABLE tables.parents (a, b) WHERE (a > 2 AND b <> 77), tables.hen (id)"),
    ("publication, subscription schema of a publication", "ALTER PUBLICATION fidelity_schemas DROP TABLES IN SCHEMA search"),
    ("publication, subscription subscription fidelity_subscription", "ALTER SUBSCRIPTION fidelity_subscription SET (binary = false)"),
    # Names and comments.
    ("relation \"s it's\"", "ALTER TABLE \"s it's\".\"it's\" RENAME TO \"its\""),
    ("comment access method", "COMMENT ON ACCESS METHOD fidelity_heap IS NULL"),
    ("comment extension citext", "COMMENT ON EXTENSION citext IS 'another'"),
    ("comment", "COMMENT ON LARGE OBJECT 4200002 IS NULL"),
    ("comment table types.bytea", "COMMENT ON TABLE types.bytea IS 'unicode'"),
    # The database.
    ("database properties", "ALTER DATABASE corpus CONNECTION LIMIT 41"),
    ("database properties", "REVOKE GRANT OPTION FOR CONNECT ON DATABASE corpus FROM fidelity_group"),
    ("database settings", "ALTER DATABASE corpus SET my.setting TO 'other'"),
    ("database settings", "ALTER ROLE fidelity_reader IN DATABASE corpus RESET ALL"),
]


@pytest.fixture(scope="module")
def original(corpus: Local) -> Snapshot:
    return corpus.look("corpus")


def test_what_is_equal_has_no_differences(corpus: Local, original: Snapshot) -> None:
    assert differences(original, corpus.look("corpus")) == []
    assert original.rows > 5000
    assert len(original.tables) > 230
    empty = [kind for kind, rows in original.catalogue.items() if not rows]
    labels = "labels" in features_of(corpus.server).parts
    assert empty == ([] if labels else ["security label"]), "without a compiler there is no provider; all else has its example"


def _batches() -> list[list[tuple[str, str]]]:
    """The changes in groups that are looked at together; no two of a group may show by the same words."""
    batches: list[list[tuple[str, str]]] = []
    for named, change in MUTATIONS:
        free = (batch for batch in batches if not any(_alike(named, other) for other, _change in batch))
        batch = next(free, None)
        if batch is None:
            batches.append([(named, change)])
        else:
            batch.append((named, change))
    return batches


def _alike(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


@pytest.mark.parametrize("batch", _batches(), ids=lambda batch: f"{len(batch)} changes")
def test_no_change_goes_unnoticed(corpus: Local, original: Snapshot, batch: list[tuple[str, str]]) -> None:
    inside = functools.partial(_changed, corpus, ";\n".join(change for _named, change in batch))
    found = differences(original, snapshot(inside))
    unnoticed = [named for named, _change in batch if not any(line.startswith(named) for line in found)]
    assert unnoticed == [], found


def _changed(corpus: Local, change: str, text: str) -> list[str]:
    """Run a script as it would answer after the change, which is then undone."""
    return corpus.server.sql("corpus", writable(f"BEGIN;\n\\o /dev/null\n{change};\n\\o\n{text}\nROLLBACK;"))
