"""Random statements over typed data, answered by real Spark and by Firesteel: rows, schemas and error classes must be the same.

What differs is made smaller by taking parts away, and printed, grouped by what it has in common. With --keep the smallest statements and
Spark's answers are added to cases.jsonl, which the tests of the command check: its first lines make the tables. The same seed makes the
same statements.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import engines
import tables
import tree
from expressions import plain
from queries import Queries

CASES = HERE / "cases.jsonl"
# Not compared: what either says of itself, and answers that no one defines.
UNDEFINED = {"DIED"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--firesteel", default=os.environ.get("CARGO_TARGET_DIR", "") + "/debug/firesteel")
    parser.add_argument("--keep", action="store_true", help="add what differs to cases.jsonl")
    parser.add_argument("--check", action="store_true", help="only compare the cases of cases.jsonl")
    parser.add_argument("--no-shrink", action="store_true", help="print what differs as it was made")
    parser.add_argument("--record", metavar="FILE", type=pathlib.Path,
                        help="add the statements of this file to cases.jsonl: on each line ANSI or LEGACY, a space, a statement")
    parser.add_argument("--again", action="store_true", help="ask Spark again about all of cases.jsonl, after a change of tables.py")
    options = parser.parse_args()
    made = tables.statements()
    firesteel = engines.Firesteel(options.firesteel, made)
    if options.check:
        sys.exit(0 if check(firesteel) else 1)
    spark = engines.Spark(made)
    try:
        if options.again:
            again(spark)
        elif options.record:
            record(spark, options.record)
        else:
            sys.exit(0 if fuzz(options, spark, firesteel) else 1)
    finally:
        spark.end()
        firesteel.end()


def fuzz(options, spark, firesteel):
    groups, asked, same = collections.defaultdict(list), 0, collections.Counter()
    began = time.monotonic()
    for number in range(options.count):
        source = random.Random(f"{options.seed}/{number}")
        # Switching costs time: by the hundred.
        ansi = number // 100 % 2 == 0
        root, ordered = Queries(source).query()
        expected, actual = spark.ask(root.text(), ansi), firesteel.ask(root.text(), ansi)
        asked += 1
        kind = difference(expected, actual, ordered)
        if kind is None:
            same["error" if "error" in expected else "rows"] += 1
            continue
        if not options.no_shrink:
            def still(sql):
                return difference(spark.ask(sql, ansi), firesteel.ask(sql, ansi), ordered) == kind

            root = tree.shrunk(root, still, plain)
        sql = root.text()
        case = {"ansi": ansi, "ordered": ordered, "sql": sql, "spark": spark.ask(sql, ansi), "firesteel": firesteel.ask(sql, ansi)}
        groups[kind, shape(sql)].append(case)
        print(f"-- {number} {kind}, ANSI {'on' if ansi else 'off'}\n{sql}\n    spark     {short(case['spark'])}\n    firesteel {short(case['firesteel'])}", flush=True)
    print(f"\n{asked} statements in {time.monotonic() - began:.0f} s: {same['rows']} with equal rows, {same['error']} with equal errors, "
          f"{sum(map(len, groups.values()))} differ in {len(groups)} ways")
    for (kind, names), cases in sorted(groups.items(), key=lambda item: -len(item[1])):
        print(f"{len(cases):4} {kind}: {names}")
    if options.keep:
        known = {case["sql"] for case in kept()}
        keep(case for cases in groups.values() for case in cases[:2] if case["sql"] not in known)
    return not groups


def difference(expected, actual, ordered):
    """What kind of difference there is, if any."""
    if expected.get("error") in UNDEFINED:
        return None
    if "error" in actual or "error" in expected:
        if "error" in actual and "error" in expected:
            return None if actual["error"] == expected["error"] else f"error {expected['error']}, here {actual['error']}"
        return f"rows, here {actual['error']}" if "error" in actual else f"error {expected['error']}, here rows"
    if actual["schema"] != expected["schema"]:
        return "schema"
    mine, theirs = [[plain_numbers(row) for row in answer["rows"]] for answer in (actual, expected)]
    return None if (mine == theirs if ordered else sorted(mine) == sorted(theirs)) else "rows"


def plain_numbers(row):
    """Java before its version 19 writes some doubles with a digit more than they need."""
    return re.sub(r"(?<![\w.])-?\d+\.\d+(?:E-?\d+)?(?![\w.])", lambda m: repr(float(m.group())) if len(m.group()) > 16 and "E" in m.group() else m.group(), row)


def shape(sql):
    return " ".join(sorted(set(re.findall(r"[a-z_0-9]+(?=\()|\b[A-Z]{4,}\b", sql))))[:80]


def short(answer):
    text = f"[{answer['error']}] {answer.get('message', '')}" if "error" in answer else f"{answer['schema']} {answer['rows']}"
    return text.replace("\n", " ")[:260]


def kept():
    """The cases that are kept."""
    lines = CASES.read_text(encoding="utf-8").splitlines() if CASES.exists() else []
    return [case for case in map(json.loads, lines) if "setup" not in case]


def keep(cases):
    begin = not CASES.exists()
    with CASES.open("a", encoding="utf-8") as out:
        if begin:
            out.writelines(json.dumps({"setup": statement}, ensure_ascii=False) + "\n" for statement in tables.statements())
        for case in cases:
            answer = case["spark"]
            line = {"ansi": case["ansi"], "ordered": case["ordered"], "sql": case["sql"]}
            line |= {"error": answer["error"]} if "error" in answer else {"schema": answer["schema"], "rows": answer["rows"]}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def record(spark, path):
    known, found = {case["sql"] for case in kept()}, []
    for line in filter(None, path.read_text(encoding="utf-8").splitlines()):
        mode, _, sql = line.partition(" ")
        if sql not in known:
            found.append({"ansi": mode == "ANSI", "ordered": bool(re.search(r" ORDER BY [^()]*$", sql)), "sql": sql, "spark": spark.ask(sql, mode == "ANSI")})
    keep(found)


def again(spark):
    cases = [case | {"spark": spark.ask(case["sql"], case["ansi"])} for case in kept()]
    CASES.unlink()
    keep(cases)


def check(firesteel):
    good = True
    for case in kept():
        actual = firesteel.ask(case["sql"], case["ansi"])
        kind = difference(case, actual, case["ordered"])
        if kind:
            good = False
            print(f"{kind}\n    {case['sql']}\n    spark     {short(case)}\n    firesteel {short(actual)}")
    return good


if __name__ == "__main__":
    main()
