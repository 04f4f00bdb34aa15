"""Spark's golden files: fetched, and read into blocks.

A file of results has one block for each statement of its input: the statement, the schema, the rows or the error. What is set before
the first statement is in the input, as comments: --SET, and --CONFIG_DIM<n> for settings that must not change the answers (the first
of each dimension is taken). Statements of --IMPORTed files are in the results already.
"""

import dataclasses
import fnmatch
import hashlib
import json
import pathlib
import re
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "oracle"))
import spark_tests
from spark_tests import FOLDER, VERSION

CACHE = FOLDER.parent
RESULTS = FOLDER / "sql-tests/results"
INPUTS = FOLDER / "sql-tests/inputs"
TEST_DATA = FOLDER / "test-data"

ERROR = re.compile(r"[\w.$]+(Exception|Error)")


@dataclasses.dataclass
class Block:
    file: str
    number: int
    sql: str
    schema: str
    output: str
    # The output with Java 21, where that differs: from there on floating-point numbers are written with as few digits as tell them apart.
    newer: str | None = None
    # Of an error: None where it is one without a class, as Java's own are.
    is_error: bool = False
    error: dict | None = None

    @property
    def key(self):
        return f"{self.file} {self.number} {hashlib.sha256(self.sql.encode()).hexdigest()[:8]}"


def fetch():
    """Unpacks what is needed of Spark's test-jar, once."""
    if (FOLDER / ".complete").exists():
        return
    with zipfile.ZipFile(spark_tests.jar()) as content:
        wanted = [n for n in content.namelist() if n.startswith(("sql-tests/", "test-data/"))]
        content.extractall(FOLDER, wanted)
    (FOLDER / ".complete").touch()


def files():
    """Names of all files, as `postgreSQL/int8.sql`. Those with Java 21's answers are beside them."""
    return sorted(str(p.relative_to(RESULTS)).removesuffix(".out") for p in RESULTS.rglob("*.out"))


def read(path):
    """(statement, schema, output) for each block."""
    # Bytes as they are: a carriage return is part of some answers.
    parts = re.split(r"-- !query.*\n", path.read_bytes().decode())[1:]
    stripped = [part.rstrip() for part in parts]
    return [(sql.strip(), schema.strip(), output) for sql, schema, output in zip(stripped[0::3], stripped[1::3], stripped[2::3])]


def blocks(file):
    path = RESULTS / f"{file}.out"
    newer = path.with_name(path.name + ".java21")
    others = {sql: output for sql, _, output in read(newer)} if newer.exists() else {}
    found = []
    for number, (sql, schema, output) in enumerate(read(path)):
        block = Block(file, number, sql, schema, output)
        block.newer = others.get(sql) if others.get(sql) != output else None
        first, _, rest = block.output.partition("\n")
        if block.schema == "struct<>" and ERROR.fullmatch(first):
            block.is_error = True
            try:
                block.error = json.loads(rest)
            except ValueError:
                pass
        found.append(block)
    return found


def settings(file):
    """What Spark's own suite sets for this file, as key and value."""
    found = {
        "spark.sql.session.timeZone": "America/Los_Angeles",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.shuffle.partitions": "4",
    }
    if file.startswith("nonansi/"):
        found["spark.sql.ansi.enabled"] = "false"
    if file.startswith("postgreSQL/"):
        found["spark.sql.legacy.interval.enabled"] = "true"
    if file.startswith("timestampNTZ/"):
        found["spark.sql.timestampType"] = "TIMESTAMP_NTZ"
    dimensions = {}
    for line in (INPUTS / file).read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if line.startswith("--SET "):
            found |= pairs(line.removeprefix("--SET "))
        elif dimension := re.match(r"--CONFIG_DIM(\d+) (.*)", line):
            dimensions.setdefault(dimension.group(1), pairs(dimension.group(2)))
    for chosen in dimensions.values():
        found |= chosen
    return found


def pairs(text):
    split = (pair.partition("=") for pair in text.split(","))
    return {key.strip(): value.strip() for key, _, value in split}


class Excluded:
    """The blocks that excluded.txt leaves out, each for a reason."""

    def __init__(self):
        self.rules = []
        for line in (HERE / "excluded.txt").read_text().splitlines():
            if line and not line.startswith("#"):
                pattern, sql, reason = re.fullmatch(r"(\S+)\s+(?:/(.+)/\s+)?(.+)", line).groups()
                self.rules.append((pattern, sql and re.compile(sql, re.IGNORECASE), reason))

    def reason(self, block):
        for pattern, sql, reason in self.rules:
            if fnmatch.fnmatchcase(block.file, pattern) and (sql is None or sql.search(block.sql)):
                return reason
        return None
