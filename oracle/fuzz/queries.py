"""Random queries: an expression over a table, and joins, groups, windows, set operations and subqueries of them."""

from expressions import ATOMS, EVERY, Expressions, INTEGERS, NUMBERS
from tables import COLUMNS
from tree import Node

JOINS = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN", "CROSS JOIN"]
# What does not depend on the order of rows.
AGGREGATES = [
    "count(*)", "count({any})", "count(DISTINCT {atom})", "sum({int})", "sum({bigint})", "sum({decimal(10,2)})", "sum({decimal(38,18)})", "avg({int})", "avg({decimal(10,2)})", "min({atom})",
    "max({atom})", "sum(DISTINCT {int})", "bool_and({boolean})", "bool_or({boolean})", "count_if({boolean})", "bit_and({int})", "bit_xor({bigint})", "try_sum({bigint})", "try_avg({int})",
    "sort_array(collect_set({string}))", "sort_array(collect_list({int}))", "max({array<int>})", "min({struct<x:int,y:string>})", "median({int})", "percentile({int}, 0.25)",
    "approx_count_distinct({string})", "max_by({int}, T.id)", "min_by({string}, T.id)", "every({boolean})", "sum({interval day to second})", "avg({interval year to month})",
    "count({int}, {string})", "stddev_pop({tinyint})", "any_value(1)", "bit_or({smallint})", "max({interval day to second})", "percentile_disc(0.5) WITHIN GROUP (ORDER BY {int})",
    "array_size(collect_list({any}))",
]
WINDOWS = [
    "row_number()", "rank()", "dense_rank()", "percent_rank()", "cume_dist()", "ntile(3)", "lag({any:v}, 1)", "lead({any:v}, 2)", "first_value({any})", "last_value({any})", "nth_value({any}, 2)",
    "sum({int})", "count({any})", "avg({int})", "min({atom})", "max({atom})", "collect_list({int})", "count(*)", "lag({int}, 1, 0) IGNORE NULLS", "first_value({int}) IGNORE NULLS", "sum({decimal(10,2)})",
]
FRAMES = ["", "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
          "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING", "RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING", "ROWS BETWEEN 2 FOLLOWING AND 3 FOLLOWING"]
GROUPING = ["{}", "ROLLUP({})", "CUBE({})", "GROUPING SETS (({}), ())"]


