"""The canonical form of rows and schemas, and the ways into it: from real Spark, from Parquet folders, from JSON lines.

A canonical file is JSON lines: {"schema": [[name, type], …]} with Spark's type strings, then one array for each row, sorted by its
own text; a result of a query that ends with ORDER BY keeps its order and says so ("ordered": true). Values: decimals, dates, timestamps (UTC) and binary (base64) are strings; NaN and infinities are strings; structs and
arrays are arrays; maps are arrays of [key, value] sorted by key. A file that would be large is a digest instead:
{"schema": …, "rows": N, "sha256": of the sorted rows}. A query that fails has only {"schema": …, "error": its class}.
"""

import base64
import datetime
import decimal
import hashlib
import json
import math
import os
import pathlib
import re
import time

# PySpark hands out times without a zone, in the local one.
os.environ["TZ"] = "UTC"
time.tzset()

UTC = datetime.timezone.utc


# ---- real Spark

def spark_session(scratch, conf, cores):
    """A session of local Spark that leaves nothing behind outside `scratch`."""
    os.environ.setdefault("PYARROW_IGNORE_TIMEZONE", "1")
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", str(2 * cores))
        .config("spark.sql.warehouse.dir", f"{scratch}/warehouse")
        .config("spark.local.dir", scratch)
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.driver.extraJavaOptions", f"-Dderby.system.home={scratch} -Duser.timezone=UTC")
    )
    for pair in conf:
        key, _, value = pair.partition("=")
        builder = builder.config(key, value)
    return builder.getOrCreate()


def is_set(statement):
    return re.match(r"\s*(--[^\n]*\n\s*)*(SET|RESET)\b", statement, re.IGNORECASE) is not None


def ends_ordered(statement):
    """Whether the last ORDER BY of a statement is outside all parentheses, so that its rows come in an order."""
    depth, ordered = 0, False
    for token in re.finditer(r"'[^']*'|\"[^\"]*\"|--[^\n]*|[()]|\border\s+by\b", statement, re.IGNORECASE):
        word = token.group()
        depth += (word == "(") - (word == ")")
        ordered |= depth == 0 and word[0] in "oO"
    return ordered


def split_statements(text):
    """The statements of a script, without their semicolons. Knows quotes, raw strings, and comments."""
    statements, start, at = [], 0, 0
    blank = True
    while at < len(text):
        two, one = text[at : at + 2], text[at]
        if two == "--":
            at = text.find("\n", at)
            at = len(text) if at < 0 else at
            continue
        if two == "/*":
            depth, at = 1, at + 2
            while at < len(text) and depth:
                if text.startswith("/*", at):
                    depth, at = depth + 1, at + 2
                elif text.startswith("*/", at):
                    depth, at = depth - 1, at + 2
                else:
                    at += 1
            continue
        if one in "'\"`":
            raw = at > 0 and text[at - 1] in "rR" and (at < 2 or not (text[at - 2].isalnum() or text[at - 2] == "_"))
            at += 1
            while at < len(text) and text[at] != one:
                at += 2 if text[at] == "\\" and one != "`" and not raw else 1
            at += 1
            blank = False
            continue
        if one == ";":
            if not blank:
                statements.append(text[start:at].strip())
            start, blank = at + 1, True
        elif not one.isspace():
            blank = False
        at += 1
    if not blank:
        statements.append(text[start:].strip())
    return statements


def from_spark(frame):
    """(schema, rows) of a DataFrame of real Spark."""
    types = [field.dataType for field in frame.schema.fields]
    return schema_of(frame), [[spark_value(value, kind) for value, kind in zip(row, types)] for row in frame.collect()]


def schema_of(frame):
    return [[field.name, field.dataType.simpleString()] for field in frame.schema.fields]


