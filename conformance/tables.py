"""The tables that Spark's suite makes before each file: those of them that a file names."""

import re

from golden import TEST_DATA

TENK = """unique1 INT, unique2 INT, two INT, four INT, ten INT, twenty INT, hundred INT, thousand INT, twothousand INT, fivethous INT,
    tenthous INT, odd INT, even INT, stringu1 STRING, stringu2 STRING, string4 STRING"""


def from_text(name, columns, file):
    """A table of a file of columns separated by tabs."""
    path = TEST_DATA / "postgresql" / file
    return [
        f"CREATE TEMPORARY VIEW {name}_text ({columns}) USING csv OPTIONS (path '{path}', delimiter '\\t', header 'false')",
        f"CREATE TABLE {name} USING parquet AS SELECT * FROM {name}_text",
        f"DROP VIEW {name}_text",
    ]


TABLES = {
    "testdata": [
        "CREATE TABLE testdata USING parquet AS SELECT CAST(id AS INT) AS key, CAST(id AS STRING) AS value FROM range(1, 101, 1, 1)"
    ],
    "arraydata": [
        """CREATE TABLE arraydata USING parquet AS SELECT * FROM VALUES
           (array(1, 2, 3), array(array(1, 2, 3))), (array(2, 3, 4), array(array(2, 3, 4))) AS t(arraycol, nestedarraycol)"""
    ],
    "mapdata": [
        """CREATE TABLE mapdata USING parquet AS SELECT * FROM VALUES
           (map(1, 'a1', 2, 'b1', 3, 'c1', 4, 'd1', 5, 'e1')), (map(1, 'a2', 2, 'b2', 3, 'c2', 4, 'd2')),
           (map(1, 'a3', 2, 'b3', 3, 'c3')), (map(1, 'a4', 2, 'b4')), (map(1, 'a5')) AS t(mapcol)"""
    ],
    "aggtest": from_text("aggtest", "a INT, b FLOAT", "agg.data"),
    "onek": from_text("onek", TENK, "onek.data"),
    "tenk1": from_text("tenk1", TENK, "tenk.data"),
}


def statements(blocks):
    text = "\n".join(block.sql for block in blocks)
    for name, making in TABLES.items():
        if re.search(rf"\b{name}\b", text, re.IGNORECASE):
            yield from making
