# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of equality itself: a copy is equal, and no single change goes unnoticed.

Each change is made in a transaction that is rolled back, and looked at from inside.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import Snapshot, differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

ORIGINAL = "compare_original"
NUMBERS = itertools.count(1)

# What is changed, the part of the difference's text that must name it, and the change.
MUTATIONS = [
    ("a row deleted", "table sales.payments", "DELETE FROM sales.payments WHERE ctid = '(0,1)'"),
    ("a row twice", "table \"Ärger & Co\"", 'INSERT INTO "Ärger & Co"."Beschwerden ""2026""" '
     'SELECT 99, "Text", "t" FROM "Ärger & Co"."Beschwerden ""2026""" LIMIT 1'),
    ("one cent", "table sales.products", "UPDATE sales.products SET price = price + 0.01 WHERE product_id = 1005"),
    ("one cent moved", "table sales.products", "ALTER TABLE sales.products DISABLE TRIGGER ALL;"
     "UPDATE sales.products SET price = price + 0.01 WHERE product_id = 1005;"
     "UPDATE sales.products SET price = price - 0.01 WHERE product_id = 1010;"
     "ALTER TABLE sales.products ENABLE TRIGGER ALL"),
    ("null for empty", "table sales.customers", "UPDATE sales.customers SET note = NULL WHERE note = ''"),
    ("a space", "table sales.audit", "UPDATE sales.audit SET what = what || ' '"),
    ("one bit", "table sales.products", "UPDATE sales.products SET picture = set_bit(picture, 3, 1 - get_bit(picture, 3)) "
     "WHERE product_id = 1020"),
    ("two columns swapped", "table sales.customers", "UPDATE sales.customers SET tags = ARRAY[note], note = tags[2] "
     "WHERE customer_id = 3"),
    ("a row in the wrong partition's table", "table sales.orders_2025",
     "DELETE FROM sales.order_items; UPDATE sales.orders SET ordered = '2024-02-02' "
     "WHERE order_id = (SELECT min(order_id) FROM sales.orders_2025)"),
    ("a stale materialised view", "table sales.revenue",
     "DELETE FROM sales.orders_other; REFRESH MATERIALIZED VIEW sales.revenue"),
    ("an unpopulated materialised view", "relation sales.revenue",
     "REFRESH MATERIALIZED VIEW sales.revenue WITH NO DATA"),
    ("a table dropped", "table sales.empty_shelf: missing", "DROP TABLE sales.empty_shelf"),
    ("a table more", "table public.more: was not there", "CREATE TABLE public.more ()"),
    ("a sequence gone back", "sequence value sales.product_number", "ALTER SEQUENCE sales.product_number RESTART 1000"),
    ("a sequence's step", "sequence sales.product_number", "ALTER SEQUENCE sales.product_number INCREMENT 7"),
    ("an identity gone back", "sequence value sales.customers_customer_id_seq",
     "ALTER TABLE sales.customers ALTER customer_id RESTART"),
    ("a large object's byte", "large object", "SELECT lo_put(scan, 7, 'x') FROM sales.contracts WHERE contract_id = 1"),
    ("a large object's owner", "large object", "DO $$ BEGIN EXECUTE format('ALTER LARGE OBJECT %s OWNER TO shop_owner', "
     "(SELECT scan FROM sales.contracts LIMIT 1)); END $$"),
    ("a column's type", "column sales.payments.method", "DROP VIEW sales.open_orders; "
     "ALTER TABLE sales.payments ALTER method TYPE varchar(20)"),
    ("a default", "column sales.products.stock", "ALTER TABLE sales.products ALTER stock SET DEFAULT 1"),
    ("not null", "column sales.products.title", "ALTER TABLE sales.products ALTER title DROP NOT NULL"),
    ("an identity", "column sales.orders.order_id", "ALTER TABLE sales.orders ALTER order_id SET GENERATED ALWAYS"),
    ("an index dropped", "index sales.products_search: missing", "DROP INDEX sales.products_search"),
    ("an index's condition", "index sales.products_in_stock", "DROP INDEX sales.products_in_stock; "
     "CREATE INDEX products_in_stock ON sales.products (lower(title))"),
    ("a foreign key dropped", "constraint sales.order_items", "ALTER TABLE sales.order_items DROP CONSTRAINT "
     "order_items_product_id_fkey"),
    ("a check not validated", "constraint sales.products.positive", "ALTER TABLE sales.products "
     "ADD CONSTRAINT positive CHECK (stock > -1) NOT VALID"),
    ("a domain's check", "constraint sales.price.price_is_not_negative",
     "ALTER DOMAIN sales.price DROP CONSTRAINT price_is_not_negative"),
    ("an enum's label", "type sales.order_state", "ALTER TYPE sales.order_state ADD VALUE 'lost' BEFORE 'sent'"),
    ("a view", "relation sales.open_orders", "CREATE OR REPLACE VIEW sales.open_orders AS SELECT o.order_id, c.name, "
     "o.ordered, o.total FROM sales.orders o JOIN sales.customers c USING (customer_id)"),
    ("a view's option", "relation sales.open_orders", "ALTER VIEW sales.open_orders RESET (security_barrier)"),
    ("a function's body", "routine sales.noise(bigint)", "CREATE OR REPLACE FUNCTION sales.noise(n bigint) "
     "RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT n'"),
    ("a function's privilege", "routine sales.note_change()", "GRANT EXECUTE ON FUNCTION sales.note_change() TO PUBLIC"),
    ("a trigger dropped", "trigger sales.products.products_noted", "DROP TRIGGER products_noted ON sales.products"),
    ("a trigger disabled", "trigger sales.products.products_noted",
     "ALTER TABLE sales.products DISABLE TRIGGER products_noted"),
    ("a policy", "policy sales.customers", "ALTER POLICY readers_see_no_vips ON sales.customers USING (true)"),
    ("row security off", "relation sales.customers", "ALTER TABLE sales.customers DISABLE ROW LEVEL SECURITY"),
    ("an extension dropped", "extension citext: missing", "DROP EXTENSION citext CASCADE"),
    ("a comment", "comment", "COMMENT ON COLUMN sales.customers.note IS NULL"),
    ("an owner", "relation sales.payments", "ALTER TABLE sales.payments OWNER TO postgres"),
    ("a grant", "relation sales.products", "REVOKE SELECT ON sales.products FROM shop_reader"),
    ("a column's grant", "column sales.customers.tags", "REVOKE SELECT (tags) ON sales.customers FROM shop_reader"),
    ("default privileges", "default privileges", "ALTER DEFAULT PRIVILEGES IN SCHEMA sales REVOKE ALL ON TABLES "
     "FROM shop_reader"),
    ("a schema dropped", "schema", 'DROP SCHEMA "Ärger & Co" CASCADE'),
    ("statistics dropped", "extended statistics", "DROP STATISTICS sales.products_price_stock"),
    ("unlogged", "relation sales.cache", "ALTER TABLE sales.cache SET LOGGED"),
    ("a partition detached", "relation sales.orders_2024",
     "DELETE FROM sales.order_items; ALTER TABLE sales.orders DETACH PARTITION sales.orders_2024"),
    ("a setting of the database", "database settings", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = "
     "''9MB''', current_database()); END $$"),
    ("the database's owner", "database properties", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO shop_owner', "
     "current_database()); END $$"),
    ("the database's comment", "database properties", "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS ''other''', "
     "current_database()); END $$"),
]


