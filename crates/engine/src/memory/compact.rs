//! Batches without what they do not use.

use std::{fmt, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, metrics::MetricsSet,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

use crate::shuffle::block::compact;

/// Copies strings out of buffers that batches use little of. What a join puts out refers to all strings of its build side:
/// an operator that holds batches would hold, and count, the same buffers for each.
#[derive(Debug)]
pub struct CompactExec(Arc<dyn ExecutionPlan>);

impl CompactExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self(input)
    }

    /// Whether `input` may put out such batches.
    pub fn helps(input: &Arc<dyn ExecutionPlan>) -> bool {
        let schema = input.schema();
        !input.is::<Self>()
            && schema.fields().iter().any(|f| matches!(f.data_type(), DataType::Utf8View | DataType::BinaryView))
    }
}

impl DisplayAs for CompactExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompactExec")
    }
}

impl ExecutionPlan for CompactExec {
    fn name(&self) -> &'static str {
        "CompactExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [input] => Ok(Arc::new(Self(input.clone()))),
            _ => internal_err!("one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.0.execute(partition, context)?;
        let schema = batches.schema();
        let batches = batches.map(|batch| batch.map(compact));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        None
    }
}
