"""A join half of whose rows have one key, against the same join without skew, with adaptive execution and without splitting.

One application with executors as processes (firesteel sql --master local-cluster[…]) runs all of them in turns; medians are printed.
The tables are made by the query, so that nothing but the join differs: rows of 64 hexadecimal digits and a key on one side, one row
a key on the other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

KEYS = 1_000_000
# Small enough that a partition of this size is worth splitting on one machine.
CONF = {
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.shuffle.partitions": "32",
    "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes": "8m",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "8m",
}


def join(rows, maps, key):
    large = f"SELECT {key} k, sha2(CAST(id AS STRING), 256) s FROM range(0, {rows}, 1, {maps})"
    small = f"SELECT id k, id % 7 v FROM range(0, {KEYS}, 1, {maps})"
    return f"SELECT v, count(*), max(s) FROM ({large}) JOIN ({small}) USING (k) GROUP BY v"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--executors", type=int, default=2, help="of one core each")
    parser.add_argument("--memory", default="2048", help="MiB of an executor")
    options = parser.parse_args()

    maps = 8 * options.executors
    even, half = f"id % {KEYS}", f"CASE WHEN id % 2 = 0 THEN 77 ELSE id % {KEYS} END"
    set_split = "SET spark.sql.adaptive.skewJoin.enabled = {}"
    cases = {
        "even": (set_split.format("true"), join(options.rows, maps, even)),
        "skewed": (set_split.format("true"), join(options.rows, maps, half)),
        "skewed, not split": (set_split.format("false"), join(options.rows, maps, half)),
    }
    # The first round warms up.
    order = [name for _ in range(options.rounds + 1) for name in cases]
    script = ";\n".join(statement for name in order for statement in cases[name]) + ";\n"
    command = [os.environ["FIRESTEEL"], "sql", "--master", f"local-cluster[{options.executors},1,{options.memory}]", script]
    command += ["--output", "json", "--timing", "json"]
    for key, value in CONF.items():
        command += ["-c", f"{key}={value}"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    timings = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{") and '"statement"' in line]
    if ended.returncode != 0:
        sys.exit(f"firesteel ended with status {ended.returncode}\n{ended.stderr[-2000:]}")
    seconds = {name: [] for name in cases}
    for index, name in enumerate(order):
        if index >= len(cases):
            # A SET, then the query.
            seconds[name].append(timings[2 * index + 1]["seconds"])
    medians = {name: statistics.median(all) for name, all in seconds.items()}
    for name, median in medians.items():
        print(f"{name:20} {median:7.2f} s   ({', '.join(f'{one:.2f}' for one in seconds[name])})")
    print(f"skewed / even: {medians['skewed'] / medians['even']:.2f}; not split: {medians['skewed, not split'] / medians['even']:.2f}")


if __name__ == "__main__":
    main()
