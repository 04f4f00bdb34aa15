"""Data sources against real Spark: formats, options, read modes, malformed files, and what writers leave.

    oracle/sources record       Spark reads and writes the files of sources_cases.py; files and answers go to oracle/expected/sources
    oracle/sources check        Firesteel reads the same files: rows, schemas and error classes must be Spark's
    oracle/sources write-back   Firesteel writes what Spark wrote, and Spark reads it: the rows must be the same (needs Java)

Whether an answer is rows or an error, it is one line of oracle/expected/sources/answers.jsonl.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import canonical
import tpc
from sources_cases import CASES, WRITTEN

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = HERE / "expected/sources"
AVRO = "org.apache.spark:spark-avro_2.13:4.2.0"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["record", "check", "write-back"])
    parser.add_argument("--only", default="", help="cases whose names begin so")
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/debug/firesteel")
    parser.add_argument("--master", help="where Firesteel runs, such as local-cluster[2,1,1024]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="firesteel-sources-") as scratch:
        good = {"record": record, "check": check, "write-back": write_back}[options.what](options, pathlib.Path(scratch))
    sys.exit(0 if good else 1)


# ---- statements

def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"


def view(folder, format, schema, options):
    columns = f" ({schema})" if schema else ""
    pairs = ", ".join(f"{quoted(k)} {quoted(v)}" for k, v in {"path": str(folder), **options}.items())
    return f"CREATE OR REPLACE TEMPORARY VIEW t{columns} USING {format} OPTIONS ({pairs})"


def statements_of(case, folder):
    sets = [f"SET {key}={value}" for key, value in case.conf.items()]
    return [*sets, view(folder, case.format, case.schema, case.options), case.query.format(t="t", path=folder)]


def statements_reading(written, folder):
    return [view(folder, written.format, written.schema, written.read), "SELECT * FROM t"]


def statements_writing(written, folder):
    options = ", ".join(f"{quoted(k)} {quoted(v)}" for k, v in written.options.items())
    options = f" OPTIONS ({options})" if options else ""
    partitions = f" PARTITIONED BY ({', '.join(written.partition_by)})" if written.partition_by else ""
    return [f"CREATE TABLE w USING {written.format}{options}{partitions} LOCATION {quoted(str(folder))} AS {written.query}", "DROP TABLE w"]


def answer(schema, rows):
    return {"schema": schema, "rows": sorted(rows, key=lambda row: json.dumps(row, ensure_ascii=False))}


# ---- real Spark

def spark_session(scratch):
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--packages {AVRO} pyspark-shell"
    return canonical.spark_session(scratch, ["spark.sql.files.openCostInBytes=1"], 2)


def ask_spark(spark, statements):
    try:
        for statement in statements[:-1]:
            spark.sql(statement)
        return answer(*canonical.from_spark(spark.sql(statements[-1])))
    except Exception as error:
        return {"error": classes(error)}


def classes(error):
    """The error classes of an exception and its causes, outermost first."""
    found = [c for c in [getattr(error, "getCondition", lambda: None)()] if c]
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    while java is not None:
        name = java.getClass().getName()
        match = re.match(r"\[([A-Z0-9_.]+)\]", java.getMessage() or "")
        found.append(match.group(1) if match else name)
        java = java.getCause()
    return list(dict.fromkeys(found)) or [type(error).__name__ + ": " + str(error).splitlines()[0][:200]]


def record(options, scratch):
    spark = spark_session(str(scratch))
    data = EXPECTED / "data"
    if not options.only:
        shutil.rmtree(EXPECTED, ignore_errors=True)
    answers = read_answers()
    for case in CASES:
        if not case.name.startswith(options.only):
            continue
        folder = data / case.name
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in case.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        answers[case.name] = ask_spark(spark, statements_of(case, folder))
        for key in case.conf:
            spark.conf.unset(key)
    for written in WRITTEN:
        name = f"written-{written.name}"
        if not name.startswith(options.only):
            continue
        folder, target = scratch / written.name, data / name
        for statement in statements_writing(written, folder):
            spark.sql(statement)
        keep(folder, target)
        answers[name] = ask_spark(spark, statements_reading(written, target))
    spark.stop()
    EXPECTED.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"name": name, **answers[name]}, ensure_ascii=False) for name in sorted(answers)]
    (EXPECTED / "answers.jsonl").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} answers")
    return True


def keep(folder, target):
    """The files that Spark wrote, under names that do not change from run to run."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in sorted(folder.rglob("part-*")):
        renamed = re.sub(r"part-(\d+)-[0-9a-f-]{36}[^.]*", r"part-\1", path.name)
        to = target / path.relative_to(folder).parent / renamed
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


