-- Server health from web-server access logs, in plain Spark SQL: the same text runs in `spark-sql` and in Firesteel.
--
-- Input:  ${spark.firesteel.example.input}/logs/*.log    Apache "combined" lines with the virtual host in front
--         ${spark.firesteel.example.input}/servers.csv   which service, zone and size each server has
-- Output: ${spark.firesteel.example.output}/<table>      Parquet; running it again replaces what is there

SET spark.sql.session.timeZone = UTC;

CREATE OR REPLACE TEMPORARY VIEW access_log
USING text
OPTIONS (path '${spark.firesteel.example.input}/logs/*.log');

CREATE OR REPLACE TEMPORARY VIEW servers (
  server STRING,
  service STRING,
  zone STRING,
  cores INT,
  in_service_since DATE
)
USING csv
OPTIONS (path '${spark.firesteel.example.input}/servers.csv', header 'true');

-- One pattern a field, so that a damaged line still shows what can be read of it. regexp_extract answers '' for no match.
CREATE OR REPLACE TEMPORARY VIEW parsed AS
SELECT
  value AS line,
  regexp_extract(value, r'^(\S+):\d+ ', 1) AS server,
  regexp_extract(value, r'^\S+ (\S+) ', 1) AS client,
  try_to_timestamp(regexp_extract(value, r' \[([^\]]+)\] "', 1), 'dd/MMM/yyyy:HH:mm:ss Z') AS ts,
  regexp_extract(value, r'\] "([A-Z]+) (\S+) HTTP/[0-9.]+" ', 1) AS method,
  regexp_extract(value, r'\] "([A-Z]+) (\S+) HTTP/[0-9.]+" ', 2) AS path,
  try_cast(regexp_extract(value, r'" (\S+) ([0-9]+|-) "', 1) AS INT) AS status,
  try_cast(regexp_extract(value, r'" (\S+) ([0-9]+|-) "', 2) AS BIGINT) AS bytes,
  regexp_extract(value, r'" "((?:[^"\\]|\\.)*)"$', 1) AS agent
FROM access_log;

-- 1. Lines that cannot be used are counted and kept, with what is wrong with them.
CREATE TABLE IF NOT EXISTS malformed_lines (reason STRING, line STRING)
USING parquet
LOCATION '${spark.firesteel.example.output}/malformed_lines';

INSERT OVERWRITE TABLE malformed_lines
SELECT
  CASE
    WHEN trim(line) = '' THEN 'empty'
    WHEN server = '' THEN 'no server'
    WHEN ts IS NULL THEN 'no valid time'
    WHEN path = '' THEN 'no valid request'
    WHEN status IS NULL THEN 'no valid status'
    ELSE 'cut off'
  END AS reason,
  line
FROM parsed
WHERE server = '' OR ts IS NULL OR path = '' OR status IS NULL OR agent = '';

-- 2. The good ones, a partition a day.
CREATE TABLE IF NOT EXISTS requests (
  server STRING,
  client STRING,
  ts TIMESTAMP,
  method STRING,
  path STRING,
  status INT,
  bytes BIGINT,
  agent STRING,
  day DATE
)
USING parquet
PARTITIONED BY (day)
LOCATION '${spark.firesteel.example.output}/requests';

INSERT OVERWRITE TABLE requests PARTITION (day)
SELECT server, client, ts, method, path, status, bytes, agent, CAST(ts AS DATE) AS day
FROM parsed
WHERE server <> '' AND path <> '' AND status IS NOT NULL AND agent <> ''
  AND ts >= to_timestamp('${spark.firesteel.example.since}', 'dd/MMM/yyyy:HH:mm:ss Z');

-- 3. Error rates by server and five-minute window, with what is known about the server.
CREATE TABLE IF NOT EXISTS server_windows (
  server STRING,
  service STRING,
  zone STRING,
  window_start TIMESTAMP,
  window_end TIMESTAMP,
  requests BIGINT,
  errors BIGINT,
  error_rate DOUBLE,
  bytes BIGINT,
  day DATE
)
USING parquet
PARTITIONED BY (day)
LOCATION '${spark.firesteel.example.output}/server_windows';

INSERT OVERWRITE TABLE server_windows PARTITION (day)
SELECT
  w.server,
  coalesce(s.service, 'unknown') AS service,
  coalesce(s.zone, 'unknown') AS zone,
  w.period.start AS window_start,
  w.period.end AS window_end,
  w.requests,
  w.errors,
  round(w.errors / w.requests, 4) AS error_rate,
  w.bytes,
  to_date(w.period.start) AS day
FROM (
  SELECT
    server,
    window(ts, '5 minutes') AS period,
    count(*) AS requests,
    count_if(status >= 500) AS errors,
    sum(bytes) AS bytes
  FROM requests
  GROUP BY server, window(ts, '5 minutes')
) AS w
LEFT JOIN servers AS s ON w.server = s.server;

-- 4. Which paths fail most, with ids and query strings taken out of them.
CREATE TABLE IF NOT EXISTS failing_paths (
  service STRING,
  path STRING,
  requests BIGINT,
  failures BIGINT,
  failure_rate DOUBLE,
  statuses ARRAY<INT>
)
USING parquet
LOCATION '${spark.firesteel.example.output}/failing_paths';

INSERT OVERWRITE TABLE failing_paths
WITH by_path AS (
  SELECT
    coalesce(s.service, 'unknown') AS service,
    regexp_replace(split(r.path, '[?]')[0], r'/\d+', '/{id}') AS path,
    r.status
  FROM requests AS r
  LEFT JOIN servers AS s USING (server)
)
SELECT
  service,
  path,
  count(*) AS requests,
  count(*) FILTER (WHERE status >= 500) AS failures,
  round(count(*) FILTER (WHERE status >= 500) / count(*), 4) AS failure_rate,
  array_sort(collect_set(CASE WHEN status >= 500 THEN status END)) AS statuses
FROM by_path
GROUP BY service, path
HAVING failures > 0
ORDER BY failures DESC, service, path
LIMIT 50;

-- 5. How large the answers are: exact percentiles, so that every run gives the same numbers.
CREATE TABLE IF NOT EXISTS response_sizes (
  service STRING,
  responses BIGINT,
  p50 DOUBLE,
  p95 DOUBLE,
  p99 DOUBLE,
  largest BIGINT
)
USING parquet
LOCATION '${spark.firesteel.example.output}/response_sizes';

INSERT OVERWRITE TABLE response_sizes
SELECT service, responses, p[0], p[1], p[2], largest
FROM (
  SELECT
    s.service,
    count(r.bytes) AS responses,
    percentile(r.bytes, array(0.5, 0.95, 0.99)) AS p,
    max(r.bytes) AS largest
  FROM requests AS r
  JOIN servers AS s ON r.server = s.server
  GROUP BY s.service
);

-- 6. The three worst servers of every hour.
CREATE TABLE IF NOT EXISTS worst_servers (
  hour TIMESTAMP,
  place INT,
  server STRING,
  service STRING,
  requests BIGINT,
  errors BIGINT,
  error_rate DOUBLE,
  errors_before BIGINT,
  day DATE
)
USING parquet
PARTITIONED BY (day)
LOCATION '${spark.firesteel.example.output}/worst_servers';

INSERT OVERWRITE TABLE worst_servers PARTITION (day)
WITH by_hour AS (
  SELECT date_trunc('HOUR', window_start) AS hour, server, service, sum(requests) AS requests, sum(errors) AS errors
  FROM server_windows
  GROUP BY date_trunc('HOUR', window_start), server, service
),
ranked AS (
  SELECT
    *,
    rank() OVER (PARTITION BY hour ORDER BY errors / requests DESC, errors DESC, server) AS place,
    lag(errors, 1, 0) OVER (PARTITION BY server ORDER BY hour) AS errors_before
  FROM by_hour
)
SELECT hour, place, server, service, requests, errors, round(errors / requests, 4), errors_before, date(hour) AS day
FROM ranked
WHERE place <= 3 AND errors > 0;

-- The report: the servers to look at first.
SELECT
  t.server,
  t.service,
  t.zone,
  t.requests,
  t.errors,
  format_number(100 * t.errors / t.requests, 2) AS `error %`,
  date_format(t.worst.window_start, 'yyyy-MM-dd HH:mm') AS `worst window`,
  format_number(100 * t.worst.error_rate, 1) AS `worst %`,
  coalesce(h.hours_first, 0) AS `hours as worst`,
  CAST(z.p99 AS BIGINT) AS `p99 bytes`,
  m.lines AS `malformed lines`
FROM (
  SELECT
    server,
    service,
    zone,
    sum(requests) AS requests,
    sum(errors) AS errors,
    max_by(named_struct('window_start', window_start, 'error_rate', error_rate), struct(errors, window_start)) AS worst
  FROM server_windows
  GROUP BY server, service, zone
) AS t
LEFT JOIN (
  SELECT server, count(*) AS hours_first FROM worst_servers WHERE place = 1 GROUP BY server
) AS h ON t.server = h.server
LEFT JOIN response_sizes AS z ON t.service = z.service
CROSS JOIN (SELECT count(*) AS lines FROM malformed_lines) AS m
WHERE t.errors > 0
ORDER BY t.errors / t.requests DESC, t.server
LIMIT 10;
