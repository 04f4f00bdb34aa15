//! The rows of `range(start, end, step, partitions)`: made where they are read, in partitions as Spark divides them.

use std::{fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, Statistics, exec_datafusion_err, internal_err, stats::Precision, tree_node::TreeNodeRecursion},
    datasource::TableType,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Expr,
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType, SchedulingType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::stream;
use prost::Message;

use crate::codec::{DecodeContext, EncodeContext, NodeCodec};

/// Numbers from `start` to before `end`, `step` apart, which is not 0.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Range {
    #[prost(int64, tag = "1")]
    pub start: i64,
    #[prost(int64, tag = "2")]
    pub end: i64,
    #[prost(int64, tag = "3")]
    pub step: i64,
    #[prost(uint32, tag = "4")]
    pub partitions: u32,
}

impl Range {
    fn len(&self) -> i128 {
        let (distance, step) = (i128::from(self.end) - i128::from(self.start), i128::from(self.step));
        if step == 0 || (distance > 0) != (step > 0) {
            return 0;
        }
        // Rounded up.
        (distance + step - step.signum()) / step
    }

    /// Indexes of the first number of `partition` and of the first one after it, as Spark's RangeExec divides them.
    fn bounds(&self, partition: usize) -> (i128, i128) {
        let (len, parts) = (self.len(), i128::from(self.partitions.max(1)));
        let at = |index: i128| index * len / parts;
        let partition = partition as i128;
        (at(partition), at(partition + 1))
    }

    /// The number at an index below the length, so between `start` and `end`.
    fn number(&self, index: i128) -> i64 {
        i64::try_from(i128::from(self.start) + index * i128::from(self.step)).unwrap_or(self.end)
    }
}

/// The table of one column, `id`.
#[derive(Debug)]
pub struct RangeTable {
    range: Range,
    schema: SchemaRef,
}

impl RangeTable {
    pub fn new(range: Range) -> Self {
        Self { range, schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)])) }
    }
}

#[async_trait]
impl TableProvider for RangeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(indices) => Arc::new(self.schema.project(indices)?),
            None => self.schema.clone(),
        };
        Ok(Arc::new(RangeExec::new(self.range, schema)))
    }
}

/// Makes the numbers.
#[derive(Debug, Clone)]
pub struct RangeExec {
    range: Range,
    /// With the column, or without any.
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RangeExec {
    fn new(range: Range, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(range.partitions.max(1) as usize),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::NonCooperative);
        Self { range, schema, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    fn batch(&self, first: i128, rows: usize) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = match self.schema.fields().len() {
            0 => vec![],
            _ => vec![Arc::new(Int64Array::from_iter_values((0..rows).map(|i| self.range.number(first + i as i128))))],
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

impl DisplayAs for RangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end, step, partitions } = self.range;
        write!(f, "RangeExec: start={start}, end={end}, step={step}, partitions={partitions}")
    }
}

impl ExecutionPlan for RangeExec {
    fn name(&self) -> &'static str {
        "RangeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a range has no children") }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (first, end) = self.range.bounds(partition);
        let most = context.session_config().batch_size().max(1) as i128;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let range = self.clone();
        let batches = (0i128..).map_while(move |index| {
            let first = first + index * most;
            let rows = usize::try_from((end - first).min(most)).ok().filter(|rows| *rows > 0)?;
            let _timer = metrics.elapsed_compute().timer();
            Some(range.batch(first, rows).record_output(&metrics))
        });
        let stream = RecordBatchStreamAdapter::new(self.schema.clone(), stream::iter(batches));
        Ok(Box::pin(datafusion::physical_plan::coop::cooperative(stream)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let rows = match partition {
            Some(partition) => {
                let (first, end) = self.range.bounds(partition);
                end - first
            }
            None => self.range.len(),
        };
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = usize::try_from(rows).map_or(Precision::Absent, Precision::Exact);
        Ok(Arc::new(statistics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// [`RangeExec`] on the wire.
#[derive(Debug)]
pub(crate) struct RangeCodec;

#[derive(Clone, PartialEq, Message)]
struct RangeNode {
    #[prost(message, optional, tag = "1")]
    range: Option<Range>,
    #[prost(message, optional, tag = "2")]
    schema: Option<datafusion_proto::protobuf::Schema>,
}

impl NodeCodec for RangeCodec {
    fn name(&self) -> &'static str {
        "Range"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, _: &EncodeContext<'_>) -> Result<Option<Vec<u8>>> {
        let Some(range) = node.downcast_ref::<RangeExec>() else { return Ok(None) };
        let schema = Some(range.schema.as_ref().try_into()?);
        Ok(Some(RangeNode { range: Some(range.range), schema }.encode_to_vec()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        _: &DecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let node = RangeNode::decode(bytes).map_err(|e| exec_datafusion_err!("bytes that are no range: {e}"))?;
        match (node.range, &node.schema) {
            (Some(range), Some(schema)) => Ok(Arc::new(RangeExec::new(range, Arc::new(schema.try_into()?)))),
            _ => internal_err!("a range without bounds or schema"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;
    use futures::TryStreamExt;

    async fn numbers(range: Range) -> Vec<Vec<i64>> {
        let ctx = SessionContext::new();
        let plan = RangeTable::new(range).scan(&ctx.state(), None, &[], None).await.unwrap();
        let mut all = Vec::new();
        for partition in 0..range.partitions as usize {
            let batches: Vec<_> = plan.execute(partition, ctx.task_ctx()).unwrap().try_collect().await.unwrap();
            let column = |b: &RecordBatch| b.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
            all.push(batches.iter().flat_map(column).collect());
        }
        all
    }

    #[tokio::test]
    async fn partitions_hold_all_numbers_once() {
        let range = |start, end, step, partitions| Range { start, end, step, partitions };
        let (max, min) = (i64::MAX, i64::MIN);
        let table: Vec<(Range, Vec<Vec<i64>>)> = vec![
            (range(0, 10, 3, 2), vec![vec![0, 3], vec![6, 9]]),
            (range(0, 9, 3, 2), vec![vec![0], vec![3, 6]]),
            (range(5, 0, -2, 1), vec![vec![5, 3, 1]]),
            (range(0, 2, 1, 3), vec![vec![], vec![0], vec![1]]),
            (range(3, 3, 1, 1), vec![vec![]]),
            (range(0, 5, -1, 1), vec![vec![]]),
            (range(max - 1, max, 7, 1), vec![vec![max - 1]]),
            (range(min, max, max, 2), vec![vec![min], vec![-1, max - 1]]),
            (range(max, min, min, 1), vec![vec![max, -1]]),
        ];
        for (range, expected) in table {
            assert_eq!(numbers(range).await, expected, "{range:?}");
        }
        let many = numbers(range(0, 100_000, 1, 3)).await;
        assert_eq!(many.concat(), (0..100_000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn rows_without_columns_are_counted() {
        let ctx = SessionContext::new();
        let range = Range { start: 0, end: 50_000, step: 1, partitions: 1 };
        let plan = RangeTable::new(range).scan(&ctx.state(), Some(&vec![]), &[], None).await.unwrap();
        let batches: Vec<_> = plan.execute(0, ctx.task_ctx()).unwrap().try_collect().await.unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 50_000);
    }
}
