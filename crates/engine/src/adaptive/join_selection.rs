//! Joins of other kinds than planned, once the sizes of their sides are known.

use std::sync::Arc;

use datafusion::{
    common::Result,
    physical_plan::{
        ExecutionPlan, Partitioning,
        coalesce_partitions::CoalescePartitionsExec,
        joins::{HashJoinExec, HashJoinExecBuilder, PartitionMode, SortMergeJoinExec},
        repartition::RepartitionExec,
        sorts::sort::SortExec,
    },
};

use super::{
    Rule, View,
    statistics::{Size, is_row_wise},
    walk::{reader_below, replaced, whole_partitions},
};
use crate::{
    join::sorted_sides,
    stage::{InputKind, outputs_build_rows, over, partitions},
};

/// A join partition by partition one of whose sides turns out small becomes a join that reads that side whole in every
/// task; an exchange of the other side that has not begun is left out. A sort-merge join whose partitions of one side all
/// fit into hash tables becomes a hash join.
#[derive(Debug)]
pub struct SelectJoins;

impl Rule for SelectJoins {
    fn name(&self) -> &'static str {
        "select joins"
    }

    fn apply(&self, plan: Arc<dyn ExecutionPlan>, view: &View<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, true, &mut |node, free| {
            let Some((join, sorted)) = partitioned_join(node)? else { return Ok(None) };
            if let Some(broadcast) = broadcast(&join, free, view)? {
                return Ok(Some(broadcast));
            }
            if sorted { hashed(&join, view) } else { merged(&join, view) }
        })
    }
}

/// A join partition by partition as a hash join, and whether it was one that sorts.
fn partitioned_join(node: &Arc<dyn ExecutionPlan>) -> Result<Option<(HashJoinExec, bool)>> {
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        let candidate = *join.partition_mode() == PartitionMode::Partitioned && !join.null_aware;
        return if candidate { Ok(Some((join.builder().build()?, false))) } else { Ok(None) };
    }
    let Some(join) = node.downcast_ref::<SortMergeJoinExec>() else { return Ok(None) };
    let (left, right) = (unsorted(join.left()), unsorted(join.right()));
    let hash = HashJoinExecBuilder::new(left.clone(), right.clone(), join.on().to_vec(), join.join_type())
        .with_filter(join.filter().clone())
        .with_partition_mode(PartitionMode::Partitioned)
        .with_null_equality(join.null_equality())
        .build()?;
    Ok(Some((hash, true)))
}

fn unsorted(plan: &Arc<dyn ExecutionPlan>) -> &Arc<dyn ExecutionPlan> {
    match plan.downcast_ref::<SortExec>() {
        Some(sort) if sort.preserve_partitioning() && sort.fetch().is_none() => sort.input(),
        _ => plan,
    }
}

fn broadcast(join: &HashJoinExec, free: bool, view: &View<'_>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(limit) = view.options.broadcast_bytes else { return Ok(None) };
    let fits = |side: &Arc<dyn ExecutionPlan>, outputs_its_rows: bool| -> Option<Size> {
        let size = view.real_size(side).filter(|size| size.bytes <= limit)?;
        (!outputs_its_rows && !is_mostly_empty(side, view)).then_some(size)
    };
    let left = fits(join.left(), outputs_build_rows(*join.join_type()));
    let right = fits(join.right(), outputs_build_rows(join.join_type().swap()));
    let build_left = match (left, right) {
        (Some(left), Some(right)) => left.bytes <= right.bytes,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => return Ok(None),
    };
    let builder = join.builder().reset_state();
    tracing::debug!(on = ?join.on(), build_left, ?left, ?right, "a join reads one side whole");
    if build_left {
        let sides = vec![whole(join.left())?, probe(join.right(), free)];
        return builder
            .with_partition_mode(PartitionMode::CollectLeft)
            .with_new_children(sides)?
            .build_exec()
            .map(Some);
    }
    let sides = vec![probe(join.left(), free), whole(join.right())?];
    let planned = builder.recompute_properties().with_new_children(sides)?.build()?;
    planned.swap_inputs(PartitionMode::CollectLeft).map(Some)
}

