//! What a task's operators counted, as one message.

use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_plan::{
    ExecutionPlan,
    metrics::{MetricValue, MetricsSet},
};
use firesteel_protocol::proto::{OperatorMetrics, TaskMetrics};

use crate::{
    shuffle::{METRIC_BYTES, METRIC_WAIT, ShuffleReaderExec, WrittenOutput},
    source::RangeExec,
    stage::{each_node, file_scan},
};

/// Operators reported one by one; deeper plans report the first so many.
const MAX_OPERATORS: usize = 1000;

/// The metrics of `plan` so far.
pub(super) fn of_plan(plan: &Arc<dyn ExecutionPlan>) -> TaskMetrics {
    let mut total = TaskMetrics::default();
    let walked = each_node(plan, &mut |node| {
        let Some(metrics) = node.metrics() else {
            push(&mut total, OperatorMetrics { name: node.name().to_owned(), ..Default::default() });
            return Ok(());
        };
        let rows = metrics.output_rows().unwrap_or_default() as u64;
        if file_scan(node).is_some() {
            total.input_rows += rows;
            total.input_bytes += scanned_bytes(node, &metrics);
        }
        if node.is::<RangeExec>() {
            total.input_rows += rows;
        }
        if node.is::<ShuffleReaderExec>() {
            total.shuffle_read_rows += rows;
            total.shuffle_read_bytes += sum(&metrics, METRIC_BYTES);
            total.fetch_wait_nanos += sum(&metrics, METRIC_WAIT);
        }
        let operator = OperatorMetrics {
            name: node.name().to_owned(),
            output_rows: rows,
            elapsed_nanos: metrics.elapsed_compute().unwrap_or_default() as u64,
            spilled_bytes: metrics.spilled_bytes().unwrap_or_default() as u64,
            peak_memory_bytes: ["peak_mem_used", "build_mem_used"].iter().map(|name| sum(&metrics, name)).sum(),
        };
        total.spilled_bytes += operator.spilled_bytes;
        total.peak_memory_bytes += operator.peak_memory_bytes;
        push(&mut total, operator);
        Ok(())
    });
    debug_assert!(walked.is_ok());
    total
}

/// Adds what the task wrote.
pub(super) fn add_output(total: &mut TaskMetrics, output: &WrittenOutput) {
    let bytes = output.sizes.iter().sum();
    total.output_rows = output.rows;
    total.output_bytes = bytes;
    total.shuffle_write_rows = output.rows;
    total.shuffle_write_bytes = bytes;
    total.spilled_bytes += output.spilled_bytes;
    total.peak_memory_bytes += output.peak_memory_bytes;
}

/// Bytes that a scan of files has read. DataFusion's CSV and JSON readers do not count them: what they were given to read
/// counts for them.
pub fn scanned_bytes(scan: &Arc<dyn ExecutionPlan>, metrics: &MetricsSet) -> u64 {
    match metrics.sum_by_name("bytes_scanned") {
        Some(counted) => counted.as_usize() as u64,
        // Nothing counted at all: nobody read from it, as below cached blocks that are there.
        None if metrics.iter().next().is_none() => 0,
        None => scan_size(scan),
    }
}

/// Bytes of the files, or parts of files, that a scan is given to read; 0 of other nodes.
pub fn scan_size(node: &Arc<dyn ExecutionPlan>) -> u64 {
    let Some(scan) = file_scan(node) else { return 0 };
    let files = scan.file_groups.iter().flat_map(|group| group.iter());
    let size = |file: &PartitionedFile| match &file.range {
        Some(range) => u64::try_from(range.end - range.start).unwrap_or(0),
        None => file.object_meta.size,
    };
    files.map(size).sum()
}

fn push(total: &mut TaskMetrics, operator: OperatorMetrics) {
    if total.operators.len() < MAX_OPERATORS {
        total.operators.push(operator);
    }
}

fn sum(metrics: &MetricsSet, name: &str) -> u64 {
    metrics.sum_by_name(name).as_ref().map_or(0, MetricValue::as_usize) as u64
}
