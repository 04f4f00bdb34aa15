//! The operator.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan, InputDistributionRequirements,
        PlanProperties,
        joins::{HashJoinExec, PartitionMode},
        limit::LimitStream,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics},
        sorts::sort::SortExec,
        stream::RecordBatchStreamAdapter,
    },
};
use firesteel_plan::SparkError;
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    feed::Feed,
    grace::{Joining, batches},
    shape::Shape,
};
use crate::{
    error::to_datafusion,
    memory::{CompactExec, PrepaidPool, context_with_pool},
};

/// A [`HashJoinExec`] that goes to disk when its build side does not fit in memory.
pub struct HybridHashJoinExec {
    shape: Arc<Shape>,
    /// All partitions, run in this process, share one build side.
    shared: bool,
    /// The join that is run while everything fits. One for all partitions: they may fill one filter together.
    in_memory: OnceLock<InMemory>,
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Clone)]
struct InMemory {
    join: Arc<dyn ExecutionPlan>,
    left: Arc<Feed>,
    right: Arc<Feed>,
}

impl HybridHashJoinExec {
    pub fn new(join: Arc<HashJoinExec>, shared: bool) -> Self {
        let shape = Arc::new(Shape::new(join));
        Self { shape, shared, in_memory: OnceLock::new(), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The join that this is.
    pub fn hash_join(&self) -> &Arc<HashJoinExec> {
        &self.shape.join
    }

    fn in_memory(&self) -> Result<InMemory> {
        if let Some(made) = self.in_memory.get() {
            return Ok(made.clone());
        }
        let (left, right) = (Feed::of(self.shape.join.left()), Feed::of(self.shape.join.right()));
        let (left, right) = (Arc::new(left), Arc::new(right));
        let join = self.shape.join.builder().with_new_children(vec![left.clone(), right.clone()])?.build_exec()?;
        Ok(self.in_memory.get_or_init(|| InMemory { join, left, right }).clone())
    }

    fn start(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Start> {
        Ok(Start {
            in_memory: self.in_memory()?,
            partition,
            left_partition: if *self.shape.join.partition_mode() == PartitionMode::CollectLeft { 0 } else { partition },
            joining: Joining {
                shape: self.shape.clone(),
                context: context.clone(),
                metrics: SpillMetrics::new(&self.metrics, partition),
                level: 0,
            },
        })
    }

    /// One build side for all partitions: it fits, or the join fails as Spark's broadcast joins do.
    fn execute_shared(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stream = self.shape.join.execute(partition, context)?;
        let schema = stream.schema();
        let named = stream.map_err(|error| match error.find_root() {
            DataFusionError::ResourcesExhausted(message) if message.starts_with("HashJoinInput") => {
                too_large_to_broadcast(message)
            }
            _ => error,
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, named)))
    }
}

fn too_large_to_broadcast(message: &str) -> DataFusionError {
    let key = "\"spark.sql.autoBroadcastJoinThreshold\"";
    let error = SparkError::new(
        "_LEGACY_ERROR_TEMP_2250",
        "XXKST",
        format!(
            "Not enough memory to build and broadcast the table to all worker nodes. As a workaround, you can either disable \
             broadcast by setting {key} to -1 or increase the spark driver memory by setting \"spark.driver.memory\" to a \
             higher value. ({message})"
        ),
    );
    to_datafusion(error.param("autoBroadcastJoinThreshold", key).param("driverMemory", "\"spark.driver.memory\""))
}

/// One partition's run.
struct Start {
    in_memory: InMemory,
    partition: usize,
    left_partition: usize,
    joining: Joining,
}

impl Start {
    async fn run(
        self,
        left: SendableRecordBatchStream,
        right: SendableRecordBatchStream,
        counted: BaselineMetrics,
    ) -> Result<SendableRecordBatchStream> {
        let Self { in_memory, partition, left_partition, joining } = self;
        let shape = joining.shape.clone();
        let mut built = joining.build(left).await?;
        if built.spilled.is_empty() {
            let pool = Arc::new(PrepaidPool::new(built.reservation));
            let context = context_with_pool(&joining.context, pool.clone())?;
            in_memory.left.give(left_partition, batches(shape.left_schema(), std::mem::take(&mut built.memory)));
            in_memory.right.give(partition, right);
            let joined = in_memory.join.execute(partition, context)?;
            let mut first = true;
            // With the first rows the table is built, and the copies that it was made of are gone.
            let joined = joined.inspect(move |_| {
                if std::mem::take(&mut first) {
                    pool.release_rest();
                }
            });
            return Ok(Box::pin(RecordBatchStreamAdapter::new(shape.schema(), joined)));
        }
        if shape.join.null_aware && shape.join.filter().is_some() {
            return Err(DataFusionError::ResourcesExhausted(
                "the rows of a NOT IN with further conditions do not fit in memory".to_owned(),
            ));
        }
        // Others may wait to hear what this partition's part of a common filter is: anything.
        in_memory.left.give(left_partition, Box::pin(EmptyRecordBatchStream::new(shape.left_schema())));
        in_memory.right.give(partition, Box::pin(EmptyRecordBatchStream::new(shape.right_schema())));
        drop(in_memory.join.execute(partition, joining.context.clone())?);
        let context = joining.context.clone();
        let mut joined = joining.join(built, right)?;
        if let Some(order) = shape.join.properties().output_ordering() {
            // Who relies on the probe side's order gets it.
            let joined_in_no_order = CompactExec::new(Arc::new(Feed::one(joined)));
            joined = SortExec::new(order.clone(), Arc::new(joined_in_no_order)).execute(0, context)?;
        }
        if let Some(fetch) = shape.join.fetch() {
            return Ok(Box::pin(LimitStream::new(joined, 0, Some(fetch), counted)));
        }
        let counted = joined.inspect_ok(move |batch: &RecordBatch| counted.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(shape.schema(), counted)))
    }
}

impl fmt::Debug for HybridHashJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HybridHashJoinExec").field("join", &self.shape.join).finish_non_exhaustive()
    }
}

impl DisplayAs for HybridHashJoinExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(t, DisplayFormatType::Default | DisplayFormatType::Verbose) {
            f.write_str("Hybrid")?;
        }
        self.shape.join.fmt_as(t, f)
    }
}

impl ExecutionPlan for HybridHashJoinExec {
    fn name(&self) -> &'static str {
        "HybridHashJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.shape.join.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.shape.join.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.shape.join.input_distribution_requirements()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.shape.join.maintains_input_order()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.shape.join.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != 2 {
            return internal_err!("a join has two children");
        }
        let join = self.shape.join.builder().recompute_properties().with_new_children(children)?.build()?;
        Ok(Arc::new(Self::new(Arc::new(join), self.shared)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.shared {
            return self.execute_shared(partition, context);
        }
        let start = self.start(partition, &context)?;
        let left = self.shape.join.left().execute(start.left_partition, context.clone())?;
        let right = self.shape.join.right().execute(partition, context)?;
        let counted = BaselineMetrics::new(&self.metrics, partition);
        let joined = stream::once(start.run(left, right, counted)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), joined.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        let inner =
            if self.shared { self.shape.join.metrics() } else { self.in_memory.get().and_then(|m| m.join.metrics()) };
        for metric in inner.iter().flat_map(MetricsSet::iter) {
            metrics.push(metric.clone());
        }
        Some(metrics)
    }

    fn fetch(&self) -> Option<usize> {
        self.shape.join.fetch()
    }
}
