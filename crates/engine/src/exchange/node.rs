//! The exchange in a logical plan.

use std::{cmp::Ordering, collections::HashSet, fmt, sync::Arc};

use datafusion::{
    common::{DFSchemaRef, Result, internal_err},
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore},
};

/// How rows are spread.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// Evenly over so many partitions.
    Even(usize),
    /// Rows with equal keys together, in so many partitions.
    ByKeys(Vec<Expr>, usize),
    /// As they come, in no more than so many partitions: nothing is done when there are no more.
    AtMost(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExchangeNode {
    pub input: Arc<LogicalPlan>,
    pub exchange: Exchange,
    /// The query says how many partitions there shall be; it is not a default.
    pub counted: bool,
}

impl ExchangeNode {
    /// A plan that spreads the rows of `input` so.
    pub fn plan(input: LogicalPlan, exchange: Exchange, counted: bool) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input: Arc::new(input), exchange, counted }) })
    }
}

impl PartialOrd for ExchangeNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for ExchangeNode {
    fn name(&self) -> &str {
        "Exchange"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        match &self.exchange {
            Exchange::ByKeys(keys, _) => keys.clone(),
            Exchange::Even(_) | Exchange::AtMost(_) => Vec::new(),
        }
    }

    /// Filters may go below it.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.exchange {
            Exchange::Even(n) => write!(f, "Exchange: evenly, {n} partitions"),
            Exchange::ByKeys(keys, n) => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                write!(f, "Exchange: by {}, {n} partitions", keys.join(", "))
            }
            Exchange::AtMost(n) => write!(f, "Exchange: at most {n} partitions"),
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop().filter(|_| inputs.is_empty()) else {
            return internal_err!("an exchange has one input");
        };
        let exchange = match &self.exchange {
            Exchange::ByKeys(_, n) => Exchange::ByKeys(exprs, *n),
            other => other.clone(),
        };
        Ok(Self { input: Arc::new(input), exchange, counted: self.counted })
    }

    /// The columns asked for, and those of the keys.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut needed: Vec<usize> = output_columns.to_vec();
        for key in self.expressions() {
            needed.extend(key.column_refs().into_iter().filter_map(|column| schema.maybe_index_of_column(column)));
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
