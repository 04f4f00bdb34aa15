//! What is known of the input of GROUPING SETS, CUBE and ROLLUP does not hold for their keys.
//!
//! A key that is one value in all of the input, or that the input is sorted or divided by, is null beside that in the output of the
//! first aggregation. DataFusion takes it for what it was below, and the second aggregation gives groups twice.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties, ReplaceChildrenOptions, aggregates::AggregateExec,
    },
};

use crate::codec::{DecodeContext, EncodeContext, NodeCodec};

/// Hides from aggregations with grouping sets what is known of their input. Before the rules that go by it.
#[derive(Debug)]
pub struct HideInput;

impl PhysicalOptimizerRule for HideInput {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(aggregate) = node.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(node)) };
            if aggregate.group_expr().is_single() || aggregate.input().is::<UnknownInputExec>() {
                return Ok(Transformed::no(node));
            }
            let input: Arc<dyn ExecutionPlan> = Arc::new(UnknownInputExec::new(aggregate.input().clone()));
            node.replace_children(vec![input], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
                .map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &str {
        "hide_input_of_grouping_sets"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Its input, of which nothing is known but the columns and the number of partitions.
#[derive(Debug, Clone)]
pub struct UnknownInputExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl UnknownInputExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let known = input.properties();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            known.emission_type,
            known.boundedness,
        );
        Self { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for UnknownInputExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnknownInputExec")
    }
}

impl ExecutionPlan for UnknownInputExec {
    fn name(&self) -> &'static str {
        "UnknownInputExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(Self::new(input))),
            _ => internal_err!("UnknownInputExec has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

/// [`UnknownInputExec`] on the wire: there is nothing to say of it.
#[derive(Debug)]
pub struct UnknownInputCodec;

impl NodeCodec for UnknownInputCodec {
    fn name(&self) -> &'static str {
        "UnknownInput"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, _: &EncodeContext<'_>) -> Result<Option<Vec<u8>>> {
        Ok(node.is::<UnknownInputExec>().then(Vec::new))
    }

    fn decode(
        &self,
        _: &[u8],
        children: &[Arc<dyn ExecutionPlan>],
        _: &DecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children {
            [input] => Ok(Arc::new(UnknownInputExec::new(input.clone()))),
            _ => internal_err!("UnknownInputExec has one input"),
        }
    }
}
