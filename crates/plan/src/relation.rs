//! Unresolved relations: what a query is made of before names are looked up. Each node is one of Spark's logical
//! operators; a SELECT becomes a small tree of them.

use crate::{
    DataType, Expr, Ident, Span,
    expr::{MultipartName, SortItem, WindowDefinition},
    statement::{Constraint, Identity, RowFormat},
    types::StructField,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    pub kind: RelationKind,
    pub span: Span,
    /// Spark Connect's id of the plan, which DataFrame columns refer to.
    pub plan_id: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RelationKind {
    /// A table, view, CTE or `format.`path``, by name.
    Table {
        name: MultipartName,
        options: Vec<(String, String)>,
    },
    /// Files read through the DataFrame reader.
    DataSource {
        format: Option<String>,
        schema: Option<Vec<StructField>>,
        options: Vec<(String, String)>,
        paths: Vec<String>,
    },
    /// A table as it was, `VERSION AS OF 3` or `TIMESTAMP AS OF '…'`, or what changed in it since.
    TableHistory {
        name: MultipartName,
        options: Vec<(String, String)>,
        history: History,
    },
    /// `STREAM table`: rows as they come.
    Stream {
        input: Box<Relation>,
        /// `CHANGES [FROM …]`
        changes: Option<Option<HistoryBound>>,
        /// `IDENTIFIED BY name`
        identified_by: Option<Ident>,
    },
    /// `WATERMARK column DELAY OF interval`
    Watermark {
        input: Box<Relation>,
        column: Expr,
        delay: Expr,
    },
    /// A table-valued function: `range(10)`, `explode(…)`.
    TableFunction {
        name: MultipartName,
        args: Vec<Expr>,
    },
    /// One row without columns: a SELECT without FROM.
    OneRow,
    /// `VALUES (…), (…)`; columns are named col1, col2, ….
    Values {
        rows: Vec<Vec<Expr>>,
    },
    Project {
        input: Box<Relation>,
        exprs: Vec<Expr>,
    },
    Filter {
        input: Box<Relation>,
        condition: Expr,
    },
    /// GROUP BY, or aggregates without one. `having` sees both the input's columns and the output's.
    Aggregate {
        input: Box<Relation>,
        grouping: Grouping,
        aggregates: Vec<Expr>,
        having: Option<Expr>,
    },
    /// `QUALIFY`: a filter that sees window functions of the SELECT list below it.
    Qualify {
        input: Box<Relation>,
        condition: Expr,
    },
    /// Named windows of a WINDOW clause, visible in `input`.
    WithWindows {
        input: Box<Relation>,
        windows: Vec<(Ident, WindowDefinition)>,
    },
    Distinct {
        input: Box<Relation>,
    },
    /// ORDER BY (`global`) or SORT BY.
    Sort {
        input: Box<Relation>,
        items: Vec<SortItem>,
        global: bool,
        all: Option<OrderAll>,
    },
    Limit {
        input: Box<Relation>,
        limit: Expr,
    },
    Offset {
        input: Box<Relation>,
        offset: Expr,
    },
    Join {
        left: Box<Relation>,
        right: Box<Relation>,
        join_type: JoinType,
        condition: JoinCondition,
        lateral: bool,
    },
    /// `left JOIN right APPROX NEAREST k BY DISTANCE expression`: for each row of `left` the `count` rows of `right` with the
    /// smallest distance, or the greatest similarity.
    NearestJoin {
        left: Box<Relation>,
        right: Box<Relation>,
        join_type: JoinType,
        approximate: bool,
        count: u32,
        similarity: bool,
        ranking: Expr,
    },
    SetOperation {
        left: Box<Relation>,
        right: Box<Relation>,
        op: SetOp,
        /// UNION ALL and its kin: duplicates stay.
        all: bool,
        by_name: bool,
        allow_missing_columns: bool,
    },
    /// `a UNION ALL b UNION ALL c …`: three or more, grouped from the left, in one list however long it is.
    UnionAll {
        inputs: Vec<Relation>,
    },
    /// `(input) AS alias(columns…)`
    SubqueryAlias {
        input: Box<Relation>,
        alias: Ident,
        columns: Vec<Ident>,
    },
    /// WITH: the CTEs in order, each visible to the later ones and to `input`.
    With {
        ctes: Vec<Cte>,
        input: Box<Relation>,
        recursive: bool,
    },
    /// LATERAL VIEW [OUTER] generator(args) table AS columns
    LateralView {
        input: Box<Relation>,
        generator: Expr,
        outer: bool,
        table: Option<Ident>,
        columns: Vec<Ident>,
    },
    Pivot {
        input: Box<Relation>,
        grouping: Option<Vec<Expr>>,
        aggregates: Vec<Expr>,
        column: Expr,
        values: Vec<Expr>,
    },
    Unpivot(Box<Unpivot>),
    Sample {
        input: Box<Relation>,
        method: SampleMethod,
        seed: Option<i64>,
        with_replacement: bool,
        /// TABLESAMPLE SYSTEM: whole files or parts of them instead of rows.
        system: bool,
    },
    /// `SELECT TRANSFORM (inputs) USING 'command' AS (columns)`: rows go through a program.
    Transform(Box<Transform>),
    /// `|> SET column = value`: columns get other values in their places.
    SetColumns {
        input: Box<Relation>,
        assignments: Vec<(MultipartName, Expr)>,
    },
    /// `/*+ NAME(args) */`
    Hint {
        input: Box<Relation>,
        name: Ident,
        args: Vec<Expr>,
    },
    /// DISTRIBUTE BY, REPARTITION and coalesce. `partitions` is `None` for `spark.sql.shuffle.partitions`.
    Repartition {
        input: Box<Relation>,
        partitions: Option<u32>,
        by: Vec<Expr>,
        shuffle: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderAll {
    pub ascending: bool,
    pub nulls_first: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Grouping {
    /// No GROUP BY: one group of all rows.
    None,
    Exprs(Vec<Expr>),
    /// GROUP BY ALL
    All,
    /// GROUP BY a, ROLLUP(b, c), …: each element contributes to the cross product of grouping sets.
    Elements(Vec<GroupingElement>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum GroupingElement {
    Expr(Expr),
    Rollup(Vec<Vec<Expr>>),
    Cube(Vec<Vec<Expr>>),
    Sets(Vec<GroupingSet>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum GroupingSet {
    Exprs(Vec<Expr>),
    Element(GroupingElement),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinType {
    Inner,
    Left,
    Right,
    Full,
    LeftSemi,
    LeftAnti,
    Cross,
}

#[derive(Debug, Clone, PartialEq)]
pub enum JoinCondition {
    None,
    On(Expr),
    Using(Vec<Ident>),
    Natural,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetOp {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cte {
    pub name: Ident,
    pub columns: Vec<Ident>,
    pub query: Relation,
    pub max_recursion: Option<u64>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SampleMethod {
    Percent(f64),
    Rows(u64),
    Bucket { numerator: u32, denominator: u32 },
    Fraction { lower: f64, upper: f64 },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Unpivot {
    pub input: Relation,
    pub ids: Option<Vec<Expr>>,
    /// Each group of columns and its label.
    pub values: Vec<(Vec<Expr>, Option<Ident>)>,
    pub variable_name: Ident,
    pub value_names: Vec<Ident>,
    pub include_nulls: bool,
    pub alias: Option<Ident>,
}

/// A version or a time of a table with history.
#[derive(Debug, Clone, PartialEq)]
pub enum HistoryPoint {
    Version(String),
    Timestamp(Expr),
}

#[derive(Debug, Clone, PartialEq)]
pub struct HistoryBound {
    pub point: HistoryPoint,
    pub inclusive: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum History {
    AsOf(HistoryPoint),
    Changes { from: HistoryBound, to: Option<HistoryBound> },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    /// Its columns go into the program.
    pub input: Relation,
    pub command: String,
    /// The names and, where given, the types of what comes out; `key` and `value` where empty.
    pub columns: Vec<(Ident, Option<DataType>)>,
    pub input_format: Option<RowFormat>,
    pub output_format: Option<RowFormat>,
}

/// A column of CREATE TABLE or a schema string.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    pub name: Ident,
    pub data_type: DataType,
    pub nullable: bool,
    pub comment: Option<String>,
    pub default: Option<Expr>,
    /// The text of `default`, which catalogs keep.
    pub default_text: Option<String>,
    pub generated: Option<Expr>,
    pub identity: Option<Identity>,
    pub constraints: Vec<Constraint>,
    pub span: Span,
}

impl ColumnDefinition {
    /// A column of the name and the type, and nothing else said about it.
    pub fn new(name: impl Into<Ident>, data_type: DataType) -> Self {
        Self {
            name: name.into(),
            data_type,
            nullable: true,
            comment: None,
            default: None,
            default_text: None,
            generated: None,
            identity: None,
            constraints: Vec::new(),
            span: Span::NONE,
        }
    }
}

impl Relation {
    pub fn new(kind: RelationKind, span: Span) -> Self {
        Self { kind, span, plan_id: None }
    }

    pub fn bare(kind: RelationKind) -> Self {
        Self::new(kind, Span::NONE)
    }
}
