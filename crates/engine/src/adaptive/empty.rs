//! What follows from shuffles without rows.

use std::sync::Arc;

use datafusion::{
    common::{JoinType, Result, ScalarValue},
    physical_expr::{
        PhysicalExpr,
        expressions::{Column, Literal},
    },
    physical_plan::{
        ExecutionPlan,
        aggregates::AggregateExec,
        empty::EmptyExec,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec},
        projection::{ProjectionExec, ProjectionExpr},
        union::UnionExec,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};

use super::{Rule, View, statistics::passes_rows, walk::replaced};
use crate::{shuffle::ShuffleReaderExec, stage::partitions};

/// Plans that yield no row because a shuffle has none become empty ones; joins with an empty side become that or what is
/// left of their other side. Stages that only they would have read are never run.
#[derive(Debug)]
pub struct PropagateEmpty;

impl Rule for PropagateEmpty {
    fn name(&self) -> &'static str {
        "propagate empty relations"
    }

    fn apply(&self, plan: Arc<dyn ExecutionPlan>, view: &View<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, true, &mut |node, free| {
            if node.is::<EmptyExec>() {
                return Ok(None);
            }
            // A reader keeps its partitions: what it is joined with has as many.
            if node.is::<ShuffleReaderExec>() {
                return Ok(None);
            }
            if is_empty_over(node, view) {
                let n = if free { 1 } else { partitions(node) };
                let empty: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(node.schema()).with_partitions(n));
                let keeps = free || n == 1;
                return Ok(keeps.then_some(empty));
            }
            if let Some(join) = node.downcast_ref::<HashJoinExec>() {
                return other_side(join, view);
            }
            if node.is::<UnionExec>() && free {
                return without_empty(node, view);
            }
            Ok(None)
        })
    }
}

fn is_empty(plan: &Arc<dyn ExecutionPlan>, view: &View<'_>) -> bool {
    if plan.is::<EmptyExec>() {
        return true;
    }
    match plan.downcast_ref::<ShuffleReaderExec>() {
        Some(reader) => view.knows(reader.shuffle()) && view.total(reader.shuffle()) == 0,
        None => is_empty_over(plan, view),
    }
}

/// Whether an operator yields no row because of inputs that have none.
fn is_empty_over(plan: &Arc<dyn ExecutionPlan>, view: &View<'_>) -> bool {
    let children = plan.children();
    if let [input] = children[..] {
        let groups = plan.downcast_ref::<AggregateExec>();
        let groups = groups.is_some_and(|a| !a.group_expr().is_empty() && !a.group_expr().has_grouping_set());
        let passes = passes_rows(plan) || groups || plan.is::<WindowAggExec>() || plan.is::<BoundedWindowAggExec>();
        return passes && is_empty(input, view);
    }
    if plan.is::<UnionExec>() {
        return children.into_iter().all(|child| is_empty(child, view));
    }
    let [left, right] = children[..] else { return false };
    let join_type = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        *join.join_type()
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        join.join_type()
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        *join.join_type()
    } else if plan.is::<CrossJoinExec>() {
        JoinType::Inner
    } else {
        return false;
    };
    let (left, right) = (is_empty(left, view), is_empty(right, view));
    match join_type {
        JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => left || right,
        JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => left,
        JoinType::Right | JoinType::RightAnti | JoinType::RightMark => right,
        JoinType::Full => left && right,
    }
}

/// An outer or anti join whose other side is empty: the rows of the side that stays, with nulls.
fn other_side(join: &HashJoinExec, view: &View<'_>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let left = match join.join_type() {
        JoinType::Left | JoinType::LeftAnti => true,
        JoinType::Right | JoinType::RightAnti => false,
        _ => return Ok(None),
    };
    let (stays, gone) = if left { (join.left(), join.right()) } else { (join.right(), join.left()) };
    if !is_empty(gone, view) {
        return Ok(None);
    }
    let (stays_schema, gone_schema) = (stays.schema(), gone.schema());
    let columns = stays_schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new(field.name(), index)) });
    let mut all: Vec<Arc<dyn PhysicalExpr>> = columns.collect();
    if matches!(join.join_type(), JoinType::Left | JoinType::Right) {
        let nulls = gone_schema.fields().iter().map(|field| -> Result<Arc<dyn PhysicalExpr>> {
            Ok(Arc::new(Literal::new(ScalarValue::try_from(field.data_type())?)))
        });
        let nulls = nulls.collect::<Result<Vec<_>>>()?;
        let at = if left { all.len() } else { 0 };
        all.splice(at..at, nulls);
    }
    if let Some(projection) = join.projection.as_deref() {
        let picked: Option<Vec<_>> = projection.iter().map(|index| all.get(*index).cloned()).collect();
        let Some(picked) = picked else { return Ok(None) };
        all = picked;
    }
    let schema = join.schema();
    let named = all.into_iter().zip(schema.fields());
    let named: Vec<ProjectionExpr> =
        named.map(|(expr, field)| ProjectionExpr { expr, alias: field.name().clone() }).collect();
    let projection: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(named, stays.clone())?);
    let fetch = join.fetch().is_some();
    Ok((projection.schema() == schema && !fetch).then_some(projection))
}

/// A union of those of its inputs that have rows.
fn without_empty(union: &Arc<dyn ExecutionPlan>, view: &View<'_>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let all = union.children();
    let full: Vec<_> = all.iter().filter(|child| !is_empty(child, view)).map(|child| (*child).clone()).collect();
    if full.len() == all.len() || full.is_empty() {
        return Ok(None);
    }
    let left = if let [one] = full.as_slice() { one.clone() } else { UnionExec::try_new(full)? };
    Ok((left.schema() == union.schema()).then_some(left))
}