def _look(server: EmbeddedServer, database: str) -> Snapshot:
    return snapshot(functools.partial(server.sql, database))


@pytest.fixture(scope="module")
def original(embedded_server: EmbeddedServer) -> Iterator[Snapshot]:
    create_shop(embedded_server, "compare_source", size=60)
    # A copy by template has the content but not the database's own properties, as every other copy here.
    embedded_server.sql("postgres", f"CREATE DATABASE {ORIGINAL} TEMPLATE compare_source")
    yield _look(embedded_server, ORIGINAL)
    embedded_server.sql("postgres", f"DROP DATABASE compare_source; DROP DATABASE {ORIGINAL};")


@pytest.fixture
def copy(embedded_server: EmbeddedServer, original: Snapshot) -> Iterator[str]:
    name = f"compare_copy_{next(NUMBERS)}"
    embedded_server.sql("postgres", f"CREATE DATABASE {name} TEMPLATE {ORIGINAL} STRATEGY file_copy")
    yield name
    embedded_server.sql("postgres", f"DROP DATABASE {name}")


def test_a_copy_is_equal(embedded_server: EmbeddedServer, original: Snapshot, copy: str) -> None:
    assert differences(original, _look(embedded_server, copy)) == []
    assert original.rows > 500
    assert len(original.tables) >= 12


def test_the_order_of_the_rows_does_not_matter(embedded_server: EmbeddedServer, original: Snapshot, copy: str) -> None:
    embedded_server.sql(copy, "CLUSTER sales.customers USING customers_email_key; ALTER TABLE sales.customers "
                              "SET WITHOUT CLUSTER; UPDATE sales.payments SET paid = paid")
    assert differences(original, _look(embedded_server, copy)) == []


@pytest.mark.parametrize(("named", "change"), [case[1:] for case in MUTATIONS], ids=[case[0] for case in MUTATIONS])
def test_no_change_goes_unnoticed(
    embedded_server: EmbeddedServer, original: Snapshot, named: str, change: str
) -> None:
    def inside(script: str) -> list[str]:
        return embedded_server.sql(ORIGINAL, f"BEGIN;\n\\o /dev/null\n{change};\n\\o\n{script}\nROLLBACK;")

    found = differences(original, snapshot(inside))
    assert [line for line in found if named in line], found


def test_differences_go_both_ways(embedded_server: EmbeddedServer, original: Snapshot, copy: str) -> None:
    embedded_server.sql(copy, "DROP TABLE sales.cache")
    changed = _look(embedded_server, copy)
    assert "table sales.cache: missing" in differences(original, changed)
    assert "table sales.cache: was not there before" in differences(changed, original)
