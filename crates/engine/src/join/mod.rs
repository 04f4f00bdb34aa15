//! Hash joins that finish on build sides larger than memory.
//!
//! Plans are made with DataFusion's `HashJoinExec`, and stay so while they are optimized, cut and sent. Right before they
//! run, [`crate::memory::bounded`] puts a [`HybridHashJoinExec`] in the place of each. It collects the build side first. If that fits, it
//! hands everything to the `HashJoinExec` and stays out of the way. If memory is refused, it splits both sides by a hash of
//! their keys into buckets: those build buckets that fit stay in memory and are joined at once, the others go to disk with
//! the probe rows that belong to them, and are joined one after the other. A bucket that is too large itself is split
//! again, with another hash; one that splitting makes no smaller (a key that most rows have) is joined chunk by chunk.
//! (D. DeWitt and others, "Implementation techniques for main memory database systems", SIGMOD 1984.)

mod build;
mod chunks;
mod exec;
mod feed;
mod grace;
mod grouped_merge;
mod hint;
mod scatter;
mod shape;
mod sort_merge;

pub use exec::HybridHashJoinExec;
pub use grouped_merge::GroupedMergeExec;
pub(crate) use grouped_merge::MERGED_AT_ONCE;
pub use hint::{JoinHint, JoinHintExec, JoinHintNode};
pub(crate) use sort_merge::{sort_merge, sorted_sides, threshold, threshold_of_executors};
