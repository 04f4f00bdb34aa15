"""Runs Spark's golden SQL files with Firesteel, and compares schemas, rows and error classes.

    conformance/run                     runs all files and prints what came of it
    conformance/run --file 'postgreSQL/*'
    conformance/run --show cast.sql     what is wrong in one file, block by block
    conformance/run --check             fails when a block of golden-passing.txt does not pass any more
    conformance/run --update            adds what passes to golden-passing.txt, and writes docs/conformance.md

Needs a built `firesteel` (the test build, unless --firesteel says otherwise) and, the first time, Maven. A report of everything that
does not pass is written to $FIRESTEEL_CACHE/golden/report.md.
"""

import argparse
import fnmatch
import os
import pathlib
import sys
import time

import golden
import report
import runner

PASSING = golden.HERE / "golden-passing.txt"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", help="only files whose names match this pattern, such as 'subquery/*'")
    parser.add_argument("--show", metavar="FILE", help="run one file and show what does not pass")
    parser.add_argument("--check", action="store_true", help="fail when a block that passed does not")
    parser.add_argument("--update", action="store_true", help="add the blocks that pass to golden-passing.txt")
    parser.add_argument("--allow-drop", action="store_true", help="with --update: remove those that do not pass any more")
    parser.add_argument("--firesteel", default=os.environ["CARGO_TARGET_DIR"] + "/debug/firesteel")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2, help="files that run at the same time")
    parser.add_argument("--timeout", type=float, default=20, help="seconds for one block")
    options = parser.parse_args()
    if not pathlib.Path(options.firesteel).exists():
        sys.exit(f"conformance: there is no {options.firesteel}: cargo build --workspace --bin firesteel")

    golden.fetch()
    pattern = options.show or options.file
    names = [f for f in golden.files() if pattern is None or fnmatch.fnmatchcase(f, pattern)]
    if not names:
        sys.exit(f"conformance: no file matches {pattern}")
    began = time.monotonic()
    results = runner.run_files(names, options)
    before = read_passing()
    lost = find_lost(results, before)
    if lost and (options.check or options.update):
        results = again(results, lost, options)
        lost = find_lost(results, before)

    if options.show:
        report.show_blocks(results)
    else:
        report.write_full(results, golden.CACHE / "report.md")
    report.print_summary(results, time.monotonic() - began)
    for block, verdict in lost:
        print(f"\nLOST {block.file} block {block.number}: {verdict.cause} {verdict.group}\n{block.sql}\n{verdict.detail}")
    status = 0
    if options.update:
        status = update(results, before, lost, options.allow_drop)
        if status == 0 and pattern is None:
            report.write_page(results, golden.HERE.parent / "docs/conformance.md")
    counted = [(b, v) for b, v in results if v is not None]
    if options.check:
        keys = {b.key for b, _ in counted}
        stale = sorted(before - keys) if pattern is None else []
        for key in stale:
            print(f"LOST {key}: no such block")
        known = len(before & keys)
        print(f"{known - len(lost)} passed, {len(lost) + len(stale)} failed")
        status = 1 if lost or stale else 0
    sys.exit(status)


def read_passing():
    return set(PASSING.read_text().splitlines()) if PASSING.exists() else set()


def find_lost(results, before):
    return [(b, v) for b, v in results if v is not None and not v.passed and b.key in before]


def again(results, lost, options):
    """Runs the files of lost blocks once more: a machine that was busy elsewhere is no change of ours."""
    names = sorted({b.file for b, _ in lost})
    second = {b.key: v for b, v in runner.run_files(names, options)}
    for block, _ in lost:
        if second[block.key].passed:
            print(f"unsteady: {block.file} block {block.number} passed only when run again")
    return [(b, second[b.key] if b.file in names else v) for b, v in results]


def update(results, before, lost, allow_drop):
    if lost and not allow_drop:
        print(f"\n{len(lost)} blocks that passed do not any more; with --allow-drop they are taken out of {PASSING.name}")
        return 1
    passing = (before - {b.key for b, _ in lost}) | {b.key for b, v in results if v is not None and v.passed}
    order = sorted(passing, key=lambda key: (key.split()[0], int(key.split()[1])))
    PASSING.write_text("".join(key + "\n" for key in order))
    print(f"{PASSING.name}: {len(before)} blocks before, {len(passing)} now")
    return 0


if __name__ == "__main__":
    main()
