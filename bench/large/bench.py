"""Statements and tables of unusual size. Each must have its answer, or be refused with the class that is told here, within a time.

Prints for each the size of its text, the seconds and the peak memory of the process so far. Ends with status 1 when one is answered
otherwise, late, or not at all.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path += [str(ROOT / "conformance"), str(ROOT / "bench")]
from peak import high_water
from session import Dead, Session

TOO_COMPLEX = "FAILED_TO_PARSE_TOO_COMPLEX"


def chain(join, count, one):
    return join.join(one(i) for i in range(count))


def nested(count, open_, inner, close):
    return open_ * count + inner + close * count


COLUMNS = 10_000
WIDE = [
    ("wide: make", f"CREATE TABLE wide USING parquet AS SELECT {chain(', ', COLUMNS, lambda i: f'id + {i} AS c{i}')} FROM range(100)", []),
    ("wide: star", "SELECT count(*) FROM (SELECT * FROM wide) WHERE c0 > 49 AND c9999 > 0", ["50"]),
    ("wide: rows", "SELECT * FROM wide WHERE c0 = 7", None),
    ("wide: sum of each", f"SELECT {chain(', ', COLUMNS, lambda i: f'sum(c{i}) AS s{i}')} FROM wide", None),
    ("wide: group by", f"SELECT c0, {chain(', ', 2000, lambda i: f'max(c{i})')} FROM wide GROUP BY c0 ORDER BY c0 LIMIT 1", None),
    ("wide: group by 1000", f"SELECT count(*) FROM (SELECT 1 FROM wide GROUP BY {chain(', ', 1000, lambda i: f'c{i}')})", ["100"]),
    ("wide: join", "SELECT count(*) FROM (SELECT * FROM wide a JOIN wide b USING (c0))", ["100"]),
]
TEXTS = [
    ("UNION ALL of 2,000", f"SELECT count(*), sum(a) FROM ({chain(' UNION ALL ', 2000, lambda i: f'SELECT {i} AS a')})", ["2000\t1999000"]),
    ("UNION ALL of 2,000 reads", f"SELECT count(*) FROM ({chain(' UNION ALL ', 2000, lambda i: f'SELECT id + {i} AS a FROM range(2)')})", ["4000"]),
    ("UNION of 2,000", f"SELECT 1 FROM ({chain(' UNION ', 2000, lambda i: f'SELECT {i} AS a')})", TOO_COMPLEX),
    ("IN of 5 MB", f"SELECT count(*) FROM range(1000) WHERE id IN ({chain(',', 600_000, lambda i: str(i * 7))})", ["143"]),
    ("IN of texts", f"SELECT count(*) FROM range(3) WHERE CAST(id AS STRING) IN ({chain(',', 400_000, lambda i: f's{i}'.join(chr(39) * 2))})", ["0"]),
    ("VALUES of 5 MB", f"SELECT count(*), sum(a) FROM VALUES {chain(',', 250_000, lambda i: f'({i}, {chr(39)}x{i}{chr(39)})')} AS t(a, b)", ["250000\t31249875000"]),
    ("text of 5 MB", f"SELECT length('{'x' * 5_000_000}')", ["5000000"]),
    ("name of 1 MB", f"SELECT a FROM (SELECT 1 AS {'a' * 1_000_000}) AS t(a)", ["1"]),
    ("OR of 20,000", f"SELECT count(*) FROM range(1000) WHERE {chain(' OR ', 20_000, lambda i: f'id = {i}')}", ["1000"]),
    ("OR of 20,000 ANDs", f"SELECT count(*) FROM range(1000) WHERE {chain(' OR ', 20_000, lambda i: f'(id > {i} AND id < {i + 2})')}", ["999"]),
    ("AND of 20,000", f"SELECT count(*) FROM range(1000) WHERE {chain(' AND ', 20_000, lambda i: f'id <> {i * 3}')}", ["666"]),
    ("5,000 parentheses", f"SELECT {nested(5000, '(', '1', ')')}", TOO_COMPLEX),
    ("900 parentheses", f"SELECT {nested(900, '(', '1', ')')}", ["1"]),
    ("1,000 subqueries", nested(1000, "SELECT * FROM (", "SELECT 1 AS a", ")"), TOO_COMPLEX),
    ("400 subqueries", nested(400, "SELECT * FROM (", "SELECT 1 AS a", ")"), ["1"]),
    ("300 scalar subqueries", nested(300, "SELECT (", "SELECT 1 AS a", ")"), TOO_COMPLEX),
    ("10 scalar subqueries", nested(10, "SELECT (", "SELECT 1 AS a", ")"), ["1"]),
    ("150 EXISTS", f"SELECT 1 WHERE {nested(150, 'EXISTS (SELECT 1 WHERE ', 'true', ')')}", TOO_COMPLEX),
    ("500 joins", f"SELECT count(*) FROM range(3) t0 {chain(' ', 500, lambda i: f'JOIN range(3) t{i + 1} ON t{i + 1}.id = t{i}.id')}", ["3"]),
    ("100 left joins", f"SELECT count(*) FROM range(3) t0 {chain(' ', 100, lambda i: f'LEFT JOIN range(3) t{i + 1} ON t{i + 1}.id = t{i}.id')}", ["3"]),
    ("CASE of 5,000", f"SELECT sum(CASE {chain(' ', 5000, lambda i: f'WHEN id = {i} THEN {i * 2}')} ELSE 0 END) FROM range(10000)", ["24995000"]),
    ("CASE x of 5,000", f"SELECT max(CASE id {chain(' ', 5000, lambda i: f'WHEN {i} THEN {i}')} END) FROM range(1000)", ["999"]),
    ("200 CASEs in each other", f"SELECT {nested(200, 'CASE WHEN id > 1 THEN ', '1', ' ELSE 2 END')} FROM range(2)", ["2", "2"]),
    ("sum of 900", f"SELECT sum(id{' + 1' * 900}) FROM range(10)", ["9045"]),
    ("sum of 5,000", f"SELECT sum(id{' + 1' * 5000}) FROM range(10)", TOO_COMPLEX),
    ("5,000 columns", f"SELECT {chain(', ', 5000, lambda i: f'id + {i} AS c{i}')} FROM range(3)", None),
    ("5,000 sums", f"SELECT {chain(', ', 5000, lambda i: f'sum(id + {i})')} FROM range(3)", None),
    ("500 windows", f"SELECT {chain(', ', 500, lambda i: f'sum(id) OVER (PARTITION BY id % {i + 2} ORDER BY id)')} FROM range(3)", None),
    ("chain of 100 CTEs", f"WITH c0 AS (SELECT 1 AS a){chain('', 100, lambda i: f', c{i + 1} AS (SELECT a + 1 AS a FROM c{i})')} SELECT a FROM c100", ["101"]),
    ("CTEs that double", f"WITH c0 AS (SELECT 1 AS a){chain('', 8, lambda i: f', c{i + 1} AS (SELECT x.a + y.a AS a FROM c{i} x, c{i} y)')} SELECT a FROM c8", ["256"]),
    ("array of 100,000", f"SELECT size(array({chain(',', 100_000, str)}))", ["100000"]),
    ("concat of 50,000", f"SELECT length(concat({chain(',', 50_000, lambda i: chr(39) + 'abc' + chr(39))}))", ["150000"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names, or beginnings of them, separated by commas")
    parser.add_argument("--seconds", type=float, default=30, help="that one may take")
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/release/firesteel", help="the release build of the command")
    options = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory(prefix="firesteel-large-") as folder:
        session = Session(options.firesteel, folder, {})
        for name, sql, expected in TEXTS + WIDE:
            if options.only and not name.startswith(tuple(options.only.split(","))):
                continue
            began = time.monotonic()
            try:
                answer = session.ask(sql, options.seconds * 4)
                found = answer["error"]["errorClass"] if "error" in answer else answer["rows"]
            except Dead as dead:
                session = Session(options.firesteel, folder, {})
                found = f"ended: {dead}"
            seconds = time.monotonic() - began
            good = found == expected or (expected is None and isinstance(found, list)) or (expected == [] and found == [])
            if not good or seconds > options.seconds:
                wrong.append(name)
            memory = high_water(session.process.pid) / 2**20
            told = found if isinstance(found, str) else f"{len(found)} rows"
            print(f"{name:<26} {len(sql) / 1e6:6.2f} MB {seconds:7.2f} s {memory:7.0f} MiB  {told[:90]}{'' if good else '  WRONG'}", flush=True)
        session.end()
    print(f"wrong or late: {', '.join(wrong) or 'none'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