class Queries:
    def __init__(self, random):
        self.random = random

    def query(self):
        """(tree, whether its rows come in one order only)"""
        makers = [(self.plain, 34), (self.constant, 12), (self.filtered, 12), (self.grouped, 14), (self.joined, 10), (self.windowed, 8), (self.set_operation, 6), (self.subqueries, 8)]
        make = self.random.choices([m for m, _ in makers], [w for _, w in makers])[0]
        return make()

    def kind(self, of=EVERY):
        return self.random.choice(of)

    def items(self, expressions, count, depth=3):
        parts = []
        for number in range(count):
            item = expressions.of(self.kind(), depth)
            parts.append(Node(", ", item, f" AS c{number}", optional=True) if number else Node(item, f" AS c{number}"))
        return parts

    def plain(self):
        e = Expressions(self.random, ["t1"])
        return Node("SELECT ", *self.items(e, self.random.choice([1, 1, 2])), " FROM t1 ORDER BY t1.id"), True

    def constant(self):
        return Node("SELECT ", *self.items(Expressions(self.random, []), 1)), True

    def filtered(self):
        e = Expressions(self.random, ["t1"])
        return Node("SELECT t1.id FROM t1", Node(" WHERE ", e.of("boolean", 4), optional=True), " ORDER BY t1.id"), True

    def call(self, e, shape, depth):
        return e.filled(shape.replace("T.", f"{e.tables[0]}."), None, depth)

    def grouped(self):
        table = self.random.choice(["t1", "t1", "t2", "t3"])
        e = Expressions(self.random, [table])
        key = e.of(self.kind([k for k in ATOMS if k not in ("float",)]), 1)
        shape = self.random.choices(GROUPING, [6, 1, 1, 1])[0]
        before, _, after = shape.partition("{}")
        aggregates = [Node(", ", self.call(e, self.random.choice(AGGREGATES), 2), f" AS g{i}", optional=True) for i in range(self.random.choice([1, 1, 2]))]
        where = Node(" WHERE ", e.of("boolean", 2), optional=True) if self.random.random() < 0.3 else ""
        having = Node(" HAVING ", self.call(e, "count({any})", 1), " > 1", optional=True) if self.random.random() < 0.25 else ""
        if self.random.random() < 0.3:
            return Node("SELECT count(*)", *aggregates, f" FROM {table}", where, having), False
        return Node("SELECT ", key, " AS k", *aggregates, f" FROM {table}", where, f" GROUP BY {before}", key, after, having), False

    def joined(self):
        join = self.random.choice(JOINS)
        right = self.random.choice(["t2", "t2", "t3"])
        both = Expressions(self.random, ["t1", right])
        shown = Expressions(self.random, ["t1"]) if "SEMI" in join or "ANTI" in join else both
        condition = ""
        if join != "CROSS JOIN":
            kind = self.kind([*ATOMS, "array<int>"])
            columns = [name for name, column in COLUMNS.items() if column == kind]
            equal = self.random.choice(["=", "=", "=", "<=>"])
            key = Node(f"t1.{self.random.choice(columns)} {equal} {right}.{self.random.choice(columns)}")
            condition = Node(" ON ", key, Node(" AND ", both.of("boolean", 2), optional=True))
        where = Node(" WHERE ", shown.of("boolean", 2), optional=True) if self.random.random() < 0.4 else ""
        return Node("SELECT ", *self.items(shown, 2, 2), f" FROM t1 {join} {right}", condition, where), False

    def windowed(self):
        e = Expressions(self.random, ["t1"])
        part = Node("PARTITION BY ", e.of(self.kind(ATOMS), 1), " ", optional=True)
        function = self.call(e, self.random.choice(WINDOWS), 2)
        frame = self.random.choice(FRAMES) if "(" in function.text() and function.text().split("(")[0] in ("sum", "count", "avg", "min", "max", "first_value", "last_value", "collect_list") else ""
        return Node("SELECT t1.id, ", function, " OVER (", part, "ORDER BY t1.id ", Node(frame, optional=True), ") AS w FROM t1 ORDER BY t1.id"), True

    def set_operation(self):
        left, right = Expressions(self.random, ["t1"]), Expressions(self.random, ["t2"])
        kind = self.kind()
        other = kind if self.random.random() < 0.6 else self.kind(NUMBERS if kind in NUMBERS else [kind])
        operator = self.random.choice(["UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"])
        return Node("SELECT ", left.of(kind, 2), f" AS c0 FROM t1 {operator} SELECT ", right.of(other, 2), " FROM t2"), False

    def subqueries(self):
        outer, inner = Expressions(self.random, ["t1"]), Expressions(self.random, ["t2"])
        kind = self.kind(INTEGERS + ["string", "date", "boolean"])
        correlated = Node(" WHERE ", Node(f"t2.{self.random.choice(list('ylstam'))} = t1.{self.random.choice(list('ylstam'))}"), optional=True)
        shape = self.random.randrange(4)
        if shape == 0:
            word = self.random.choice(["IN", "NOT IN"])
            return Node("SELECT t1.id FROM t1 WHERE ", outer.of(kind, 1), f" {word} (SELECT ", inner.of(kind, 1), " FROM t2", correlated, ") ORDER BY t1.id"), True
        if shape == 1:
            word = self.random.choice(["EXISTS", "NOT EXISTS"])
            return Node(f"SELECT t1.id FROM t1 WHERE {word} (SELECT 1 FROM t2", correlated, ") ORDER BY t1.id"), True
        if shape == 2:
            return Node("SELECT t1.id, (SELECT ", self.call(inner, self.random.choice(["max({atom})", "count(*)", "sum({int})", "min({string})"]), 1), " FROM t2", correlated, ") AS q FROM t1 ORDER BY t1.id"), True
        value = inner.of(kind, 2)
        return Node("WITH q AS (SELECT t2.id, ", value, " AS v FROM t2) SELECT q1.id, q2.v FROM q q1 JOIN q q2 ON q1.v = q2.v"), False
