"""Real Spark and Firesteel, each as a process that is asked one statement after the other and may end at any time."""

import json
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent.parent / "conformance")]
from session import Dead, Session

CONF = {"spark.sql.session.timeZone": "America/Los_Angeles"}


class Firesteel:
    name = "firesteel"

    def __init__(self, binary, tables):
        self.binary, self.tables, self.session, self.ansi = binary, tables, None, None
        self.folder = tempfile.TemporaryDirectory(prefix="firesteel-fuzz-")

    def ask(self, sql, ansi, seconds=20):
        try:
            if self.session is None:
                self.session, self.ansi = Session(self.binary, self.folder.name, CONF), None
                for statement in self.tables:
                    made = self.session.ask(statement, 60)
                    if "error" in made:
                        sys.exit(f"firesteel does not make the tables: {made['error']['message']}")
            if ansi != self.ansi:
                self.session.ask(f"SET spark.sql.ansi.enabled = {ansi}", 20)
                self.ansi = ansi
            answer = self.session.ask(sql, seconds)
        except Dead as dead:
            self.session = None
            return {"error": "DIED", "message": str(dead)}
        if "error" in answer:
            return {"error": answer["error"]["errorClass"], "message": answer["error"]["message"]}
        return {"schema": answer["schema"], "rows": answer["rows"]}

    def end(self):
        if self.session is not None:
            self.session.end()
        self.folder.cleanup()


class Spark:
    name = "spark"

    def __init__(self, tables):
        self.tables, self.process, self.ansi = tables, None, None

    def ask(self, sql, ansi, seconds=60):
        if self.process is None:
            self.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.pending, self.ansi = b"", None
            for statement in self.tables:
                made = self.send(statement, 300)
                if "error" in made:
                    sys.exit(f"Spark does not make the tables: {made}")
        if ansi != self.ansi:
            self.send(f"SET spark.sql.ansi.enabled = {ansi}", 60)
            self.ansi = ansi
        return self.send(sql, seconds)

    def send(self, sql, seconds):
        try:
            self.process.stdin.write(json.dumps(sql).encode() + b"\n")
            self.process.stdin.flush()
            until = time.monotonic() + seconds
            while b"\n" not in self.pending:
                ready, _, _ = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))
                some = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
                if not some:
                    raise BrokenPipeError
                self.pending += some
        except BrokenPipeError:
            self.end()
            return {"error": "DIED"}
        line, _, self.pending = self.pending.partition(b"\n")
        return json.loads(line)

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def serve():
    """Answers statements with Spark, line by line."""
    import canonical
    from pyspark.errors import PySparkException

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="spark-fuzz-") as scratch:
        # Interpreted: compiling each of many small queries would take most of the time.
        conf = [*(f"{key}={value}" for key, value in CONF.items()), "spark.sql.codegen.wholeStage=false", "spark.sql.codegen.factoryMode=NO_CODEGEN",
                "spark.sql.shuffle.partitions=1", "spark.sql.datetime.java8API.enabled=true", "spark.driver.memory=2g"]
        spark = canonical.spark_session(scratch, conf, 1)
        spark.sparkContext.setLogLevel("OFF")
        hive = spark._jvm.org.apache.spark.sql.execution.HiveResult
        for line in sys.stdin:
            try:
                sql = json.loads(line)
                frame = spark.sql(sql)._jdf
                if table := re.match(r"CREATE OR REPLACE TEMPORARY VIEW (\w+)", sql):
                    # As rows at hand: a view would be planned again and again.
                    view = spark.table(table.group(1))._jdf
                    spark._jsparkSession.createDataFrame(view.collectAsList(), view.schema()).createOrReplaceTempView(table.group(1))
                rows = hive.hiveResultString(frame.queryExecution().executedPlan())
                answer = {"schema": frame.schema().catalogString(), "rows": [rows.apply(i) for i in range(rows.length())]}
            except PySparkException as error:
                answer = {"error": error.getCondition() or type(error).__name__, "message": str(error)[:500]}
            except Exception as error:  # of the JVM: a class is all that there is
                answer = {"error": type(error).__name__, "message": str(error)[:500]}
            out.write(json.dumps(answer) + "\n")
            out.flush()


if __name__ == "__main__":
    serve()
