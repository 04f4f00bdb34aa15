"""Compares the Parquet tables in the folders under EXPECTED with those of the same names under ACTUAL, as multisets of rows.

    oracle/compare-tables EXPECTED ACTUAL

Counts and sums of row hashes are compared first, so tables may be larger than memory; rows are only looked at where those differ.
"""

import pathlib
import sys

import duckdb

SHOWN = 5


def main(expected, actual):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    tables = sorted(path.name for path in expected.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))
    if not tables:
        sys.exit(f"there are no tables in {expected}")
    equal = True
    for table in tables:
        problems = differences(connection, expected / table, actual / table)
        equal &= not problems
        print(f"{'DIFFERS' if problems else 'equal  '}  {table}")
        for problem in problems:
            print(f"         {problem}")
    sys.exit(0 if equal else 1)


def differences(connection, expected, actual):
    for folder, what in ((expected, "nothing expected"), (actual, "missing")):
        if not any(folder.rglob("*.parquet")):
            return [f"{what}: no Parquet files in {folder}"]
    wanted, found = columns(connection, expected), columns(connection, actual)
    if wanted != found:
        return [f"columns: expected {wanted}", f"              got {found}"]
    prints = [connection.execute(f"SELECT count(*), sum(hash(t)::HUGEINT) FROM ({rows(folder, wanted)}) AS t").fetchone()
              for folder in (expected, actual)]
    if prints[0] == prints[1]:
        return []
    problems = [f"expected {prints[0][0]} rows, got {prints[1][0]}"] if prints[0][0] != prints[1][0] else []
    for label, one, other in (("missing", expected, actual), ("not expected", actual, expected)):
        query = f"({rows(one, wanted)}) EXCEPT ALL ({rows(other, wanted)}) LIMIT {SHOWN}"
        problems += [f"{label}: {row}" for row in connection.execute(query).fetchall()]
    return problems


def source(folder):
    return f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"


def columns(connection, folder):
    """{name: type}. The ways to store a moment in time are one type here."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {source(folder)}").fetchall()
    return {name: "TIMESTAMP" if kind.startswith("TIMESTAMP") else kind for name, kind, *_ in described}


def rows(folder, types):
    listed = [f'CAST("{name}" AS TIMESTAMP) AS "{name}"' if kind == "TIMESTAMP" else f'"{name}"' for name, kind in types.items()]
    return f"SELECT {', '.join(listed)} FROM {source(folder)}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
