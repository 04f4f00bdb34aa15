//! Adaptive execution: a plan is cut while it runs.
//!
//! Only stages whose inputs are complete are cut off ([`AdaptivePlan::advance`]). When their outputs are there, their
//! sizes are known ([`AdaptivePlan::completed`]); with them the rest of the plan is changed ([`join_selection`],
//! [`build_side`], [`empty`]), and each further stage as it is cut off ([`skew`], [`coalesce`], [`local_read`]). What is
//! changed is always a plan of the same rows.

mod build_side;
mod coalesce;
mod empty;
pub mod explain;
mod initial_partitions;
mod join_selection;
mod local_read;
mod options;
mod plan;
mod skew;
mod statistics;
mod walk;

use std::sync::Arc;

use datafusion::{common::Result, physical_plan::ExecutionPlan};
use firesteel_protocol::ShuffleId;

pub use options::{AdaptiveOptions, CoalesceOptions, SkewOptions};
pub use plan::{AdaptivePlan, Advance};
pub use statistics::{ShuffleStatistics, Size, Statistics};

use crate::stage::Stage;

/// Changes a plan by what is known of its shuffles; the rows stay the same.
pub(crate) trait Rule: std::fmt::Debug {
    fn name(&self) -> &'static str;

    /// The plan itself where there is nothing to be changed.
    fn apply(&self, plan: Arc<dyn ExecutionPlan>, view: &View<'_>) -> Result<Arc<dyn ExecutionPlan>>;
}

/// Rules for what is left of a plan, in order.
const PLAN_RULES: [&dyn Rule; 3] =
    [&empty::PropagateEmpty, &join_selection::SelectJoins, &build_side::BuildSmallerSide];
/// Rules for a stage that is cut off, in order.
const STAGE_RULES: [&dyn Rule; 3] =
    [&skew::SplitSkewedPartitions, &coalesce::CoalescePartitions, &local_read::LocalShuffleRead];

/// Sizes of single blocks, which are too many to be held for every shuffle.
pub trait BlockSizes: Send + Sync {
    /// Encoded bytes of this partition's block of each map output.
    fn of_partition(&self, shuffle: ShuffleId, partition: u32) -> Vec<u64>;
}

/// What rules know.
pub(crate) struct View<'a> {
    pub options: &'a AdaptiveOptions,
    pub statistics: &'a Statistics,
    pub stages: &'a [Stage],
    pub blocks: &'a dyn BlockSizes,
}

impl View<'_> {
    pub fn knows(&self, shuffle: ShuffleId) -> bool {
        self.statistics.contains_key(&shuffle)
    }

    /// Whether tasks may read other groups of a shuffle's partitions than single ones.
    pub fn may_regroup(&self, shuffle: ShuffleId) -> bool {
        let counted = || self.stages.iter().rev().find(|stage| stage.shuffle == shuffle).is_none_or(|s| s.counted);
        self.knows(shuffle) && !counted()
    }

    /// Whether outputs of a shuffle that are made again have the same rows in the same partitions.
    pub fn is_repeatable(&self, shuffle: ShuffleId) -> bool {
        let Some(stage) = self.stages.iter().rev().find(|stage| stage.shuffle == shuffle) else { return false };
        !stage.indeterminate && stage.inputs.iter().all(|input| self.is_repeatable(input.shuffle))
    }

    /// Bytes of each partition; empty of a shuffle that is not known.
    pub fn bytes(&self, shuffle: ShuffleId) -> &[u64] {
        self.statistics.get(&shuffle).map_or(&[], |known| &known.bytes)
    }

    pub fn total(&self, shuffle: ShuffleId) -> u64 {
        self.statistics.get(&shuffle).map_or(0, ShuffleStatistics::total)
    }

    pub fn maps(&self, shuffle: ShuffleId) -> u32 {
        self.statistics.get(&shuffle).map_or(0, |known| known.maps)
    }

    pub fn block_sizes(&self, shuffle: ShuffleId, partition: usize) -> Vec<u64> {
        self.blocks.of_partition(shuffle, partition as u32)
    }

    pub fn real_size(&self, plan: &Arc<dyn ExecutionPlan>) -> Option<Size> {
        statistics::real_size(plan, self.statistics)
    }
}
