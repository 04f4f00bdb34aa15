//! Statements, and clauses of statements, that are read and that nothing runs yet: each is refused here, by its name, and
//! nowhere else.

use firesteel_plan::{
    SparkError, SparkResult,
    relation::ColumnDefinition,
    statement::{
        AlterTable, BlockItem, CreateTable, Insert, PartitionColumn, ResourceKind, ScriptStatementKind, StatementKind,
    },
};

use crate::errors;

/// An error where the statement, or a part of it, is one that nothing runs.
pub(super) fn check(statement: &StatementKind) -> SparkResult<()> {
    match statement {
        StatementKind::CreateTable(create) => return table(create),
        StatementKind::Insert(write) => return insert(write),
        StatementKind::DeclareCursor(_)
        | StatementKind::OpenCursor { .. }
        | StatementKind::FetchCursor { .. }
        | StatementKind::CloseCursor { .. } => return Err(no_cursors()),
        StatementKind::Script(block) if has_continue_handler(&block.items) => return Err(no_continue_handlers()),
        _ => {}
    }
    match name(statement) {
        Some(what) => Err(errors::unsupported_statement(what)),
        None => Ok(()),
    }
}

fn name(statement: &StatementKind) -> Option<String> {
    let fixed = match statement {
        StatementKind::CreateView(create) if is_collated(create.collation.as_deref()) => {
            "CREATE VIEW … DEFAULT COLLATION"
        }
        StatementKind::CreateMetricView(_) => "CREATE VIEW … WITH METRICS",
        StatementKind::CreateTableLike(like)
            if like.storage.row_format.is_some() || like.storage.file_format.is_some() =>
        {
            "CREATE TABLE LIKE in a Hive format"
        }
        StatementKind::CreatePipelineDataset(create) if create.streaming => "CREATE STREAMING TABLE",
        StatementKind::CreatePipelineDataset(_) => "CREATE MATERIALIZED VIEW",
        StatementKind::CreateFlow { .. } => "CREATE FLOW",
        StatementKind::RefreshFunction { .. } => "REFRESH FUNCTION",
        StatementKind::CreateIndex { .. } => "CREATE INDEX",
        StatementKind::DropIndex { .. } => "DROP INDEX",
        StatementKind::CreateDatabase { collation, .. } if is_collated(collation.as_deref()) => {
            "CREATE DATABASE … DEFAULT COLLATION"
        }
        StatementKind::InsertDirectory(insert)
            if insert.storage.row_format.is_some() || insert.storage.file_format.is_some() =>
        {
            "INSERT OVERWRITE DIRECTORY in a Hive format"
        }
        StatementKind::MultiInsert(_) => "FROM … INSERT … INSERT …",
        StatementKind::LoadData(_) => "LOAD DATA",
        StatementKind::SetPath { .. } => "SET PATH",
        StatementKind::ShowDatabases { catalog: Some(_), .. } => "SHOW DATABASES IN a catalog",
        StatementKind::ShowProcedures { .. } => "SHOW PROCEDURES",
        StatementKind::ShowCollations { .. } => "SHOW COLLATIONS",
        StatementKind::ShowTableExtended { .. } => "SHOW TABLE EXTENDED",
        StatementKind::DescribeTable { json: true, .. } => "DESCRIBE TABLE … AS JSON",
        StatementKind::DescribeProcedure { .. } => "DESCRIBE PROCEDURE",
        StatementKind::TruncateTable { partition, .. } if !partition.is_empty() => "TRUNCATE TABLE … PARTITION",
        StatementKind::AnalyzeTables { .. } => "ANALYZE TABLES",
        StatementKind::AddResource { kind, .. } => return Some(format!("ADD {}", resource(*kind))),
        StatementKind::ListResources { kind, .. } => return Some(format!("LIST {}", resource(*kind))),
        StatementKind::CallProcedure { .. } => "CALL",
        StatementKind::WithCtes { statement, .. } => return name(statement),
        _ => return None,
    };
    Some(fixed.to_owned())
}

fn resource(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::File => "FILE",
        ResourceKind::Jar => "JAR",
        ResourceKind::Archive => "ARCHIVE",
    }
}

