"""Compares engines on TPC-H or TPC-DS: the same Parquet files, the same two cores, the engines taking turns.

Each round runs all queries once with every engine. Every engine keeps its process (and its warm code and memory) from round to round;
the first round is told apart. The time of a query is the median of its rounds, with its result fetched. Memory is the
peak of the resident sizes of the engine's processes together.

firesteel and spark run in one process with two threads; firesteel-cluster and spark-cluster with a driver and two executor
processes of one core each, on this machine (master local-cluster).
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import benchmarks

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from peak import high_water

ENGINES = ["firesteel", "spark", "sail", "duckdb"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=benchmarks.BENCHMARKS)
    parser.add_argument("--scale", default="1")
    parser.add_argument("--engines", default=",".join(ENGINES), help="the first is the one the others are compared with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", default="", help="numbers such as 1,14a, separated by commas; default all")
    parser.add_argument("--firesteel", default=default_binary(), help="the release build of the command")
    parser.add_argument("--executor-mib", type=int, default=3072, help="memory of each executor process, of the engines named …-cluster")
    parser.add_argument("--json", type=pathlib.Path, help="also write all measurements to this file")
    options = parser.parse_args()
    engines = options.engines.split(",")
    unknown = set(engines) - set(WORKERS)
    if unknown:
        parser.error(f"no engine {', '.join(sorted(unknown))}: there are {', '.join(WORKERS)}")

    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    benchmark = benchmarks.BENCHMARKS[options.benchmark]
    folder = benchmark.data(options.scale)
    queries = benchmark.queries(options.scale)
    if options.queries:
        names = [benchmarks.query_name(given) for given in options.queries.split(",")]
        if unknown := [name for name in names if name not in queries]:
            parser.error(f"no query {', '.join(unknown)}: there are {', '.join(queries)}")
        queries = {name: queries[name] for name in names}
    workers = {name: WORKERS[name](name, benchmark, folder, queries, options) for name in engines}
    try:
        for name, worker in workers.items():
            worker.start()
        times = {name: {query: [] for query in queries} for name in engines}
        rows = {name: {} for name in engines}
        errors = {}
        for turn in range(options.rounds):
            # Whoever begins gains or loses from what the machine did before: take turns in that too.
            order = engines[turn % len(engines):] + engines[: turn % len(engines)]
            for name in order:
                began = time.monotonic()
                for query, seconds, count, error in workers[name].round():
                    if error:
                        errors[name, query] = error
                    else:
                        times[name][query].append(seconds)
                        rows[name][query] = count
                print(f"round {turn + 1}: {name} {time.monotonic() - began:.1f} s", file=sys.stderr)
    finally:
        for worker in workers.values():
            worker.stop()
    medians = {name: {n: statistics.median(t) for n, t in per_query.items() if t} for name, per_query in times.items()}
    first = {name: {n: t[0] for n, t in per_query.items() if t} for name, per_query in times.items()}
    peaks = {name: workers[name].peak_bytes for name in engines}
    report(options, cores, engines, queries, medians, first, rows, peaks, errors)
    if options.json:
        options.json.write_text(json.dumps({"scale": options.scale, "times": times, "rows": rows, "peak_bytes": peaks,
                                            "errors": {f"{name} {n}": e for (name, n), e in errors.items()}}, indent=1))
    sys.exit(1 if errors else 0)


def report(options, cores, engines, queries, medians, first, rows, peaks, errors):
    print(f"{benchmarks.BENCHMARKS[options.benchmark].title} scale {options.scale}, cores {cores}, median of {options.rounds} rounds, seconds\n")
    width = max(14, *map(len, engines)) + 2
    line = lambda label, cells: print(f"{label:<14}" + "".join(f"{cell:>{width}}" for cell in cells))
    line("", engines)
    base = engines[0]

    def cell(name, query):
        if query not in medians[name]:
            return "failed"
        seconds = f"{medians[name][query]:.3f}"
        if name == base or query not in medians[base]:
            return seconds
        return f"{seconds} {medians[name][query] / medians[base][query]:>5.2f}x"

    for query in queries:
        line(query, [cell(name, query) for name in engines])
    line("sum", [f"{sum(medians[name].values()):.2f}" for name in engines])
    line("sum, 1st round", [f"{sum(first[name].values()):.2f}" for name in engines])
    line("peak memory", [f"{peaks[name] / 2**20:.0f} MiB" for name in engines])
    ratios = []
    for name in engines:
        both = [n for n in queries if n in medians[name] and n in medians[base]]
        mean = math.exp(statistics.fmean(math.log(medians[name][n] / medians[base][n]) for n in both)) if both else math.nan
        ratios.append(f"{mean:.2f}")
    line(f"ratio", ratios)
    print(f"\nratio: geometric mean of the engine's time divided by {base}'s; above 1 means that {base} is faster (x: of one query).")
    for query in queries:
        counts = {name: rows[name][query] for name in engines if query in rows[name]}
        if len(set(counts.values())) > 1:
            print(f"{query}: the engines answer different numbers of rows: {counts}")
    for (name, query), error in errors.items():
        print(f"{name} {query}: {error}")


def default_binary():
    target = os.environ.get("CARGO_TARGET_DIR", benchmarks.CACHE / "target")
    return str(pathlib.Path(target) / "release/firesteel")


class MemoryWatch(threading.Thread):
    """Adds up the largest resident size of each process in a tree."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peaks, self.roots, self.ended = {}, set(), threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            self.sample()

    def sample(self):
        for root in list(self.roots):
            total = sum(high_water(pid) for pid in tree(root))
            self.peaks[root] = max(self.peaks.get(root, 0), total)

    def peak(self):
        return max(self.peaks.values(), default=0)


