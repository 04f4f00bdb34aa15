"""Records the rows of TPC-H's or TPC-DS's queries with real Spark: tpc_record.py BENCHMARK SCALE [FOLDER]. See tpch-record, tpcds-record."""

import pathlib
import shutil
import sys
import tempfile
import time

from pyspark.errors import PySparkException

import canonical
import tpc


def main(name, scale, out):
    benchmark = tpc.BENCHMARKS[name]
    folder = benchmark.data(scale)
    scratch = tempfile.mkdtemp(prefix="spark-oracle-")
    unfinished = out.with_name(out.name + ".unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        spark = canonical.spark_session(scratch, ["spark.driver.memory=4g"], 2)
        for statement in benchmark.views(folder):
            spark.sql(statement)
        for query, text in tpc.queries(name, scale).items():
            began = time.monotonic()
            if (unfinished / f"{query}.jsonl").exists():
                continue  # Interrupted after it.
            schema = canonical.schema_of(spark.sql(text))
            text = tpc.total_order(name, text, len(schema))
            answer = unfinished / f"{query}.jsonl"
            try:
                rows = canonical.from_spark(spark.sql(text))
                canonical.write_rows(*rows, answer, canonical.ends_ordered(text))
                what = f"{len(rows[1])} rows"
            except PySparkException as error:
                # At small scales there are sums of nothing to divide by.
                what = error.getCondition()
                canonical.write_error(schema, what, answer)
            print(f"{query} {time.monotonic() - began:7.2f} s, {what}", file=sys.stderr)
        spark.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)
    print(out)


if __name__ == "__main__":
    name, scale, *more = sys.argv[1:]
    main(name, scale, pathlib.Path(more[0]) if more else tpc.recorded(name, scale))
