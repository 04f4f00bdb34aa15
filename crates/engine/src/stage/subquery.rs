//! Uncorrelated scalar subqueries: evaluated before the plan around them is cut.

use std::{collections::HashMap, future::Future, sync::Arc};

use datafusion::{
    common::Result,
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions, scalar_subquery::ScalarSubqueryExec,
    },
    scalar::ScalarValue,
};
use futures::{FutureExt, future::BoxFuture};

use crate::reuse::ReusedExec;

/// The plan without its `ScalarSubqueryExec` nodes: each subquery's plan is given to `evaluate` (innermost first), and
/// from then on its value stands in the plan's expressions, as a literal once the plan is encoded.
///
/// `evaluate` answers null for no row and an error for more than one. Call this once for a plan.
pub async fn inline_scalar_subqueries<F, Fut>(
    plan: Arc<dyn ExecutionPlan>,
    evaluate: &mut F,
) -> Result<Arc<dyn ExecutionPlan>>
where
    F: FnMut(Arc<dyn ExecutionPlan>) -> Fut + Send,
    Fut: Future<Output = Result<ScalarValue>> + Send,
{
    let mut found = false;
    super::cut::each_node(&plan, &mut |node| {
        found |= node.is::<ScalarSubqueryExec>();
        Ok(())
    })?;
    if found { inline(plan, evaluate, &mut HashMap::new()).await } else { Ok(plan) }
}

/// `reused`: the parts that have several places, as they are without subqueries.
/// Boxed: one heap frame a level of the plan, so that its depth does not matter to the stack while it waits.
fn inline<'a, F, Fut>(
    plan: Arc<dyn ExecutionPlan>,
    evaluate: &'a mut F,
    reused: &'a mut HashMap<u64, Arc<dyn ExecutionPlan>>,
) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>>
where
    F: FnMut(Arc<dyn ExecutionPlan>) -> Fut + Send,
    Fut: Future<Output = Result<ScalarValue>> + Send,
{
    async move {
        if let Some(place) = plan.downcast_ref::<ReusedExec>() {
            let input = match reused.get(&place.id()) {
                Some(known) => known.clone(),
                None => inline(place.input().clone(), evaluate, reused).await?,
            };
            reused.insert(place.id(), input.clone());
            return Ok(Arc::new(place.over(input)) as _);
        }
        if let Some(node) = plan.downcast_ref::<ScalarSubqueryExec>() {
            for subquery in node.subqueries() {
                let subplan = inline(subquery.plan.clone(), evaluate, reused).await?;
                let value = evaluate(subplan).await?;
                node.results().set(subquery.index, value)?;
            }
            return inline(node.input().clone(), evaluate, reused).await;
        }
        let old: Vec<_> = plan.children().into_iter().cloned().collect();
        let mut children = Vec::with_capacity(old.len());
        for child in &old {
            children.push(inline(child.clone(), evaluate, reused).await?);
        }
        if old.iter().zip(&children).all(|(old, new)| Arc::ptr_eq(old, new)) {
            return Ok(plan);
        }
        plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }
    .boxed()
}
