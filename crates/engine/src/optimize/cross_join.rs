//! DataFusion's elimination of cross joins, where there are any among very many joins.

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    logical_expr::LogicalPlan,
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule, eliminate_cross_join::EliminateCrossJoin},
};

/// The rule's time grows with the fourth power of the number of joins. Of more than these it only looks at plans that have
/// something to eliminate.
const MANY: usize = 40;

#[derive(Debug, Default)]
pub struct EliminateCrossJoins(EliminateCrossJoin);

impl OptimizerRule for EliminateCrossJoins {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let (mut joins, mut crossed) = (0, false);
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Join(join) = node {
                joins += 1;
                crossed |= join.on.is_empty();
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if joins > MANY && !crossed {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}
