//! Comparisons of string columns without a copy.
//!
//! Scans deliver strings as views into their pages, and the analyzer casts them to plain strings, which copies every value.
//! A comparison means the same on a view: filters compare first, and only what they leave is copied.

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Column, ExprSchema, Result, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Expr, Filter, LogicalPlan, Operator,
        expr::{InList, Like},
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

#[derive(Debug)]
pub struct CompareViews;

impl OptimizerRule for CompareViews {
    fn name(&self) -> &str {
        "compare_views"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => {
                let schema = filter.input.schema().clone();
                let is_view = |c: &Column| schema.data_type(c).is_ok_and(|t| *t == DataType::Utf8View);
                let predicate = filter.predicate.clone().transform_up(|e| Ok(without_copy(e, &is_view)))?;
                if !predicate.transformed {
                    return Ok(Transformed::no(LogicalPlan::Filter(filter)));
                }
                Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate.data, filter.input)?)))
            }
            LogicalPlan::TableScan(mut scan) => {
                let schema = scan.source.schema();
                let is_view =
                    |c: &Column| schema.field_with_name(&c.name).is_ok_and(|f| *f.data_type() == DataType::Utf8View);
                let mut changed = false;
                for filter in &mut scan.filters {
                    let rewritten = filter.clone().transform_up(|e| Ok(without_copy(e, &is_view)))?;
                    if rewritten.transformed {
                        *filter = rewritten.data;
                        changed = true;
                    }
                }
                let plan = LogicalPlan::TableScan(scan);
                Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// A comparison whose columns are cast views, as one of the views themselves.
fn without_copy(expr: Expr, is_view: &dyn Fn(&Column) -> bool) -> Transformed<Expr> {
    let view = |e: &Expr| cast_view(e, is_view);
    match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            let sides = match (view(left), view(right)) {
                (Some(left), Some(right)) => Some((left, right)),
                (Some(left), None) => as_view(right).map(|right| (left, right)),
                (None, Some(right)) => as_view(left).map(|left| (left, right)),
                (None, None) => None,
            };
            if let Some((left, right)) = sides {
                return Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right))));
            }
        }
        Expr::Like(like) => {
            if let (Some(column), Some(pattern)) = (view(&like.expr), as_view(&like.pattern)) {
                let like = Like { expr: Box::new(column), pattern: Box::new(pattern), ..like.clone() };
                return Transformed::yes(Expr::Like(like));
            }
        }
        Expr::InList(InList { expr: value, list, negated }) => {
            if let (Some(column), Some(list)) = (view(value), list.iter().map(as_view).collect::<Option<Vec<_>>>()) {
                return Transformed::yes(Expr::InList(InList::new(Box::new(column), list, *negated)));
            }
        }
        Expr::IsNull(value) => {
            if let Some(column) = view(value) {
                return Transformed::yes(Expr::IsNull(Box::new(column)));
            }
        }
        Expr::IsNotNull(value) => {
            if let Some(column) = view(value) {
                return Transformed::yes(Expr::IsNotNull(Box::new(column)));
            }
        }
        _ => {}
    }
    Transformed::no(expr)
}

fn compares(op: Operator) -> bool {
    use Operator::*;
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// The column of views that is cast to plain strings here.
fn cast_view(expr: &Expr, is_view: &dyn Fn(&Column) -> bool) -> Option<Expr> {
    match expr {
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Utf8 => match cast.expr.as_ref() {
            Expr::Column(column) if is_view(column) => Some(Expr::Column(column.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// A constant string as a view.
fn as_view(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(text), metadata) => {
            Some(Expr::Literal(ScalarValue::Utf8View(text.clone()), metadata.clone()))
        }
        _ => None,
    }
}