/// A side whose rows are in few of its partitions: the join has few tasks then, and most of the other side's rows meet
/// none of its tables.
fn is_mostly_empty(side: &Arc<dyn ExecutionPlan>, view: &View<'_>) -> bool {
    let Some(reader) = reader_below(side, &is_row_wise) else { return false };
    let bytes = view.bytes(reader.shuffle());
    let filled = bytes.iter().filter(|bytes| **bytes > 0).count();
    filled > 0 && (filled as f64) < bytes.len() as f64 * view.options.non_empty_ratio
}

/// All rows of a side in one partition.
fn whole(side: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if partitions(side) <= 1 {
        return Ok(side.clone());
    }
    if let Some(read) = read_whole(side)? {
        return Ok(read);
    }
    let below = exchanged(side).unwrap_or(side).clone();
    Ok(if partitions(&below) <= 1 { below } else { Arc::new(CoalescePartitionsExec::new(below)) })
}

/// A side that is a shuffle, and work on each row, with all partitions of the shuffle in one.
fn read_whole(side: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(reader) = whole_partitions(side) {
        let all = crate::shuffle::BlockRange { maps: 0..u32::MAX, partitions: 0..partitions(side) as u32 };
        let one = Partitioning::UnknownPartitioning(1);
        return Ok(Some(Arc::new(reader.with_ranges(InputKind::Broadcast, vec![all], one))));
    }
    if !is_row_wise(side) {
        return Ok(None);
    }
    let [child] = side.children()[..] else { return Ok(None) };
    match read_whole(child)? {
        Some(child) => over(side.clone(), vec![child]).map(Some),
        None => Ok(None),
    }
}

/// The other side: as it is, or without its exchange when that has not begun and nothing above needs it.
fn probe(side: &Arc<dyn ExecutionPlan>, free: bool) -> Arc<dyn ExecutionPlan> {
    exchanged(side).filter(|_| free).unwrap_or(side).clone()
}

/// What a side's exchange by key exchanges, when the planner put it there for the join.
fn exchanged(side: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let repartition = side.downcast_ref::<RepartitionExec>()?;
    matches!(repartition.partitioning(), Partitioning::Hash(..)).then(|| repartition.input())
}

/// The join by sorting and merging, where a partition of either side is too large for a hash table that goes to disk once.
fn merged(join: &HashJoinExec, view: &View<'_>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let largest = |side: &Arc<dyn ExecutionPlan>| -> u64 {
        let reader = reader_below(side, &is_row_wise).filter(|reader| view.knows(reader.shuffle()));
        reader.and_then(|reader| view.bytes(reader.shuffle()).iter().copied().max()).unwrap_or(0)
    };
    let too_large = largest(join.left()).min(largest(join.right())) > view.options.sort_above;
    if too_large { sorted_sides(join) } else { Ok(None) }
}

/// The hash join, built from a side all of whose partitions are small enough.
fn hashed(join: &HashJoinExec, view: &View<'_>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let limit = view.options.local_map_bytes;
    if limit < view.options.advisory_bytes {
        // A coalesced partition may be as large as that.
        return Ok(None);
    }
    let fits = |side: &Arc<dyn ExecutionPlan>| -> bool {
        let reader = reader_below(side, &is_row_wise).filter(|reader| view.knows(reader.shuffle()));
        reader.is_some_and(|reader| view.bytes(reader.shuffle()).iter().all(|bytes| *bytes <= limit))
    };
    if fits(join.left()) {
        return join.builder().build_exec().map(Some);
    }
    if fits(join.right()) { join.swap_inputs(PartitionMode::Partitioned).map(Some) } else { Ok(None) }
}
