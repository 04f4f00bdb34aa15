"""Bytes that a shuffle writes and fetches in a second of a core, against a plain copy of a file of as many bytes.

A query makes rows, moves all of them from two executor processes to two by a hash of a column, and looks at every value. The same query
without the move is subtracted. Bytes are those of the values (8 a number, the length of a text), not what compression leaves of them.
Seconds are those of the processors, of all processes and of the kernel for them.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

# Of a row: three numbers and texts of 13 to 18 bytes.
ROW_BYTES = 3 * 8 + 17
PARTITIONS = 32


def query(rows, maps, moved):
    made = f"""SELECT {f'/*+ REPARTITION({PARTITIONS}, h) */' if moved else ''} id, h, c, s FROM
        (SELECT id, xxhash64(id) h, id % 10000 c, concat('customer#', CAST(id % 100000000 AS STRING)) s FROM range(0, {rows}, 1, {maps}))"""
    return f"SELECT count(*), max(id), max(h), max(c), max(s) FROM ({made})"


def spent(command, **options):
    """Seconds of processors and of the clock that a command and its children take."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    took = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with status {done.returncode}\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/release/firesteel")
    options = parser.parse_args()
    rows = int(options.gb * 1e9 / ROW_BYTES)
    scratch = pathlib.Path(os.environ["FIRESTEEL_CACHE"])

    def firesteel(moved, *conf):
        command = [options.firesteel, "sql", "--master", "local-cluster[2,1,2048]", "--output", "json", query(rows, 32, moved)]
        for setting in (f"spark.local.dir={scratch}", *conf):
            command += ["-c", setting]
        return spent(command)

    def copy():
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            source, target = pathlib.Path(folder) / "source", pathlib.Path(folder) / "target"
            subprocess.run(["dd", "if=/dev/urandom", f"of={source}", "bs=1M", f"count={int(options.gb * 1e9) >> 20}", "status=none"], check=True)
            return spent(["cp", "--reflink=never", source, target])

    cases = {
        "plain copy": copy,
        "without the shuffle": lambda: firesteel(False),
        "with it": lambda: firesteel(True),
        "with it, not compressed": lambda: firesteel(True, "spark.shuffle.compress=false"),
    }
    all = {name: [] for name in cases}
    for turn in range(options.rounds):
        for name, case in cases.items():
            all[name].append(case())
            print(f"round {turn + 1}: {name}: {all[name][-1][0]:.1f} s of processors, {all[name][-1][1]:.1f} s", file=sys.stderr)
    cpu = {name: statistics.median(one[0] for one in runs) for name, runs in all.items()}
    print(f"{options.gb:g} GB, medians of {options.rounds} rounds")
    base = options.gb * 1e3 / cpu["plain copy"]
    print(f"{'plain copy':<28}{cpu['plain copy']:>8.1f} core-s {base:>8.0f} MB a core-second")
    for name in ("with it", "with it, not compressed"):
        net = cpu[name] - cpu["without the shuffle"]
        print(f"{name.replace('with it', 'shuffle'):<28}{net:>8.1f} core-s {options.gb * 1e3 / net:>8.0f} MB a core-second, "
              f"{base * net / options.gb / 1e3:.1f} times the cost of a copy")


if __name__ == "__main__":
    main()
