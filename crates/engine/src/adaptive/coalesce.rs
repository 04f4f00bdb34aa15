//! Small neighbouring partitions are read by one task.

use std::{collections::HashMap, ops::Range, sync::Arc};

use datafusion::{
    common::Result,
    physical_plan::{
        ExecutionPlan,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode},
        union::UnionExec,
    },
};
use firesteel_protocol::ShuffleId;

use super::{
    Rule, View,
    options::AdaptiveOptions,
    walk::{NewRanges, whole_partitions, with_ranges},
};
use crate::{
    shuffle::BlockRange,
    stage::{grow_stack, partitions},
};

/// Of the shuffles that a task reads the same partitions of, neighbours become one as long as they stay below the wanted
/// size together (`spark.sql.adaptive.coalescePartitions.*`). Empty ones go with a neighbour: should outputs be lost and
/// made again by a stage that spreads its rows otherwise the second time, no row is left out.
#[derive(Debug)]
pub struct CoalescePartitions;

impl Rule for CoalescePartitions {
    fn name(&self) -> &'static str {
        "coalesce partitions"
    }

    fn apply(&self, plan: Arc<dyn ExecutionPlan>, view: &View<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        if view.options.coalesce.is_none() {
            return Ok(plan);
        }
        let groups: Vec<Group> = groups(&plan, view).into_iter().filter(|group| group.free).collect();
        let group_bytes = |group: &Group| -> u64 { group.readers.iter().map(|id| view.total(*id)).sum() };
        let total: u64 = groups.iter().map(group_bytes).sum();
        let mut new = HashMap::new();
        for group in &groups {
            let sizes: Vec<&[u64]> = group.readers.iter().map(|id| view.bytes(*id)).collect();
            let target = target_bytes(view.options, group_bytes(group), total);
            let n = sizes.first().map_or(0, |sizes| sizes.len());
            let mut joined = coalesced(&sizes, 0..n, target);
            if joined.is_empty() {
                // A stage has a task, though there be no rows for it.
                joined.push(0..n);
            }
            if joined.len() == n {
                continue;
            }
            for id in &group.readers {
                let whole = |joined: &Range<usize>| view.partitions(*id, joined.clone());
                new.insert(*id, NewRanges { ranges: joined.iter().map(whole).collect(), keeps_keys: true });
            }
        }
        with_ranges(plan, &new)
    }
}

/// Bytes that a task of a group of shuffles should read, of which `bytes` of the stage's `total` are.
pub fn target_bytes(options: &AdaptiveOptions, bytes: u64, total: u64) -> u64 {
    let Some(coalesce) = options.coalesce else { return options.advisory_bytes };
    let tasks = if coalesce.parallelism_first { options.slots as u64 } else { 1 };
    // Groups share the tasks by their size.
    let share = tasks as f64 * (bytes as f64 / total.max(1) as f64);
    let tasks = (share.round() as u64).max(1);
    bytes.div_ceil(tasks).min(options.advisory_bytes).max(coalesce.min_bytes)
}

/// Ranges of neighbouring partitions, each below `target` bytes unless it is one partition with rows. None where no
/// partition has rows; otherwise all partitions are covered.
pub fn coalesced(sizes: &[&[u64]], within: Range<usize>, target: u64) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let (mut start, mut sum) = (within.start, 0u64);
    for partition in within.clone() {
        let bytes: u64 = sizes.iter().filter_map(|sizes| sizes.get(partition)).sum();
        if sum > 0 && sum.saturating_add(bytes) > target {
            ranges.push(start..partition);
            (start, sum) = (partition, 0);
        }
        sum = sum.saturating_add(bytes);
    }
    if sum > 0 {
        ranges.push(start..within.end);
    } else if let Some(last) = ranges.last_mut() {
        last.end = within.end;
    }
    ranges
}

/// Readers of which a task reads the same partition.
struct Group {
    readers: Vec<ShuffleId>,
    /// Only readers of whole partitions whose number nobody asked for, all of the same number.
    free: bool,
    partitions: usize,
}

