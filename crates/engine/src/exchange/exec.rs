//! The exchange in a physical plan.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, metrics::MetricsSet,
        repartition::RepartitionExec,
    },
};

/// A repartition that the planner leaves alone. In one process it runs as one; on a cluster the plan is cut at it.
#[derive(Debug, Clone)]
pub struct ExchangeExec {
    repartition: Arc<RepartitionExec>,
    counted: bool,
}

impl ExchangeExec {
    /// `counted`: the query says how many partitions there shall be; otherwise few small ones may become one.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, partitioning: Partitioning, counted: bool) -> Result<Self> {
        Ok(Self { repartition: Arc::new(RepartitionExec::try_new(input, partitioning)?), counted })
    }

    pub fn as_repartition(&self) -> &RepartitionExec {
        &self.repartition
    }

    pub fn is_counted(&self) -> bool {
        self.counted
    }
}

impl DisplayAs for ExchangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExchangeExec: partitioning={}", self.repartition.partitioning())
    }
}

impl ExecutionPlan for ExchangeExec {
    fn name(&self) -> &'static str {
        "ExchangeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.repartition.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.repartition.children()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.repartition.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [input] => {
                Ok(Arc::new(Self::try_new(input.clone(), self.repartition.partitioning().clone(), self.counted)?))
            }
            _ => internal_err!("an exchange has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.repartition.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.repartition.metrics()
    }
}
