//! The elimination of cross joins, where there are any among very many joins.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    logical_expr::LogicalPlan,
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// The rule's time grows with the fourth power of the number of joins. Of more than these it only looks at plans that have
/// something to eliminate.
const MANY: usize = 40;

/// `rule`, or what stands in its place.
pub fn bounded(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    if rule.name() == "eliminate_cross_join" { Arc::new(WhereThereAreAny(rule)) } else { rule }
}

#[derive(Debug)]
struct WhereThereAreAny(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for WhereThereAreAny {
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
