//! What CREATE makes: tables, views, functions and indexes.

use crate::{
    DataType, Expr, Ident, Relation, Span, expr::MultipartName, relation::ColumnDefinition, types::StructField,
};

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
    pub schema_binding: Option<SchemaBinding>,
    pub collation: Option<Ident>,
    pub query: Relation,
    /// The query's own text.
    pub query_text: String,
}

impl CreateView {
    /// `CREATE VIEW name AS query` and nothing else.
    pub fn plain(name: MultipartName, query: Relation, query_text: String) -> Self {
        Self {
            name,
            temporary: false,
            global: false,
            replace: false,
            if_not_exists: false,
            columns: Vec::new(),
            comment: None,
            properties: Vec::new(),
            schema_binding: None,
            collation: None,
            query,
            query_text,
        }
    }
}

/// What a view does when the tables below it change: `WITH SCHEMA …`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaBinding {
    Binding,
    Compensation,
    TypeEvolution,
    Evolution,
}

/// `CREATE VIEW name WITH METRICS LANGUAGE YAML AS $$ … $$`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateMetricView {
    pub name: MultipartName,
    pub replace: bool,
    pub if_not_exists: bool,
    pub columns: Vec<(Ident, Option<String>)>,
    pub language: Ident,
    pub comment: Option<String>,
    pub properties: Vec<(String, String)>,
    pub definition: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub name: MultipartName,
    pub external: bool,
    pub if_not_exists: bool,
    /// CREATE OR REPLACE / REPLACE TABLE.
    pub replace: bool,
    /// REPLACE TABLE without CREATE: the table must be there.
    pub must_exist: bool,
    pub columns: Vec<ColumnDefinition>,
    pub constraints: Vec<Constraint>,
    /// `USING format`
    pub format: Option<String>,
    pub options: Vec<(String, String)>,
    pub partitioned_by: Vec<PartitionColumn>,
    /// `CLUSTER BY (a, b.c)`
    pub cluster_by: Vec<MultipartName>,
    pub clustered_by: Option<BucketSpec>,
    pub storage: TableStorage,
    pub location: Option<String>,
    pub comment: Option<String>,
    pub collation: Option<Ident>,
    pub properties: Vec<(String, String)>,
    pub query: Option<Relation>,
}

/// How a Hive table is kept: ROW FORMAT and STORED AS.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableStorage {
    pub row_format: Option<RowFormat>,
    pub file_format: Option<FileFormat>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RowFormat {
    Serde {
        class: String,
        properties: Vec<(String, String)>,
    },
    /// `DELIMITED FIELDS TERMINATED BY …`
    Delimited {
        fields: Option<String>,
        escape: Option<String>,
        collection_items: Option<String>,
        map_keys: Option<String>,
        lines: Option<String>,
        null: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum FileFormat {
    /// `STORED AS name`
    Named(Ident),
    /// `STORED AS INPUTFORMAT … OUTPUTFORMAT …`
    Classes { input: String, output: String },
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

/// A constraint of a table or of one of its columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    pub name: Option<Ident>,
    pub kind: ConstraintKind,
    /// `[NOT] ENFORCED`
    pub enforced: Option<bool>,
    /// `RELY` | `NORELY`
    pub rely: Option<bool>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ConstraintKind {
    Check {
        condition: Expr,
        text: String,
    },
    /// Without columns: of the column it stands behind.
    Unique {
        columns: Vec<Ident>,
        primary: bool,
    },
    /// `FOREIGN KEY (columns) REFERENCES table (columns)`
    References {
        columns: Vec<Ident>,
        table: MultipartName,
        table_columns: Vec<Ident>,
    },
}

/// `GENERATED ALWAYS | BY DEFAULT AS IDENTITY (START WITH s INCREMENT BY i)`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// False: values may be given.
    pub always: bool,
    pub start: i64,
    pub step: i64,
}

/// `CREATE TABLE name LIKE source …`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTableLike {
    pub name: MultipartName,
    pub source: MultipartName,
    pub if_not_exists: bool,
    pub format: Option<String>,
    pub storage: TableStorage,
    pub location: Option<String>,
    pub properties: Vec<(String, String)>,
}

/// A dataset that a pipeline keeps up to date.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatePipelineDataset {
    /// A streaming table instead of a materialized view.
    pub streaming: bool,
    pub table: CreateTable,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreateFunction {
    pub name: MultipartName,
    pub temporary: bool,
    pub replace: bool,
    pub if_not_exists: bool,
    pub body: FunctionBody,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FunctionBody {
    /// `AS 'class' USING JAR 'file', …`: the kinds and the paths.
    Class { class: String, resources: Vec<(Ident, String)> },
    /// `(parameters) RETURNS … RETURN …`
    Sql(Box<SqlFunction>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct SqlFunction {
    pub parameters: Vec<ColumnDefinition>,
    pub returns: FunctionReturns,
    pub deterministic: Option<bool>,
    /// `READS SQL DATA` instead of `CONTAINS SQL`.
    pub reads_data: Option<bool>,
    pub comment: Option<String>,
    pub collation: Option<Ident>,
    pub result: FunctionResult,
    /// The text of the result.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FunctionReturns {
    /// The type follows from the result.
    Inferred,
    Scalar(DataType),
    /// `RETURNS TABLE (columns)`; `RETURNS TABLE` alone: the columns follow from the query.
    Table(Option<Vec<StructField>>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum FunctionResult {
    Expr(Expr),
    Query(Relation),
}

/// A column of an index, with options of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexColumn {
    pub name: MultipartName,
    pub options: Vec<(String, String)>,
}

impl CreateTable {
    /// A table of the name, and nothing else said about it.
    pub fn new(name: MultipartName) -> Self {
        Self {
            name,
            external: false,
            if_not_exists: false,
            replace: false,
            must_exist: false,
            columns: Vec::new(),
            constraints: Vec::new(),
            format: None,
            options: Vec::new(),
            partitioned_by: Vec::new(),
            cluster_by: Vec::new(),
            clustered_by: None,
            storage: TableStorage::default(),
            location: None,
            comment: None,
            collation: None,
            properties: Vec::new(),
            query: None,
        }
    }
}
