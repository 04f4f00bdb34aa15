//! A join's partition that is much larger than the others is joined by several tasks.

use std::{collections::HashMap, ops::Range, sync::Arc};

use datafusion::{
    common::{JoinType, Result},
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, PartitionMode, SortMergeJoinExec},
        sorts::sort::SortExec,
    },
};
use firesteel_protocol::ShuffleId;

use super::{
    Rule, View,
    coalesce::{coalesced, target_bytes},
    options::SkewOptions,
    statistics::is_row_wise,
    walk::{NewRanges, reader_below, replaced, with_ranges},
};
use crate::shuffle::BlockRange;

/// Parts of a split partition smaller than this share of the wanted size are put to their neighbour.
const SMALL_PART: f64 = 0.2;
/// Two parts that are together not larger than this many times the wanted size are one.
const MERGED_PARTS: f64 = 1.2;

/// Splits a skewed partition of one side by ranges of map outputs; the other side's partition is read by the task of each
/// part (`spark.sql.adaptive.skewJoin.*`). Only where each row of the split side may be joined on its own, and where
/// nothing above needs the rows of a key in one partition.
#[derive(Debug)]
pub struct SplitSkewedPartitions;

impl Rule for SplitSkewedPartitions {
    fn name(&self) -> &'static str {
        "split skewed partitions"
    }

    fn apply(&self, plan: Arc<dyn ExecutionPlan>, view: &View<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(skew) = view.options.skew else { return Ok(plan) };
        replaced(plan, true, &mut |node, free| {
            if !free {
                return Ok(None);
            }
            let Some(join) = SidesOf::node(node, view) else { return Ok(None) };
            match split(&join, skew, view) {
                Some(new) => with_ranges(node.clone(), &new).map(Some),
                None => Ok(None),
            }
        })
    }
}

struct SidesOf {
    left: ShuffleId,
    right: ShuffleId,
    join_type: JoinType,
}

impl SidesOf {
    /// A join of two shuffles partition by partition.
    fn node(node: &Arc<dyn ExecutionPlan>, view: &View<'_>) -> Option<Self> {
        let hash = node.downcast_ref::<HashJoinExec>();
        let hash = hash.filter(|join| *join.partition_mode() == PartitionMode::Partitioned && !join.null_aware);
        let join_type = match (hash, node.downcast_ref::<SortMergeJoinExec>()) {
            (Some(join), _) => *join.join_type(),
            (_, Some(join)) => join.join_type(),
            _ => return None,
        };
        let [left, right] = node.children()[..] else { return None };
        let side = |side| {
            let sorts_partitions = |node: &Arc<dyn ExecutionPlan>| {
                node.downcast_ref::<SortExec>()
                    .is_some_and(|sort| sort.preserve_partitioning() && sort.fetch().is_none())
            };
            let reader = reader_below(side, &|node| is_row_wise(node) || sorts_partitions(node))?;
            // Partitions without rows are left out: that must stay right when outputs are made again.
            let id = reader.shuffle();
            (reader.ranges().is_none() && view.may_regroup(id) && view.is_repeatable(id)).then_some(id)
        };
        let (left, right) = (side(left)?, side(right)?);
        (view.bytes(left).len() == view.bytes(right).len()).then_some(Self { left, right, join_type })
    }
}

/// Whether what a join yields of a row of this side follows from that row and all of the other side.
fn splits_left(join_type: JoinType) -> bool {
    matches!(join_type, JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark)
}

fn split(join: &SidesOf, skew: SkewOptions, view: &View<'_>) -> Option<HashMap<ShuffleId, NewRanges>> {
    let sides = [(join.left, splits_left(join.join_type)), (join.right, splits_left(join.join_type.swap()))];
    let limits = sides.map(|(id, may_split)| Limit::of(view.bytes(id), skew, view.options.advisory_bytes, may_split));
    let bytes = sides.map(|(id, _)| view.bytes(id));
    let total: u64 = bytes.iter().map(|side| side.iter().sum::<u64>()).sum();
    let mut ranges: [Vec<BlockRange>; 2] = [Vec::new(), Vec::new()];
    let mut split = 0;
    let mut start = 0;
    let n = bytes[0].len();
    // What lies between two split partitions is coalesced as it would be without them.
    let between = |ranges: &mut [Vec<BlockRange>; 2], within: Range<usize>| {
        let joined = match view.options.coalesce {
            Some(_) => coalesced(&bytes, within, target_bytes(view.options, total, total)),
            None => within.map(|partition| partition..partition + 1).collect(),
        };
        for (side, (id, _)) in sides.iter().enumerate() {
            ranges[side].extend(joined.iter().map(|joined| view.partitions(*id, joined.clone())));
        }
    };
    for (partition, _) in bytes[0].iter().enumerate() {
        let parts: [Vec<BlockRange>; 2] = [0, 1].map(|side| {
            let (id, _) = sides[side];
            limits[side].parts(bytes[side][partition], || view.block_sizes(id, partition)).map_or_else(
                || vec![view.partitions(id, partition..partition + 1)],
                |maps| {
                    let partitions = partition as u32..partition as u32 + 1;
                    maps.into_iter().map(|maps| BlockRange { maps, partitions: partitions.clone() }).collect()
                },
            )
        });
        if parts.iter().all(|parts| parts.len() == 1) {
            continue;
        }
        between(&mut ranges, start..partition);
        start = partition + 1;
        split += 1;
        for left in &parts[0] {
            for right in &parts[1] {
                ranges[0].push(left.clone());
                ranges[1].push(right.clone());
            }
        }
    }
    if split == 0 {
        return None;
    }
    between(&mut ranges, start..n);
    tracing::info!(left = join.left.0, right = join.right.0, split, tasks = ranges[0].len(), "skewed partitions split");
    let [left, right] = ranges.map(|ranges| NewRanges { ranges, keeps_keys: false });
    Some(HashMap::from([(join.left, left), (join.right, right)]))
}

