//! TABLESAMPLE.

use datafusion::logical_expr::{LogicalPlanBuilder, lit};
use firesteel_functions::{literal, registry};
use firesteel_plan::{Relation, SparkError, SparkResult, expr::Literal, relation::SampleMethod};

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
        let share = match method {
            SampleMethod::Rows(rows) => {
                let rows = usize::try_from(*rows).unwrap_or(usize::MAX);
                return self.limited(planned, 0, Some(rows));
            }
            SampleMethod::Percent(percent) => percent / 100.0,
            SampleMethod::Bucket { numerator, denominator } => f64::from(*numerator) / f64::from(*denominator),
            SampleMethod::Fraction { lower, upper } if *lower == 0.0 => *upper,
            SampleMethod::Fraction { .. } => return Err(SparkError::unsupported("a sample between two fractions")),
        };
        let Some(rand) = registry::lookup("rand") else { return Err(SparkError::internal("there is no rand()")) };
        let seed = seed.map(|n| literal::literal(&self.functions, &Literal::Long(n))).transpose()?;
        let number = rand.resolve_scalar(&self.functions, seed.into_iter().collect())?.expr;
        let plan = build(LogicalPlanBuilder::from(planned.plan).filter(number.lt(lit(share))))?;
        Ok(Planned { plan, scope: planned.scope })
    }
}
