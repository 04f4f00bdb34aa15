//! Which partitions of its leaves a task reads.

use std::sync::Arc;

use datafusion::{common::Result, physical_plan::ExecutionPlan};

/// A partition of a leaf of a stage's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanPartition {
    /// Index of the leaf among the plan's file scans in depth-first order.
    pub scan: usize,
    pub partition: usize,
}

/// The partitions of file scans that partition `task` of `plan` reads.
pub fn scan_partitions(plan: &Arc<dyn ExecutionPlan>, task: usize) -> Result<Vec<ScanPartition>> {
    let _ = (plan, task);
    datafusion::common::not_impl_err!("splits")
}
