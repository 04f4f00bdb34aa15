"""A group-by, a sort and a join of rows that are several times larger than all executors' memory, on a cluster.

Two executors whose pods may use 1 GiB each; the rows are all columns of TPC-H's lineitem, at scale 10 some 15 GiB in memory. Prints for each
case: seconds, bytes spilled, and the peak of each executor process (VmHWM) against its pod's limit. The rows that come out are compared
with those of DuckDB. A container that is killed for its memory is seen as an executor that was lost, which ends the benchmark.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tpc"), str(ROOT / "cluster")]
import jobs
from benchmarks import CACHE, TPCH
from peak import high_water

POD_MIB = 1024
# The least that Spark adds to what is asked for.
OVERHEAD_MIB = 384
EXECUTORS = 2
COLUMNS = """l_orderkey l_partkey l_suppkey l_linenumber l_quantity l_extendedprice l_discount l_tax l_returnflag l_linestatus
             l_shipdate l_commitdate l_receiptdate l_shipinstruct l_shipmode l_comment""".split()
KEYS = ["l_orderkey", "l_linenumber"]
# Of all columns, so that none is left out on the way.
TOTALS = ", ".join(["count(*)", "sum(l_quantity)", "sum(length(l_comment))", *(f"max({name})" for name in COLUMNS)])
# Reduce partitions: of the join so few that its build sides do not fit.
PARTITIONS = {"group": 64, "sort": 64, "join": 16}


def cases(out):
    """The statement of each case, and the query whose rows DuckDB must agree with: over the files in `out` where that is written."""
    rest = [name for name in COLUMNS if name not in KEYS]
    groups = f"SELECT {', '.join(KEYS)}, {', '.join(f'max({name}) {name}' for name in rest)} FROM lineitem GROUP BY {', '.join(KEYS)}"
    sides = f"lineitem a JOIN lineitem b ON {' AND '.join(f'a.{key} = b.{key}' for key in KEYS)}"
    joined = f"SELECT {', '.join(f'a.{name}' for name in COLUMNS)}, b.l_comment other FROM {sides}"
    return {
        "group": f"SELECT {TOTALS} FROM ({groups})",
        "sort": f"INSERT OVERWRITE DIRECTORY '{out}' USING parquet SELECT * FROM lineitem ORDER BY l_comment, l_orderkey, l_linenumber",
        "join": f"SELECT {TOTALS}, sum(length(other)) o FROM ({joined})",
    }


class Watch(threading.Thread):
    """The largest resident size of each executor process on this machine: nodes of the test cluster run here."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peaks, self.ended = {}, threading.Event()

    def run(self):
        while not self.ended.wait(0.2):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    if not command[0].endswith(b"firesteel") or command[1] != b"executor":
                        continue
                except (OSError, IndexError):
                    continue
                # It may be gone by now: what it had before counts.
                self.peaks[pid] = max(self.peaks.get(pid, 0), high_water(pid) >> 20)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="10")
    parser.add_argument("--cases", default="group,sort,join")
    options = parser.parse_args()
    data = TPCH.data(options.scale)
    out = pathlib.Path(tempfile.mkdtemp(prefix="bench-memory-", dir=CACHE))
    # Pods do not run as this user.
    out.chmod(0o777)
    try:
        for name in options.cases.split(","):
            measure(name, data, out)
    finally:
        shutil.rmtree(out)


def measure(name, data, out):
    target = out / "sorted"
    target.mkdir(mode=0o777, exist_ok=True)
    target.chmod(0o777)
    statement = cases(target)[name]
    volumes = jobs.both(jobs.folder(data), jobs.folder(out, "out", read_only=False))
    spec = {
        "sql": {"inline": f"{TPCH.views(data)[TABLE]};\n{statement};"},
        "sparkConf": {
            "spark.sql.shuffle.partitions": str(PARTITIONS[name]),
            # Both sides of the join move.
            "spark.sql.autoBroadcastJoinThreshold": "-1",
        },
        "driver": {"cores": 1, "coreRequest": "200m", "memory": "1g"} | volumes,
        "executor": {"instances": EXECUTORS, "cores": 1, "memory": f"{POD_MIB - OVERHEAD_MIB}m"} | volumes,
    }
    watch = Watch()
    watch.start()
    seconds, status = jobs.run(f"memory-{name}", spec, lambda now, status: None)
    watch.ended.set()
    progress = status["progress"]
    lost = status.get("executors", {}).get("lastFailureReason")
    peaks = sorted(watch.peaks.values(), reverse=True)
    print(f"{name:<6}{seconds:>8.1f} s, {progress.get('spilledBytes', 0) / 2**30:6.1f} GiB spilled, "
          f"executors' peaks {', '.join(map(str, peaks))} of {POD_MIB} MiB, tasks run again {progress.get('tasksRerun', 0)}", flush=True)
    if lost or len(peaks) != EXECUTORS:
        sys.exit(f"{name}: executors were lost: {lost}")
    check(name, data, target, jobs.kubectl("logs", f"memory-{name}-1-driver"))


TABLE = TPCH.tables.index("lineitem")


def check(name, data, target, log):
    import duckdb

    connection = duckdb.connect()
    lineitem = f"read_parquet('{data}/lineitem/*.parquet')"
    other = ", sum(length(l_comment))" if name == "join" else ""
    expected = connection.execute(f"SELECT {TOTALS}{other} FROM {lineitem}").fetchone()
    if name == "sort":
        # In the order of the files' names, which is that of the rows.
        files = sorted(str(path) for path in target.glob("*.parquet"))
        found = connection.execute(f"SELECT {TOTALS} FROM read_parquet({files})").fetchone()
        ends = [connection.execute(f"SELECT min(l_comment), max(l_comment) FROM read_parquet('{file}')").fetchone() for file in files]
        assert all(before[1] <= after[0] for before, after in zip(ends, ends[1:])), "files overlap"
        for file in files:
            query = f"SELECT count(*) FROM (SELECT l_comment c, lag(l_comment) OVER () p FROM read_parquet('{file}')) WHERE p > c"
            assert connection.execute(query).fetchone() == (0,), f"{file} is not sorted"
        assert found == expected, f"{found} is not {expected}"
    else:
        rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in log.splitlines() if line.startswith("|")]
        assert tuple(map(str, expected)) in rows, f"no row {expected} in the driver's log: {rows}"


if __name__ == "__main__":
    main()