pub(super) fn alter_table(change: &AlterTable) -> &'static str {
    match change {
        AlterTable::AddColumns(_) => "ALTER TABLE … ADD COLUMNS",
        AlterTable::ReplaceColumns(_) => "ALTER TABLE … REPLACE COLUMNS",
        AlterTable::RenameColumn { .. } => "ALTER TABLE … RENAME COLUMN",
        AlterTable::DropColumns { .. } => "ALTER TABLE … DROP COLUMNS",
        AlterTable::AlterColumns(_) => "ALTER TABLE … ALTER COLUMN",
        AlterTable::ChangeColumn { .. } => "ALTER TABLE … CHANGE COLUMN",
        AlterTable::Rename { .. } => "ALTER TABLE … RENAME TO",
        AlterTable::SetProperties(_) => "ALTER TABLE … SET TBLPROPERTIES",
        AlterTable::UnsetProperties { .. } => "ALTER TABLE … UNSET TBLPROPERTIES",
        AlterTable::SetSerde { .. } => "ALTER TABLE … SET SERDE",
        AlterTable::AddPartitions { .. } => "ALTER TABLE … ADD PARTITION",
        AlterTable::RenamePartition { .. } => "ALTER TABLE … RENAME PARTITION",
        AlterTable::DropPartitions { .. } => "ALTER TABLE … DROP PARTITION",
        AlterTable::SetLocation { .. } => "ALTER TABLE … SET LOCATION",
        AlterTable::RecoverPartitions => "ALTER TABLE … RECOVER PARTITIONS",
        AlterTable::ClusterBy(_) => "ALTER TABLE … CLUSTER BY",
        AlterTable::SetCollation(_) => "ALTER TABLE … DEFAULT COLLATION",
        AlterTable::AddConstraint(_) => "ALTER TABLE … ADD CONSTRAINT",
        AlterTable::DropConstraint { .. } => "ALTER TABLE … DROP CONSTRAINT",
    }
}

/// Whether text is to be compared otherwise than by its bytes.
fn is_collated(collation: Option<&str>) -> bool {
    collation.is_some_and(|c| !c.eq_ignore_ascii_case("UTF8_BINARY"))
}

fn table(create: &CreateTable) -> SparkResult<()> {
    let what = if create.clustered_by.is_some() {
        "CLUSTERED BY (bucketed tables)"
    } else if !create.cluster_by.is_empty() {
        "CREATE TABLE … CLUSTER BY"
    } else if create.storage.row_format.is_some() {
        "CREATE TABLE … ROW FORMAT"
    } else if create.storage.file_format.is_some() {
        "CREATE TABLE … STORED AS"
    } else if is_collated(create.collation.as_deref()) {
        "CREATE TABLE … DEFAULT COLLATION"
    } else if !create.constraints.is_empty() {
        "CREATE TABLE with constraints"
    } else {
        let typed = create.partitioned_by.iter().filter_map(|partition| match partition {
            PartitionColumn::Typed(column) => Some(&**column),
            _ => None,
        });
        return create.columns.iter().chain(typed).try_for_each(column);
    };
    Err(errors::unsupported_statement(what))
}

fn column(column: &ColumnDefinition) -> SparkResult<()> {
    firesteel_functions::types::check_storable(&column.data_type)?;
    let what = if column.generated.is_some() {
        "a generated value"
    } else if column.identity.is_some() {
        "an identity"
    } else if !column.constraints.is_empty() {
        "a constraint"
    } else {
        return Ok(());
    };
    Err(errors::unsupported_statement(format_args!("{what} of column {}", errors::id(&column.name))))
}

fn insert(insert: &Insert) -> SparkResult<()> {
    use firesteel_plan::statement::InsertReplace;
    let what = match &insert.replace {
        Some(InsertReplace::Where(_)) => "INSERT INTO … REPLACE WHERE",
        Some(InsertReplace::On { .. }) => "INSERT INTO … REPLACE ON",
        Some(InsertReplace::Using(_)) => "INSERT INTO … REPLACE USING",
        None if insert.if_not_exists => "INSERT OVERWRITE … IF NOT EXISTS",
        None if insert.schema_evolution => "INSERT WITH SCHEMA EVOLUTION",
        None if !insert.options.is_empty() => "INSERT … WITH (options)",
        None => return Ok(()),
    };
    Err(errors::unsupported_statement(what))
}

/// Spark has cursors behind a setting that is off, and this answer without it.
fn no_cursors() -> SparkError {
    SparkError::new(
        "UNSUPPORTED_FEATURE.SQL_CURSOR",
        "0A000",
        "The feature is not supported: SQL cursor operations (DECLARE CURSOR, OPEN, FETCH, CLOSE) are not supported.",
    )
}

fn no_continue_handlers() -> SparkError {
    SparkError::new(
        "UNSUPPORTED_FEATURE.CONTINUE_EXCEPTION_HANDLER",
        "0A000",
        "The feature is not supported: CONTINUE exception handler is not supported. Use EXIT handler.",
    )
}

fn has_continue_handler(items: &[BlockItem]) -> bool {
    items.iter().any(|item| match item {
        BlockItem::Handler(handler) => handler.continues,
        BlockItem::Statement(statement) => {
            matches!(&statement.kind, ScriptStatementKind::Block(block) if has_continue_handler(&block.items))
        }
        BlockItem::Condition(_) => false,
    })
}
