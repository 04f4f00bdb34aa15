//! Aggregate functions.

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, Expr, SortExpr};
use firesteel_plan::{SparkError, SparkResult};

use crate::{FunctionContext, Typed, registry::FunctionDef};

/// A call of an aggregate function.
#[derive(Debug, Clone)]
pub struct AggregateArgs {
    /// `count(*)` has no arguments here.
    pub args: Vec<Typed>,
    pub distinct: bool,
    pub filter: Option<Typed>,
    /// `WITHIN GROUP (ORDER BY …)`, with the type of each key.
    pub order_by: Vec<(SortExpr, Typed)>,
    pub ignore_nulls: Option<bool>,
}

/// What the analyzer puts above the aggregation.
pub type Finish = Box<dyn Fn(Typed) -> SparkResult<Typed> + Send + Sync>;

pub struct ResolvedAggregate {
    /// Its expression is an `Expr::AggregateFunction`; under OVER the analyzer takes function and arguments from it.
    pub aggregate: Typed,
    /// Applied to a reference to the aggregate's column (or to the window expression); its answer is the call's value.
    pub finish: Option<Finish>,
}

impl ResolvedAggregate {
    /// The value of the call, given the aggregate's value as `Typed`.
    pub fn finished(&self, value: Expr) -> SparkResult<Typed> {
        let value = Typed::new(value, self.aggregate.data_type.clone(), self.aggregate.nullable);
        match &self.finish {
            Some(finish) => finish(value),
            None => Ok(value),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    First,
    Last,
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![F::aggregate("first", AggregateKind::First), F::aggregate("last", AggregateKind::Last)]
}

pub(crate) fn udafs() -> Vec<Arc<AggregateUDF>> {
    Vec::new()
}

pub(crate) fn resolve(
    _ctx: &FunctionContext,
    name: &str,
    _kind: AggregateKind,
    _args: AggregateArgs,
) -> SparkResult<ResolvedAggregate> {
    Err(SparkError::unsupported(name))
}
