-- SPDX-License-Identifier: MIT
-- Builds a shop's database of 240,000 rows, indexes it and asks it questions that sort, join and group.
PRAGMA journal_mode = WAL;
PRAGMA cache_size = -24000;
PRAGMA temp_store = MEMORY;
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT, note BLOB);
CREATE TABLE sale (id INTEGER PRIMARY KEY, customer INTEGER, item INTEGER, price REAL, remark TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
INSERT INTO customer SELECT i, 'name ' || (i * 7919 % 40009), 'city ' || (i % 331), zeroblob(i % 97 * 60) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO sale SELECT i, i * 31 % 40000 + 1, i * 17 % 5003, i % 997 / 7.0, 'remark ' || (i * 104729 % 99991) FROM n;
COMMIT;
CREATE INDEX sale_customer ON sale (customer, item);
CREATE INDEX sale_remark ON sale (remark);
CREATE INDEX customer_name ON customer (name, city);
SELECT count(*), sum(price) FROM sale JOIN customer ON customer.id = sale.customer WHERE city = 'city 17';
SELECT city, count(DISTINCT item), avg(price) FROM sale JOIN customer ON customer.id = sale.customer
    GROUP BY city ORDER BY 3 DESC LIMIT 5;
SELECT length(group_concat(remark, ';')) FROM sale GROUP BY item % 1009 ORDER BY 1 DESC LIMIT 5;
SELECT length(hex(note)) FROM customer WHERE length(note) > 4000 ORDER BY 1 DESC, id LIMIT 3000;
SELECT id, row_number() OVER (PARTITION BY customer ORDER BY price) FROM sale ORDER BY remark LIMIT 5;
SELECT count(*) FROM (SELECT remark, price FROM sale ORDER BY price, remark DESC);
UPDATE sale SET remark = remark || ' ' || hex(randomblob(id % 40)) WHERE id % 5 = 0;
DELETE FROM sale WHERE id % 7 = 0;
VACUUM;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
SELECT sum(length(printf('%.*c', 3000 + i * 53 % 90000, 'x'))) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
SELECT sum(length(replace(hex(zeroblob(1000 + i * 37 % 20000)), '00', 'ab'))) FROM n;
