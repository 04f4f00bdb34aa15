//! Rules of DataFusion that are held back where what they do is wrong.

use std::sync::Arc;

use datafusion::{
    common::{NullEquality, Result, tree_node::Transformed},
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, Filter, Join, LogicalPlan, Operator,
        utils::{can_hash, find_valid_equijoin_key_pair, split_conjunction, split_conjunction_owned},
    },
    optimizer::{
        ApplyOrder, OptimizerConfig, OptimizerRule, extract_equijoin_predicate::ExtractEquijoinPredicate,
        push_down_filter::PushDownFilter,
    },
};

use super::cross_join::CrossJoins;

/// `rule`, or what stands in its place.
pub fn guarded(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    match rule.name() {
        "extract_equijoin_predicate" => Arc::new(KeysOfConditions(ExtractEquijoinPredicate::new())),
        "eliminate_cross_join" => Arc::new(CrossJoins::default()),
        "push_down_filter" => Arc::new(FiltersBelow(PushDownFilter::new())),
        _ => rule,
    }
}

// A join has one answer to whether nulls are equal, for all its keys: `<=>`, correlated subqueries and INTERSECT make joins where
// they are. Two rules forget that when they make keys of an `=`.

/// `a = b` in the condition of a join whose nulls are equal becomes the key `a <=> b` and the condition `a IS NOT NULL`.
#[derive(Debug)]
struct KeysOfConditions(ExtractEquijoinPredicate);

impl OptimizerRule for KeysOfConditions {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Join(mut join) if join.null_equality == NullEquality::NullEqualsNull => {
                if join.on.is_empty() {
                    // Nothing says yet what its keys' nulls are.
                    join.null_equality = NullEquality::NullEqualsNothing;
                    return self.0.rewrite(LogicalPlan::Join(join), config);
                }
                with_null_safe_keys(join)
            }
            other => self.0.rewrite(other, config),
        }
    }
}

fn with_null_safe_keys(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let Some(filter) = join.filter.take() else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
    let (left, right) = (join.left.schema().clone(), join.right.schema().clone());
    let mut changed = false;
    let mut rest = Vec::new();
    for condition in split_conjunction_owned(filter) {
        let sides = match &condition {
            Expr::BinaryExpr(BinaryExpr {
                left: l,
                op: op @ (Operator::Eq | Operator::IsNotDistinctFrom),
                right: r,
            }) => find_valid_equijoin_key_pair(l, r, &left, &right)?.map(|pair| (*op, pair)),
            _ => None,
        };
        match sides {
            Some((op, (l, r))) if can_hash(&l.get_type(&left)?) && can_hash(&r.get_type(&right)?) => {
                if op == Operator::Eq {
                    rest.push(Expr::IsNotNull(Box::new(l.clone())));
                }
                join.on.push((l, r));
                changed = true;
            }
            _ => rest.push(condition),
        }
    }
    join.filter = rest.into_iter().reduce(Expr::and);
    let join = LogicalPlan::Join(join);
    Ok(if changed { Transformed::yes(join) } else { Transformed::no(join) })
}

/// A filter that reads no column stays above an aggregate without groups, which has a row also where it reads none; and one that
/// answers differently each time stays where it is.
#[derive(Debug)]
struct FiltersBelow(PushDownFilter);

impl OptimizerRule for FiltersBelow {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return self.0.rewrite(plan, config) };
        let global = match filter.input.as_ref() {
            // Scans keep such filters out themselves.
            LogicalPlan::TableScan(_) => return self.0.rewrite(plan, config),
            LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
            _ => false,
        };
        let stays = |condition: &Expr| condition.is_volatile() || (global && !condition.any_column_refs());
        let (kept, moved): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(&filter.predicate).into_iter().partition(|condition| stays(condition));
        let Some(kept) = kept.into_iter().cloned().reduce(Expr::and) else { return self.0.rewrite(plan, config) };
        let Some(moved) = moved.into_iter().cloned().reduce(Expr::and) else { return Ok(Transformed::no(plan)) };
        let below = LogicalPlan::Filter(Filter::try_new(moved, filter.input.clone())?);
        self.0
            .rewrite(below, config)?
            .transform_data(|below| Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(kept, Arc::new(below))?))))
    }
}
