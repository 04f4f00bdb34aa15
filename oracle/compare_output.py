"""Compares Parquet folders that a job wrote with rows recorded from real Spark, as multisets.

    oracle/compare-output EXPECTED ACTUAL

EXPECTED is a folder of canonical files (oracle/expected/...): NAME.jsonl or table-NAME.jsonl stands for the folder ACTUAL/NAME.
Recorded results of statements that write nothing (result-...) are left out. The order of rows is not compared: files have none.
"""

import pathlib
import sys
import tempfile

import canonical
import check


def main(expected, actual):
    names = [path for path in sorted(expected.glob("*.jsonl")) if not path.name.startswith("result-")]
    if not names:
        sys.exit(f"there are no recorded rows in {expected}")
    with tempfile.TemporaryDirectory(prefix="firesteel-oracle-") as scratch:
        wanted, found = pathlib.Path(scratch) / "expected", pathlib.Path(scratch) / "actual"
        wanted.mkdir()
        found.mkdir()
        for path in names:
            head, rows = canonical.read_file(path)
            ordered = head.pop("ordered", False)
            if ordered:
                rows.sort()
            (wanted / path.name).write_text("".join(line + "\n" for line in [canonical.json.dumps(head, ensure_ascii=False), *rows]))
            folder = actual / path.stem.removeprefix("table-")
            if folder.is_dir():
                canonical.write_rows(*canonical.from_parquet(folder, head["schema"]), found / path.name)
        sys.exit(0 if check.compare(wanted, found) else 1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
