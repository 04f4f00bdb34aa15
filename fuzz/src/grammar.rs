//! Random queries by the grammar, over the tables of `plan::TABLES`: many of them are right, and most are nearly so.

use crate::{Names, random::Random};

/// Levels of expressions and of queries within each other.
const DEEP: usize = 4;

const BINARY: [&str; 22] = [
    "+", "-", "*", "/", "%", "DIV", "=", "<>", "<", "<=", ">", ">=", "<=>", "AND", "OR", "||", "&", "|", "^", "LIKE",
    "RLIKE", "<<",
];
const TYPES: [&str; 20] = [
    "INT",
    "BIGINT",
    "TINYINT",
    "SMALLINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL(5,2)",
    "DECIMAL(38,10)",
    "STRING",
    "BINARY",
    "BOOLEAN",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMP_NTZ",
    "INTERVAL DAY TO SECOND",
    "INTERVAL YEAR TO MONTH",
    "ARRAY<INT>",
    "MAP<STRING, INT>",
    "STRUCT<x: INT, y: STRING>",
    "VOID",
];
const LITERALS: [&str; 26] = [
    "1",
    "0",
    "-1",
    "NULL",
    "2.5",
    "1e3",
    "'abc'",
    "''",
    "'2024-02-29'",
    "'1.5'",
    "true",
    "false",
    "DATE'2024-02-29'",
    "TIMESTAMP'2024-11-03 01:30:00'",
    "TIMESTAMP_NTZ'1969-12-31 23:59:59.999999'",
    "INTERVAL '1' DAY",
    "INTERVAL '3' MONTH",
    "X'00FF'",
    "9223372036854775807L",
    "127Y",
    "3.4028235E38F",
    "array(1, 2, NULL)",
    "map('a', 1)",
    "named_struct('x', 1, 'y', 'z')",
    "12345678901234567890.123456789",
    "make_interval(1, 2, 3)",
];
const AGGREGATES: [&str; 30] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "first",
    "last",
    "any_value",
    "collect_list",
    "collect_set",
    "stddev",
    "var_pop",
    "corr",
    "covar_samp",
    "bool_and",
    "count_if",
    "max_by",
    "min_by",
    "approx_count_distinct",
    "percentile",
    "percentile_approx",
    "median",
    "skewness",
    "bit_xor",
    "regr_slope",
    "listagg",
    "grouping",
    "grouping_id",
    "try_sum",
    "array_agg",
];
const WINDOWS: [&str; 11] = [
    "row_number()",
    "rank()",
    "dense_rank()",
    "ntile(2)",
    "percent_rank()",
    "cume_dist()",
    "lag(a)",
    "lead(b, 2)",
    "sum(a)",
    "count(*)",
    "nth_value(a, 2)",
];
const JOINS: [&str; 11] = [
    "JOIN",
    "LEFT JOIN",
    "RIGHT JOIN",
    "FULL OUTER JOIN",
    "CROSS JOIN",
    "LEFT SEMI JOIN",
    "LEFT ANTI JOIN",
    "NATURAL JOIN",
    "JOIN LATERAL",
    "LEFT JOIN LATERAL",
    ",",
];
const SETS: [&str; 8] =
    ["UNION ALL", "UNION", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL", "MINUS", "UNION BY NAME"];
const FRAMES: [&str; 7] = [
    "",
    "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
    "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "RANGE BETWEEN 1 PRECEDING AND 2 FOLLOWING",
    "ROWS 2 PRECEDING",
    "RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW",
];
const ALIASES: [&str; 5] = ["x", "y", "r", "q", "a"];

pub struct Grammar<'r, 'n> {
    pub random: &'r mut Random,
    pub names: &'n Names<'n>,
}

impl Grammar<'_, '_> {
    pub fn statement(&mut self) -> String {
        let query = self.query(0);
        match self.random.below(24) {
            0 => format!("EXPLAIN {query}"),
            1 => format!("INSERT INTO {} {query}", self.random.pick(self.names.tables)),
            2 => format!("DESCRIBE {query}"),
            3 => format!("FROM ({query}) |> {}", self.pipe()),
            4 => format!("INSERT INTO t (a, b) SELECT {}, {}", self.expr(1), self.expr(1)),
            _ => query,
        }
    }

    fn pipe(&mut self) -> String {
        match self.random.below(6) {
            0 => format!("WHERE {}", self.expr(1)),
            1 => format!("AGGREGATE {} GROUP BY {}", self.aggregate(1), self.expr(2)),
            2 => format!("EXTEND {} AS z", self.expr(1)),
            3 => format!("ORDER BY {} |> LIMIT 3", self.expr(2)),
            4 => format!("SET {} = {}", self.random.pick(self.names.columns), self.expr(2)),
            _ => format!("DROP {} |> AS x", self.random.pick(self.names.columns)),
        }
    }

    fn query(&mut self, level: usize) -> String {
        let mut text = String::new();
        if level < 2 && self.random.chance(12) {
            let (name, inner) = (self.random.pick(&ALIASES), self.query(level + 1));
            text.push_str(&format!("WITH {name} AS ({inner}) "));
        }
        text.push_str(&self.select(level));
        while level < DEEP && self.random.chance(12) {
            text.push_str(&format!(" {} {}", self.random.pick(&SETS), self.select(level + 1)));
        }
        if self.random.chance(30) {
            let items: Vec<String> = (0..1 + self.random.below(2)).map(|_| self.sort_item(level)).collect();
            text.push_str(&format!(" ORDER BY {}", items.join(", ")));
        }
        if self.random.chance(15) {
            text.push_str(&format!(" LIMIT {}", self.random.below(5)));
        }
        if self.random.chance(5) {
            text.push_str(" OFFSET 1");
        }
        text
    }

    fn sort_item(&mut self, level: usize) -> String {
        let order = self.random.pick(&["", " DESC", " ASC NULLS LAST", " DESC NULLS FIRST"]);
        let key = match self.random.below(4) {
            0 => self.random.pick(&["1", "2", "ALL"]).to_owned(),
            _ => self.expr(level.max(2)),
        };
        key + order
    }

    fn select(&mut self, level: usize) -> String {
        let grouped = self.random.chance(30);
        let mut text = format!("SELECT {}", if self.random.chance(8) { "DISTINCT " } else { "" });
        let items: Vec<String> = (0..1 + self.random.below(3)).map(|_| self.item(level, grouped)).collect();
        text.push_str(&items.join(", "));
        if self.random.chance(92) {
            text.push_str(&format!(" FROM {}", self.relations(level)));
        }
        if self.random.chance(35) {
            text.push_str(&format!(" WHERE {}", self.condition(level)));
        }
        if grouped {
            text.push_str(&self.group_by(level));
        }
        if self.random.chance(if grouped { 20 } else { 2 }) {
            text.push_str(&format!(" HAVING {} > 1", self.aggregate(level + 1)));
        }
        if self.random.chance(3) {
            text.push_str(" QUALIFY row_number() OVER (ORDER BY a) = 1");
        }
        text
    }

    fn item(&mut self, level: usize, grouped: bool) -> String {
        let value = match self.random.below(10) {
            0 if !grouped => return self.random.pick(&["*", "t.*", "u.*", "x.*", "* EXCEPT (a)"]).to_owned(),
            1 => self.window(level + 1),
            2..=5 if grouped => self.aggregate(level + 1),
            6 if self.random.chance(20) => format!("explode({})", self.expr(level + 2)),
            _ => self.expr(level),
        };
        if self.random.chance(30) { format!("{value} AS {}", self.random.pick(&["a", "b", "x", "c1"])) } else { value }
    }

    fn group_by(&mut self, level: usize) -> String {
        let (one, two) = (self.expr(level.max(2)), self.random.pick(self.names.columns));
        match self.random.below(9) {
            0 => " GROUP BY ALL".to_owned(),
            1 => format!(" GROUP BY ROLLUP({one}, {two})"),
            2 => format!(" GROUP BY CUBE({one}, {two})"),
            3 => format!(" GROUP BY GROUPING SETS (({one}), ({two}), ())"),
            4 => " GROUP BY 1".to_owned(),
            5 => String::new(),
            _ => format!(" GROUP BY {one}, {two}"),
        }
    }

    fn relations(&mut self, level: usize) -> String {
        let mut text = self.relation(level);
        while self.random.chance(25) && text.len() < 2000 {
            let join = self.random.pick(&JOINS);
            let right = if join.ends_with("LATERAL") {
                format!("({}) AS l", self.query(level + 2))
            } else {
                self.relation(level + 1)
            };
            text.push_str(&format!(" {join} {right}"));
            match join {
                "," | "CROSS JOIN" | "NATURAL JOIN" | "JOIN LATERAL" => {}
                _ if self.random.chance(25) => text.push_str(" USING (a)"),
                _ => text.push_str(&format!(" ON {}", self.condition(level + 2))),
            }
        }
        if self.random.chance(6) {
            text.push_str(&format!(" LATERAL VIEW OUTER explode({}) lv AS e1", self.expr(level + 3)));
        }
        if self.random.chance(3) {
            text.push_str(" PIVOT (sum(a) FOR b IN ('x', 'y'))");
        }
        if self.random.chance(3) {
            text.push_str(" UNPIVOT (val FOR nam IN (a, h))");
        }
        text
    }

    fn relation(&mut self, level: usize) -> String {
        if self.random.chance(60) {
            return "t".to_owned();
        }
        let text = match self.random.below(12) {
            0 | 1 if level < DEEP => format!("({})", self.query(level + 1)),
            2 => "range(3)".to_owned(),
            3 => format!("VALUES ({}, {}), ({}, {})", self.literal(), self.literal(), self.literal(), self.literal()),
            4 => format!("explode({})", self.expr(level + 3)),
            _ => self.random.pick(self.names.tables).to_owned(),
        };
        match self.random.below(5) {
            0 => format!("{text} AS {}", self.random.pick(&ALIASES)),
            1 if !text.contains(' ') => format!("{text} {}(a, b)", self.random.pick(&ALIASES)),
            _ => text,
        }
    }

    fn condition(&mut self, level: usize) -> String {
        if self.random.chance(92) {
            return self.truth(level);
        }
        let (a, b) = (self.expr(level + 1), self.expr(level + 1));
        match self.random.below(9) {
            0 => format!("{a} IS NOT NULL"),
            1 => format!("{a} BETWEEN {b} AND {}", self.literal()),
            2 => format!("{a} IN ({b}, {})", self.literal()),
            3 if level < DEEP => format!("EXISTS ({})", self.query(level + 2)),
            4 if level < DEEP => format!("{a} {}IN ({})", self.random.pick(&["", "NOT "]), self.query(level + 2)),
            5 => format!("NOT ({a})"),
            _ => format!("{a} {} {b}", self.random.pick(&["=", "<", ">=", "<>", "<=>"])),
        }
    }

    fn aggregate(&mut self, level: usize) -> String {
        if self.random.chance(20) {
            return "count(*)".to_owned();
        }
        let name = self.random.pick(&AGGREGATES);
        let argument = if self.random.chance(85) { self.number(level) } else { self.expr(level) };
        let second = match name {
            "corr" | "covar_samp" | "max_by" | "min_by" | "regr_slope" => format!(", {}", self.expr(level + 1)),
            "percentile" | "percentile_approx" => ", 0.5".to_owned(),
            _ => String::new(),
        };
        let distinct = if self.random.chance(12) { "DISTINCT " } else { "" };
        let mut text = format!("{name}({distinct}{argument}{second})");
        if self.random.chance(8) {
            text.push_str(&format!(" FILTER (WHERE {})", self.condition(level + 2)));
        }
        text
    }

    fn window(&mut self, level: usize) -> String {
        let function =
            if self.random.chance(70) { self.random.pick(&WINDOWS).to_owned() } else { self.aggregate(level + 1) };
        let (partition, order) = (self.expr(level + 2), self.expr(level + 2));
        let by = if self.random.chance(60) { format!("PARTITION BY {partition} ") } else { String::new() };
        format!("{function} OVER ({by}ORDER BY {order} {})", self.random.pick(&FRAMES))
    }

    fn literal(&mut self) -> String {
        self.random.pick(&LITERALS).to_owned()
    }

    fn column(&mut self) -> String {
        let column = self.random.pick(self.names.columns);
        if self.random.chance(15) {
            format!("{}.{column}", self.random.pick(&["t", "u", "x", "w", "z"]))
        } else {
            column.to_owned()
        }
    }

    /// An expression over the columns of `t`, of some type; now and then one of no type that fits.
    fn expr(&mut self, level: usize) -> String {
        match self.random.below(13) {
            0..=4 => self.number(level),
            5..=7 => self.text(level),
            8 | 9 => self.time(level),
            10 | 11 => self.truth(level),
            _ => self.wild(level),
        }
    }

    fn number(&mut self, level: usize) -> String {
        if level >= DEEP || self.random.chance(40) {
            return self.random.pick(&["a", "a", "h", "d", "c", "1", "2.5"]).to_owned();
        }
        let next = level + 1;
        match self.random.below(9) {
            0..=2 => {
                let operator = self.random.pick(&["+", "-", "*", "/", "%", "DIV"]);
                format!("({} {operator} {})", self.number(next), self.number(next))
            }
            3 => format!("abs({})", self.number(next)),
            4 => format!("CASE WHEN {} THEN {} ELSE {} END", self.truth(next), self.number(next), self.number(next)),
            5 => format!("length({})", self.text(next)),
            6 => format!("coalesce({}, {})", self.number(next), self.number(next)),
            7 => {
                let to = self.random.pick(&["INT", "BIGINT", "DOUBLE", "DECIMAL(12,3)", "SMALLINT"]);
                format!("CAST({} AS {to})", self.number(next))
            }
            _ => format!("year({})", self.time(next)),
        }
    }

    fn text(&mut self, level: usize) -> String {
        if level >= DEEP || self.random.chance(45) {
            return self.random.pick(&["b", "b", "'x'", "CAST(a AS STRING)"]).to_owned();
        }
        let next = level + 1;
        match self.random.below(5) {
            0 => format!("upper({})", self.text(next)),
            1 => format!("concat({}, {})", self.text(next), self.text(next)),
            2 => format!("substring({}, 2, 3)", self.text(next)),
            3 => format!("date_format({}, 'yyyy-MM')", self.time(next)),
            _ => format!("if({}, {}, {})", self.truth(next), self.text(next), self.text(next)),
        }
    }

    fn time(&mut self, level: usize) -> String {
        if level >= DEEP || self.random.chance(50) {
            return self.random.pick(&["e", "f", "DATE'2024-02-29'"]).to_owned();
        }
        let next = level + 1;
        match self.random.below(4) {
            0 => format!("date_add({}, a)", self.time(next)),
            1 => format!("({} + INTERVAL 1 DAY)", self.time(next)),
            2 => format!("CAST({} AS TIMESTAMP)", self.time(next)),
            _ => format!("greatest({}, {})", self.time(next), self.time(next)),
        }
    }

    fn truth(&mut self, level: usize) -> String {
        if level >= DEEP || self.random.chance(20) {
            return self.random.pick(&["g", "true", "a > 1", "b IS NULL"]).to_owned();
        }
        let next = level + 1;
        let compare = self.random.pick(&["=", "<", ">=", "<>", "<=>"]);
        match self.random.below(12) {
            0..=2 => format!("{} {compare} {}", self.number(next), self.number(next)),
            3 => format!("{} {compare} {}", self.text(next), self.text(next)),
            4 => format!("{} {compare} {}", self.time(next), self.time(next)),
            5 => format!("({} AND {})", self.truth(next), self.truth(next)),
            6 => format!("({} OR {})", self.truth(next), self.truth(next)),
            7 => format!("NOT ({})", self.truth(next)),
            8 => format!("{} IN ({}, 3)", self.number(next), self.number(next)),
            9 => format!("{} {}IN (SELECT a FROM w)", self.number(next), self.random.pick(&["", "NOT "])),
            10 => format!("{}EXISTS (SELECT 1 FROM w WHERE w.a = t.a)", self.random.pick(&["", "NOT "])),
            _ => format!("{} LIKE 'a%'", self.text(next)),
        }
    }

    fn wild(&mut self, level: usize) -> String {
        if level >= DEEP || self.random.chance(35) {
            return if self.random.chance(65) { self.column() } else { self.literal() };
        }
        let next = level + 1;
        match self.random.below(17) {
            0..=3 => format!("({} {} {})", self.wild(next), self.random.pick(&BINARY), self.wild(next)),
            4 => format!("CAST({} AS {})", self.wild(next), self.random.pick(&TYPES)),
            5 => format!("try_cast({} AS {})", self.wild(next), self.random.pick(&TYPES)),
            6 => format!("CASE WHEN {} THEN {} ELSE {} END", self.condition(next), self.wild(next), self.wild(next)),
            7 => format!("CASE {} WHEN {} THEN {} END", self.wild(next), self.wild(next), self.wild(next)),
            8 => format!("({})", self.condition(next)),
            9 if level < 3 => format!("({})", self.query(level + 2)),
            10 => match self.random.below(4) {
                0 => format!("{}[{}]", self.wild(next), self.wild(next)),
                1 => format!("{}.x", self.column()),
                2 => format!("transform({}, x -> {})", self.wild(next), self.wild(next)),
                _ => format!("filter({}, x -> x > {})", self.wild(next), self.wild(next)),
            },
            11 => format!(
                "{}({})",
                self.random.pick(&["array", "struct", "coalesce", "greatest", "concat", "if"]),
                self.arguments(next)
            ),
            12 => format!("-{}", self.wild(next)),
            13 if self.random.chance(15) => self.aggregate(next),
            14 if self.random.chance(15) => self.window(next),
            _ => format!("{}({})", self.random.pick(self.names.functions), self.arguments(next)),
        }
    }

    fn arguments(&mut self, level: usize) -> String {
        let count = self.random.pick(&[0, 1, 1, 1, 2, 2, 2, 3, 3, 4]);
        (0..count).map(|_| self.wild(level)).collect::<Vec<_>>().join(", ")
    }
}
