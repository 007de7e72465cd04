-- SPDX-FileCopyrightText: pgfleet maintainers
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A shop of believable data: text of a vocabulary, jsonb, numerics, timestamps, bytea, indexes of several kinds.
-- The variable :scale is about 1 GB (tables and indexes) at 100. The same seed gives the same data.
SELECT setseed(0.42);

CREATE TABLE words AS
SELECT n AS id, (ARRAY['order','parcel','river','window','silver','garden','copper','letter','winter','harbour','engine',
  'market','candle','bridge','forest','saddle','button','lantern','pepper','marble','ribbon','anchor','basket','cotton',
  'meadow','violin','orchard','pencil','blanket','mirror','hammer','kettle'])[1 + n % 32] || substr(md5(n::text), 1, 1 + n % 4) AS word
FROM generate_series(0, 4095) n;
ALTER TABLE words ADD PRIMARY KEY (id);

-- Sentences to join by number: much cheaper than joining words for every row.
CREATE TABLE sentences (id int PRIMARY KEY, body text NOT NULL);
INSERT INTO sentences
SELECT n, (SELECT string_agg(word, ' ' ORDER BY k) FROM generate_series(1, 9) k JOIN words ON words.id = (n * 7919 + k * k * 31 + k * n) % 4096)
FROM generate_series(0, 8191) n;
ANALYZE sentences;

CREATE TABLE customers (
  id int PRIMARY KEY, email text NOT NULL, name text NOT NULL, address text, balance numeric(12, 2), born date,
  joined timestamptz NOT NULL, tags text[], settings jsonb);
INSERT INTO customers
SELECT n, 'customer' || n || '@example.' || (ARRAY['com','org','net'])[1 + n % 3],
       initcap(split_part(s.body, ' ', 1) || ' ' || split_part(s.body, ' ', 2)), substr(s.body, 12), (random() * 10000)::numeric(12, 2), date '1950-01-01' + (n * 37 % 20000),
       timestamptz '2020-01-01 00:00Z' + n * interval '3 minutes', ARRAY[(ARRAY['gold','new','late','b2b'])[1 + n % 4]],
       jsonb_build_object('lang', (ARRAY['en','de','fr'])[1 + n % 3], 'news', n % 2 = 0, 'theme', md5((n % 50)::text))
FROM generate_series(1, 1000 * :scale) n JOIN sentences s ON s.id = n * 13 % 8192;

CREATE TABLE products (id int PRIMARY KEY, sku text NOT NULL, title text NOT NULL, price numeric(10, 2), photo bytea, search tsvector);
INSERT INTO products
SELECT n, 'SKU-' || lpad(n::text, 8, '0'), substr(s.body, 1, 30), (1 + random() * 500)::numeric(10, 2),
       (SELECT string_agg(decode(md5(n::text || k), 'hex'), '') FROM generate_series(1, 100) k), to_tsvector('simple', s.body)
FROM generate_series(1, 100 * :scale) n JOIN sentences s ON s.id = n * 17 % 8192;

CREATE TABLE orders (
  id bigint PRIMARY KEY, customer int NOT NULL, placed timestamptz NOT NULL, status text, total numeric(12, 2), note text);
INSERT INTO orders
SELECT n, 1 + (random() * (1000 * :scale - 1))::int, timestamptz '2021-01-01 00:00Z' + n * interval '37 seconds',
       (ARRAY['new','paid','sent','done','returned'])[1 + (random() * 4)::int], (random() * 900)::numeric(12, 2),
       CASE WHEN n % 5 = 0 THEN s.body END
FROM generate_series(1::bigint, 12000 * :scale) n JOIN sentences s ON s.id = n % 8192;

CREATE TABLE lines (order_id bigint NOT NULL, position smallint NOT NULL, product int NOT NULL, quantity int, price numeric(10, 2));
INSERT INTO lines
SELECT n / 3, n % 3, 1 + (random() * (100 * :scale - 1))::int, 1 + (random() * 5)::int, (random() * 300)::numeric(10, 2)
FROM generate_series(3::bigint, 36000 * :scale) n;

CREATE TABLE events (id bigint, at timestamptz, kind text, payload jsonb);
INSERT INTO events
SELECT n, timestamptz '2022-01-01 00:00Z' + n * interval '11 seconds', (ARRAY['view','click','cart','pay'])[1 + n % 4],
       jsonb_build_object('session', md5((n / 20)::text), 'path', '/p/' || n % 5000, 'ms', (random() * 2000)::int,
         'agent', (ARRAY['Mozilla/5.0 (X11; Linux x86_64)','Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)'])[1 + n % 2],
         'words', w.word)
FROM generate_series(1::bigint, 9000 * :scale) n JOIN words w ON w.id = n % 4096;

CREATE TABLE messages (id int PRIMARY KEY, customer int, body text);
INSERT INTO messages
SELECT n, n, concat_ws('. ', a.body, b.body, c.body, d.body, e.body, f.body)
FROM generate_series(1, 600 * :scale) n
JOIN sentences a ON a.id = n % 8192 JOIN sentences b ON b.id = n * 3 % 8192 JOIN sentences c ON c.id = n * 5 % 8192
JOIN sentences d ON d.id = n * 7 % 8192 JOIN sentences e ON e.id = n * 11 % 8192 JOIN sentences f ON f.id = n / 8192;

CREATE INDEX ON customers (email);
CREATE INDEX ON orders (customer, placed);
CREATE INDEX ON orders (status) WHERE status <> 'done';
ALTER TABLE lines ADD PRIMARY KEY (order_id, position);
CREATE INDEX ON lines (product);
ALTER TABLE events ADD PRIMARY KEY (id);
CREATE INDEX ON events USING gin (payload jsonb_path_ops);
CREATE INDEX ON products USING gin (search);
ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers;
CREATE SEQUENCE order_ids START 100000000;
CREATE VIEW spending AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer;
ANALYZE;
