//! From which side of a join its hash tables are built.

use std::sync::Arc;

use datafusion::{
    common::{
        JoinType, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, PartitionMode},
        statistics::StatisticsContext,
    },
};

/// The side with fewer rows, where both are too large for one table. DataFusion takes the one with fewer bytes; but a row costs
/// a lookup or an insertion whatever its width, and an insertion costs more.
#[derive(Debug)]
pub struct BuildFewerRows;

impl PhysicalOptimizerRule for BuildFewerRows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
            let candidate =
                *join.partition_mode() == PartitionMode::Partitioned && *join.join_type() == JoinType::Inner;
            if candidate
                && let (Some(built), Some(probed)) = (rows(join.left()), rows(join.right()))
                && built > probed
            {
                return Ok(Transformed::yes(join.swap_inputs(PartitionMode::Partitioned)?));
            }
            Ok(Transformed::no(node))
        })
        .data()
    }

    fn name(&self) -> &str {
        "build_fewer_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Rows of a physical plan, where its statistics tell.
pub fn rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &Default::default()).ok()?;
    statistics.num_rows.get_value().copied()
}
