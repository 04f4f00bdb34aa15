"""What came of a run: on the terminal, in a report of everything, and on a page of the documentation."""

import collections

import golden
from judge import FAILED, PASSED


def counted(results):
    return [(block, verdict) for block, verdict in results if verdict is not None]


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "–"


def causes(results):
    """(cause, blocks, share) in the order in which causes are told."""
    all_of = counted(results)
    counts = collections.Counter(verdict.cause for _, verdict in all_of)
    return [(cause, counts[cause], percent(counts[cause], len(all_of))) for cause in PASSED + FAILED]


def rate(results):
    all_of = counted(results)
    passed = sum(verdict.passed for _, verdict in all_of)
    return passed, len(all_of), percent(passed, len(all_of))


def complete_errors(results):
    """Errors of the right class, and those of them whose SQLSTATE, parameters and place are Spark's too."""
    right = [verdict for _, verdict in counted(results) if verdict.cause == "right error"]
    return sum(verdict.complete for verdict in right), len(right)


def groups(results, cause):
    """(what they have in common, its blocks), the most frequent first."""
    found = collections.defaultdict(list)
    for block, verdict in counted(results):
        if verdict.cause == cause:
            found[verdict.group].append(block)
    return sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))


def by_file(results):
    """file: (passed, counted, wrong rows)."""
    found = collections.defaultdict(lambda: [0, 0, 0])
    for block, verdict in counted(results):
        row = found[block.file]
        row[0] += verdict.passed
        row[1] += 1
        row[2] += verdict.cause in ("wrong rows", "wrong order")
    return found


def left_out(results):
    """reason: number of blocks."""
    excluded = golden.Excluded()
    return collections.Counter(excluded.reason(block) for block, verdict in results if verdict is None)


def print_summary(results, seconds):
    print()
    for cause, number, share in causes(results):
        print(f"{cause:<26} {number:>6}  {share:>7}")
    passed, whole, share = rate(results)
    complete, right = complete_errors(results)
    print(f"{'pass':<26} {passed:>6}  {share:>7}  of {whole} blocks; {sum(left_out(results).values())} are left out (excluded.txt)")
    print(f"{'errors equal in all':<26} {complete:>6}  {percent(complete, right):>7}  of the right errors")
    print(f"in {seconds:.0f} s")


def show_blocks(results):
    for block, verdict in counted(results):
        if not verdict.passed:
            group = f": {verdict.group}" if verdict.group else ""
            print(f"\n==== {block.file} block {block.number}: {verdict.cause}{group}\n{block.sql}\n----\n{verdict.detail}")


def sentence(text):
    return text.replace("|", "\\|").replace("\n", " ")


def write_full(results, path):
    """Everything that does not pass, grouped, for those who order and do the work."""
    with open(path, "w", encoding="utf-8") as out:
        passed, whole, share = rate(results)
        out.write(f"# Golden files of Spark {golden.VERSION}: {passed} of {whole} blocks, {share}\n\n")
        out.write("| cause | blocks | share |\n| --- | ---: | ---: |\n")
        for cause, number, share in causes(results):
            out.write(f"| {cause} | {number} | {share} |\n")
        for cause in FAILED:
            out.write(f"\n## {cause}\n\n")
            for group, blocks in groups(results, cause):
                files = collections.Counter(block.file for block in blocks)
                named = ", ".join(f"{file} {number}" for file, number in files.most_common(4))
                out.write(f"- {len(blocks)} × {group or '(no group)'} ({named}{', …' if len(files) > 4 else ''})\n")
        out.write("\n# Wrong answers\n")
        for block, verdict in counted(results):
            if verdict.cause in ("wrong rows", "wrong schema", "wrong order", "rows instead of an error"):
                out.write(f"\n## {block.file} block {block.number}: {verdict.cause}\n\n{block.sql}\n\n{verdict.detail}\n")


def write_page(results, path):
    """docs/conformance.md"""
    passed, whole, share = rate(results)
    complete, right = complete_errors(results)
    files = by_file(results)
    lines = [
        "# Conformance",
        "",
        "<!-- Written by conformance/run --update. -->",
        "",
        f"Spark tests its SQL with {len(golden.files())} files of statements and their recorded answers. `conformance/run` runs them with "
        f"Firesteel: those of Spark {golden.VERSION}, downloaded with Maven. A block is one statement. It passes when schema and rows are equal, as "
        "Spark's SQL shell prints them, or when the error is of the same class. What passes is listed in",
        "`conformance/golden-passing.txt`; `make golden` fails when one of these does not pass any more.",
        "",
        f"**{passed} of {whole} blocks pass: {share}.** Of {right} errors of the right class {complete} are equal in SQLSTATE, parameters and "
        "place too.",
        "",
        "| | blocks | share |",
        "| --- | ---: | ---: |",
        *(f"| {cause} | {number} | {part} |" for cause, number, part in causes(results)),
        "",
        "Left out, by `conformance/excluded.txt`:",
        "",
        "| blocks | why |",
        "| ---: | --- |",
        *(f"| {number} | {reason} |" for reason, number in left_out(results).most_common()),
        "",
        "## Why blocks do not pass",
        "",
        "The most frequent unexpected errors, and errors of another class than Spark's:",
        "",
        "| blocks | error |",
        "| ---: | --- |",
        *(f"| {len(blocks)} | {sentence(group)} |" for group, blocks in groups(results, "unexpected error")[:40]),
        *(f"| {len(blocks)} | expected {sentence(group)} |" for group, blocks in groups(results, "wrong error class")[:20]),
        "",
        "## By file",
        "",
        "| file | pass | of | wrong rows |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {name} | {row[0]} | {row[1]} | {row[2] or ''} |" for name, row in sorted(files.items())),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
