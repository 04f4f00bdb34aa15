//! From our logical nodes to the physical ones.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::Result,
    execution::context::QueryPlanner,
    logical_expr::{LogicalPlan, UserDefinedLogicalNode, physical_planning_context::PhysicalPlanningContext},
    physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning},
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};

use super::{Exchange, ExchangeExec, ExchangeNode};
use crate::join::{JoinHintExec, JoinHintNode};

/// DataFusion's planner, which knows our nodes too.
#[derive(Debug)]
pub struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Ours)]);
        planner.create_physical_plan(plan, session).await
    }
}

struct Ours;

#[async_trait]
impl ExtensionPlanner for Ours {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let ([logical], [input]) = (logical_inputs, physical_inputs) else { return Ok(None) };
        if let Some(hinted) = node.as_any().downcast_ref::<JoinHintNode>() {
            return Ok(Some(Arc::new(JoinHintExec { input: input.clone(), hint: hinted.hint })));
        }
        let Some(node) = node.as_any().downcast_ref::<ExchangeNode>() else { return Ok(None) };
        let partitioning = match &node.exchange {
            Exchange::AtMost(n) if input.output_partitioning().partition_count() <= *n => {
                return Ok(Some(input.clone()));
            }
            Exchange::AtMost(n) | Exchange::Even(n) => Partitioning::RoundRobinBatch(*n),
            Exchange::ByKeys(keys, n) => {
                let key = |key| planner.create_physical_expr(key, logical.schema(), session, context);
                Partitioning::Hash(keys.iter().map(key).collect::<Result<_>>()?, *n)
            }
        };
        Ok(Some(Arc::new(ExchangeExec::try_new(input.clone(), partitioning, node.counted)?)))
    }
}
