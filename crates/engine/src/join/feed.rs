//! A leaf that puts out streams it is given.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
    },
};
use parking_lot::Mutex;

/// Each of its partitions is given once and taken once.
pub(super) struct Feed {
    /// The plan that it stands for, if there is one: whoever looks for an expression in it must find it.
    of: Option<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
    streams: Mutex<Vec<Option<SendableRecordBatchStream>>>,
}

impl Feed {
    /// In the place of `plan`.
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let properties = plan.properties().clone();
        let streams = (0..properties.partitioning.partition_count()).map(|_| None).collect();
        Self { of: Some(plan.clone()), properties, streams: Mutex::new(streams) }
    }

    /// Of one partition.
    pub fn one(stream: SendableRecordBatchStream) -> Self {
        Self::many(stream.schema(), vec![stream])
    }

    /// A partition for each stream.
    pub fn many(schema: SchemaRef, streams: Vec<SendableRecordBatchStream>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(streams.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let streams = streams.into_iter().map(Some).collect();
        Self { of: None, properties: Arc::new(properties), streams: Mutex::new(streams) }
    }

    pub fn give(&self, partition: usize, stream: SendableRecordBatchStream) {
        if let Some(place) = self.streams.lock().get_mut(partition) {
            *place = Some(stream);
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("of", &self.of).finish_non_exhaustive()
    }
}

impl DisplayAs for Feed {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

impl ExecutionPlan for Feed {
    fn name(&self) -> &'static str {
        "Feed"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.of.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        match self.streams.lock().get_mut(partition).and_then(Option::take) {
            Some(stream) => Ok(stream),
            None => internal_err!("partition {partition} was not given, or taken twice"),
        }
    }
}
