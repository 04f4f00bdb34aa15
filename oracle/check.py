"""Compares Firesteel's answers with those recorded from real Spark: the headline example, the queries of TPC-H and TPC-DS, and calls
of every built-in function.

Needs a built `firesteel` (the test build, unless --firesteel says otherwise). Rows recorded at scale 0.01 are in the repository; those
of other scales are recorded first, with real Spark, when the cache folder does not have them.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import canonical
import tpc

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent

EXAMPLE = ROOT / "examples/server-health"
SINCE = "spark.firesteel.example.since=01/Mar/2026:00:00:00 +0000"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=["all", "server-health", "functions", *tpc.BENCHMARKS])
    parser.add_argument("--scale", default="0.01", help="of TPC-H and TPC-DS")
    parser.add_argument("--queries", default="", help="of TPC-H or TPC-DS: numbers such as 1,14a,5a-v2.7")
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/debug/firesteel")
    parser.add_argument("--master", help="for TPC-H and TPC-DS: where they run, such as local-cluster[2,1,2048]; else in one process")
    parser.add_argument("-c", "--conf", action="append", default=[], help="key=value, for TPC-H and TPC-DS")
    parser.add_argument("--output", type=pathlib.Path, help="keep what Firesteel answered in this folder")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="firesteel-oracle-") as scratch:
        out = options.output or pathlib.Path(scratch) / "actual"
        good = True
        if options.what in ("all", "server-health"):
            good &= server_health(options.firesteel, pathlib.Path(scratch), out / "server-health")
        if options.what in ("all", "functions"):
            good &= functions(options.firesteel)
        for name in tpc.BENCHMARKS:
            if options.what in ("all", name):
                good &= tpc_queries(name, options, pathlib.Path(scratch), out / f"{name}-sf{options.scale}")
    sys.exit(0 if good else 1)


def functions(firesteel):
    """Calls of every built-in function: those that docs/functions.md lists as equal must be."""
    command = [sys.executable, HERE / "functions/compare", "--check", "--firesteel", firesteel]
    return subprocess.run(command, cwd=ROOT).returncode == 0


def server_health(firesteel, scratch, out):
    """The example as a SQL script, for its report, and as a job file: both must leave Spark's tables."""
    expected = HERE / "expected/server-health"
    script = EXAMPLE / "server-health.sql"
    conf = [f"spark.firesteel.example.input={EXAMPLE / 'data'}", f"spark.firesteel.example.output={scratch / 'sql'}", SINCE]
    good, _ = run_script(firesteel, script, conf, expected, out / "sql")
    collect_tables(scratch / "sql", expected, out / "sql")
    good &= compare(expected, out / "sql")

    command = [firesteel, "run", EXAMPLE / "job.yaml", "--conf", conf[0], "--conf", f"spark.firesteel.example.output={scratch / 'job'}"]
    # Twice: a job that is run again replaces what it wrote.
    for _ in range(2):
        ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if ended.returncode != 0:
            print(f"FAILED   firesteel run examples/server-health/job.yaml: status {ended.returncode}\n{ended.stderr[-2000:]}")
            good = False
    collect_tables(scratch / "job", expected, out / "job")
    # The report of a job is a table for people; the same statement's rows are compared above.
    return compare(expected, out / "job", only="table-") and good


def tpc_queries(name, options, scratch, out):
    """One script after the other until all queries were tried: a script ends with its first error."""
    scale, benchmark = options.scale, tpc.BENCHMARKS[name]
    expected = tpc.recorded(name, scale)
    if not expected.exists():
        subprocess.run([HERE / f"{name}-record", scale], check=True)
    views = benchmark.views(benchmark.data(scale))
    texts = tpc.queries(name, scale)
    if options.queries:
        texts = {query: texts[query] for query in map(tpc.benchmarks.query_name, options.queries.split(","))}
    script = scratch / f"{name}.sql"
    left, good, planning = list(texts), True, {}
    while left:
        columns = {query: len(canonical.read_file(expected / f"{query}.jsonl")[0]["schema"]) for query in left}
        script.write_text(tpc.benchmarks.as_script(views + [tpc.total_order(name, texts[query], columns[query]) for query in left]))
        names = {len(views) + 1 + i: f"{query}.jsonl" for i, query in enumerate(left)}
        master = ["--master", options.master] if options.master else []
        ran, done = run_script(options.firesteel, script, options.conf, expected, out, names, master, planning)
        good &= ran
        left = left[max(done - len(views), 0):][1:]
    report_planning(benchmark.title, planning)
    return compare(expected, out, names=[f"{query}.jsonl" for query in texts]) and good


def report_planning(title, planning):
    """The time from a query's text to its physical plan; test builds only indicate what release builds need."""
    slow = [f"{name} {seconds * 1000:.0f}" for name, seconds in sorted(planning.items(), key=lambda item: -item[1]) if seconds > 0.05]
    print(f"{title}: {len(planning)} plans made in {sum(planning.values()):.1f} s; those that took more than 50 ms: {', '.join(slow) or 'none'}")


def run_script(firesteel, script, conf, expected, out, names=None, more=(), planning=None):
    """Runs a script with `firesteel sql` and writes the rows of its queries to `out` in canonical form.

    Whether it ran to its end, and how many of its statements did.

    Rows come as JSON lines; how many belong to which statement is told by --timing json on standard error.
    """
    out.mkdir(parents=True, exist_ok=True)
    command = [firesteel, "sql", "-f", script, "--output", "json", "--timing", "json", *more]
    for pair in conf:
        command += ["-c", pair]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    rows = iter(ended.stdout.splitlines())
    done, error = 0, None
    for timing in tpc.timings(ended.stderr.splitlines()):
        number = timing["statement"]
        if "error" in timing:
            error = timing["error"].partition("]")[0].lstrip("[")
            break
        done = number
        lines = [next(rows) for _ in range(timing.get("rows") or 0)]
        name = (names or {}).get(number, f"result-{number:03}.jsonl")
        if planning is not None and number in names and "planning" in timing:
            planning[name.removesuffix(".jsonl")] = timing["planning"]
        if (expected / name).exists():
            head, _ = canonical.read_file(expected / name)
            canonical.write_rows(*canonical.from_objects(lines, timing["columns"]), out / name, head.get("ordered", False))
    left = len(list(rows))
    if error and (path := expected / (names or {}).get(done + 1, "")).is_file() and (head := canonical.read_file(path)[0]).get("error"):
        canonical.write_error(head["schema"], error, out / path.name)
        return True, done
    if ended.returncode != 0 or left:
        why = f"status {ended.returncode}" if ended.returncode else f"{left} rows more than --timing told"
        failed = (names or {}).get(done + 1, f"statement {done + 1}")
        print(f"FAILED   firesteel sql -f {pathlib.Path(script).name}, {failed}: {why}\n{ended.stderr[-2000:]}")
        return False, done
    return True, done


def collect_tables(folder, expected, out):
    """Writes the Parquet folders under `folder` in canonical form, for the tables that are expected."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(expected.glob("table-*.jsonl")):
        table = folder / path.stem.removeprefix("table-")
        if table.is_dir():
            head, _ = canonical.read_file(path)
            canonical.write_rows(*canonical.from_parquet(table, head["schema"]), out / path.name)


def compare(expected, actual, only="", names=None):
    """Prints the comparison of the expected files whose names begin with `only`, or of those named. True when all are equal."""
    import importlib.machinery
    import importlib.util

    loader = importlib.machinery.SourceFileLoader("compare", str(HERE / "compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
    loader.exec_module(module)
    return module.compare_folders(expected, actual, only=only, names=names)


if __name__ == "__main__":
    main()
