"""Whether an answer is the one that a golden file has."""

import collections
import dataclasses
import re

import golden  # which says where the modules of oracle/ are
from canonical import ends_ordered

# What a block can come to, best first.
PASSED = ["right rows", "right error"]
FAILED = ["unexpected error", "wrong error class", "rows instead of an error", "wrong schema", "wrong rows", "wrong order", "timeout", "crash"]


@dataclasses.dataclass
class Verdict:
    cause: str
    # What blocks of one cause are grouped by.
    group: str = ""
    detail: str = ""
    # Of an error: whether SQLSTATE, parameters and place are Spark's too.
    complete: bool = False

    @property
    def passed(self):
        return self.cause in PASSED


def judge(block, answer):
    error = answer.get("error")
    if error is not None:
        return judge_error(block, error)
    if block.is_error:
        wanted = block.error["errorClass"] if block.error else block.output.split("\n")[0]
        return Verdict("rows instead of an error", wanted, f"expected {block.output}\nrows came:\n{text_of(answer)}")
    if answer["schema"] != block.schema:
        same = same_rows(block, answer["rows"]) == "right rows"
        detail = f"expected {block.schema}\nactual   {answer['schema']}\n" + ("" if same else difference(block, answer["rows"]))
        return Verdict("wrong schema", "rows are right" if same else "rows differ too", detail)
    cause = same_rows(block, answer["rows"])
    return Verdict(cause, detail="" if cause in PASSED else difference(block, answer["rows"]))


def judge_error(block, error):
    actual, message = error["errorClass"], error["message"]
    if actual == "INTERNAL_ERROR" and message.startswith("the statement ended early"):
        return Verdict("crash", grouped(message), message)
    if not block.is_error:
        return Verdict("unexpected error", f"[{actual}] {grouped(message)}", f"[{actual}] {message}")
    if block.error is None:
        # Java's own exceptions have no class. What we answer instead is right when it is an error of the query.
        ours = actual == "INTERNAL_ERROR" or actual.startswith("UNSUPPORTED_FEATURE")
        return Verdict("wrong error class", f"{block.output.split(chr(10))[0]} but [{actual}]", message) if ours else Verdict("right error")
    wanted = block.error["errorClass"]
    if actual != wanted:
        # A feature that is not there is known by its message.
        what = f" {grouped(message)}" if actual in ("UNSUPPORTED_FEATURE", "INTERNAL_ERROR", "UNRESOLVED_ROUTINE") else ""
        return Verdict("wrong error class", f"{wanted} but [{actual}]{what}", f"expected {block.output}\nactual [{actual}] {message}")
    differing = [
        f"{name}: expected {expected}, actual {found}"
        for name, expected, found in (
            ("sqlState", block.error.get("sqlState", ""), error["sqlState"]),
            ("messageParameters", block.error.get("messageParameters", {}), masked_values(error["messageParameters"])),
            ("queryContext", block.error.get("queryContext", []), error["queryContext"]),
        )
        if expected != found
    ]
    return Verdict("right error", detail="\n".join(differing), complete=not differing)


def masked_values(parameters):
    return {name: re.sub(r"#\d+", "#x", value) for name, value in parameters.items()}


def same_rows(block, rows):
    rows = [masked(row) for row in rows]
    if block.newer is not None and compared(block, block.newer, rows) == "right rows":
        return "right rows"
    return compared(block, block.output, rows)


def compared(block, wanted, rows):
    if wanted in ("\n".join(rows).rstrip(), "\n".join(sorted(rows)).rstrip()):
        return "right rows"
    if lines(wanted) != lines("\n".join(rows)):
        return "wrong rows"
    # Golden files have rows in the order of their text unless the plan sorts them.
    return "wrong order" if ends_ordered(block.sql) else "right rows"


def lines(text):
    return collections.Counter(line.rstrip() for line in text.rstrip().split("\n"))


def masked(line):
    """What differs from run to run is not compared: the same rules as Spark's suite has."""
    none = "[not included in comparison]"
    for pattern, by in (
        (r"#\d+", "#x"),
        (r"plan_id=\d+", "plan_id=x"),
        (r"Location(\s*)\t?.*/warehouse/", f"Location {none}/{{warehouse_dir}}/"),
        (r"file:[^\s,]*/warehouse/", f"file:{none}/{{warehouse_dir}}/"),
        (r"Created By.*", f"Created By {none}"),
        (r"Created Time.*", f"Created Time {none}"),
        (r"Last Access.*", f"Last Access {none}"),
        (r"Owner\t.*", f"Owner {none}"),
        (r"Partition Statistics\t\d+", f"Partition Statistics\t{none}"),
        (r"CTERelationDef \d+,", "CTERelationDef xxxx,"),
        (r"CTERelationRef \d+,", "CTERelationRef xxxx,"),
        (r"@\w*,", "@xxxxxxxx,"),
        (r"\*\(\d+\) ", "*"),
    ):
        line = re.sub(pattern, lambda _, by=by: by, line)
    return line


def text_of(answer, most=20):
    rows = answer["rows"]
    return "\n".join([answer["schema"], *rows[:most], *([f"… {len(rows)} rows"] if len(rows) > most else [])])


def difference(block, rows, most=12):
    wanted, found = lines(block.output), lines("\n".join(masked(row) for row in rows))
    missing, more = list((wanted - found).elements()), list((found - wanted).elements())
    if not missing and not more:
        return "the same rows in another order:\n" + "\n".join(rows[:most])
    shown = [f"- {line}" for line in missing[:most]] + [f"+ {line}" for line in more[:most]]
    return "\n".join([f"{len(missing)} lines missing (-), {len(more)} too many (+)", *shown])


def grouped(message):
    """A message without what differs from one query to the next."""
    first = message.split("\n")[0]
    if not first.startswith(("Syntax error", "Cannot resolve routine", "The feature is not supported")):
        first = re.sub(r"`[^`]*`(\.`[^`]*`)*", "`…`", first)
        first = re.sub(r"\"[^\"]*\"", "\"…\"", first)
        first = re.sub(r"'[^']*'", "'…'", first)
        first = re.sub(r"\d+", "N", first)
    else:
        first = re.sub(r" on search path.*", "", first)
    return first[:150]
