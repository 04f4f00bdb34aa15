//! Operators in a plan that keep to their memory.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
        joins::{HashJoinExec, PartitionMode},
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
    },
};

use super::compact::CompactExec;
use crate::join::{GroupedMergeExec, HybridHashJoinExec, MERGED_AT_ONCE};

/// `plan` as a task runs it, which has a copy of it for itself: joins that spill, sorts that are given no more than they
/// asked for, and merges of not too many streams at a time.
pub fn bounded(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    replace(plan, false)
}

/// As [`bounded`], for plans all of whose partitions run in this process: where they share one build side it must fit in
/// memory.
#[derive(Debug)]
pub struct BoundedMemory;

impl PhysicalOptimizerRule for BoundedMemory {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        replace(plan, true)
    }

    fn name(&self) -> &str {
        "bounded_memory"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn replace(plan: Arc<dyn ExecutionPlan>, one_process: bool) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            let shared = one_process
                && *join.partition_mode() == PartitionMode::CollectLeft
                && join.right().output_partitioning().partition_count() > 1;
            let join = Arc::new(join.builder().build()?);
            return Ok(Transformed::yes(Arc::new(HybridHashJoinExec::new(join, shared)) as _));
        }
        if let Some(sort) = node.downcast_ref::<SortExec>()
            && sort.fetch().is_none()
            && CompactExec::helps(sort.input())
        {
            let input = Arc::new(CompactExec::new(sort.input().clone()));
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            return Ok(Transformed::yes(node.replace_children(vec![input], options)?));
        }
        if let Some(merge) = node.downcast_ref::<SortPreservingMergeExec>()
            && merge.input().output_partitioning().partition_count() > MERGED_AT_ONCE
        {
            let merge =
                SortPreservingMergeExec::new(merge.expr().clone(), merge.input().clone()).with_fetch(merge.fetch());
            return Ok(Transformed::yes(Arc::new(GroupedMergeExec::new(Arc::new(merge), MERGED_AT_ONCE)) as _));
        }
        Ok(Transformed::no(node))
    })
    .data()
}
