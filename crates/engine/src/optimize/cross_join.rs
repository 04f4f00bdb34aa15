//! The elimination of cross joins, where it is right and worth its time.

use datafusion::{
    common::{
        JoinType, NullEquality, Result,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    logical_expr::LogicalPlan,
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule, eliminate_cross_join::EliminateCrossJoin},
};

/// The rule's time grows with the fourth power of the number of joins. Of more than these it only looks at plans that have
/// something to eliminate.
const MANY: usize = 40;

/// Leaves plans alone that have an inner join whose nulls are equal: DataFusion's rule gives all joins of a tree the equality of
/// one of them. Filters reach those joins all the same, and become their keys (see [`guards`](super::guards)).
#[derive(Debug, Default)]
pub struct CrossJoins(EliminateCrossJoin);

impl OptimizerRule for CrossJoins {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let (mut joins, mut crossed, mut null_safe) = (0, false, false);
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Join(join) = node {
                joins += 1;
                crossed |= join.on.is_empty();
                null_safe |= join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNull;
            }
            Ok(if null_safe { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if null_safe || (joins > MANY && !crossed) {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}
