//! Which correlated subqueries DataFusion's own rules turn into joins, and rightly.

use datafusion::{
    common::{
        ExprSchema, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Expr, JoinType, LogicalPlan, Operator, simplify::SimplifyContext, utils::split_conjunction,
    },
    optimizer::simplify_expressions::ExprSimplifier,
    scalar::ScalarValue,
};

use super::{free_columns, outer_columns};

/// Aggregates that are null where there is nothing to aggregate.
const NULL_OF_NOTHING: [&str; 10] = [
    "sum",
    "avg",
    "min",
    "max",
    "sum_checked",
    "sum_tolerant",
    "avg_checked",
    "avg_tolerant",
    "first_value",
    "last_value",
];

/// A subquery under EXISTS or IN that reads the outer query in filters only, with nothing above these that counts rows or
/// joins other than inner.
pub(super) fn is_plain_predicate(plan: &LogicalPlan) -> Result<bool> {
    if free_columns(plan)?.is_empty() {
        return Ok(true);
    }
    match plan {
        LogicalPlan::Filter(filter) => is_plain_predicate(&filter.input),
        LogicalPlan::Projection(projection) if projection.expr.iter().all(is_free) => {
            is_plain_predicate(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => is_plain_predicate(&alias.input),
        LogicalPlan::Join(join)
            if join.join_type == JoinType::Inner
                && join.filter.iter().all(is_free)
                && join.on.iter().all(|(l, r)| is_free(l) && is_free(r)) =>
        {
            Ok(is_plain_predicate(&join.left)? && is_plain_predicate(&join.right)?)
        }
        _ => Ok(false),
    }
}

/// An aggregation over rows that equalities with outer columns choose, which is null where there are none of them.
pub(super) fn is_plain_scalar(plan: &LogicalPlan) -> Result<bool> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let null = |e: &Expr| is_null_of_nulls(e, &projection.input);
            Ok(projection.expr.iter().all(null) && is_plain_scalar(&projection.input)?)
        }
        LogicalPlan::Aggregate(aggregate) => Ok(aggregate.group_expr.is_empty()
            && aggregate.aggr_expr.iter().all(|e| is_free(e) && is_null_of_nothing(e))
            && is_plain_predicate(&aggregate.input)?
            && has_only_equalities(&aggregate.input)?),
        _ => Ok(false),
    }
}

fn is_free(expr: &Expr) -> bool {
    outer_columns(expr).is_empty()
}

fn is_null_of_nothing(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_null_of_nothing(&alias.expr),
        Expr::AggregateFunction(call) => NULL_OF_NOTHING.contains(&call.func.name()),
        _ => false,
    }
}

/// Whether the value is null when the columns in it, of which it has some, are.
fn is_null_of_nulls(expr: &Expr, input: &LogicalPlan) -> bool {
    let nulls = expr.clone().transform_up(|e| match &e {
        Expr::Column(column) => {
            let null = ScalarValue::try_from(input.schema().field_from_column(column)?.data_type())?;
            Ok(Transformed::yes(Expr::Literal(null, None)))
        }
        _ => Ok(Transformed::no(e)),
    });
    let context = SimplifyContext::builder().with_schema(input.schema().clone()).build();
    match nulls {
        Ok(nulls) if is_free(expr) => ExprSimplifier::new(context)
            .simplify(nulls.data.unalias())
            .is_ok_and(|value| matches!(value, Expr::Literal(value, _) if value.is_null())),
        _ => false,
    }
}

fn has_only_equalities(plan: &LogicalPlan) -> Result<bool> {
    if let LogicalPlan::Filter(filter) = plan {
        let equal = |e: &Expr| match e {
            e if is_free(e) => true,
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                let outer = |e: &Expr| matches!(e, Expr::OuterReferenceColumn(..));
                (outer(left) && is_free(right)) || (outer(right) && is_free(left))
            }
            _ => false,
        };
        if !split_conjunction(&filter.predicate).into_iter().all(equal) {
            return Ok(false);
        }
    }
    for input in plan.inputs() {
        if !has_only_equalities(input)? {
            return Ok(false);
        }
    }
    Ok(true)
}
