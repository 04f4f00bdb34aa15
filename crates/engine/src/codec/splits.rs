//! File scans travel without their files; each task brings its own.

use std::sync::Arc;

use datafusion::{
    common::{Result, not_impl_err},
    physical_plan::ExecutionPlan,
};
use firesteel_protocol::proto::ScanSplit;

/// Puts a task's file groups into the scans of its stage's plan.
pub fn apply_splits(plan: Arc<dyn ExecutionPlan>, splits: &[ScanSplit]) -> Result<Arc<dyn ExecutionPlan>> {
    let _ = (plan, splits);
    not_impl_err!("splits")
}