def tree(pid):
    found, at = [pid], 0
    while at < len(found):
        try:
            for task in os.listdir(f"/proc/{found[at]}/task"):
                found += map(int, pathlib.Path(f"/proc/{found[at]}/task/{task}/children").read_text().split())
        except OSError:
            pass
        at += 1
    return found


class Worker:
    """An engine. `round` yields (query, seconds, rows, error) for each query."""

    def __init__(self, name, benchmark, folder, queries, options):
        self.name, self.benchmark, self.folder, self.queries, self.options = name, benchmark, folder, queries, options
        self.memory = MemoryWatch()

    def start(self):
        self.memory.start()

    def stop(self):
        self.memory.ended.set()

    @property
    def peak_bytes(self):
        return self.memory.peak()


class PythonWorker(Worker):
    """An engine with a Python interface, kept in a process of its own (engines.py)."""

    def start(self):
        super().start()
        engines = pathlib.Path(__file__).with_name("engines.py")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
        environment["BENCH_EXECUTOR_MIB"] = str(self.options.executor_mib)
        self.process = subprocess.Popen([sys.executable, engines, *self.arguments()], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        self.memory.roots.add(self.process.pid)
        self.answer()

    def arguments(self):
        return [self.name, self.benchmark.name, str(self.folder)]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended unexpectedly: try `python bench/tpc/engines.py {' '.join(self.arguments())}`")
        return json.loads(line)

    def round(self):
        for query, text in self.queries.items():
            self.process.stdin.write(json.dumps(text) + "\n")
            self.process.stdin.flush()
            answer = self.answer()
            yield query, answer.get("seconds"), answer.get("rows"), answer.get("error")

    def stop(self):
        super().stop()
        if hasattr(self, "process"):
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()


class FiresteelWorker(Worker):
    """The shell of `firesteel sql`, fed one statement after the other; it tells the time of each on standard error."""

    def start(self):
        super().start()
        self.rows = tempfile.TemporaryFile("w+")
        master = f"local-cluster[2,1,{self.options.executor_mib}]" if self.name == "firesteel-cluster" else "local[2]"
        self.process = subprocess.Popen([self.options.firesteel, "sql", "--output", "json", "--master", master], stdin=subprocess.PIPE,
                                        stdout=self.rows, stderr=subprocess.PIPE, text=True)
        self.memory.roots.add(self.process.pid)
        for view in self.benchmark.views(self.folder):
            self.run(view)

    def run(self, statement):
        """Seconds and rows, or None and the error."""
        before = self.rows.seek(0, os.SEEK_END)
        one_line = " ".join(re.sub(r"--[^\n]*", "", statement).split())
        self.process.stdin.write(one_line + ";\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stderr:
            if match := re.fullmatch(r"\(([0-9.]+) s\)", line.strip()):
                self.rows.seek(before)
                return float(match[1]), sum(row.startswith("{") for row in self.rows)
            said.append(line)
            if line.startswith("error: "):
                return None, line
        raise RuntimeError("firesteel ended unexpectedly: " + "".join(said)[-500:])

    def round(self):
        for query, text in self.queries.items():
            seconds, rows = self.run(text)
            yield (query, None, None, rows) if seconds is None else (query, seconds, rows, None)

    def stop(self):
        super().stop()
        if hasattr(self, "process"):
            self.process.stdin.close()
            self.process.wait(30)


WORKERS = {"firesteel": FiresteelWorker, "firesteel-cluster": FiresteelWorker,
           **dict.fromkeys(["spark", "spark-cluster", "sail", "duckdb", "datafusion"], PythonWorker)}

if __name__ == "__main__":
    main()
