"""Random expressions of a wanted type. What depends on chance, the moment or the order of rows is left out."""

from tables import COLUMNS, VALUES
from tree import Node

INTEGERS = ["tinyint", "smallint", "int", "bigint"]
NUMBERS = [*INTEGERS, "float", "double", "decimal(10,2)", "decimal(38,18)"]
ATOMS = [*NUMBERS, "string", "binary", "boolean", "date", "timestamp", "timestamp_ntz"]
INTERVALS = ["interval day to second", "interval year to month"]
NESTED = ["array<int>", "array<string>", "map<string,int>", "struct<x:int,y:string>"]
EVERY = [*ATOMS, *INTERVALS, *NESTED]

# {type: calls}: in braces, types of arguments; "num", "int*", "atom" and "any" are one of several, the same in one call with a letter.
CALLS = {
    "int": ["length({string})", "size({array<int>})", "size({map<string,int>})", "year({date})", "month({timestamp})", "day({date})", "hour({timestamp})",
            "minute({timestamp_ntz})", "second({timestamp})", "dayofweek({date})", "weekofyear({date})", "quarter({date})", "dayofyear({date})",
            "datediff({date}, {date})", "ascii({string})", "instr({string}, {string})", "locate({string}, {string}, {int})", "levenshtein({string}, {string})",
            "bit_length({string})", "octet_length({string})", "sign({int})", "{array<int>}[{int}]", "try_element_at({array<int>}, {int})",
            "element_at({map<string,int>}, {string})", "{map<string,int>}[{string}]", "{struct<x:int,y:string>}.x", "array_max({array<int>})",
            "array_min({array<int>})", "find_in_set({string}, {string})", "crc32({binary})", "hash({any}, {any})", "bit_count({int})", "char_length({string})",
            "unix_date({date})", "({int} & {int})", "({int} | {int})", "({int} ^ {int})", "~{int}", "shiftleft({int}, {int})", "shiftright({int}, {int})",
            "({int} DIV {int})", "pmod({int}, {int})", "extract(YEAR FROM {interval year to month})", "extract(DAY FROM {interval day to second})",
            "aggregate({array<int>}, 0, (x, y) -> x + y)", "regexp_count({string}, 'a')", "regexp_instr({string}, '[a-z]')", "width_bucket({double}, 0, 10, 5)",
            "nvl2({any}, {int}, {int})", "array_position({array<int>}, {int})", "cardinality({array<string>})", "date_part('week', {date})", "factorial({int})",
            "position({string} IN {string})", "try_to_number({string}, '999')", "json_array_length({string})", "weekday({date})"],
    "bigint": ["({bigint} DIV {bigint})", "unix_micros({timestamp})", "unix_seconds({timestamp})", "xxhash64({any}, {any})", "array_position({array<string>}, {string})",
               "floor({double})", "ceil({decimal(10,2)})", "abs({bigint})", "shiftrightunsigned({bigint}, {int})", "unix_timestamp({timestamp})", "try_add({bigint}, {bigint})",
               "try_multiply({bigint}, {bigint})", "positive({bigint})", "-{bigint}"],
    "double": ["sqrt({double})", "cbrt({double})", "pow({double}, {int})", "round({double}, {int})", "bround({double}, {int})", "abs({double})", "signum({double})",
               "({num} / {num})", "try_divide({double}, {double})", "nanvl({double}, {double})", "rint({double})", "-{double}", "greatest({double}, {double})",
               "least({double}, {double}, {double})", "({double} % {double})", "pmod({double}, {double})", "degrees({double})", "hypot({double}, {double})",
               "months_between({date}, {date})", "expm1({float})", "log1p({int})", "log({double})", "exp({int})"],
    "float": ["-{float}", "abs({float})", "({float} * {float})", "({float} + {tinyint})", "round({float}, {int})"],
    "decimal(10,2)": ["abs({decimal(10,2)})", "-{decimal(10,2)}", "round({decimal(10,2)}, {int})", "({decimal(10,2)} + {decimal(10,2)})", "({decimal(10,2)} * {decimal(10,2)})",
                      "({decimal(10,2)} / {decimal(10,2)})", "({decimal(10,2)} % {decimal(38,18)})", "bround({decimal(10,2)}, {int})", "({decimal(10,2)} + {int})"],
    "decimal(38,18)": ["({decimal(38,18)} * {decimal(10,2)})", "({decimal(38,18)} / {decimal(38,18)})", "({decimal(38,18)} - {bigint})", "round({decimal(38,18)}, 3)",
                       "try_subtract({decimal(38,18)}, {decimal(38,18)})", "({decimal(38,18)} DIV {decimal(10,2)})"],
    "string": ["upper({string})", "lower({string})", "concat({string}, {string})", "({string} || {any})", "substring({string}, {int}, {int})", "trim({string})",
               "ltrim({string}, {string})", "trim(BOTH {string} FROM {string})", "lpad({string}, 5, {string})", "rpad({string}, 4, {string})", "reverse({string})",
               "replace({string}, {string}, {string})", "repeat({string}, 2)", "left({string}, {int})", "right({string}, {int})", "initcap({string})", "translate({string}, 'abc', '12')",
               "split_part({string}, ',', {int})", "substring_index({string}, ',', {int})", "md5({binary})", "sha2({binary}, 256)", "base64({binary})", "hex({bigint})", "hex({string})",
               "bin({bigint})", "conv({string}, 16, 10)", "date_format({timestamp}, 'yyyy-MM-dd HH:mm:ss')", "date_format({date}, 'E d MMM yyyy')", "regexp_replace({string}, '[a-z]+', 'X')",
               "regexp_extract({string}, '([a-z])', 1)", "format_number({double}, 2)", "format_string('%s-%d', {string}, {int})", "concat_ws('-', {string}, {array<string>})",
               "array_join({array<string>}, ',', '?')", "to_json({struct<x:int,y:string>})", "to_json({array<int>})", "{array<string>}[0]", "{struct<x:int,y:string>}.y", "soundex({string})",
               "space({tinyint})", "chr({int})", "elt({int}, {string}, {string})", "overlay({string} PLACING {string} FROM 2)", "typeof({any})", "nvl({string}, {string})", "ifnull({string}, 'n')",
               "coalesce({string}, {string})", "nullif({string}, {string})", "url_encode({string})", "dayname({date})", "monthname({date})", "to_char({decimal(10,2)}, '999.99')", "quote({string})",
               "max_by(x, y)", "mask({string})", "unhex({string})", "btrim({string})", "cast({any} AS string)", "make_valid_utf8({string})", "sentences({string})[0][0]"],
    "binary": ["encode({string}, 'utf-8')", "unhex({string})", "concat({binary}, {binary})", "substring({binary}, {int}, 2)", "to_binary({string}, 'utf-8')", "cast({string} AS binary)",
               "reverse({binary})", "lpad({binary}, 3, X'00')"],
    "boolean": ["({atom:q} = {atom:q})", "({atom:q} < {atom:q})", "({atom:q} >= {atom:q})", "({atom:q} <> {atom:q})", "({any:q} <=> {any:q})", "({num} = {num})", "({num} < {num})",
                "({string} = {atom})", "({boolean} AND {boolean})", "({boolean} OR {boolean})", "(NOT {boolean})", "({any} IS NULL)", "({any} IS NOT NULL)", "({string} LIKE {string})",
                "({string} LIKE 'a%')", "({string} RLIKE '^[a-z]')", "({atom:q} IN ({atom:q}, {atom:q}))", "({atom:q} NOT IN ({atom:q}, NULL))", "({atom:q} BETWEEN {atom:q} AND {atom:q})",
                "isnan({double})", "contains({string}, {string})", "startswith({string}, {string})", "endswith({binary}, {binary})", "array_contains({array<int>}, {int})",
                "arrays_overlap({array<int>}, {array<int>})", "exists({array<int>}, x -> x > 0)", "forall({array<int>}, x -> x > 0)", "map_contains_key({map<string,int>}, {string})",
                "({boolean} IS TRUE)", "({boolean} IS NOT FALSE)", "({atom:q} IS DISTINCT FROM {atom:q})", "({string} ILIKE {string})", "({string} LIKE ANY ('a%', {string}))",
                "(({int}, {string}) IN ((1, 'a'), (0, NULL)))", "equal_null({atom:q}, {atom:q})", "is_valid_utf8({string})", "({array<int>} = {array<int>})",
                "({struct<x:int,y:string>} < {struct<x:int,y:string>})", "({date} < {timestamp})", "({timestamp} = {timestamp_ntz})", "luhn_check({string})"],
    "date": ["date_add({date}, {int})", "date_sub({date}, {smallint})", "add_months({date}, {int})", "last_day({date})", "next_day({date}, 'MON')", "trunc({date}, 'MM')", "trunc({date}, 'week')",
             "to_date({string})", "make_date({int}, {int}, {int})", "({date} + {interval year to month})", "date_from_unix_date({int})", "cast({timestamp} AS date)", "try_to_date({string}, 'yyyy-MM-dd')"],
    "timestamp": ["date_trunc('HOUR', {timestamp})", "date_trunc('quarter', {timestamp})", "({timestamp} + {interval day to second})", "({timestamp} - {interval year to month})",
                  "to_timestamp({string})", "timestamp_seconds({int})", "timestamp_micros({bigint})", "make_timestamp({int}, 3, 10, 2, 30, 0)", "from_utc_timestamp({timestamp}, 'Asia/Kolkata')",
                  "to_utc_timestamp({timestamp}, 'America/New_York')", "timestampadd(MONTH, {int}, {timestamp})", "cast({date} AS timestamp)", "cast({timestamp_ntz} AS timestamp)",
                  "try_to_timestamp({string})", "window({timestamp}, '1 hour').start"],
    "timestamp_ntz": ["cast({timestamp} AS timestamp_ntz)", "({timestamp_ntz} + {interval day to second})", "to_timestamp_ntz({string})", "make_timestamp_ntz({int}, 2, 29, 1, 2, 3.5)",
                      "convert_timezone('UTC', 'Europe/Berlin', {timestamp_ntz})", "date_trunc('day', {timestamp_ntz})"],
    "interval day to second": ["({timestamp} - {timestamp})", "({interval day to second} * {int})", "({interval day to second} + {interval day to second})", "make_dt_interval({int}, 1, 2, 3.5)",
                               "({date} - {date})", "-{interval day to second}", "({interval day to second} / {num})", "abs({interval day to second})"],
    "interval year to month": ["make_ym_interval({int}, 2)", "({interval year to month} * {num})", "({interval year to month} - {interval year to month})", "-{interval year to month}"],
    "array<int>": ["array({int}, {int})", "sequence({tinyint}, 5)", "transform({array<int>}, x -> x + 1)", "transform({array<int>}, (x, i) -> x * i)", "filter({array<int>}, x -> x > {int})",
                   "array_distinct({array<int>})", "array_union({array<int>}, {array<int>})", "array_except({array<int>}, {array<int>})", "array_intersect({array<int>}, {array<int>})",
                   "sort_array({array<int>}, {boolean})", "array_sort({array<int>})", "array_remove({array<int>}, {int})", "array_append({array<int>}, {int})", "array_prepend({array<int>}, {int})",
                   "slice({array<int>}, {int}, 2)", "concat({array<int>}, {array<int>})", "reverse({array<int>})", "array_repeat({int}, 2)", "map_values({map<string,int>})", "array_compact({array<int>})",
                   "array_insert({array<int>}, {int}, {int})", "flatten(array({array<int>}, {array<int>}))", "zip_with({array<int>}, {array<int>}, (x, y) -> x - y)", "from_json({string}, 'array<int>')"],
    "array<string>": ["split({string}, ',')", "split({string}, '', {int})", "array({string}, {string})", "map_keys({map<string,int>})", "sort_array({array<string>})", "array_distinct({array<string>})",
                      "regexp_extract_all({string}, '([a-z])', 1)", "transform({array<string>}, x -> upper(x))", "array_sort({array<string>}, (x, y) -> length(x) - length(y))"],
    "map<string,int>": ["map({string}, {int})", "map_filter({map<string,int>}, (k, v) -> v > 0)", "transform_values({map<string,int>}, (k, v) -> v + 1)", "map_concat({map<string,int>}, map('zz', 1))",
                        "map_from_arrays({array<string>}, {array<int>})", "from_json({string}, 'map<string,int>')", "transform_keys({map<string,int>}, (k, v) -> upper(k))"],
    "struct<x:int,y:string>": ["named_struct('x', {int}, 'y', {string})", "from_json({string}, 'x int, y string')", "struct({int} AS x, {string} AS y)"],
}
SHARED = ["CASE WHEN {boolean} THEN {SELF} ELSE {SELF} END", "if({boolean}, {SELF}, {SELF})", "coalesce({SELF}, {SELF})", "nullif({SELF}, {SELF})", "CASE {atom:q} WHEN {atom:q} THEN {SELF} END"]
ARITHMETIC = ["({SELF} + {SELF})", "({SELF} - {SELF})", "({SELF} * {SELF})", "({SELF} % {SELF})", "abs({SELF})", "greatest({SELF}, {SELF})", "least({SELF}, {SELF})"]
del CALLS["string"][CALLS["string"].index("max_by(x, y)")]


