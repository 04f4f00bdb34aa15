"""Every built-in function of Spark on edge values: the calls, what Spark answers, and what Firesteel answers.

The calls come from Spark itself: the examples that DESCRIBE FUNCTION EXTENDED shows, and the same with each literal in turn replaced
by edge values of its kind. They and Spark's answers are recorded in oracle/expected/functions.json.gz.
"""

import gzip
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path += [str(HERE.parent), str(ROOT / "conformance")]

RECORDED = ROOT / "oracle/expected/functions.json.gz"

# Calls of one function at most: its examples, then edge cases spread evenly.
PER_FUNCTION = 12
# An error of Spark's own; others are exceptions of Java that got past it, and any error here is as good.
ERROR_CLASS = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*")
# How often Spark may end before its time.
RESTARTS = 20
# What depends on the moment, the machine or chance has no value to compare; only that it answers is.
UNSTEADY = re.compile(
    r"\b(rand|randn|random|randstr|uniform|uuid|shuffle|now|current_\w+|localtimestamp|curdate|session_user|user|version"
    r"|monotonically_increasing_id|spark_partition_id|input_file_\w+|java_method|reflect|try_reflect|unix_timestamp(?=\(\))|raise_error)\b",
    re.IGNORECASE,
)
# A large number for these asks for large values.
GREEDY = re.compile(r"\b(repeat|space|lpad|rpad|sequence|array_repeat|range|factorial|shiftleft|conv|stack|ntile|lag|lead|nth_value)\b", re.IGNORECASE)

LITERAL = re.compile(
    r"(?P<typed>\b(?:DATE|TIMESTAMP|TIMESTAMP_NTZ|TIMESTAMP_LTZ|TIME)\s*'[^']*')|(?P<interval>\bINTERVAL\s+'[^']*'\s+\w+(?:\s+TO\s+\w+)?)"
    r"|(?P<binary>\b[xX]'[^']*')|(?P<string>'(?:[^'\\]|\\.|'')*')|(?P<decimal>(?<![\w.])-?\d+\.\d+(?![\w.]))|(?P<integer>(?<![\w.])-?\d+(?![\w.]))",
    re.IGNORECASE,
)
EDGES = {
    "DATE": ["NULL", "DATE'0001-01-01'", "DATE'9999-12-31'", "DATE'2024-02-29'", "DATE'1969-12-31'"],
    "TIMESTAMP": ["NULL", "TIMESTAMP'0001-01-01 00:00:00'", "TIMESTAMP'2024-03-10 02:30:00.000001'", "TIMESTAMP'1969-12-31 23:59:59.999999'"],
    "TIMESTAMP_NTZ": ["NULL", "TIMESTAMP_NTZ'2024-02-29 23:59:59.999999'"],
    "TIMESTAMP_LTZ": ["NULL", "TIMESTAMP_LTZ'2024-11-03 01:30:00'"],
    "TIME": ["NULL", "TIME'00:00:00'", "TIME'23:59:59.999999'"],
    "interval": ["NULL", "INTERVAL '-3' MONTH", "INTERVAL '1 02:03:04.5' DAY TO SECOND"],
    "binary": ["NULL", "X''", "X'FF00'"],
    "string": ["NULL", "''", "'Ünï 𐍈'", "' x '", "'-1.5'"],
    "decimal": ["NULL", "0.0D", "-0.0D", "double('NaN')", "double('-Infinity')", "-1.5", "1.7976931348623157E308D"],
    "integer": ["NULL", "0", "-1", "2147483647", "-2147483648", "9223372036854775807L"],
}


def mutations(sql):
    """The statement with one literal replaced, for every literal and edge value of its kind."""
    for match in LITERAL.finditer(sql):
        kind = match.lastgroup
        if kind == "typed":
            kind = re.match(r"\w+", match.group()).group().upper()
        for edge in EDGES[kind]:
            if edge == match.group() or (GREEDY.search(sql) and len(edge) > 3 and kind == "integer"):
                continue
            yield sql[: match.start()] + edge + sql[match.end() :]


def spread(items, count):
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]


def calls(examples):
    """The statements to try for one function."""
    edges = list(dict.fromkeys(m for e in examples for m in mutations(e) if m not in examples))
    return examples + spread(edges, max(0, PER_FUNCTION - len(examples)))


# ---- real Spark

