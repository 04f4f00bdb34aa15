"""The tables that random queries read: every type, with nulls, extremes and other values that are trouble, in a fixed random order."""

import random

COLUMNS = {
    "id": "int", "y": "tinyint", "h": "smallint", "i": "int", "l": "bigint", "f": "float", "d": "double", "m": "decimal(10,2)",
    "n": "decimal(38,18)", "s": "string", "b": "binary", "t": "boolean", "a": "date", "p": "timestamp", "z": "timestamp_ntz",
    "v": "array<int>", "w": "array<string>", "k": "map<string,int>", "r": "struct<x:int,y:string>", "e": "interval day to second",
    "g": "interval year to month",
}
VALUES = {
    "tinyint": ["0Y", "1Y", "-1Y", "127Y", "-128Y", "5Y"],
    "smallint": ["0S", "1S", "-1S", "32767S", "-32768S", "300S"],
    "int": ["0", "1", "-1", "2147483647", "-2147483648", "7", "42", "-3"],
    "bigint": ["0L", "1L", "-1L", "9223372036854775807L", "-9223372036854775808L", "12L", "-100L", "1000000007L"],
    "float": ["0.0F", "-0.0F", "1.5F", "-2.25F", "float('NaN')", "float('Infinity')", "float(3.4028235E38D)", "float(1.4E-45D)", "16777217F"],
    "double": ["0.0D", "-0.0D", "1.5D", "-2.5D", "double('NaN')", "double('Infinity')", "double('-Infinity')", "1.7976931348623157E308D",
               "4.9E-324D", "0.1D", "1E16D", "123456.789D"],
    "decimal(10,2)": ["0.00", "1.50", "-1.50", "99999999.99", "-99999999.99", "2.50", "3.14", "0.01"],
    "decimal(38,18)": ["0", "1", "-1", "99999999999999999999.999999999999999999", "0.000000000000000001", "2.5", "-12345.678901234567890123"],
    "string": ["''", "'a'", "'A'", "'abc'", "' x '", "'1'", "'-1.5'", "'2024-02-29'", "'true'", "'Ünïcödé'", "'𐍈😀'", "'a%b_c'", "'ß'", "'1e3'",
               "'e\\u0301'", "'x,y,z'", "'2024-11-03 01:30:00'", "'NaN'", "'a\\nb'", "'00012'"],
    "binary": ["X''", "X'00'", "X'FF'", "X'616263'", "X'C3A9'", "X'C328'"],
    "boolean": ["true", "false"],
    "date": ["DATE'2024-02-29'", "DATE'1970-01-01'", "DATE'1969-12-31'", "DATE'0001-01-01'", "DATE'9999-12-31'", "DATE'2023-12-31'",
             "DATE'1582-10-15'", "DATE'2024-03-10'", "DATE'2021-01-03'"],
    "timestamp": ["TIMESTAMP'2024-03-10 01:59:59.999999'", "TIMESTAMP'2024-03-10 03:00:00'", "TIMESTAMP'2024-11-03 01:30:00'",
                  "TIMESTAMP'1969-12-31 23:59:59.999999'", "TIMESTAMP'1970-01-01 00:00:00'", "TIMESTAMP'2024-02-29 12:34:56.789'",
                  "TIMESTAMP'0001-01-01 00:00:00'", "TIMESTAMP'9999-12-31 23:59:59.999999'", "TIMESTAMP'1900-01-01 00:00:00'"],
    "timestamp_ntz": ["TIMESTAMP_NTZ'2024-03-10 02:30:00'", "TIMESTAMP_NTZ'1969-12-31 23:59:59.999999'", "TIMESTAMP_NTZ'2024-02-29 00:00:00'",
                      "TIMESTAMP_NTZ'0001-01-01 00:00:00'", "TIMESTAMP_NTZ'2024-11-03 01:30:00.5'"],
    "array<int>": ["array(1, 2, 3)", "cast(array() AS array<int>)", "array(NULL, 1)", "array(5, 5, -1)", "array(2147483647)"],
    "array<string>": ["array('a', 'b')", "cast(array() AS array<string>)", "array(NULL, '')", "array('é', 'a', 'a')"],
    "map<string,int>": ["map('a', 1, 'b', 2)", "map_filter(map('a', 1), (k, v) -> false)", "map('', NULL)", "map('a', -1)"],
    "struct<x:int,y:string>": ["named_struct('x', 1, 'y', 'a')", "named_struct('x', cast(NULL AS int), 'y', 'b')",
                               "named_struct('x', 2, 'y', cast(NULL AS string))"],
    "interval day to second": ["INTERVAL '0 00:00:00' DAY TO SECOND", "INTERVAL '1 02:03:04.5' DAY TO SECOND", "INTERVAL '-10 00:00:00.000001' DAY TO SECOND",
                               "INTERVAL '100 23:59:59' DAY TO SECOND"],
    "interval year to month": ["INTERVAL '0-0' YEAR TO MONTH", "INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '-3-11' YEAR TO MONTH"],
}
ROWS = {"t1": 14, "t2": 9, "t3": 0}


def statements():
    """What makes the tables, in either engine."""
    pick = random.Random(42)
    made = []
    for table, rows in ROWS.items():
        lines = []
        for number in range(max(rows, 1)):
            row = [f"{number} AS id"]
            for name, kind in list(COLUMNS.items())[1:]:
                value = "NULL" if pick.random() < 0.2 else pick.choice(VALUES[kind])
                row.append(f"CAST({value} AS {kind}) AS {name}")
            lines.append(f"SELECT {', '.join(row)}")
        where = " WHERE id < 0" if rows == 0 else ""
        made.append(f"CREATE OR REPLACE TEMPORARY VIEW {table} AS SELECT * FROM ({' UNION ALL '.join(lines)}){where}")
    return made
