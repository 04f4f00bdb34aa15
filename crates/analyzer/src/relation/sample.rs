//! TABLESAMPLE.

use datafusion::logical_expr::{Expr as DfExpr, LogicalPlanBuilder, lit};
use firesteel_functions::{literal, registry};
use firesteel_plan::{
    Relation, SparkError, SparkResult,
    expr::{BinaryOp, Literal},
    relation::SampleMethod,
};

use crate::{
    query::{Analyzer, RelEnv, build},
    scope::Planned,
};

impl Analyzer<'_> {
    /// A share of the rows: each is taken by a random number of its own, from the same generator and in the same order as in Spark,
    /// so that a seed takes the same rows of a partition.
    pub(super) fn sample(
        &self,
        input: &Relation,
        method: &SampleMethod,
        seed: Option<i64>,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let planned = self.relation(input, env)?;
        let (lower, upper) = match method {
            SampleMethod::Rows(rows) => {
                let rows = usize::try_from(*rows).unwrap_or(usize::MAX);
                return self.limited(planned, 0, Some(rows));
            }
            SampleMethod::Percent(percent) => (0.0, percent / 100.0),
            SampleMethod::Bucket { numerator, denominator } => (0.0, f64::from(*numerator) / f64::from(*denominator)),
            SampleMethod::Fraction { lower, upper } => (*lower, *upper),
        };
        let Some(rand) = registry::lookup("rand") else { return Err(SparkError::internal("there is no rand()")) };
        let seed = seed.map(|n| literal::literal(&self.functions, &Literal::Long(n))).transpose()?;
        let number = rand.resolve_scalar(&self.functions, seed.into_iter().collect())?.expr;
        // One number for both bounds.
        let taken: DfExpr = if lower > 0.0 { number.between(lit(lower), lit(upper)) } else { number.lt(lit(upper)) };
        let plan = build(LogicalPlanBuilder::from(planned.plan).filter(taken))?;
        Ok(Planned { plan, scope: planned.scope })
    }
}
