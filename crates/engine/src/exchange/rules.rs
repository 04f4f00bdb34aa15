//! What keeps the partitions that a person asked for as they are.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, Partitioning, coop::CooperativeExec, filter::FilterExec, projection::ProjectionExec,
        repartition::RepartitionExec,
    },
};

use super::ExchangeExec;

/// Takes out repartitions that DataFusion put above an exchange only to have more partitions.
#[derive(Debug)]
pub struct KeepAsked;

impl PhysicalOptimizerRule for KeepAsked {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if let Some(repartition) = node.downcast_ref::<RepartitionExec>()
                && matches!(repartition.partitioning(), Partitioning::RoundRobinBatch(_))
                && is_asked(repartition.input())
            {
                return Ok(Transformed::yes(repartition.input().clone()));
            }
            Ok(Transformed::no(node))
        })
        .data()
    }

    fn name(&self) -> &str {
        "keep_asked_partitions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the partitions of a plan are those of an exchange below it.
fn is_asked(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let passes = plan.is::<ProjectionExec>() || plan.is::<FilterExec>() || plan.is::<CooperativeExec>();
    plan.is::<ExchangeExec>() || (passes && plan.children().first().is_some_and(|child| is_asked(child)))
}