/// From which size on a partition of one side is skewed, and the size of its parts.
struct Limit {
    skewed: u64,
    part: u64,
    may_split: bool,
}

impl Limit {
    fn of(bytes: &[u64], skew: SkewOptions, advisory: u64, may_split: bool) -> Self {
        let skewed = skew.threshold_bytes.max((median(bytes) as f64 * skew.factor) as u64);
        let others: Vec<u64> = bytes.iter().copied().filter(|bytes| *bytes <= skewed).collect();
        let mean = others.iter().sum::<u64>() / (others.len() as u64).max(1);
        Self { skewed, part: advisory.max(mean), may_split }
    }

    /// The map outputs of each part of a partition of so many bytes; `None` when it stays whole.
    fn parts(&self, bytes: u64, of_maps: impl FnOnce() -> Vec<u64>) -> Option<Vec<Range<u32>>> {
        if !self.may_split || bytes <= self.skewed {
            return None;
        }
        let parts = parts_of(&of_maps(), self.part);
        (parts.len() > 1).then_some(parts)
    }
}

fn median(bytes: &[u64]) -> u64 {
    let mut sorted = bytes.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0);
    let median =
        if sorted.len().is_multiple_of(2) { (at(middle.wrapping_sub(1)) + at(middle)) / 2 } else { at(middle) };
    median.max(1)
}

/// Ranges of neighbours of about `target` bytes.
fn parts_of(sizes: &[u64], target: u64) -> Vec<Range<u32>> {
    let mut parts: Vec<(Range<u32>, u64)> = Vec::new();
    let mut open: (Range<u32>, u64) = (0..0, 0);
    let small = |bytes: u64| (bytes as f64) < target as f64 * SMALL_PART;
    let close = |parts: &mut Vec<(Range<u32>, u64)>, (range, bytes): (Range<u32>, u64)| match parts.last_mut() {
        Some((before, size))
            if small(bytes) || small(*size) || ((bytes + *size) as f64) < target as f64 * MERGED_PARTS =>
        {
            before.end = range.end;
            *size += bytes;
        }
        _ => parts.push((range, bytes)),
    };
    for (map, bytes) in (0u32..).zip(sizes) {
        if !open.0.is_empty() && open.1 + bytes > target {
            close(&mut parts, std::mem::replace(&mut open, (map..map, 0)));
        }
        open = (open.0.start..map + 1, open.1 + bytes);
    }
    if !open.0.is_empty() {
        close(&mut parts, open);
    }
    parts.into_iter().map(|(range, _)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_the_size_wanted_and_never_tiny() {
        assert_eq!(parts_of(&[10; 10], 30), [0..3, 3..6, 6..9, 9..10]);
        assert_eq!(parts_of(&[100, 1, 100], 100), [0..2, 2..3]);
        assert_eq!(parts_of(&[5, 500, 5], 100).as_slice(), std::slice::from_ref(&(0..3)));
        assert_eq!(parts_of(&[300, 300], 100), [0..1, 1..2]);
        assert!(parts_of(&[], 100).is_empty());
        let covered = parts_of(&[7, 70, 3, 90, 0, 0, 55, 41], 100);
        assert!(covered.windows(2).all(|pair| pair[0].end == pair[1].start), "{covered:?}");
        assert_eq!((covered[0].start, covered[covered.len() - 1].end), (0, 8));
    }

    #[test]
    fn the_median_of_an_even_number_is_between_two() {
        assert_eq!((median(&[4, 1, 100, 2]), median(&[3, 1, 2]), median(&[0, 0])), (3, 2, 1));
    }
}
