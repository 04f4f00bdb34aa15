//! Tasks read the map outputs of their own executor instead of a partition from everywhere.

use std::{ops::Range, sync::Arc};

use datafusion::{
    common::Result,
    physical_plan::{
        ExecutionPlan, Partitioning,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode},
    },
};

use super::{
    Rule, View,
    statistics::is_row_wise,
    walk::{reader_below, replaced},
};
use crate::{
    shuffle::{BlockRange, ShuffleReaderExec},
    stage::{InputKind, partitions},
};

/// The probe side of a join that reads its build side whole need not be in partitions by key, although it was written so
/// before the join was switched: each task reads whole map outputs, or parts of one
/// (`spark.sql.adaptive.localShuffleReader.enabled`).
#[derive(Debug)]
pub struct LocalShuffleRead;

impl Rule for LocalShuffleRead {
    fn name(&self) -> &'static str {
        "local shuffle read"
    }

    fn apply(&self, plan: Arc<dyn ExecutionPlan>, view: &View<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        if !view.options.local_reads {
            return Ok(plan);
        }
        replaced(plan, true, &mut |node, free| {
            let hash = node.downcast_ref::<HashJoinExec>();
            let broadcasts = node.is::<CrossJoinExec>()
                || node.is::<NestedLoopJoinExec>()
                || hash.is_some_and(|join| *join.partition_mode() == PartitionMode::CollectLeft && !join.null_aware);
            let [left, right] = node.children()[..] else { return Ok(None) };
            if !free || !broadcasts || partitions(right) <= 1 {
                return Ok(None);
            }
            let Some(reader) = reader_below(right, &is_row_wise) else { return Ok(None) };
            if reader.kind() != InputKind::Partitioned || !view.may_regroup(reader.shuffle()) || is_local(reader) {
                return Ok(None);
            }
            let id = reader.shuffle();
            let ranges = local_ranges(view.maps(id), view.bytes(id).len() as u32, partitions(right) as u32);
            let probe = with_local_ranges(right.clone(), &ranges)?;
            crate::stage::over(node.clone(), vec![left.clone(), probe]).map(Some)
        })
    }
}

fn is_local(reader: &ShuffleReaderExec) -> bool {
    reader.ranges().is_some_and(|ranges| ranges.iter().any(|range| range.maps != (0..range.maps.end)))
}

fn with_local_ranges(plan: Arc<dyn ExecutionPlan>, ranges: &[BlockRange]) -> Result<Arc<dyn ExecutionPlan>> {
    replaced(plan, false, &mut |node, _| {
        let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() else { return Ok(None) };
        let partitioning = Partitioning::UnknownPartitioning(ranges.len());
        Ok(Some(Arc::new(reader.with_ranges(InputKind::Partitioned, ranges.to_vec(), partitioning))))
    })
}

/// Blocks of about `tasks` tasks that read whole map outputs; of fewer maps each is read by several.
fn local_ranges(maps: u32, reducers: u32, tasks: u32) -> Vec<BlockRange> {
    if maps >= tasks {
        let groups = evenly(maps, tasks);
        return groups.into_iter().map(|maps| BlockRange { maps, partitions: 0..reducers }).collect();
    }
    let parts = evenly(reducers, (tasks / maps.max(1)).max(1));
    let of_map = |map| parts.iter().cloned().map(move |partitions| BlockRange { maps: map..map + 1, partitions });
    (0..maps).flat_map(of_map).collect()
}

/// `0..n` in `parts` ranges whose lengths differ by one at most.
fn evenly(n: u32, parts: u32) -> Vec<Range<u32>> {
    let parts = parts.clamp(1, n.max(1));
    let at = |part: u32| (u64::from(n) * u64::from(part) / u64::from(parts)) as u32;
    (0..parts).map(|part| at(part)..at(part + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_read_once() {
        for (maps, reducers, tasks) in [(1, 7, 3), (4, 5, 4), (10, 3, 4), (3, 200, 7), (5, 1, 9), (2, 2, 1)] {
            let ranges = local_ranges(maps, reducers, tasks);
            let mut blocks: Vec<(u32, u32)> = ranges
                .iter()
                .flat_map(|r| r.maps.clone().flat_map(|m| r.partitions.clone().map(move |p| (m, p))))
                .collect();
            blocks.sort_unstable();
            let all: Vec<(u32, u32)> = (0..maps).flat_map(|m| (0..reducers).map(move |p| (m, p))).collect();
            assert_eq!(blocks, all, "{maps} {reducers} {tasks}: {ranges:?}");
        }
    }
}
