"""TPC-H and TPC-DS for every engine: the data, the queries, and a script that makes the tables known to a SQL engine.

    python bench/tpc/benchmarks.py tpch|tpcds SCALE     makes the data where they are missing, and prints their folder

TPC-H's queries are in the repository. Those of TPC-DS are read from Spark's test-jar, which Maven downloads once.
"""

import json
import pathlib
import re
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "oracle"))
import spark_tests
from spark_tests import CACHE


class Benchmark:
    def __init__(self, name, title, tables, read_queries):
        self.name, self.title, self.tables, self.read_queries = name, title, tables.split(), read_queries

    def data(self, scale):
        """The folder with one folder of Parquet files for each table at this scale (a string such as 0.01 or 10); makes it when missing."""
        folder = CACHE / self.name / f"sf{scale}"
        if not (folder / ".complete").exists():
            parts = 2 if float(scale) < 1 else 4 if float(scale) < 10 else 16
            generator = pathlib.Path(sys.prefix) / "bin/tpcgen-cli"
            subprocess.run([generator, self.name, "parquet", "--scale-factor", scale, "--parts", str(parts), "--num-threads", "2",
                            "--compression", "ZSTD(1)", "--quiet", "--overwrite", "--output-dir", folder], check=True)
            (folder / ".complete").touch()
        return folder

    def queries(self, scale):
        """{name: text} of all queries, in their order: q01, q02, …"""
        return dict(sorted(self.read_queries(scale).items()))

    def views(self, url):
        """Statements in Spark's dialect that make the tables under `url` (a folder or s3a:// URL) known."""
        return [f"CREATE OR REPLACE TEMPORARY VIEW {table} USING parquet OPTIONS (path '{url}/{table}')" for table in self.tables]

    def script(self, scale, url):
        """One script with the views and all queries, in their order."""
        return as_script([*self.views(url), *self.queries(scale).values()])


def as_script(statements):
    return "".join(f"{statement};\n\n" for statement in statements)


def tpch_queries(scale):
    share = format(0.0001 / float(scale), ".10f").rstrip("0")
    texts = {path.stem: path.read_text() for path in (ROOT / "bench/tpch/queries").glob("q*.sql")}
    return {name: text.replace("0.0001/*divided by the scale*/", share).strip() for name, text in texts.items()}


def tpcds_queries(_scale, folder="tpcds"):
    """All 99 queries, of which four have two variants (a and b)."""
    with zipfile.ZipFile(spark_tests.jar()) as jar:
        texts = {name: jar.read(name).decode() for name in jar.namelist() if re.fullmatch(rf"{re.escape(folder)}/q\w+\.sql", name)}
    # The generator calls one column as the specification does since its version 2.
    column = re.compile(r"\bc_last_review_date\b")
    return {query_name(pathlib.PurePath(name).stem): column.sub("c_last_review_date_sk", text).strip().rstrip(";")
            for name, text in texts.items()}


def tpcds_later_queries(scale):
    """Those that version 2.7 of the specification words otherwise."""
    return tpcds_queries(scale, "tpcds-v2.7.0")


def query_name(text):
    """q05a of 5a, q5a or q05a."""
    number, variant = re.fullmatch(r"q?0*(\d+)(.*)", text).groups()
    return f"q{int(number):02}{variant}"


def timings(lines):
    """What `firesteel sql --timing json` tells on standard error: {"statement", "seconds", "planning", "rows", "columns"}, or
    {"statement", "error"}."""
    for line in lines:
        if line.startswith("{") and '"statement"' in line:
            yield json.loads(line)


TPCH = Benchmark("tpch", "TPC-H", "customer lineitem nation orders part partsupp region supplier", tpch_queries)
TPCDS = Benchmark("tpcds", "TPC-DS", """
    call_center catalog_page catalog_returns catalog_sales customer customer_address customer_demographics date_dim
    household_demographics income_band inventory item promotion reason ship_mode store store_returns store_sales time_dim warehouse
    web_page web_returns web_sales web_site""", tpcds_queries)
BENCHMARKS = {benchmark.name: benchmark for benchmark in (TPCH, TPCDS)}

if __name__ == "__main__":
    print(BENCHMARKS[sys.argv[1]].data(sys.argv[2]))
