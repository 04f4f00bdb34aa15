//! Joins whose build side is collected whole.
//!
//! In one process all partitions of the probe side share one hash table and can agree on which of its rows found no
//! match. Tasks cannot: each has its own copy. So a join that outputs rows of its build side must see all of the
//! other side that can match them.

use std::sync::Arc;

use datafusion::{
    common::{JoinType, Result, internal_err},
    physical_plan::{
        ExecutionPlan, Partitioning,
        coalesce_partitions::CoalescePartitionsExec,
        joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode},
    },
};

use super::cut::{Cutter, partitions};

/// Whether the join decides what to output of a build row only when it has seen the whole probe side.
fn outputs_build_rows(join_type: JoinType) -> bool {
    match join_type {
        JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => true,
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => false,
    }
}

impl Cutter<'_> {
    pub(super) fn hash_join(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        join: &HashJoinExec,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A filter that a join fills while it runs waits for all probe partitions, which are tasks of their own here.
        let without_filter = join.builder().reset_state();
        if *join.partition_mode() == PartitionMode::Partitioned {
            let left = self.rewrite(join.left().clone())?;
            let right = self.rewrite(join.right().clone())?;
            if partitions(&left) != partitions(&right) {
                return internal_err!(
                    "a partitioned join of {} and {} partitions",
                    partitions(&left),
                    partitions(&right)
                );
            }
            return without_filter.recompute_properties().with_new_children(vec![left, right])?.build_exec();
        }
        let right = self.rewrite(join.right().clone())?;
        let spread = partitions(&right) > 1;
        if spread && outputs_build_rows(*join.join_type()) && !join.null_aware {
            let left = match join.left().downcast_ref::<CoalescePartitionsExec>() {
                Some(coalesce) if coalesce.fetch().is_none() => coalesce.input(),
                _ => join.left(),
            };
            let left = self.rewrite(left.clone())?;
            let (left_keys, right_keys) = join.on().iter().cloned().unzip();
            let n = partitions(&right);
            let left = self.exchange(left, Partitioning::Hash(left_keys, n))?;
            let right = self.exchange(right, Partitioning::Hash(right_keys, n))?;
            return without_filter
                .with_partition_mode(PartitionMode::Partitioned)
                .with_new_children(vec![left, right])?
                .build_exec();
        }
        let left = self.rewrite(join.left().clone())?;
        let (left, right) = if !spread {
            (self.one_partition(left)?, right)
        } else if outputs_build_rows(*join.join_type()) {
            // A null on the probe side empties the whole result, so one task must see all of it.
            (self.one_partition(left)?, self.one_partition(right)?)
        } else {
            (self.broadcast(left)?, right)
        };
        debug_assert_eq!(plan.children().len(), 2);
        without_filter
            .with_partition_mode(PartitionMode::CollectLeft)
            .recompute_properties()
            .with_new_children(vec![left, right])?
            .build_exec()
    }

    /// Cross joins and nested-loop joins.
    pub(super) fn loop_join(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = plan.children()[..] else { return internal_err!("a join has two children") };
        let left = self.rewrite(left.clone())?;
        let mut right = self.rewrite(right.clone())?;
        if partitions(&right) <= 1 {
            return self.replace(plan.clone(), vec![left, right]);
        }
        if plan.downcast_ref::<NestedLoopJoinExec>().is_some_and(|join| outputs_build_rows(*join.join_type())) {
            right = self.one_partition(right)?;
            return self.replace(plan.clone(), vec![left, right]);
        }
        let left = self.broadcast(left)?;
        self.replace(plan.clone(), vec![left, right])
    }
}
