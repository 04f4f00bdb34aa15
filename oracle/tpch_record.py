"""Records the rows of TPC-H's queries with real Spark: see tpch-record."""

import pathlib
import shutil
import sys
import tempfile
import time

import canonical

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench/tpch"))
import tpch


def main(scale, out):
    folder = tpch.data(scale)
    scratch = tempfile.mkdtemp(prefix="spark-oracle-")
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        spark = canonical.spark_session(scratch, ["spark.driver.memory=4g"], 2)
        for statement in tpch.views(folder):
            spark.sql(statement)
        for number, text in tpch.queries(scale).items():
            began = time.monotonic()
            rows = canonical.from_spark(spark.sql(text))
            canonical.write_rows(*rows, unfinished / tpch.result_file(number), canonical.ends_ordered(text))
            print(f"q{number:02} {time.monotonic() - began:7.2f} s, {len(rows[1])} rows", file=sys.stderr)
        spark.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)
    print(out)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
