"""What a cluster costs against one process: TPC-H's 22 queries as a SparkJob with two executors of one core, and with `firesteel sql`.

Prints the time from submission to the driver pod running and to the first task running, to the job's end, and local mode's time for the
same script. Data are read by all pods from this machine's disk (hostPath), so that no server's speed is measured.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tpch"))
import tpch

NAMESPACE = "firesteel-bench"
LIMIT = 3600


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/release/firesteel")
    options = parser.parse_args()

    folder = tpch.data(options.scale)
    script = tpch.script(options.scale, folder)
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
    volume = {"volumes": [{"name": "data", "hostPath": {"path": str(folder), "type": "Directory"}}],
              "volumeMounts": [{"name": "data", "mountPath": str(folder), "readOnly": True}]}
    job = {
        "apiVersion": "firesteel.dev/v1alpha1", "kind": "SparkJob",
        "metadata": {"name": "tpch", "namespace": NAMESPACE},
        "spec": {
            "sql": {"inline": script},
            "sparkConf": {"spark.sql.shuffle.partitions": "4"},
            "driver": {"cores": 1, "coreRequest": "200m", "memory": "1g"} | volume,
            "executor": {"instances": 2, "cores": 1, "memory": "3g"} | volume,
        },
    }
    kubectl("delete", "sparkjob", "tpch", "--ignore-not-found", "--wait")
    began = time.monotonic()
    kubectl("create", "-f", "-", text=json.dumps(job))
    marks = {}
    watch = subprocess.Popen(["kubectl", "-n", NAMESPACE, "get", "sparkjob", "tpch", "--watch", "-o", "json"],
                             stdout=subprocess.PIPE, text=True)
    try:
        for state in documents(watch.stdout):
            status = state.get("status", {})
            progress = status.get("progress", {})
            now = time.monotonic() - began
            if status.get("phase") in ("Running", "Succeeded"):
                marks.setdefault("driver", now)
            if progress.get("tasksRunning", 0) + progress.get("tasksDone", 0) > 0:
                marks.setdefault("first task", now)
            if status.get("phase") == "Succeeded":
                marks.setdefault("first task", now)
                return marks | {"total": now}
            if status.get("phase") == "Failed" or now > LIMIT:
                sys.exit(f"the job did not succeed: {status.get('reason')}: {status.get('message')}")
    finally:
        watch.kill()
    sys.exit("kubectl stopped watching")


def local_round(firesteel, script):
    began = time.monotonic()
    subprocess.run([firesteel, "sql", "-f", "/dev/stdin", "--output", "json"], input=script, text=True, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def documents(stream):
    """JSON objects that follow each other on a stream."""
    decoder, held = json.JSONDecoder(), ""
    for line in stream:
        held += line
        if line.rstrip() == "}":
            yield decoder.decode(held)
            held = ""


def kubectl(*arguments, text=None):
    subprocess.run(["kubectl", "-n", NAMESPACE, *arguments], input=text, text=True, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
