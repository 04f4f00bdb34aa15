//! Sorts where an order is missing that DataFusion took for granted.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_expr::LexOrdering,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions, sorts::sort::SortExec,
    },
};

/// DataFusion leaves a sort out where its input is in order already. Rules after that move projections and joins about, and with
/// them what is known of the order: of a union of constants, say. Then nothing says any more that it is there.
#[derive(Debug)]
pub struct RestoreOrder;

impl PhysicalOptimizerRule for RestoreOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let required = node.required_input_ordering();
            let mut inputs: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().cloned().collect();
            let mut changed = false;
            for (input, wanted) in inputs.iter_mut().zip(required) {
                let Some(wanted) = wanted.map(|wanted| wanted.into_single()) else { continue };
                if !input.equivalence_properties().ordering_satisfy_requirement(wanted.clone())?
                    && let Some(ordering) = LexOrdering::new(wanted.into_iter().map(Into::into))
                {
                    let sort = SortExec::new(ordering, input.clone()).with_preserve_partitioning(true);
                    *input = Arc::new(sort);
                    changed = true;
                }
            }
            if !changed {
                return Ok(Transformed::no(node));
            }
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(inputs, options).map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &str {
        "restore_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
