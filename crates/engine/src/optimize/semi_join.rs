//! Semi and anti joins (IN, EXISTS and their negations) below the inner joins that they need nothing of.

use std::sync::Arc;

use datafusion::{
    common::{Column, JoinType, Result, tree_node::Transformed},
    logical_expr::{Join, LogicalPlan},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

use super::{
    estimate::Estimate,
    join_order::{passes_columns, same_columns},
};

/// Where it then has fewer rows to look at. A semi join keeps or drops a row by its keys alone, and an inner join repeats
/// rows or drops them by its own: the order does not matter to the result.
#[derive(Debug)]
pub struct PushDownSemiJoin;

/// Estimates are rough: about as many rows count as no more.
const ABOUT: f64 = 1.05;

impl OptimizerRule for PushDownSemiJoin {
    fn name(&self) -> &str {
        "push_down_semi_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(semi) = &plan else { return Ok(Transformed::no(plan)) };
        Ok(match pushed(semi)? {
            Some(pushed) => Transformed::yes(pushed),
            None => Transformed::no(plan),
        })
    }
}

fn pushed(semi: &Join) -> Result<Option<LogicalPlan>> {
    if !matches!(semi.join_type, JoinType::LeftSemi | JoinType::LeftAnti) || semi.on.is_empty() {
        return Ok(None);
    }
    let mut below = semi.left.as_ref();
    while let LogicalPlan::Projection(projection) = below
        && passes_columns(projection)
    {
        below = &projection.input;
    }
    let LogicalPlan::Join(inner) = below else { return Ok(None) };
    if inner.join_type != JoinType::Inner {
        return Ok(None);
    }
    let left_schema = semi.left.schema();
    let mut needed: Vec<&Column> = semi.on.iter().flat_map(|(left, _)| left.column_refs()).collect();
    let of_filter = semi.filter.iter().flat_map(|f| f.column_refs());
    needed.extend(of_filter.filter(|column| left_schema.has_column(column)));
    let has_all = |side: &LogicalPlan| needed.iter().all(|column| side.schema().has_column(column));
    let (into_left, side) = match (has_all(&inner.left), has_all(&inner.right)) {
        (true, _) => (true, &inner.left),
        (_, true) => (false, &inner.right),
        _ => return Ok(None),
    };
    let (Some(side_rows), Some(joined_rows)) = (Estimate::of(side), Estimate::of(below)) else { return Ok(None) };
    if side_rows.rows > joined_rows.rows * ABOUT {
        return Ok(None);
    }
    let reduced = Arc::new(LogicalPlan::Join(Join::try_new(
        Arc::clone(side),
        Arc::clone(&semi.right),
        semi.on.clone(),
        semi.filter.clone(),
        semi.join_type,
        semi.join_constraint,
        semi.null_equality,
        semi.null_aware,
    )?));
    let mut joined = inner.clone();
    if into_left {
        joined.left = reduced;
    } else {
        joined.right = reduced;
    }
    same_columns(LogicalPlan::Join(joined), semi.schema.columns()).map(Some)
}
