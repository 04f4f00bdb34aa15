//! What analysis answers.

use datafusion::{arrow::array::RecordBatch, logical_expr::LogicalPlan, scalar::ScalarValue};
use firesteel_engine::{cache::StorageLevel, write::WriteSpec};
use firesteel_plan::{
    DataType,
    statement::{Block, DeferredClause, ExplainMode},
};

use crate::{catalog::Table, variable::AssignTarget};

/// A statement after analysis.
#[derive(Debug)]
pub enum Analyzed {
    /// Run the plan, answer its rows.
    Query(AnalyzedQuery),
    /// Run the plan and write its rows; then [`crate::Session::apply`] the catalog's change.
    Write(AnalyzedWrite),
    /// Keep the plan's rows, now or when they are first read.
    Cache(AnalyzedCache),
    /// Run the query and give its row to variables: [`crate::Session::assign`].
    Assign(AnalyzedAssign),
    /// Run the statements of a script, with what gives words of them.
    Script { block: Box<Block>, clauses: Vec<DeferredClause> },
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

/// What an expression without columns comes to.
#[derive(Debug)]
pub enum Evaluated {
    Value(ScalarValue, DataType),
    /// It is what this query of one row and column answers.
    Query(AnalyzedQuery),
}

/// Values for variables.
#[derive(Debug, Clone)]
pub struct AnalyzedAssign {
    /// Of one row, or none for nulls.
    pub query: AnalyzedQuery,
    /// The column that each variable gets.
    pub targets: Vec<(usize, AssignTarget)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OutputColumn {
    /// As people see it; may repeat.
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// Of the table's column that it is.
    pub comment: Option<String>,
    /// The type of the table's column that it is, where that is char(n) or varchar(n).
    pub declared: Option<DataType>,
}

impl OutputColumn {
    pub fn new(name: impl Into<String>, data_type: DataType, nullable: bool) -> Self {
        Self { name: name.into(), data_type, nullable, comment: None, declared: None }
    }

    /// The type of a table's column that is made of this one.
    pub fn stored_type(&self) -> DataType {
        self.declared.as_ref().unwrap_or(&self.data_type).clone()
    }
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
