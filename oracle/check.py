"""Compares Firesteel's answers with those recorded from real Spark: the headline example, and TPC-H's queries.

Needs a built `firesteel` (the test build, unless --firesteel says otherwise). Rows recorded for TPC-H at scale 0.01 are in the
repository; those of other scales are recorded first, with real Spark, when the cache folder does not have them.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import canonical

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "bench/tpch"))
import tpch

EXAMPLE = ROOT / "examples/server-health"
SINCE = "spark.firesteel.example.since=01/Mar/2026:00:00:00 +0000"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=["all", "server-health", "tpch"])
    parser.add_argument("--scale", default="0.01", help="of TPC-H")
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/debug/firesteel")
    parser.add_argument("--master", help="for TPC-H: where it runs, such as local-cluster[2,1,2048]; else in one process")
    parser.add_argument("-c", "--conf", action="append", default=[], help="key=value, for TPC-H")
    parser.add_argument("--output", type=pathlib.Path, help="keep what Firesteel answered in this folder")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="firesteel-oracle-") as scratch:
        out = options.output or pathlib.Path(scratch) / "actual"
        good = True
        if options.what in ("all", "server-health"):
            good &= server_health(options.firesteel, pathlib.Path(scratch), out / "server-health")
        if options.what in ("all", "tpch"):
            good &= tpch_queries(options, pathlib.Path(scratch), out / f"tpch-sf{options.scale}")
    sys.exit(0 if good else 1)


def server_health(firesteel, scratch, out):
    """The example as a SQL script, for its report, and as a job file: both must leave Spark's tables."""
    expected = HERE / "expected/server-health"
    script = EXAMPLE / "server-health.sql"
    conf = [f"spark.firesteel.example.input={EXAMPLE / 'data'}", f"spark.firesteel.example.output={scratch / 'sql'}", SINCE]
    good = run_script(firesteel, script.read_text(), script, conf, expected, out / "sql")
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


def tpch_queries(options, scratch, out):
    scale = options.scale
    expected = HERE / f"expected/tpch-sf{scale}"
    if not expected.exists():
        expected = tpch.CACHE / f"expected/tpch-sf{scale}"
    if not expected.exists():
        subprocess.run([HERE / "tpch-record", scale], check=True)
    script = scratch / "tpch.sql"
    script.write_text(tpch.script(scale, tpch.data(scale)))
    first = len(tpch.TABLES) + 1
    names = {first + i: tpch.result_file(number) for i, number in enumerate(tpch.queries(scale))}
    master = ["--master", options.master] if options.master else []
    good = run_script(options.firesteel, script.read_text(), script, options.conf, expected, out, names, master)
    return compare(expected, out) and good


def run_script(firesteel, text, script, conf, expected, out, names=None, more=()):
    """Runs a script with `firesteel sql` and writes the rows of its queries to `out` in canonical form.

    Rows come as JSON lines; how many belong to which statement is told by --timing json on standard error.
    """
    out.mkdir(parents=True, exist_ok=True)
    command = [firesteel, "sql", "-f", script, "--output", "json", "--timing", "json", *more]
    for pair in conf:
        command += ["-c", pair]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    rows = iter(ended.stdout.splitlines())
    for timing in tpch.timings(ended.stderr.splitlines()):
        number = timing["statement"]
        lines = [next(rows) for _ in range(timing.get("rows") or 0)]
        name = (names or {}).get(number, f"result-{number:03}.jsonl")
        if (expected / name).exists():
            head, _ = canonical.read_file(expected / name)
            canonical.write_rows(*canonical.from_objects(lines, head["schema"]), out / name, head.get("ordered", False))
    left = len(list(rows))
    if ended.returncode != 0 or left:
        why = f"status {ended.returncode}" if ended.returncode else f"{left} rows more than --timing told"
        print(f"FAILED   firesteel sql -f {pathlib.Path(script).name}: {why}\n{ended.stderr[-2000:]}")
        return False
    return True


def collect_tables(folder, expected, out):
    """Writes the Parquet folders under `folder` in canonical form, for the tables that are expected."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(expected.glob("table-*.jsonl")):
        table = folder / path.stem.removeprefix("table-")
        if table.is_dir():
            head, _ = canonical.read_file(path)
            canonical.write_rows(*canonical.from_parquet(table, head["schema"]), out / path.name)


def compare(expected, actual, only=""):
    """Prints the comparison of the expected files whose names begin with `only`. True when all are equal."""
    import importlib.machinery
    import importlib.util

    loader = importlib.machinery.SourceFileLoader("compare", str(HERE / "compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
    loader.exec_module(module)
    return module.compare_folders(expected, actual, only=only)


if __name__ == "__main__":
    main()