fn groups(plan: &Arc<dyn ExecutionPlan>, view: &View<'_>) -> Vec<Group> {
    let mut found = Vec::new();
    new_group(plan, view, &mut found);
    found
}

fn new_group(plan: &Arc<dyn ExecutionPlan>, view: &View<'_>, found: &mut Vec<Group>) {
    let mut group = Group { readers: Vec::new(), free: true, partitions: partitions(plan) };
    visit(plan, view, &mut group, found);
    group.free &= !group.readers.is_empty();
    found.push(group);
}

fn visit(plan: &Arc<dyn ExecutionPlan>, view: &View<'_>, group: &mut Group, found: &mut Vec<Group>) {
    grow_stack(|| {
        if plan.children().is_empty() {
            match whole_partitions(plan).map(|reader| reader.shuffle()) {
                Some(id) if view.may_regroup(id) && view.bytes(id).len() == group.partitions => group.readers.push(id),
                _ => group.free = false,
            }
            return;
        }
        if plan.is::<UnionExec>() {
            // A task reads from one of its inputs.
            for child in plan.children() {
                new_group(child, view, found);
            }
            group.free = false;
            return;
        }
        for (index, child) in plan.children().into_iter().enumerate() {
            let apart = (index == 0 && collects_left(plan)) || partitions(child) != partitions(plan);
            if apart { new_group(child, view, found) } else { visit(child, view, group, found) }
        }
    });
}

fn collects_left(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<CrossJoinExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.downcast_ref::<HashJoinExec>().is_some_and(|join| *join.partition_mode() == PartitionMode::CollectLeft)
}

impl View<'_> {
    /// All blocks of these partitions.
    pub fn partitions(&self, shuffle: ShuffleId, partitions: Range<usize>) -> BlockRange {
        BlockRange { maps: 0..self.maps(shuffle), partitions: partitions.start as u32..partitions.end as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adaptive::CoalesceOptions;

    fn options(slots: usize, parallelism_first: bool, min_bytes: u64) -> AdaptiveOptions {
        let conf = firesteel_plan::SparkConf::new();
        let coalesce = Some(CoalesceOptions { parallelism_first, min_bytes });
        AdaptiveOptions { advisory_bytes: 64, coalesce, ..AdaptiveOptions::of(&conf, slots).unwrap() }
    }

    #[test]
    fn neighbours_are_joined_up_to_the_target_and_all_are_covered() {
        assert_eq!(coalesced(&[&[10, 20, 30, 40, 50]], 0..5, 60), [0..3, 3..4, 4..5]);
        assert_eq!(coalesced(&[&[0, 0, 100, 0, 0]], 0..5, 60).as_slice(), std::slice::from_ref(&(0..5)));
        assert_eq!(coalesced(&[&[0, 70, 0, 70, 0, 0]], 0..6, 60), [0..2, 2..6]);
        assert!(coalesced(&[&[0, 0, 0]], 0..3, 60).is_empty());
        // Both sides of a join count.
        assert_eq!(coalesced(&[&[10, 10, 10, 10], &[40, 0, 30, 5]], 0..4, 60), [0..2, 2..4]);
        assert_eq!(coalesced(&[&[1, 1, 1, 1, 1]], 1..4, 2), [1..3, 3..4]);
    }

    #[test]
    fn slots_stay_in_use_unless_partitions_would_be_tiny() {
        assert_eq!(target_bytes(&options(4, true, 1), 100, 100), 25);
        assert_eq!(target_bytes(&options(4, true, 30), 100, 100), 30);
        assert_eq!(target_bytes(&options(4, false, 1), 100, 100), 64);
        assert_eq!(target_bytes(&options(1, true, 1), 100, 100), 64);
        // Groups share the slots.
        assert_eq!(target_bytes(&options(4, true, 1), 75, 100), 25);
        assert_eq!(target_bytes(&options(4, true, 1), 5, 100), 5);
    }
}