def read_answers():
    path = EXPECTED / "answers.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {line.pop("name"): line for line in lines}


# ---- Firesteel

def ask_firesteel(options, statements, cwd=None):
    command = [options.firesteel, "sql", "--output", "json", "--timing", "json", "-c", "spark.sql.session.timeZone=UTC", "-f", "-"]
    if options.master:
        command += ["--master", options.master]
    script = ";\n".join(statements) + ";\n"
    ended = subprocess.run(command, input=script, capture_output=True, text=True, timeout=120, cwd=cwd)
    timings = list(tpc.timings(ended.stderr.splitlines()))
    if ended.returncode != 0:
        found = re.search(r"\[([A-Z0-9_.]+)\]", ended.stderr)
        return {"error": [found.group(1) if found else ended.stderr[-300:]], "message": ended.stderr.strip()[-600:]}
    last = timings[-1] if timings else {}
    if "columns" not in last:
        return answer([], [])
    lines = ended.stdout.splitlines()
    lines = lines[len(lines) - last["rows"] :]
    return answer(*canonical.from_objects(lines, last["columns"]))


def check(options, scratch):
    answers, data = read_answers(), EXPECTED / "data"
    asked = [(case.name, statements_of(case, folder_of(data / case.name, case))) for case in CASES]
    asked += [(f"written-{w.name}", statements_reading(w, data / f"written-{w.name}")) for w in WRITTEN]
    asked = [(name, statements) for name, statements in asked if name.startswith(options.only) and name in answers]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda a: ask_firesteel(options, a[1]), asked))
    return judge([(name, answers[name], mine) for (name, _), mine in zip(asked, got)])


def folder_of(folder, case):
    for name in case.files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
    return folder


def judge(answers):
    """Whether all are equal, but for those that SAME_KIND lists: an error where Spark has one, of our own class."""
    different = 0
    for name, expected, mine in answers:
        if "error" in expected and "error" in mine:
            same = mine["error"][0] in expected["error"] or name in OTHER_CLASS
        else:
            same = {k: expected.get(k) for k in ("schema", "rows")} == {k: mine.get(k) for k in ("schema", "rows")} and "error" not in mine
        if name in KNOWN:
            if same:
                print(f"FIXED    {name}: it is in KNOWN_DIFFERENCES and does not differ")
                different += 1
            continue
        if not same:
            different += 1
            print(f"DIFFERS  {name}")
            print(f"    Spark: {json.dumps(expected, ensure_ascii=False)[:1500]}")
            print(f"    here:  {json.dumps(mine, ensure_ascii=False)[:1500]}")
    print(f"{len(answers)} answers compared, {different} differ, {len(KNOWN)} known differences")
    return different == 0


# Differences that docs/sources.md tells of.
KNOWN = {
    "csv-quotes-stop_at_delimiter", "csv-quotes-stop_at_closing_quote", "csv-quotes-skip_value", "csv-quotes-back_to_delimiter",
    "ignore-corrupt-gzip", "json-bad-inferred-failfast", "json-duplicate-keys", "json-values", "parquet-no-parquet-ignored",
    "written-avro-nested", "written-orc-wide", "xml-null-value",
}
# Spark fails with an exception of Java's or of a library here: an error with a class of ours is as good.
OTHER_CLASS = {"avro-no-avro-inferred", "csv-line-sep-long", "csv-sep-empty", "json-utf16-no-line-sep", "parquet-no-parquet"}


def write_back(options, scratch):
    spark, answers, got = spark_session(str(scratch / "spark")), read_answers(), []
    for written in WRITTEN:
        name = f"written-{written.name}"
        if not name.startswith(options.only):
            continue
        folder = scratch / written.name
        mine = ask_firesteel(options, statements_writing(written, folder), cwd=scratch)
        if "error" not in mine:
            mine = ask_spark(spark, statements_reading(written, folder))
        got.append((name, answers[name], mine))
    spark.stop()
    return judge(got)


if __name__ == "__main__":
    main()
