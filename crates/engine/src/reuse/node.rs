//! The place of a part in a logical plan, between optimization and physical planning.

use std::{cmp::Ordering, fmt};

use datafusion::{
    common::{DFSchemaRef, Result},
    logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore},
};

/// A leaf: what it stands for is planned on its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ReusedNode {
    /// Its index among the parts of the query.
    pub part: usize,
    pub schema: DFSchemaRef,
}

impl PartialOrd for ReusedNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.part.partial_cmp(&other.part)
    }
}

impl UserDefinedLogicalNodeCore for ReusedNode {
    fn name(&self) -> &str {
        "Reused"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reused: part {}", self.part)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        Ok(self.clone())
    }
}
