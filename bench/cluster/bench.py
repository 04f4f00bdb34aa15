"""What a cluster costs against one process: TPC-H's 22 queries as a SparkJob with two executors of one core, and with `firesteel sql`.

Prints the time from submission to the driver pod running and to the first task running, to the job's end, and local mode's time for the
same script. Data are read by all pods from this machine's disk (hostPath), so that no server's speed is measured.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

import jobs

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tpc"))
from benchmarks import TPCH


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/release/firesteel")
    options = parser.parse_args()

    folder = TPCH.data(options.scale)
    script = TPCH.script(options.scale, folder)
    rounds = []
    for turn in range(options.rounds):
        measured = cluster_round(script, folder) | {"local": local_round(options.firesteel, script)}
        print(f"round {turn + 1}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in measured.items()), file=sys.stderr)
        rounds.append(measured)
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    print(f"TPC-H scale {options.scale}, median of {options.rounds} rounds, seconds\n")
    labels = {"driver": "submitted to driver running", "first task": "submitted to first task running",
              "total": "submitted to complete", "local": "local mode, same script"}
    for name, label in labels.items():
        print(f"{label:<34}{medians[name]:>8.2f}")
    print(f"{'cluster / local':<34}{medians['total'] / medians['local']:>8.2f}")


def cluster_round(script, folder):
    volume = jobs.folder(folder)
    marks = {}

    def seen(now, status):
        progress = status.get("progress", {})
        if status.get("phase") in ("Running", "Succeeded"):
            marks.setdefault("driver", now)
        if status.get("phase") == "Succeeded" or progress.get("tasksRunning", 0) + progress.get("tasksDone", 0) > 0:
            marks.setdefault("first task", now)

    spec = {
        "sql": {"inline": script},
        "sparkConf": {"spark.sql.shuffle.partitions": "4"},
        "driver": {"cores": 1, "coreRequest": "200m", "memory": "1g"} | volume,
        "executor": {"instances": 2, "cores": 1, "memory": "3g"} | volume,
    }
    total, _ = jobs.run("tpch", spec, seen)
    return marks | {"total": total}


def local_round(firesteel, script):
    began = time.monotonic()
    subprocess.run([firesteel, "sql", "-f", "/dev/stdin", "--output", "json"], input=script, text=True, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