def record():
    """Asks Spark about all functions, in a process that is started again behind a call that Spark did not survive."""
    with tempfile.TemporaryDirectory(prefix="firesteel-functions-") as folder:
        part = pathlib.Path(folder) / "part.jsonl"
        part.touch()
        for _ in range(RESTARTS):
            ended = subprocess.run([sys.executable, __file__, str(part)], stderr=subprocess.DEVNULL)
            lines = [json.loads(line) for line in part.read_text().splitlines()]
            if ended.returncode == 0:
                break
            # The function that was being asked about is left out.
            with part.open("a") as out:
                out.write(json.dumps({"name": None}) + "\n")
        else:
            sys.exit(f"Spark ended {RESTARTS} times: see {__file__}")
        functions = {line["name"]: line["cases"] for line in lines if line.get("name") and "cases" in line}
        text = json.dumps({"spark": lines[0]["spark"], "functions": functions}, ensure_ascii=False, indent=0)
        # Without the time in it, the same answers make the same file.
        RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))


def recorded():
    return json.loads(gzip.decompress(RECORDED.read_bytes()))


def record_part(part):
    """Goes on behind the functions that `part` has a line for."""
    import canonical

    done = sum(1 for line in part.read_text().splitlines() if "spark" not in json.loads(line))
    scratch = tempfile.mkdtemp(prefix="spark-oracle-")
    try:
        conf = ["spark.sql.session.timeZone=America/Los_Angeles", "spark.sql.datetime.java8API.enabled=true", "spark.sql.timeType.enabled=true"]
        spark = canonical.spark_session(scratch, conf, 1)
        spark.sparkContext.setLogLevel("OFF")
        with part.open("a") as out:
            if part.stat().st_size == 0:
                out.write(json.dumps({"spark": spark.version}) + "\n")
            for name in sorted(row[0] for row in spark.sql("SHOW SYSTEM FUNCTIONS").collect())[done:]:
                out.write(json.dumps({"name": name, "cases": cases(spark, name)}, ensure_ascii=False) + "\n")
                out.flush()
        spark.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def cases(spark, name):
    described = "\n".join(row[0] for row in spark.sql(f"DESCRIBE FUNCTION EXTENDED `{name}`").collect())
    examples = [e.strip().rstrip(";") for e in re.findall(r"^\s*>\s*(SELECT .*?);?\s*$", described, re.MULTILINE)]
    found = []
    for sql in calls(list(dict.fromkeys(examples))):
        first = answer(spark, sql)
        # Examples are asked twice: what differs then differs in the edge cases too.
        steady = not UNSTEADY.search(sql) and (sql not in examples or answer(spark, sql) == first)
        found.append({"sql": sql, "answer": first, "steady": steady})
    if any(case["sql"] in examples and not case["steady"] for case in found):
        found = [case | {"steady": False} for case in found]
    return found


def answer(spark, sql):
    from pyspark.errors import PySparkException

    hive = spark._jvm.org.apache.spark.sql.execution.HiveResult
    try:
        frame = spark.sql(sql)._jdf
        rows = hive.hiveResultString(frame.queryExecution().executedPlan())
        return {"schema": frame.schema().catalogString(), "rows": sorted(rows.apply(i) for i in range(rows.length()))}
    except PySparkException as error:
        return {"error": error.getCondition() or type(error).__name__}
    except ConnectionError:
        raise
    except Exception as error:  # what Java throws past PySpark's translation
        condition = re.search(r"\[([A-Z][A-Z_.0-9]+)\]", str(error))
        return {"error": condition.group(1) if condition else type(error).__name__}


# ---- Firesteel

def ask_firesteel(firesteel, functions):
    """For each function its cases with what Firesteel answers: (case, actual, equal)."""
    from session import Dead, Session

    results = {}
    with tempfile.TemporaryDirectory(prefix="firesteel-functions-") as folder:
        settings = {"spark.sql.session.timeZone": "America/Los_Angeles"}
        session = Session(firesteel, folder, settings)
        for name, cases in functions.items():
            results[name] = []
            for case in cases:
                try:
                    actual = session.ask(case["sql"], 20)
                except Dead as dead:
                    actual = {"error": {"errorClass": f"the process died: {dead}"}}
                    session = Session(firesteel, folder, settings)
                results[name].append((case, actual, equal(case, actual)))
        session.end()
    return results


def equal(case, actual):
    expected, error = case["answer"], actual.get("error")
    if not case["steady"] or UNSTEADY.search(case["sql"]):
        return ("error" in expected) == (error is not None)
    if error is not None or "error" in expected:
        raised = expected.get("error")
        if error is None or raised is None:
            return False
        return raised == error["errorClass"] or not ERROR_CLASS.fullmatch(raised)
    return expected["schema"] == actual["schema"] and expected["rows"] == sorted(actual["rows"])


if __name__ == "__main__":
    record_part(pathlib.Path(sys.argv[1]))
