//! Which files a task reads.

use std::{ops::Range, sync::Arc};

use datafusion::{
    common::Result,
    datasource::{physical_plan::FileScanConfig, source::DataSourceExec},
    physical_plan::{
        ExecutionPlan,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode},
        union::UnionExec,
    },
};

use super::cut::{grow_stack, partitions};

/// A partition of a file scan of a stage's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanPartition {
    /// Index among the plan's file scans in depth-first order.
    pub scan: usize,
    pub partition: usize,
}

/// The files that `node` reads, if it is a file scan.
pub(crate) fn file_scan(node: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

pub(super) fn is_file_scan(node: &Arc<dyn ExecutionPlan>) -> bool {
    file_scan(node).is_some()
}

/// The partitions of file scans that partition `task` of `plan` reads, by scan.
pub fn scan_partitions(plan: &Arc<dyn ExecutionPlan>, task: usize) -> Result<Vec<ScanPartition>> {
    let (mut next_scan, mut found) = (0, Vec::new());
    each_read(plan, task, &mut |node, partitions| {
        if is_file_scan(node) {
            let scan = next_scan;
            next_scan += 1;
            found.extend(partitions.map(|partition| ScanPartition { scan, partition }));
        }
    })?;
    Ok(found)
}

/// Is told a node and which of its partitions are read.
type ReadFn<'a> = dyn FnMut(&Arc<dyn ExecutionPlan>, Range<usize>) + 'a;

/// Calls `f` with every node of `plan`, depth first, and with the partitions of it that partition `task` of `plan` reads.
pub(crate) fn each_read(plan: &Arc<dyn ExecutionPlan>, task: usize, f: &mut ReadFn<'_>) -> Result<()> {
    visit(plan, Reads::One(task), f)
}

/// What of a node's partitions the task reads.
#[derive(Clone, Copy)]
enum Reads {
    Nothing,
    One(usize),
    All,
}

fn visit(node: &Arc<dyn ExecutionPlan>, reads: Reads, f: &mut ReadFn<'_>) -> Result<()> {
    grow_stack(|| {
        let read = match reads {
            Reads::Nothing => 0..0,
            Reads::One(partition) => partition..partition + 1,
            Reads::All => 0..partitions(node),
        };
        f(node, read);
        let mut first = 0;
        for (index, child) in node.children().into_iter().enumerate() {
            let child_reads = reads_of_child(node, index, child, reads, first);
            first += partitions(child);
            visit(child, child_reads, f)?;
        }
        Ok(())
    })
}

/// What a task that `reads` so much of `node` reads of its child number `index`, whose partitions, were they laid end
/// to end with those of the children before it, would start at `first`.
fn reads_of_child(
    node: &Arc<dyn ExecutionPlan>,
    index: usize,
    child: &Arc<dyn ExecutionPlan>,
    reads: Reads,
    first: usize,
) -> Reads {
    let Reads::One(partition) = reads else { return reads };
    let count = partitions(child);
    if node.is::<UnionExec>() {
        return if (first..first + count).contains(&partition) {
            Reads::One(partition - first)
        } else {
            Reads::Nothing
        };
    }
    let collects_left = node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.downcast_ref::<HashJoinExec>().is_some_and(|j| *j.partition_mode() == PartitionMode::CollectLeft);
    if (collects_left && index == 0) || count == 1 {
        return Reads::One(0);
    }
    if count == partitions(node) { Reads::One(partition) } else { Reads::All }
}
