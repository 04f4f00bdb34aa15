//! From our logical nodes to the physical ones.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::{Result, internal_err},
    execution::context::QueryPlanner,
    logical_expr::{LogicalPlan, UserDefinedLogicalNode, physical_planning_context::PhysicalPlanningContext},
    physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning},
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};

use super::{Exchange, ExchangeExec, ExchangeNode};
use crate::{
    ExecutionMode,
    join::{JoinHintExec, JoinHintNode},
    reuse::{self, Part, ReusedNode},
};

/// DataFusion's planner, which knows our nodes too, and plans once what stands in a query more than once.
#[derive(Debug)]
pub struct Planner {
    pub mode: ExecutionMode,
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(found) = reuse::find(plan)? else { return physical(plan, &[], session).await };
        let mut parts = Vec::with_capacity(found.parts.len());
        for part in found.parts {
            let planned = reuse::reveal(physical(&part.plan, &parts, session).await?)?;
            parts.push(Part::new(planned, part.readers, self.mode)?);
        }
        reuse::reveal(physical(&found.plan, &parts, session).await?)
    }
}

async fn physical(plan: &LogicalPlan, parts: &[Arc<Part>], session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let ours = Arc::new(Ours { parts: parts.to_vec() });
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![ours]);
    planner.create_physical_plan(plan, session).await
}

struct Ours {
    /// Those that the plan has [`ReusedNode`]s of.
    parts: Vec<Arc<Part>>,
}

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
        if let Some(reused) = node.as_any().downcast_ref::<ReusedNode>() {
            return match self.parts.get(reused.part) {
                Some(part) => Ok(Some(Arc::new(part.place()))),
                None => internal_err!("part {} is not planned", reused.part),
            };
        }
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
