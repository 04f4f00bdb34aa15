"""TPC-H for every engine: the data, the 22 queries, and a script that makes the tables known to a SQL engine."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("FIRESTEEL_CACHE", pathlib.Path.home() / ".cache/firesteel"))
TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]


def data(scale):
    """The folder with one folder of Parquet files for each table at this scale (a string such as 0.01 or 10); makes it when missing."""
    folder = CACHE / "tpch" / f"sf{scale}"
    if not (folder / ".complete").exists():
        parts = 2 if float(scale) < 1 else 4 if float(scale) < 10 else 16
        generator = pathlib.Path(sys.prefix) / "bin/tpcgen-cli"
        subprocess.run([generator, "tpch", "parquet", "--scale-factor", scale, "--parts", str(parts), "--num-threads", "2",
                        "--compression", "ZSTD(1)", "--quiet", "--overwrite", "--output-dir", folder], check=True)
        (folder / ".complete").touch()
    return folder


def queries(scale):
    """{number: text} of the 22 queries."""
    share = format(0.0001 / float(scale), ".10f").rstrip("0")
    texts = {int(path.stem[1:]): path.read_text() for path in sorted((HERE / "queries").glob("q*.sql"))}
    return {number: text.replace("0.0001/*divided by the scale*/", share).strip() for number, text in texts.items()}


def views(url):
    """Statements in Spark's dialect that make the tables under `url` (a folder or s3a:// URL) known."""
    return [f"CREATE OR REPLACE TEMPORARY VIEW {table} USING parquet OPTIONS (path '{url}/{table}')" for table in TABLES]


def script(scale, url):
    """One script with the views and all queries: statements 1 to 8 are the views, query n is statement n + 8."""
    return "".join(f"{statement};\n\n" for statement in [*views(url), *queries(scale).values()])


def result_file(number):
    return f"q{number:02}.jsonl"


def timings(lines):
    """What `firesteel sql --timing json` tells on standard error: {"statement", "seconds", "rows"}, or {"statement", "error"}."""
    for line in lines:
        if line.startswith("{") and '"statement"' in line:
            yield json.loads(line)
