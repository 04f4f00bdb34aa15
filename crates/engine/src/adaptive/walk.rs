//! Going through plans.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::Result,
    physical_expr::Distribution,
    physical_plan::{
        ExecutionPlan, Partitioning, coalesce_partitions::CoalescePartitionsExec, repartition::RepartitionExec,
        sorts::sort_preserving_merge::SortPreservingMergeExec, union::InterleaveExec,
    },
};
use firesteel_protocol::ShuffleId;

use crate::{
    exchange::ExchangeExec,
    reuse::ReusedExec,
    shuffle::{BlockRange, ShuffleReaderExec},
    stage::{InputKind, grow_stack, over},
};

/// What a rule puts in a node's place, if anything. `free`: nothing above relies on which partition a row of the node is
/// in, nor on how many there are.
pub type Replace<'a> = dyn FnMut(&Arc<dyn ExecutionPlan>, bool) -> Result<Option<Arc<dyn ExecutionPlan>>> + 'a;

/// `plan` with `replace` applied to every node, children first.
pub fn replaced(plan: Arc<dyn ExecutionPlan>, free: bool, replace: &mut Replace<'_>) -> Result<Arc<dyn ExecutionPlan>> {
    let old = plan.children();
    let mut children = Vec::with_capacity(old.len());
    for (index, child) in old.into_iter().enumerate() {
        let free = child_is_free(&plan, index, free);
        children.push(grow_stack(|| replaced(child.clone(), free, replace))?);
    }
    let plan = over(plan, children)?;
    Ok(replace(&plan, free)?.unwrap_or(plan))
}

fn child_is_free(plan: &Arc<dyn ExecutionPlan>, child: usize, free: bool) -> bool {
    if plan.is::<RepartitionExec>()
        || plan.is::<ExchangeExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
        // A stage of its own, whose readers take its partitions as they come.
        || plan.is::<ReusedExec>()
    {
        return true;
    }
    let needs = plan.input_distribution_requirements();
    let any = matches!(needs.child_distribution(child), Some(Distribution::UnspecifiedDistribution));
    free && any && !plan.is::<InterleaveExec>()
}

/// A reader of partitions as the shuffle was written in them.
pub fn whole_partitions(plan: &Arc<dyn ExecutionPlan>) -> Option<&ShuffleReaderExec> {
    let reader = plan.downcast_ref::<ShuffleReaderExec>()?;
    (reader.kind() == InputKind::Partitioned && reader.ranges().is_none()).then_some(reader)
}

/// The reader below operators that `through` lets pass, each with one input.
pub fn reader_below<'a>(
    mut plan: &'a Arc<dyn ExecutionPlan>,
    through: &dyn Fn(&Arc<dyn ExecutionPlan>) -> bool,
) -> Option<&'a ShuffleReaderExec> {
    loop {
        if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
            return Some(reader);
        }
        if !through(plan) {
            return None;
        }
        let [child] = plan.children()[..] else { return None };
        plan = child;
    }
}

/// What the partitions of some readers consist of from now on.
pub struct NewRanges {
    pub ranges: Vec<BlockRange>,
    /// Rows with equal keys are still in one partition.
    pub keeps_keys: bool,
}

/// `plan` with other ranges in its readers of whole partitions.
pub fn with_ranges(
    plan: Arc<dyn ExecutionPlan>,
    new: &HashMap<ShuffleId, NewRanges>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if new.is_empty() {
        return Ok(plan);
    }
    replaced(plan, false, &mut |node, _| {
        let Some(reader) = whole_partitions(node) else { return Ok(None) };
        let Some(NewRanges { ranges, keeps_keys }) = new.get(&reader.shuffle()) else { return Ok(None) };
        let n = ranges.len();
        let partitioning = match &reader.properties().partitioning {
            Partitioning::Hash(keys, _) if *keeps_keys => Partitioning::Hash(keys.clone(), n),
            _ => Partitioning::UnknownPartitioning(n),
        };
        Ok(Some(Arc::new(reader.with_ranges(InputKind::Partitioned, ranges.clone(), partitioning))))
    })
}
