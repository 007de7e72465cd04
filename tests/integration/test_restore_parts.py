# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores of chosen schemas and tables: they come complete, or nothing is touched."""

from __future__ import annotations

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.local import Local

SCRIPT = """
    CREATE SCHEMA s; CREATE TABLE s.customers (id serial PRIMARY KEY, name text);
    CREATE TABLE s.orders (id int GENERATED ALWAYS AS IDENTITY, customer int REFERENCES s.customers, day date)
        PARTITION BY RANGE (day);
    CREATE TABLE s.orders_1 PARTITION OF s.orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE s.orders_rest PARTITION OF s.orders DEFAULT; CREATE INDEX ON s.orders (day);
    CREATE TABLE "Other ""t"" x" (n int PRIMARY KEY); COMMENT ON TABLE "Other ""t"" x" IS 'x'; CREATE TABLE kept (n int);
    INSERT INTO s.customers (name) VALUES ('Ada'), ('Bo');
    INSERT INTO s.orders (customer, day) SELECT 1 + n % 2, date '2026-12-01' + n FROM generate_series(1, 60) AS n;
    INSERT INTO "Other ""t"" x" VALUES (1), (2); INSERT INTO kept VALUES (1);
"""


@pytest.mark.parametrize("format_", ["directory", "custom"])
def test_chosen_tables_are_replaced_whole_and_the_rest_stays(local: Local, format_: str) -> None:
    database = local.create("partly", SCRIPT)
    before = local.look(database)
    local.back_up(database, format=format_)
    local.server.sql(database, "TRUNCATE s.orders; DROP INDEX s.orders_day_idx; DROP TABLE \"Other \"\"t\"\" x\"")
    options = {"database": database, "strategy": "in_place", "confirm": database, "safety_backup": False}
    done = local.restore(**options, tables=["s.orders", 'public."Other ""t"" x"']).succeeded()["restore"]
    assert done["verification"] == {"result": "ok", "tables": 3, "rows": 62, "sequences": 1}
    assert differences(before, local.look(database)) == []


def test_a_chosen_schema_in_a_new_database(local: Local) -> None:
    database = local.create("partly", SCRIPT)
    before = local.look(database)
    local.back_up(database)
    done = local.restore(database=database, target_database="part", strategy="create", schemas=["s"]).succeeded()
    assert done["restore"]["verification"]["rows"] == 62
    left_out = [line for line in differences(before, local.look("part")) if not line.startswith("database ")]
    assert left_out
    assert [line for line in left_out if "Other" not in line and "kept" not in line] == []


def test_what_a_part_needs_is_named_and_nothing_is_touched(local: Local) -> None:
    database = local.create("partly", SCRIPT)
    local.back_up(database)
    databases = local.databases()
    refused = local.restore(database=database, target_database="part", strategy="create", tables=["s.orders"])
    assert "table s.customers" in refused.failed_with("INCOMPATIBLE_TARGET")["msg"]
    near = local.restore(database=database, target_database="part", strategy="create", tables=["s.custommers"])
    assert "s.customers" in near.failed_with("INVALID_DB_CONFIG")["hint"]
    assert local.databases() == databases
    before = local.look(database)
    options = {"database": database, "strategy": "in_place", "confirm": database}
    needed = local.restore(**options, tables=["s.customers"]).failed_with("INCOMPATIBLE_TARGET")
    assert "s.orders (needs s.customers)" in needed["msg"]
    assert differences(before, local.look(database)) == []


def test_statistics_of_the_archive_are_restored_and_only_the_missing_gathered(local: Local) -> None:
    database = local.create("counted", "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) AS n; ANALYZE t;"
                            "CREATE TABLE u (n int); INSERT INTO u VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT * FROM t")
    # Statistics that a fresh look would not find tell where they come from.
    local.server.sql(database, "UPDATE t SET n = 7")
    local.back_up(database, extra_args=["--statistics"])
    local.restore(database=database, target_database="counted_2", strategy="create").succeeded()
    distinct = "SELECT tablename, n_distinct FROM pg_stats WHERE schemaname = 'public' ORDER BY 1"
    found = dict(row.split("|") for row in local.server.sql("counted_2", distinct))
    assert found["t"] == "-1"
    assert {"m", "u"} <= set(found)