class Expressions:
    def __init__(self, random, tables):
        """`tables`: what columns are qualified with; none where there is no FROM."""
        self.random, self.tables = random, tables

    def of(self, kind, depth):
        roll = self.random.random()
        if depth <= 0 or roll < 0.25:
            return self.leaf(kind)
        if roll < 0.37:
            return self.cast(kind, depth)
        calls = list(CALLS.get(kind, []))
        shapes = calls or SHARED
        if roll > 0.85:
            shapes = SHARED
        elif kind in NUMBERS and roll > 0.65:
            shapes = ARITHMETIC
        return self.filled(self.random.choice(shapes), kind, depth - 1)

    def leaf(self, kind):
        columns = [name for name, column in COLUMNS.items() if column == kind]
        if self.tables and columns and self.random.random() < 0.75:
            return Node(f"{self.random.choice(self.tables)}.{self.random.choice(columns)}", kind=kind)
        if self.random.random() < 0.08:
            return Node("NULL", kind=kind)
        value = self.random.choice(VALUES[kind])
        if kind.startswith("decimal") or kind == "float" and "(" not in value:
            value = f"CAST({value} AS {kind})"
        return Node(value, kind=kind)

    def cast(self, kind, depth):
        word = self.random.choice(["CAST", "try_cast"])
        source = self.random.choice([kind, *ATOMS]) if kind in ATOMS else kind
        return Node(f"{word}(", self.of(source, depth - 1), f" AS {kind})", kind=kind)

    def filled(self, shape, kind, depth):
        parts, letters = [], {}
        for piece in shape.replace("{", "\0{").replace("}", "}\0").split("\0"):
            if not piece.startswith("{"):
                parts.append(piece)
                continue
            wanted, _, letter = piece[1:-1].partition(":") if piece[1:-1].split(":")[0] in ("num", "atom", "any") else (piece[1:-1], "", "")
            if letter and letter in letters:
                wanted = letters[letter]
            elif wanted == "SELF":
                wanted = kind
            elif wanted in ("num", "atom", "any"):
                wanted = self.random.choice({"num": NUMBERS, "atom": ATOMS, "any": EVERY}[wanted])
                letters[letter] = wanted
            parts.append(self.of(wanted, depth))
        return Node(*parts, kind=kind)


def plain(kind):
    """What an expression of the type may shrink to."""
    return [name for name in (f"t1.{name}" for name, column in COLUMNS.items() if column == kind)] + ["NULL"] + VALUES.get(kind, [])[:2]
