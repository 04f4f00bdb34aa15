//! Into how many partitions exchanges by key write before anything is known of their rows.

use std::sync::Arc;

use datafusion::{
    common::Result,
    physical_plan::{ExecutionPlan, Partitioning, repartition::RepartitionExec},
};

use super::walk::replaced;
use crate::{stage::each_node, task::scan_size};

/// Bytes of input files for a partition. Small against what a task should read in the end: neighbours are put together.
const BYTES_OF_A_PARTITION: u64 = 16 << 20;
/// Spark's default of `spark.sql.shuffle.partitions`.
const MOST: usize = 200;

/// More partitions in the exchanges of a plan that reads much: `default` is what the planner took because nobody said
/// how many there shall be.
pub fn sized(plan: Arc<dyn ExecutionPlan>, default: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let mut bytes = 0u64;
    each_node(&plan, &mut |node| {
        bytes = bytes.saturating_add(scan_size(node));
        Ok(())
    })?;
    let wanted = usize::try_from(bytes / BYTES_OF_A_PARTITION).unwrap_or(MOST).min(MOST);
    if wanted <= default {
        return Ok(plan);
    }
    replaced(plan, true, &mut |node, _| {
        let Some(repartition) = node.downcast_ref::<RepartitionExec>() else { return Ok(None) };
        let Partitioning::Hash(keys, n) = repartition.partitioning() else { return Ok(None) };
        if *n != default {
            return Ok(None);
        }
        let new = RepartitionExec::try_new(repartition.input().clone(), Partitioning::Hash(keys.clone(), wanted))?;
        Ok(Some(Arc::new(if repartition.preserve_order() { new.with_preserve_order() } else { new })))
    })
}
