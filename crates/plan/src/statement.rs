//! Statements: a query, or a command that changes or shows something.

use crate::{Expr, Ident, Relation, Span, expr::MultipartName, relation::ColumnDefinition};

#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub kind: StatementKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    Query(Relation),
    CreateView(CreateView),
    /// `CREATE TEMPORARY VIEW name [(schema)] USING format OPTIONS (…)`
    CreateViewUsing {
        name: MultipartName,
        columns: Vec<ColumnDefinition>,
        format: String,
        options: Vec<(String, String)>,
        replace: bool,
        global: bool,
        if_not_exists: bool,
    },
    /// With a query: CREATE TABLE AS SELECT.
    CreateTable(Box<CreateTable>),
    Insert(Box<Insert>),
    InsertDirectory(Box<InsertDirectory>),
    DropTable {
        name: MultipartName,
        if_exists: bool,
        purge: bool,
    },
    DropView {
        name: MultipartName,
        if_exists: bool,
    },
    CreateDatabase {
        name: MultipartName,
        if_not_exists: bool,
        location: Option<String>,
        comment: Option<String>,
    },
    DropDatabase {
        name: MultipartName,
        if_exists: bool,
        cascade: bool,
    },
    Use {
        name: MultipartName,
    },
    /// `SET key = value`; without a value it shows it; without a key it shows all.
    Set {
        key: Option<String>,
        value: Option<String>,
    },
    /// `SET TIME ZONE …`
    SetTimeZone {
        value: Expr,
    },
    Reset {
        key: Option<String>,
    },
    Explain {
        mode: ExplainMode,
        statement: Box<Statement>,
    },
    ShowTables {
        database: Option<MultipartName>,
        pattern: Option<String>,
    },
    ShowDatabases {
        pattern: Option<String>,
    },
    ShowColumns {
        table: MultipartName,
    },
    ShowFunctions {
        pattern: Option<String>,
    },
    ShowViews {
        database: Option<MultipartName>,
        pattern: Option<String>,
    },
    ShowTableExtended {
        database: Option<MultipartName>,
        pattern: String,
    },
    /// `PARTITION (a = 1)` narrows the list where it is given.
    ShowPartitions {
        table: MultipartName,
        partition: Vec<(Ident, Option<Expr>)>,
    },
    ShowCreateTable {
        table: MultipartName,
    },
    ShowTableProperties {
        table: MultipartName,
        key: Option<String>,
    },
    ShowCatalogs {
        pattern: Option<String>,
    },
    /// `SHOW CURRENT DATABASE`
    ShowCurrentDatabase,
    DescribeTable {
        name: MultipartName,
        extended: bool,
    },
    /// `DESCRIBE table column`
    DescribeColumn {
        table: MultipartName,
        column: MultipartName,
        extended: bool,
    },
    DescribeDatabase {
        name: MultipartName,
        extended: bool,
    },
    DescribeFunction {
        name: MultipartName,
        extended: bool,
    },
    DescribeQuery {
        query: Relation,
    },
    TruncateTable {
        name: MultipartName,
    },
    RefreshTable {
        name: MultipartName,
    },
    /// `REFRESH path`: everything that reads below it.
    RefreshPath {
        path: String,
    },
    CacheTable(Box<CacheTable>),
    UncacheTable {
        name: MultipartName,
        if_exists: bool,
    },
    ClearCache,
    /// Statements that the parser knows and nothing runs yet, by name: an UNSUPPORTED_FEATURE error when run.
    NotYet {
        what: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    pub name: MultipartName,
    pub temporary: bool,
    pub global: bool,
    pub replace: bool,
    pub if_not_exists: bool,
    pub columns: Vec<(Ident, Option<String>)>,
    pub comment: Option<String>,
    pub properties: Vec<(String, String)>,
    pub query: Relation,
    /// The query's own text.
    pub query_text: String,
}

/// `CACHE [LAZY] TABLE name [OPTIONS (…)] [[AS] query]`
#[derive(Debug, Clone, PartialEq)]
pub struct CacheTable {
    pub name: MultipartName,
    /// Kept when it is first read, not at once.
    pub lazy: bool,
    pub options: Vec<(String, String)>,
    /// A query becomes a temporary view of the name first; with its own text.
    pub query: Option<(Relation, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub name: MultipartName,
    pub external: bool,
    pub if_not_exists: bool,
    /// CREATE OR REPLACE / REPLACE TABLE.
    pub replace: bool,
    pub columns: Vec<ColumnDefinition>,
    /// `USING format`
    pub format: Option<String>,
    pub options: Vec<(String, String)>,
    pub partitioned_by: Vec<PartitionColumn>,
    pub clustered_by: Option<BucketSpec>,
    pub location: Option<String>,
    pub comment: Option<String>,
    pub properties: Vec<(String, String)>,
    pub query: Option<Relation>,
}

/// A column of PARTITIONED BY: a name, a typed new column (Hive style), or a transform.
#[derive(Debug, Clone, PartialEq)]
pub enum PartitionColumn {
    Name(Ident),
    Typed(Box<ColumnDefinition>),
    Transform(Expr),
}

#[derive(Debug, Clone, PartialEq)]
pub struct BucketSpec {
    pub columns: Vec<Ident>,
    pub sort_by: Vec<(Ident, bool)>,
    pub buckets: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: MultipartName,
    pub overwrite: bool,
    /// `PARTITION (a = 1, b)`: dynamic where the value is `None`.
    pub partition: Vec<(Ident, Option<Expr>)>,
    pub if_not_exists: bool,
    /// The listed columns, empty where there is no list.
    pub columns: Vec<Ident>,
    pub by_name: bool,
    pub replace_where: Option<Expr>,
    pub query: Relation,
}

#[derive(Debug, Clone, PartialEq)]
pub struct InsertDirectory {
    pub local: bool,
    pub path: Option<String>,
    pub format: Option<String>,
    pub options: Vec<(String, String)>,
    pub query: Relation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExplainMode {
    Simple,
    Extended,
    Codegen,
    Cost,
    Formatted,
}
