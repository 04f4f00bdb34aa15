//! Hash tables are built from the side that has fewer rows.

use std::sync::Arc;

use datafusion::{
    common::Result,
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, PartitionMode},
    },
};

use super::{Rule, View, walk::replaced};

/// Swaps the sides of a join partition by partition when the rows of both are there and the planner's guess was wrong.
#[derive(Debug)]
pub struct BuildSmallerSide;

impl Rule for BuildSmallerSide {
    fn name(&self) -> &'static str {
        "build smaller side"
    }

    fn apply(&self, plan: Arc<dyn ExecutionPlan>, view: &View<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, true, &mut |node, _| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(None) };
            if *join.partition_mode() != PartitionMode::Partitioned || join.null_aware {
                return Ok(None);
            }
            let (Some(built), Some(probed)) = (view.real_size(join.left()), view.real_size(join.right())) else {
                return Ok(None);
            };
            if built.rows <= probed.rows {
                return Ok(None);
            }
            let join = join.builder().reset_state().build()?;
            join.swap_inputs(PartitionMode::Partitioned).map(Some)
        })
    }
}
