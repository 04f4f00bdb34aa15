"""One engine as a process: engines.py NAME BENCHMARK FOLDER. Reads a query as a JSON string a line, answers {"seconds", "rows"} or {"error"}."""

import json
import os
import sys
import tempfile
import time

import benchmarks


def duckdb(tables, folder):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    for table in tables:
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{folder}/{table}/*.parquet')")
    # TPC-DS's q90 names a subquery `at`, which is a keyword here.
    return lambda text: len(connection.execute(text.replace(") at,", ") AS \"at\",")).fetchall())


def datafusion(tables, folder):
    """Plain DataFusion of the version that Firesteel is built on, through its Python package."""
    from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext

    config = SessionConfig().with_target_partitions(2).with_batch_size(int(os.environ.get("DATAFUSION_BATCH_SIZE", "8192")))
    context = SessionContext(config, RuntimeEnvBuilder())
    for table in tables:
        context.register_parquet(table, f"{folder}/{table}")
    return lambda text: sum(batch.num_rows for batch in context.sql(text).collect())


def spark(tables, folder):
    memory = os.environ.get("SPARK_BENCH_MEMORY", "6g")
    return spark_session(tables, folder, "local[2]", {"spark.driver.memory": memory})


def spark_cluster(tables, folder):
    """Two executor processes of one core, on this machine."""
    import pyspark

    # Spark's workers start executors with the scripts of its installation.
    os.environ["SPARK_HOME"] = os.path.dirname(pyspark.__file__)
    memory = int(os.environ["BENCH_EXECUTOR_MIB"])
    # Spark adds an overhead to an executor's heap where a container limits it: the heap leaves room for that.
    settings = {"spark.driver.memory": "2g", "spark.executor.memory": f"{memory * 10 // 11}m"}
    return spark_session(tables, folder, f"local-cluster[2,1,{memory}]", settings)


def spark_session(tables, folder, master, settings):
    from pyspark.sql import SparkSession

    scratch = tempfile.mkdtemp(prefix="spark-bench-")
    builder = SparkSession.builder.master(master)
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = (
        builder.config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.local.dir", scratch)
        .config("spark.sql.warehouse.dir", f"{scratch}/warehouse")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    return with_views(session, tables, folder)


def sail(tables, folder):
    os.environ.setdefault("SAIL_EXECUTION__DEFAULT_PARALLELISM", "2")
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    run = with_views(SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate(), tables, folder)
    run.server = server  # Keeps it alive.
    return run


def with_views(session, tables, folder):
    for table in tables:
        session.read.parquet(f"{folder}/{table}").createOrReplaceTempView(table)

    def run(text):
        return len(session.sql(text).collect())

    return run


def main(name, benchmark, folder):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What engines print must not get among the answers.

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    engine = {"duckdb": duckdb, "datafusion": datafusion, "spark": spark, "spark-cluster": spark_cluster, "sail": sail}[name]
    run = engine(benchmarks.BENCHMARKS[benchmark].tables, folder)
    answer({"ready": True})
    for line in sys.stdin:
        began = time.monotonic()
        try:
            rows = run(json.loads(line))
            answer({"seconds": time.monotonic() - began, "rows": rows})
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"[:500]})


if __name__ == "__main__":
    main(*sys.argv[1:4])