def spark_value(value, kind):
    if value is None:
        return None
    name = kind.typeName()
    if name in ("float", "double"):
        return float_value(value)
    if name.startswith("decimal"):
        return decimal_value(value, kind.scale)
    if name == "timestamp":
        return timestamp_value(value.astimezone(UTC)) + "Z"
    if name == "timestamp_ntz":
        return timestamp_value(value)
    if name == "date":
        return value.isoformat()
    if name == "binary":
        return base64.b64encode(bytes(value)).decode()
    if name == "array":
        return [spark_value(item, kind.elementType) for item in value]
    if name == "map":
        return sort_map([spark_value(k, kind.keyType), spark_value(v, kind.valueType)] for k, v in value.items())
    if name == "struct":
        return [spark_value(item, field.dataType) for item, field in zip(value, kind.fields)]
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, datetime.timedelta):
        return str(value // datetime.timedelta(microseconds=1))
    raise TypeError(f"no canonical form for {kind.simpleString()}: {value!r}")


# ---- Parquet folders

def from_parquet(folder, expected):
    """(schema, rows) of a folder of Parquet files. Partition columns are read from folder names with the types of `expected`."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    keys = sorted({part.split("=")[0] for path in pathlib.Path(folder).rglob("*.parquet")
                   for part in path.relative_to(folder).parts[:-1] if "=" in part})
    arrow_types = {"date": pa.date32(), "int": pa.int32(), "bigint": pa.int64(), "string": pa.string()}
    declared = dict(expected)
    partitioning = ds.partitioning(pa.schema([(key, arrow_types[declared.get(key, "string")]) for key in keys]), flavor="hive")
    files = [str(path) for path in sorted(pathlib.Path(folder).rglob("*.parquet"))
             if not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)]
    if not files:
        return [], []
    table = ds.dataset(files, format="parquet", partitioning=partitioning, partition_base_dir=str(folder)).to_table()
    return from_arrow(table)


def from_arrow(table):
    schema = [[field.name, spark_type(field.type)] for field in table.schema]
    columns = [[arrow_value(value, column.type) for value in column.to_pylist()] for column in without_nanoseconds(table).columns]
    return schema, [list(row) for row in zip(*columns)]


def without_nanoseconds(table):
    """Spark writes INT96 times, which Arrow reads as nanoseconds although they hold microseconds."""
    import pyarrow as pa

    fields = [field.with_type(pa.timestamp("us", tz=field.type.tz or "UTC"))
              if pa.types.is_timestamp(field.type) and field.type.unit == "ns" else field for field in table.schema]
    return table.cast(pa.schema(fields))


def spark_type(kind):
    import pyarrow.types as t

    simple = [
        (t.is_boolean, "boolean"), (t.is_int8, "tinyint"), (t.is_int16, "smallint"), (t.is_int32, "int"), (t.is_int64, "bigint"),
        (t.is_float32, "float"), (t.is_float64, "double"), (t.is_date32, "date"),
        (lambda k: t.is_string(k) or t.is_large_string(k) or t.is_string_view(k), "string"),
        (lambda k: t.is_binary(k) or t.is_large_binary(k) or t.is_binary_view(k), "binary"),
    ]
    for test, name in simple:
        if test(kind):
            return name
    if t.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if t.is_timestamp(kind):
        return "timestamp" if kind.tz or kind.unit == "ns" else "timestamp_ntz"
    if t.is_list(kind) or t.is_large_list(kind):
        return f"array<{spark_type(kind.value_type)}>"
    if t.is_map(kind):
        return f"map<{spark_type(kind.key_type)},{spark_type(kind.item_type)}>"
    if t.is_struct(kind):
        return "struct<" + ",".join(f"{field.name}:{spark_type(field.type)}" for field in kind) + ">"
    return f"arrow {kind}"


def arrow_value(value, kind):
    import pyarrow.types as t

    if value is None:
        return None
    if t.is_floating(kind):
        return float_value(value)
    if t.is_decimal(kind):
        return decimal_value(value, kind.scale)
    if t.is_timestamp(kind):
        return timestamp_value(value.astimezone(UTC)) + "Z" if kind.tz else timestamp_value(value)
    if t.is_date(kind):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if t.is_map(kind):
        return sort_map([arrow_value(k, kind.key_type), arrow_value(v, kind.item_type)] for k, v in value)
    if t.is_struct(kind):
        return [arrow_value(value[field.name], field.type) for field in kind]
    if isinstance(value, list):
        return [arrow_value(item, kind.value_type) for item in value]
    return value


# ---- JSON lines and CSV, where the types are those of the expected schema

def from_objects(lines, schema):
    """Rows of JSON lines, one object for each row, read with the types of `schema`. An absent key is a null; names may repeat."""
    rows = []
    for line in filter(str.strip, lines):
        pairs = json.loads(line, parse_float=decimal.Decimal, object_pairs_hook=list)[::-1]
        row = []
        for name, kind in schema:
            row.append(typed_value(pairs.pop()[1], kind) if pairs and pairs[-1][0] == name else None)
        if pairs:
            raise ValueError(f"columns {[name for name, _ in pairs]} are not in the schema, or in another order")
        rows.append(row)
    return schema, rows


def typed_value(value, kind):
    """A value of JSON as the canonical value of a Spark type."""
    if value is None:
        return None
    if kind in ("float", "double"):
        return float_value(float(value))
    if kind.startswith("decimal"):
        return decimal_value(decimal.Decimal(str(value)), int(kind.rstrip(")").split(",")[1]))
    if kind in ("tinyint", "smallint", "int", "bigint"):
        return int(value)
    if kind in ("timestamp", "timestamp_ntz"):
        moment = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        if kind == "timestamp_ntz":
            return timestamp_value(moment)
        return timestamp_value(moment.astimezone(UTC) if moment.tzinfo else moment) + "Z"
    if kind == "binary":
        return value
    if kind.startswith("array<"):
        return [typed_value(item, kind[6:-1]) for item in value]
    if kind.startswith("map<"):
        key, item = parts(kind[4:-1])
        return [[typed_value(k, key), typed_value(v, item)] for k, v in value]
    if kind.startswith("struct<"):
        fields = [field.split(":", 1) for field in parts(kind[7:-1])]
        given = dict(value)
        return [typed_value(given.get(name), field) for name, field in fields]
    return value


def parts(text):
    """What commas separate, but for those within angle brackets and parentheses."""
    found, depth = [""], 0
    for c in text:
        depth += (c in "<(") - (c in ">)")
        if c == "," and depth == 0:
            found.append("")
        else:
            found[-1] += c
    return found


# ---- values

def float_value(value):
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value + 0.0


def decimal_value(value, scale):
    return format(value.quantize(decimal.Decimal(1).scaleb(-scale), context=decimal.Context(prec=60)), "f")


def timestamp_value(value):
    return value.replace(tzinfo=None).isoformat(timespec="microseconds")


def sort_map(pairs):
    return sorted(pairs, key=lambda pair: json.dumps(pair[0]))


# ---- files

def row_text(row):
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def write_rows(schema, rows, path, ordered=False, digest_over=None):
    """Writes rows in canonical form: as a digest where their text is longer than `digest_over` bytes."""
    texts = [row_text(row) for row in rows]
    if not ordered:
        texts.sort()
    head = {"schema": schema} | ({"ordered": True} if ordered else {})
    if digest_over is not None and sum(map(len, texts)) > digest_over:
        head |= {"rows": len(texts), "sha256": digest(texts)}
        texts = []
    with open(path, "w", encoding="utf-8") as out:
        out.write(json.dumps(head, ensure_ascii=False) + "\n")
        out.writelines(text + "\n" for text in texts)


def write_error(schema, error_class, path):
    pathlib.Path(path).write_text(json.dumps({"schema": schema, "error": error_class}) + "\n")


def digest(texts):
    sha = hashlib.sha256()
    for text in texts:
        sha.update(text.encode() + b"\n")
    return sha.hexdigest()


def read_file(path):
    """(head, texts of rows) of a canonical file."""
    with open(path, encoding="utf-8") as lines:
        head = json.loads(next(lines))
        return head, [line.rstrip("\n") for line in lines]


def first_line(statement):
    """The first line that is not a comment, to name a statement by."""
    lines = [line.strip() for line in statement.splitlines()]
    return next((line for line in lines if line and not line.startswith("--")), "")[:100]
