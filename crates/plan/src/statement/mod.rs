//! Statements: a query, or a command that changes or shows something.

mod alter;
mod create;
mod dml;
mod script;

use crate::{
    DataType, Expr, Ident, Relation, Span,
    expr::MultipartName,
    relation::{ColumnDefinition, Cte},
};

pub use alter::{
    AlterDatabase, AlterTable, AlterView, ColumnChange, ColumnChangeKind, ColumnPosition, NewColumn, NewPartition,
};
pub use create::{
    BucketSpec, Constraint, ConstraintKind, CreateFunction, CreateMetricView, CreatePipelineDataset, CreateTable,
    CreateTableLike, CreateView, FileFormat, FunctionBody, FunctionResult, FunctionReturns, Identity, IndexColumn,
    PartitionColumn, RowFormat, SchemaBinding, SqlFunction, TableStorage,
};
pub use dml::{
    Assignment, Delete, Insert, InsertDirectory, InsertReplace, LoadData, Merge, MergeAction, MergeClause, MergeMatch,
    Update,
};
pub use script::{
    Block, BlockItem, Condition, ConditionValue, Cursor, Handler, Label, ScriptStatement, ScriptStatementKind,
};

/// `PARTITION (a = 1, b)`: without a value, all partitions or, when written to, dynamic ones.
pub type PartitionSpec = Vec<(Ident, Option<Expr>)>;

