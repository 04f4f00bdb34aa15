//! Merging more sorted streams than should be open at a time.

use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics},
        sorts::sort_preserving_merge::SortPreservingMergeExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use super::feed::Feed;
use crate::memory::spill_file::{SpillWriter, Spilled};

/// Streams that are merged at a time. Each is a connection with what is on its way, and a batch.
pub(crate) const MERGED_AT_ONCE: usize = 64;

/// A `SortPreservingMergeExec` of many partitions: merges groups of them into runs on disk, and then those.
pub struct GroupedMergeExec {
    merge: Arc<SortPreservingMergeExec>,
    at_once: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl GroupedMergeExec {
    pub fn new(merge: Arc<SortPreservingMergeExec>, at_once: usize) -> Self {
        Self { merge, at_once: at_once.max(2), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// Merges streams that may all be open.
    fn merge(
        merge: &SortPreservingMergeExec,
        streams: Vec<SendableRecordBatchStream>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = Arc::new(Feed::many(merge.schema(), streams));
        SortPreservingMergeExec::new(merge.expr().clone(), input).with_fetch(merge.fetch()).execute(0, context)
    }
}

/// One run on disk of each group of `streams`, which are opened when it is their group's turn.
async fn runs(
    merge: &SortPreservingMergeExec,
    streams: Vec<Open>,
    at_once: usize,
    context: &Arc<TaskContext>,
    metrics: &SpillMetrics,
) -> Result<Vec<Open>> {
    let mut runs: Vec<Open> = Vec::new();
    let mut streams = streams.into_iter().peekable();
    while streams.peek().is_some() {
        let group = streams.by_ref().take(at_once).map(|open| open()).collect::<Result<Vec<_>>>()?;
        let mut merged = GroupedMergeExec::merge(merge, group, context.clone())?;
        let mut run = SpillWriter::create(context, "merge", merge.schema(), metrics.clone())?;
        while let Some(batch) = merged.try_next().await? {
            run.write(&batch)?;
        }
        let run: Spilled = run.finish()?;
        runs.push(Box::new(move || run.read()));
    }
    Ok(runs)
}

type Open = Box<dyn FnOnce() -> Result<SendableRecordBatchStream> + Send>;

impl fmt::Debug for GroupedMergeExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupedMergeExec").field("merge", &self.merge).finish_non_exhaustive()
    }
}

impl DisplayAs for GroupedMergeExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(t, DisplayFormatType::Default | DisplayFormatType::Verbose) {
            f.write_str("Grouped")?;
        }
        self.merge.fmt_as(t, f)
    }
}

impl ExecutionPlan for GroupedMergeExec {
    fn name(&self) -> &'static str {
        "GroupedMergeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.merge.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.merge.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.merge.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = children.as_slice() else { return internal_err!("a merge has one input") };
        let merge = SortPreservingMergeExec::new(self.merge.expr().clone(), input.clone());
        Ok(Arc::new(Self::new(Arc::new(merge.with_fetch(self.merge.fetch())), self.at_once)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partitions = self.merge.input().output_partitioning().partition_count();
        if partition != 0 || partitions <= self.at_once {
            return self.merge.execute(partition, context);
        }
        let (merge, at_once) = (self.merge.clone(), self.at_once);
        let metrics = SpillMetrics::new(&self.metrics, partition);
        let schema = self.schema();
        let merged = stream::once(async move {
            let mut streams: Vec<Open> = (0..partitions)
                .map(|partition| -> Open {
                    let (input, context) = (merge.input().clone(), context.clone());
                    Box::new(move || input.execute(partition, context))
                })
                .collect();
            while streams.len() > at_once {
                streams = runs(&merge, streams, at_once, &context, &metrics).await?;
            }
            let last = streams.into_iter().map(|open| open()).collect::<Result<Vec<_>>>()?;
            Self::merge(&merge, last, context)
        });
        let merged: futures::stream::BoxStream<'static, Result<RecordBatch>> = merged.try_flatten().boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, merged)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        for metric in self.merge.metrics().iter().flat_map(MetricsSet::iter) {
            metrics.push(metric.clone());
        }
        Some(metrics)
    }

    fn fetch(&self) -> Option<usize> {
        self.merge.fetch()
    }
}
