"""Empty tasks a second: a query of one row a task, with Firesteel's driver and two executor processes of one slot, and with real Spark.

Each engine runs a small query first, so that its start is not counted; then the query, so many times. Spark's default here is local[2],
where tasks are handed to threads and no message leaves the process; with --spark-master local-cluster[2,1,1024] it has executor processes too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spark-master", default="local[2]")
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/release/firesteel")
    options = parser.parse_args()
    # A count is known without running anything.
    query = f"SELECT sum(id) FROM range(0, {options.tasks}, 1, {options.tasks})"
    times = {"firesteel": firesteel(options, query), "spark": spark(options, query)}
    print(f"{options.tasks} tasks of one row, medians of {options.rounds} rounds\n")
    rates = {}
    for engine, seconds in times.items():
        median = statistics.median(seconds)
        rates[engine] = options.tasks / median
        print(f"{engine:<12}{median:>9.2f} s {rates[engine]:>10.0f} tasks/s   ({', '.join(f'{s:.2f}' for s in seconds)})")
    print(f"{'ratio':<12}{rates['firesteel'] / rates['spark']:>9.2f}")


def firesteel(options, query):
    script = ";\n".join(["SELECT sum(id) FROM range(0, 10, 1, 10)"] + [query] * options.rounds)
    command = [options.firesteel, "sql", "--quiet", "--master", "local-cluster[2,1,1024]", "--output", "csv", "--timing", "json",
               "--file", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"firesteel failed:\n{done.stderr}")
    times = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{") and '"seconds"' in line]
    return [line["seconds"] for line in times][1:]


def spark(options, query):
    from pyspark.sql import SparkSession

    session = (SparkSession.builder.master(options.spark_master).config("spark.ui.enabled", "false")
               .config("spark.ui.showConsoleProgress", "false").config("spark.driver.memory", "4g").getOrCreate())
    session.sparkContext.setLogLevel("ERROR")
    session.sql("SELECT sum(id) FROM range(0, 10, 1, 10)").collect()
    times = []
    for _ in range(options.rounds):
        begin = time.monotonic()
        [[total]] = session.sql(query).collect()
        times.append(time.monotonic() - begin)
        assert total == options.tasks * (options.tasks - 1) // 2
    session.stop()
    return times


main()