#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub kind: StatementKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    Query(Relation),
    CreateView(CreateView),
    CreateMetricView(Box<CreateMetricView>),
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
    CreateTableLike(Box<CreateTableLike>),
    /// `CREATE MATERIALIZED VIEW | STREAMING TABLE`
    CreatePipelineDataset(Box<CreatePipelineDataset>),
    /// `CREATE FLOW name AS INSERT …`
    CreateFlow {
        name: MultipartName,
        comment: Option<String>,
        insert: Box<Insert>,
    },
    CreateFunction(Box<CreateFunction>),
    DropFunction {
        name: MultipartName,
        temporary: bool,
        if_exists: bool,
    },
    RefreshFunction {
        name: MultipartName,
    },
    CreateIndex {
        name: Ident,
        table: MultipartName,
        if_not_exists: bool,
        index_type: Option<Ident>,
        columns: Vec<IndexColumn>,
        options: Vec<(String, String)>,
    },
    DropIndex {
        name: Ident,
        table: MultipartName,
        if_exists: bool,
    },
    AlterDatabase {
        name: MultipartName,
        change: AlterDatabase,
    },
    AlterTable {
        name: MultipartName,
        change: AlterTable,
    },
    AlterView {
        name: MultipartName,
        change: AlterView,
    },
    Insert(Box<Insert>),
    InsertDirectory(Box<InsertDirectory>),
    /// `FROM … INSERT … INSERT …`: each with its whole query.
    MultiInsert(Vec<StatementKind>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Merge(Box<Merge>),
    LoadData(Box<LoadData>),
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
        properties: Vec<(String, String)>,
        collation: Option<Ident>,
    },
    DropDatabase {
        name: MultipartName,
        if_exists: bool,
        cascade: bool,
    },
    /// `COMMENT ON DATABASE name IS …`; NULL takes the comment away.
    CommentOnDatabase {
        name: MultipartName,
        comment: Option<String>,
    },
    CommentOnTable {
        name: MultipartName,
        comment: Option<String>,
    },
    Use {
        name: MultipartName,
    },
    SetCatalog {
        name: Expr,
    },
    /// `SET PATH = element, …`
    SetPath {
        elements: Vec<MultipartName>,
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
        catalog: Option<MultipartName>,
        pattern: Option<String>,
    },
    ShowColumns {
        table: MultipartName,
    },
    ShowFunctions {
        /// USER and SYSTEM; both without a word or with ALL.
        user: bool,
        system: bool,
        database: Option<MultipartName>,
        pattern: Option<String>,
    },
    ShowProcedures {
        database: Option<MultipartName>,
    },
    ShowCollations {
        pattern: Option<String>,
    },
    ShowViews {
        database: Option<MultipartName>,
        pattern: Option<String>,
    },
    ShowTableExtended {
        database: Option<MultipartName>,
        pattern: String,
        partition: PartitionSpec,
    },
    /// `PARTITION (a = 1)` narrows the list where it is given.
    ShowPartitions {
        table: MultipartName,
        partition: PartitionSpec,
    },
    ShowCreateTable {
        table: MultipartName,
        /// AS SERDE: as Hive would create it.
        serde: bool,
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
        partition: PartitionSpec,
        json: bool,
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
    DescribeProcedure {
        name: MultipartName,
    },
    DescribeQuery {
        query: Relation,
    },
    TruncateTable {
        name: MultipartName,
        partition: PartitionSpec,
    },
    AnalyzeTable {
        name: MultipartName,
        partition: PartitionSpec,
        scope: AnalyzeScope,
    },
    /// All tables of a database.
    AnalyzeTables {
        database: Option<MultipartName>,
        no_scan: bool,
    },
    /// `[MSCK] REPAIR TABLE`
    RepairTable {
        name: MultipartName,
        add: bool,
        drop: bool,
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
    /// `ADD JAR path`: what follows the kind stands as it is written.
    AddResource {
        kind: ResourceKind,
        paths: Vec<String>,
    },
    /// All of the kind where no path is given.
    ListResources {
        kind: ResourceKind,
        paths: Vec<String>,
    },
    CallProcedure {
        name: MultipartName,
        args: Vec<Expr>,
    },
    /// `DECLARE [OR REPLACE] [VARIABLE] name, … [type] [DEFAULT value]`
    DeclareVariable {
        names: Vec<MultipartName>,
        replace: bool,
        data_type: Option<DataType>,
        default: Option<Expr>,
        /// The text of `default`.
        default_text: Option<String>,
    },
    DropVariable {
        name: MultipartName,
        if_exists: bool,
    },
    SetVariable {
        assignments: Vec<Assignment>,
    },
    /// `SET VAR (a, b) = (query)`
    SetVariableByQuery {
        names: Vec<MultipartName>,
        query: Relation,
    },
    ExecuteImmediate {
        statement: Expr,
        into: Vec<MultipartName>,
        /// Values for the statement's parameters; with aliases for named ones.
        using: Vec<Expr>,
    },
    DeclareCursor(Box<Cursor>),
    OpenCursor {
        name: MultipartName,
        using: Vec<Expr>,
    },
    FetchCursor {
        name: MultipartName,
        into: Vec<MultipartName>,
    },
    CloseCursor {
        name: MultipartName,
    },
    /// `BEGIN … END`
    Script(Box<Block>),
    /// `WITH name AS (query), …` before UPDATE, DELETE or MERGE.
    WithCtes {
        ctes: Vec<Cte>,
        recursive: bool,
        statement: Box<StatementKind>,
    },
    /// A statement of which some words are given by expressions: they are evaluated first, then the text is parsed again
    /// with their values.
    Deferred {
        clauses: Vec<DeferredClause>,
        statement: Box<StatementKind>,
    },
}

/// A place where the text must have a name or a literal and has an expression for it: `IDENTIFIER(…)`, a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct DeferredClause {
    pub span: Span,
    pub value: Expr,
    pub wanted: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    Name,
    String,
    Integer,
}

/// What ANALYZE TABLE finds out.
#[derive(Debug, Clone, PartialEq)]
pub enum AnalyzeScope {
    /// Rows and bytes.
    Table,
    /// `NOSCAN`: bytes alone.
    NoScan,
    Columns(Vec<Ident>),
    AllColumns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    File,
    Jar,
    Archive,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExplainMode {
    Simple,
    Extended,
    Codegen,
    Cost,
    Formatted,
}
