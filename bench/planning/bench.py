"""How long Firesteel needs from the text of each query of TPC-H and TPC-DS to its physical plan, and for what.

Every query is explained, not run, in one process with files of a small scale, round after round. Told is the median of the rounds
after the first, in milliseconds: for parsing, analysis, the optimizer's rules, and physical planning. The first round also reads the
tables' statistics. Ends with status 1 when a plan takes longer than --limit.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "oracle"))
import tpc

PHASES = ["parse", "analysis", "optimizer", "physical"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="0.01")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--queries", default="", help="numbers such as 1,14a,5a-v2.7, of both; default all")
    parser.add_argument("--limit", type=float, default=50.0, help="milliseconds")
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/release/firesteel", help="the release build of the command")
    options = parser.parse_args()
    slow = []
    for name, benchmark in tpc.BENCHMARKS.items():
        texts = tpc.queries(name, options.scale)
        if options.queries:
            wanted = {tpc.benchmarks.query_name(given) for given in options.queries.split(",")}
            texts = {query: text for query, text in texts.items() if query in wanted}
        if not texts:
            continue
        measured = measure(options, benchmark, texts)
        print(f"{benchmark.title}, {len(texts)} queries, milliseconds\n")
        print(f"{'':<12}" + "".join(f"{phase:>10}" for phase in [*PHASES, "all", "first"]))
        for query, times in measured.items():
            print(f"{query:<12}" + "".join(f"{ms:>10.1f}" for ms in times))
        whole = [times[-2] for times in measured.values()]
        print(f"{'mean':<12}" + "".join(f"{statistics.fmean(column):>10.1f}" for column in zip(*measured.values())) + f"\nlongest {max(whole):.1f}\n")
        slow += [f"{query} {times[-2]:.0f}" for query, times in measured.items() if times[-2] > options.limit]
    print(f"more than {options.limit:.0f} ms: {', '.join(slow) or 'none'}")
    sys.exit(1 if slow else 0)


def measure(options, benchmark, texts):
    """{query: [each phase, all, all of the first round]}"""
    views = benchmark.views(benchmark.data(options.scale))
    script = tpc.benchmarks.as_script(views + [f"EXPLAIN {text}\n" for text in texts.values()] * options.rounds)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [options.firesteel, "sql", "-f", file.name, "--output", "json", "--timing", "json", "--quiet", "--master", "local[2]"]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    rounds = {query: [] for query in texts}
    for timing in tpc.timings(ended.stderr.splitlines()):
        if "error" in timing:
            sys.exit(f"statement {timing['statement']}: {timing['error']}")
        if timing["statement"] > len(views):
            query = list(texts)[(timing["statement"] - len(views) - 1) % len(texts)]
            rounds[query].append([timing["phases"][phase] * 1000 for phase in PHASES] + [timing["planning"] * 1000])
    found = {}
    for query, times in rounds.items():
        if len(times) != options.rounds:
            sys.exit(f"{query} was planned {len(times)} times\n{ended.stderr[-2000:]}")
        found[query] = [statistics.median(column) for column in zip(*(times[1:] or times))] + [times[0][-1]]
    return found


if __name__ == "__main__":
    main()
