//! By which way a join is made, where a person has a wish or the sides are very large.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
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

use crate::{
    join::{JoinHint, JoinHintExec, sort_merge},
    stage::outputs_build_rows,
};

/// Heeds hints, and takes them out of the plan. Without one, a join whose sides are both too large to be hashed is sorted.
#[derive(Debug)]
pub struct ChooseJoins {
    /// Bytes of a build side's partition above which both sides are sorted.
    pub sort_above: u64,
}

impl PhysicalOptimizerRule for ChooseJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = options.execution.target_partitions.max(1) as u64;
        let chosen = plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
            let chosen = match hint(join) {
                Some((hint, left)) => heeded(join, hint, left)?,
                None if self.is_too_large(join, partitions) => sort_merge(join)?,
                None => None,
            };
            Ok(chosen.map_or_else(|| Transformed::no(node), Transformed::yes))
        })?;
        chosen
            .data
            .transform_down(|node| match node.downcast_ref::<JoinHintExec>() {
                Some(hinted) => Ok(Transformed::yes(hinted.input.clone())),
                None => Ok(Transformed::no(node)),
            })
            .data()
    }

    fn name(&self) -> &str {
        "choose_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl ChooseJoins {
    fn is_too_large(&self, join: &HashJoinExec, partitions: u64) -> bool {
        *join.partition_mode() == PartitionMode::Partitioned
            && [join.left(), join.right()]
                .into_iter()
                .all(|side| bytes(side).is_some_and(|bytes| bytes / partitions > self.sort_above))
    }
}

/// The hint of a join, and whether it is the left side's.
fn hint(join: &HashJoinExec) -> Option<(JoinHint, bool)> {
    match (hint_below(join.left()), hint_below(join.right())) {
        // Of two sides that may both be given to every task, the smaller one.
        (Some(JoinHint::Broadcast), Some(JoinHint::Broadcast)) => {
            let right_is_smaller = bytes(join.left()).zip(bytes(join.right())).is_some_and(|(l, r)| r < l);
            Some((JoinHint::Broadcast, !right_is_smaller))
        }
        (Some(left), Some(right)) => Some((left.min(right), left <= right)),
        (Some(left), None) => Some((left, true)),
        (None, Some(right)) => Some((right, false)),
        (None, None) => None,
    }
}

/// The hint of a side: above or below whatever is done with its rows one input at a time.
fn hint_below(side: &Arc<dyn ExecutionPlan>) -> Option<JoinHint> {
    let mut node = side;
    loop {
        if let Some(hinted) = node.downcast_ref::<JoinHintExec>() {
            return Some(hinted.hint);
        }
        let [child] = node.children()[..] else { return None };
        node = child;
    }
}

/// `None` where the join cannot be made so, or is made so already.
fn heeded(join: &HashJoinExec, hint: JoinHint, left: bool) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mode = match hint {
        JoinHint::Merge => return sort_merge(join),
        JoinHint::ShuffleReplicateNestedLoop => return Ok(None),
        JoinHint::Broadcast => PartitionMode::CollectLeft,
        JoinHint::ShuffleHash => PartitionMode::Partitioned,
    };
    let built = if left { *join.join_type() } else { join.join_type().swap() };
    if join.null_aware || (mode == PartitionMode::CollectLeft && outputs_build_rows(built)) {
        return Ok(None);
    }
    if left {
        join.builder().with_partition_mode(mode).recompute_properties().build_exec().map(Some)
    } else {
        join.swap_inputs(mode).map(Some)
    }
}

/// Bytes of what a plan yields, where its statistics tell.
fn bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &Default::default()).ok()?;
    statistics.total_byte_size.get_value().map(|bytes| *bytes as u64)
}
