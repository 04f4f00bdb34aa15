SELECT * FROM t
SELECT t.* FROM t
SELECT a, a + 1, a + c, a * d, d / 3, a % 2, -a, a DIV 2 FROM t
SELECT A, T.a, spark_catalog.default.t.a FROM t
SELECT s.x, s.y, t.s.x, l[0], m['k'] FROM t
SELECT 1, 'x', 1.5, 2.0D, 1L, NULL, true, DATE '2020-01-01', INTERVAL 1 DAY
SELECT a AS one, a + 1 AS two, two + 1 AS three FROM t
SELECT count(*), count(a), count(DISTINCT b), sum(a), avg(a), min(b), max(c), sum(d), avg(d), sum(c) FROM t
SELECT b, sum(a) AS total FROM t GROUP BY b HAVING total > 10 ORDER BY total DESC
SELECT b, sum(a) FROM t GROUP BY 1 ORDER BY 2
SELECT upper(b) AS ub, count(*) FROM t GROUP BY ub
SELECT b, count(*) FROM t GROUP BY ALL
SELECT a + 1, count(*) FROM t GROUP BY a + 1 ORDER BY a + 1
SELECT b, e, grouping(b), grouping_id(b, e), sum(a) FROM t GROUP BY ROLLUP (b, e)
SELECT b, e, sum(a) FROM t GROUP BY GROUPING SETS ((b), (e), ())
SELECT b, e, sum(a) FROM t GROUP BY CUBE (b, e)
SELECT a, row_number() OVER (PARTITION BY b ORDER BY a) AS rn, sum(a) OVER (PARTITION BY b) AS s FROM t
SELECT a, rank() OVER (ORDER BY c DESC), lag(a, 1, 0) OVER (ORDER BY a), sum(c) OVER w FROM t WINDOW w AS (PARTITION BY b ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
SELECT CASE WHEN a > 1 THEN a ELSE c END, coalesce(a, c), if(a = 1, 'x', b), nullif(a, 1) FROM t
SELECT CAST(a AS STRING), CAST(b AS INT), try_cast(b AS INT), a::double FROM t
SELECT a BETWEEN 1 AND 2, a IN (1, 2), b LIKE 'x%', b RLIKE 'y', a IS NULL, a IS NOT NULL, NOT a = 1, a <> 1, a <=> 1 FROM t
SELECT t.a, u.k FROM t JOIN u ON t.a = u.a
SELECT * FROM t JOIN u USING (a)
SELECT a, t.a, u.a FROM t FULL OUTER JOIN u USING (a)
SELECT * FROM u NATURAL JOIN (SELECT a, b FROM t) x
SELECT * FROM (SELECT a FROM t) q LEFT SEMI JOIN u ON q.a = u.a
SELECT a FROM t UNION ALL SELECT a FROM u
SELECT a, b FROM t UNION SELECT v, k FROM u
SELECT a FROM t INTERSECT SELECT a FROM u
SELECT a FROM t EXCEPT ALL SELECT a FROM u
SELECT (SELECT max(a) FROM u), EXISTS (SELECT 1 FROM u WHERE u.a = t.a) FROM t
SELECT * FROM tv WHERE x IN (SELECT a FROM u) AND NOT EXISTS (SELECT 1 FROM u WHERE u.k = tv.y)
WITH c AS (SELECT a, b FROM t) SELECT c1.a, c2.b FROM c c1 JOIN c c2 ON c1.a = c2.a
SELECT * FROM VALUES (1, 'a'), (2.5, NULL) AS v(n, s)
SELECT * FROM range(10)
SELECT id + 1 AS next FROM range(1, 10, 2) ORDER BY next
SELECT a, x FROM t LATERAL VIEW explode(l) lv AS x
SELECT a, explode(l) FROM t
SELECT explode(m) AS (k, v) FROM t
SELECT a, pos, x FROM t LATERAL VIEW OUTER posexplode(l) lv AS pos, x
SELECT DISTINCT b FROM t ORDER BY b LIMIT 5 OFFSET 2
SELECT a FROM t ORDER BY c
SELECT b FROM t GROUP BY b ORDER BY sum(a)
SELECT count(*) FILTER (WHERE a > 1) FROM t
SELECT named_struct('p', a, 'q', b) AS st, struct(a, b), array(1, 2), map('k', a) FROM t
SELECT substring(b, 1, 2), concat(b, 'x'), b || 'y', length(b), upper(b), trim(b) FROM t
SELECT year(e), month(e), date_add(e, 1), datediff(e, e), e + INTERVAL 1 MONTH, e - e, extract(YEAR FROM e), date_trunc('DAY', f), to_date(b) FROM t
SELECT round(c, 2), abs(a), ceil(c), floor(d), sqrt(c), pow(c, 2) FROM t
SELECT i + j, i / j, NOT g, h FROM n
SELECT first(a), last(b), collect_list(a), collect_set(b), any_value(c), stddev(c), percentile(c, 0.5), approx_count_distinct(a) FROM t
SELECT a FROM t WHERE a = (SELECT max(a) FROM u)
SELECT a a, b AS `b c` FROM t
SELECT current_date() IS NOT NULL, current_catalog(), current_database()
SELECT * EXCEPT (l, m, s) FROM t
SELECT t.a FROM t AS t2
SELECT x FROM t
SELECT a, zz FROM t
SELECT t.zz FROM t
SELECT u.a FROM t
SELECT a FROM t JOIN u ON t.a = u.a
SELECT a FROM missing
SELECT a FROM nodb.missing
SELECT no_such_function(a) FROM t
SELECT a, sum(c) FROM t
SELECT a, sum(c) FROM t GROUP BY b
SELECT a + 1, sum(c) FROM t GROUP BY b
SELECT sum(a) FROM t GROUP BY 3
SELECT sum(a) FROM t GROUP BY 1
SELECT b FROM t GROUP BY sum(a)
SELECT a FROM t WHERE sum(a) > 1
SELECT sum(sum(a)) FROM t
SELECT a FROM t ORDER BY 2
SELECT a FROM t WHERE b
SELECT a FROM t WHERE a + 1
SELECT a + l FROM t
SELECT b - e FROM t
SELECT a AND g FROM t, n
SELECT s.z FROM t
SELECT a.x FROM t
SELECT a[0] FROM t
SELECT CASE WHEN a > 1 THEN l ELSE b END FROM t
SELECT CASE WHEN a THEN 1 END FROM t
SELECT CAST(l AS INT) FROM t
SELECT CAST(e AS INT) FROM t
SELECT coalesce(a, l) FROM t
SELECT a IN (l) FROM t
SELECT substring(b) FROM t
SELECT upper(a, b) FROM t
SELECT sqrt(l) FROM t
SELECT a FROM t UNION SELECT a, k FROM u
SELECT l FROM t UNION SELECT a FROM u
SELECT (SELECT a, k FROM u) FROM t
SELECT a FROM t WHERE a IN (SELECT a, k FROM u)
SELECT row_number() FROM t
SELECT row_number() OVER (PARTITION BY b) FROM t
SELECT a FROM t WHERE row_number() OVER (ORDER BY a) = 1
SELECT * FROM t JOIN u USING (zz)
SELECT * FROM t JOIN u ON t.a
SELECT * FROM VALUES (1, 2), (3)
SELECT * FROM VALUES (1), (DATE '2020-01-01')
SELECT * FROM (SELECT a, b FROM t) AS v(x)
SELECT a FROM t LIMIT a
SELECT a FROM t LIMIT -1
SELECT a FROM t LIMIT 'x'
SELECT zz.* FROM t
SELECT explode(a) FROM t
SELECT explode(l), explode(l) FROM t
SELECT explode(l) + 1 FROM t
SELECT grouping(b) FROM t GROUP BY b
SELECT m FROM t GROUP BY m
SELECT DISTINCT m FROM t
SELECT m FROM t ORDER BY m
SELECT count(DISTINCT a) OVER (PARTITION BY b) FROM t
SELECT sum(a) OVER w FROM t
SELECT * FROM no_such_tvf(1)
WITH c AS (SELECT 1), c AS (SELECT 2) SELECT * FROM c
SELECT a AS x, b AS x, x + 1 FROM t
SELECT a AS x, b AS x FROM t ORDER BY x
INSERT INTO u SELECT a FROM t
INSERT INTO u SELECT a, b, c, d FROM t
INSERT INTO u SELECT b, b, c FROM t
INSERT INTO u (a, zz) SELECT 1, 2
INSERT INTO u (a, a) SELECT 1, 2
INSERT INTO missing SELECT 1
INSERT INTO tv SELECT 1, 2
INSERT INTO p PARTITION (name = 'x') SELECT 1
INSERT OVERWRITE u SELECT * FROM u
CREATE TABLE t (a INT) USING parquet
CREATE TABLE dup (a INT, A INT) USING parquet
CREATE TABLE nopart (a INT) USING parquet PARTITIONED BY (zz)
CREATE TABLE allpart (a INT) USING parquet PARTITIONED BY (a)
CREATE TEMPORARY VIEW tv AS SELECT 1
CREATE TEMPORARY VIEW bad AS SELECT zz FROM t
CREATE TEMPORARY VIEW dupv AS SELECT a, a FROM t
CREATE TEMPORARY VIEW arity (x) AS SELECT a, b FROM t
DROP TABLE missing
DROP VIEW missing
DROP VIEW t
DROP TABLE tv
USE nodb
CREATE DATABASE default
DROP DATABASE nodb
DROP DATABASE default
SHOW TABLES IN nodb
DESCRIBE missing
SET spark.sql.ansi.enabled = maybe
SET spark.sql.shuffle.partitions = many
SET spark.sql.session.timeZone = Nowhere/City
SELECT CAST(1 AS INT) + CAST(1 AS DECIMAL(3, 0)), 1 + CAST(1 AS DECIMAL(3, 0)), -1 + CAST(1 AS DECIMAL(3, 0)), CAST(1 AS DECIMAL(10, 0)) / CAST(1 AS INT), CAST(1 AS DECIMAL(3, 0)) = CAST(1 AS INT)
SELECT pmod(CAST(10 AS DECIMAL(10, 2)), CAST(3 AS DECIMAL(5, 1))), pmod(7, 3)
SELECT ceil(2.5, 0), ceiling(2.5, 0), floor(2.5, 0), ceil(2.5), floor(2.5)
SELECT 2 * INTERVAL '2' YEAR, INTERVAL '2' YEAR * 2, '2' * INTERVAL '02' SECOND
SELECT sort_array(array(2, 1)), sort_array(array(2, 1), false), lpad('hi', 5), rpad('hi', 5), rpad('hi', 5, 'x')
SELECT DATE'99999-03-18', DATE'-0001-01-28', TIMESTAMP_NTZ'99999-03-18T12:03:17', TIMESTAMP_NTZ'-000001'
SELECT extract('year', DATE'2024-01-01'), extract(year FROM DATE'2024-01-01'), date_part('year', DATE'2024-01-01')
SET TIME ZONE 'Asia/Hong_Kong'
SET TIME ZONE 'UTC'
