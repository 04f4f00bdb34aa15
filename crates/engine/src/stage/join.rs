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
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode},
        repartition::RepartitionExec,
    },
};

use super::cut::{Cutter, partitions};

/// Whether the join decides what to output of a build row only when it has seen the whole probe side.
pub(crate) fn outputs_build_rows(join_type: JoinType) -> bool {
    match join_type {
        JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => true,
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => false,
    }
}

/// A join that must see all rows of both sides that can match each other, and whose probe side has several partitions,
/// gets an exchange on either side. Other plans stay as they are.
pub(super) fn with_exchanged_sides(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(plan) };
    let n = partitions(join.right());
    if *join.partition_mode() != PartitionMode::CollectLeft
        || n <= 1
        || join.null_aware
        || !outputs_build_rows(*join.join_type())
    {
        return Ok(plan);
    }
    let left = match join.left().downcast_ref::<CoalescePartitionsExec>() {
        Some(coalesce) if coalesce.fetch().is_none() => coalesce.input(),
        _ => join.left(),
    };
    let (left_keys, right_keys) = join.on().iter().cloned().unzip();
    let left = RepartitionExec::try_new(left.clone(), Partitioning::Hash(left_keys, n))?;
    let right = RepartitionExec::try_new(join.right().clone(), Partitioning::Hash(right_keys, n))?;
    join.builder()
        .reset_state()
        .with_partition_mode(PartitionMode::Partitioned)
        .with_new_children(vec![Arc::new(left), Arc::new(right)])?
        .build_exec()
}

/// Whether every task of a join with several partitions reads this side of it whole.
pub(super) fn is_broadcast(plan: &Arc<dyn ExecutionPlan>, side: usize) -> bool {
    let [_, right] = plan.children()[..] else { return false };
    if side != 0 || partitions(right) <= 1 {
        return false;
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return *join.partition_mode() == PartitionMode::CollectLeft && !outputs_build_rows(*join.join_type());
    }
    let nested = plan.downcast_ref::<NestedLoopJoinExec>();
    plan.is::<CrossJoinExec>() || nested.is_some_and(|join| !outputs_build_rows(*join.join_type()))
}

impl Cutter<'_> {
    /// The join over its sides, all of whose shuffles are complete.
    pub(super) fn hash_join(
        &mut self,
        join: &HashJoinExec,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A filter that a join fills while it runs waits for all probe partitions, which are tasks of their own here.
        let without_filter = join.builder().reset_state();
        if *join.partition_mode() == PartitionMode::Partitioned {
            if partitions(&left) != partitions(&right) {
                return internal_err!(
                    "a partitioned join of {} and {} partitions",
                    partitions(&left),
                    partitions(&right)
                );
            }
            return without_filter.recompute_properties().with_new_children(vec![left, right])?.build_exec();
        }
        let (left, right) = if partitions(&right) <= 1 {
            (self.one_partition(left)?, right)
        } else if outputs_build_rows(*join.join_type()) {
            // A null on the probe side empties the whole result, so one task must see all of it.
            (self.one_partition(left)?, self.one_partition(right)?)
        } else {
            (self.broadcast(left)?, right)
        };
        without_filter
            .with_partition_mode(PartitionMode::CollectLeft)
            .recompute_properties()
            .with_new_children(vec![left, right])?
            .build_exec()
    }

    /// Brings the sides of a cross join or a nested-loop join where it can be had.
    pub(super) fn loop_join(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        left: &mut Arc<dyn ExecutionPlan>,
        right: &mut Arc<dyn ExecutionPlan>,
    ) -> Result<()> {
        if partitions(right) <= 1 {
            return Ok(());
        }
        if plan.downcast_ref::<NestedLoopJoinExec>().is_some_and(|join| outputs_build_rows(*join.join_type())) {
            *right = self.one_partition(right.clone())?;
        } else {
            *left = self.broadcast(left.clone())?;
        }
        Ok(())
    }
}
