//! What analysis answers.

use datafusion::{arrow::array::RecordBatch, logical_expr::LogicalPlan};
use firesteel_engine::{cache::StorageLevel, write::WriteSpec};
use firesteel_plan::{DataType, statement::ExplainMode};

use crate::catalog::Table;

/// A statement after analysis.
#[derive(Debug)]
pub enum Analyzed {
    /// Run the plan, answer its rows.
    Query(AnalyzedQuery),
    /// Run the plan and write its rows; then [`crate::Session::apply`] the catalog's change.
    Write(AnalyzedWrite),
    /// Keep the plan's rows, now or when they are first read.
    Cache(AnalyzedCache),
    /// Answered at once.
    Rows { columns: Vec<OutputColumn>, batches: Vec<RecordBatch> },
    /// Done, nothing to show.
    Done,
    /// Show the plan of what is inside, do not run it.
    Explain { mode: ExplainMode, of: Box<Analyzed> },
}

#[derive(Debug, Clone)]
pub struct AnalyzedCache {
    pub query: AnalyzedQuery,
    /// For people.
    pub name: String,
    pub level: StorageLevel,
    pub lazy: bool,
}

#[derive(Debug, Clone)]
pub struct AnalyzedQuery {
    /// Its columns are `columns` by position; their names in the plan are internal.
    pub plan: LogicalPlan,
    pub columns: Vec<OutputColumn>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OutputColumn {
    /// As people see it; may repeat.
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
}

#[derive(Debug, Clone)]
pub struct AnalyzedWrite {
    /// Casted to the columns of `spec`, partition columns last.
    pub query: AnalyzedQuery,
    pub spec: WriteSpec,
    /// What the catalog learns when the write is complete.
    pub then: CatalogChange,
}

/// A change of the catalog that waits for a write.
#[derive(Debug, Clone)]
pub enum CatalogChange {
    None,
    CreateTable { table: Box<Table>, replace: bool },
}
