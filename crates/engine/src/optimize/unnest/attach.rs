//! Subqueries in the expressions of a plan's node become columns of its input, or joins in place of a filter.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, DFSchema, ExprSchema, JoinType, Result,
        tree_node::{Transformed, TreeNode},
    },
    functions_aggregate::expr_fn::count,
    logical_expr::{
        Aggregate, Distinct, Expr, FetchType, Filter, Join, LogicalPlan, Sort, Window,
        expr::{AggregateFunction, Exists, InSubquery},
        lit,
        utils::{conjunction, split_conjunction_owned},
    },
};

use super::{
    Unnest, column, columns_of, contains_subquery,
    domain::{Domain, cross},
    free_columns,
    plain::{is_plain_predicate, is_plain_scalar},
    project,
    push::filter,
    unsupported,
};

impl Unnest {
    /// The node with joins below it for its subqueries, which are rewritten inside already.
    pub(super) fn attached(&self, node: LogicalPlan) -> Result<LogicalPlan> {
        match node {
            LogicalPlan::Filter(node) => self.attach_filter(node),
            LogicalPlan::Join(node) => self.attach_join(node),
            LogicalPlan::Projection(node) => {
                let names: Vec<Column> = node.schema.columns();
                let (input, exprs) = self.values(Arc::unwrap_or_clone(node.input), node.expr)?;
                let exprs = exprs.into_iter().zip(names).map(|(e, name)| named_as(e, name)).collect();
                project(input, exprs)
            }
            LogicalPlan::Aggregate(node) => {
                let name = |e: Expr, old: &Expr| {
                    let (relation, name) = old.qualified_name();
                    named_as(e, Column::new(relation, name))
                };
                let input = Arc::unwrap_or_clone(node.input);
                let (input, group) = self.values(input, node.group_expr.clone())?;
                let (input, aggregates) = self.values(input, node.aggr_expr.clone())?;
                let is_sets = matches!(group.as_slice(), [Expr::GroupingSet(_)]);
                let group = match is_sets {
                    true => group,
                    false => group.into_iter().zip(&node.group_expr).map(|(e, old)| name(e, old)).collect(),
                };
                let aggregates = aggregates.into_iter().zip(&node.aggr_expr).map(|(e, old)| name(e, old)).collect();
                Aggregate::try_new(Arc::new(input), group, aggregates).map(LogicalPlan::Aggregate)
            }
            LogicalPlan::Sort(node) => {
                let columns = columns_of(&node.input);
                let (exprs, keys): (Vec<_>, Vec<_>) =
                    node.expr.into_iter().map(|k| (k.expr, (k.asc, k.nulls_first))).unzip();
                let (input, exprs) = self.values(Arc::unwrap_or_clone(node.input), exprs)?;
                let expr =
                    exprs.into_iter().zip(keys).map(|(e, (asc, nulls_first))| e.sort(asc, nulls_first)).collect();
                project(LogicalPlan::Sort(Sort { expr, input: Arc::new(input), fetch: node.fetch }), columns)
            }
            LogicalPlan::Window(node) => {
                let mut columns = columns_of(&node.input);
                let names: Vec<_> = node.window_expr.iter().map(|e| e.qualified_name()).collect();
                let (input, exprs) = self.values(Arc::unwrap_or_clone(node.input), node.window_expr)?;
                for (expr, (relation, name)) in exprs.iter().zip(names) {
                    columns.push(named_as(column(&expr.schema_name().to_string()), Column::new(relation, name)));
                }
                project(LogicalPlan::Window(Window::try_new(exprs, Arc::new(input))?), columns)
            }
            other => Ok(other),
        }
    }

    fn values(&self, mut input: LogicalPlan, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
        let mut done = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let (below, expr) = self.value(input, expr, false)?;
            input = below;
            done.push(expr);
        }
        Ok((input, done))
    }

    fn attach_filter(&self, node: Filter) -> Result<LogicalPlan> {
        let columns = columns_of(&node.input);
        let mut input = Arc::unwrap_or_clone(node.input);
        let mut rest = Vec::new();
        for conjunct in split_conjunction_owned(node.predicate) {
            match predicate(conjunct) {
                Ok((subquery, operand, negated)) if operand.as_ref().is_none_or(|o| !contains_subquery(o)) => {
                    let left_to_datafusion = !is_ours(&subquery, operand.as_ref(), &input)?;
                    if left_to_datafusion || (negated && operand.is_some()) {
                        rest.push(restored(subquery, operand, negated));
                    } else {
                        let inner = with_operand(subquery, operand, &input)?;
                        input = self.semi(input, inner, negated)?;
                    }
                }
                Ok((subquery, operand, negated)) => rest.push(restored(subquery, operand, negated)),
                Err(other) => rest.push(other),
            }
        }
        let mut conditions = Vec::with_capacity(rest.len());
        for conjunct in rest {
            let top_level_of_datafusion = matches!(conjunct, Expr::Exists(_) | Expr::InSubquery(_));
            if top_level_of_datafusion {
                conditions.push(conjunct);
                continue;
            }
            let (below, condition) = self.value(input, conjunct, false)?;
            input = below;
            conditions.push(condition);
        }
        let plan = filter(input, conditions)?;
        if plan.schema().fields().len() == columns.len() { Ok(plan) } else { project(plan, columns) }
    }

    /// A join whose condition has subqueries: each is computed on the side whose columns it reads.
    fn attach_join(&self, node: Join) -> Result<LogicalPlan> {
        let columns: Vec<Expr> = node.schema.columns().into_iter().map(Expr::Column).collect();
        let (mut left, mut right) = (Arc::unwrap_or_clone(node.left), Arc::unwrap_or_clone(node.right));
        let mut conditions = Vec::new();
        for conjunct in node.filter.map(split_conjunction_owned).unwrap_or_default() {
            let done = conjunct.transform_up(|e| {
                let needed = match &e {
                    Expr::ScalarSubquery(s) | Expr::Exists(Exists { subquery: s, .. }) => free_columns(&s.subquery)?,
                    Expr::InSubquery(s) => {
                        let mut needed = free_columns(&s.subquery.subquery)?;
                        needed.extend(s.expr.column_refs().into_iter().cloned());
                        needed
                    }
                    _ => return Ok(Transformed::no(e)),
                };
                let has = |plan: &LogicalPlan, c: &Column| plan.schema().has_column(c);
                let in_left = needed.iter().any(|c| has(&left, c));
                let in_right = needed.iter().any(|c| has(&right, c));
                let side = match (in_left, in_right) {
                    (true, true) => {
                        return Err(unsupported("a subquery in a join's condition that reads both of its sides"));
                    }
                    (_, false) => &mut left,
                    _ => &mut right,
                };
                let (plan, value) = self.value(side.clone(), e, true)?;
                *side = plan;
                Ok(Transformed::yes(value))
            })?;
            conditions.push(done.data);
        }
        let plan = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            node.on,
            conjunction(conditions),
            node.join_type,
            node.join_constraint,
            node.null_equality,
            node.null_aware,
        )?;
        project(LogicalPlan::Join(plan), columns)
    }

    /// The expression with columns in place of its subqueries, over an input that has them.
    /// `all`: also those that DataFusion can place where they are.
    fn value(&self, input: LogicalPlan, expr: Expr, all: bool) -> Result<(LogicalPlan, Expr)> {
        if !contains_subquery(&expr) {
            return Ok((input, expr));
        }
        let mut plan = input;
        let done = expr.transform_up(|e| {
            let (below, value) = match e {
                Expr::ScalarSubquery(subquery) => {
                    let inner = subquery.subquery.as_ref();
                    if !all && !is_ours_scalar(inner, &plan)? {
                        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
                    }
                    self.scalar(plan.clone(), inner.clone())?
                }
                e @ (Expr::Exists(_) | Expr::InSubquery(_)) => {
                    let (subquery, operand, negated) = match predicate(e) {
                        Ok(parts) => parts,
                        Err(other) => return Ok(Transformed::no(other)),
                    };
                    // DataFusion names a column twice that IN and the correlation both compare.
                    let all = all || (operand.is_some() && !free_columns(&subquery)?.is_empty());
                    if !all && !is_ours(&subquery, operand.as_ref(), &plan)? {
                        return Ok(Transformed::no(restored(subquery, operand, negated)));
                    }
                    if negated && operand.is_some() {
                        return Err(unsupported("NOT IN of a correlated subquery here"));
                    }
                    let inner = with_operand(subquery, operand, &plan)?;
                    let (below, found) = self.mark(plan.clone(), inner)?;
                    (below, if negated { Expr::Not(Box::new(found)) } else { found })
                }
                other => return Ok(Transformed::no(other)),
            };
            plan = below;
            Ok(Transformed::yes(value))
        })?;
        Ok((plan, done.data))
    }

    /// The outer rows, each with the value of its scalar subquery.
    fn scalar(&self, outer: LogicalPlan, inner: LogicalPlan) -> Result<(LogicalPlan, Expr)> {
        let Some(first) = inner.schema().columns().into_iter().next() else {
            return Err(unsupported("a scalar subquery without columns"));
        };
        let value = self.name("value");
        let named = Expr::Column(first);
        let one_at_most = has_one_row(&inner);
        let single = |of: Expr| {
            let call = AggregateFunction::new_udf(
                firesteel_functions::single_value(),
                vec![of],
                false,
                None,
                Vec::new(),
                None,
            );
            Expr::AggregateFunction(call).alias(&value)
        };
        let vars = bound_columns(&inner, &outer)?;
        if vars.is_empty() {
            let one = Aggregate::try_new(Arc::new(inner), Vec::new(), vec![single(named)])?;
            return Ok((cross(outer, LogicalPlan::Aggregate(one))?, column(&value)));
        }
        let domain = Domain::of(&outer, vars)?;
        let mut bound = self.push(inner, &domain)?;
        let keys: Vec<Expr> = bound.columns.iter().map(|c| column(c)).collect();
        bound.plan = if one_at_most {
            let exprs = keys.into_iter().chain([named.alias(&value)]).collect();
            project(bound.plan, exprs)?
        } else {
            LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(bound.plan), keys, vec![single(named)])?)
        };
        Ok((domain.join_outer(outer, bound, JoinType::Left, None)?, column(&value)))
    }

    /// The outer rows, each with whether its subquery has rows.
    fn mark(&self, outer: LogicalPlan, inner: LogicalPlan) -> Result<(LogicalPlan, Expr)> {
        let vars = bound_columns(&inner, &outer)?;
        let mark = self.name("mark");
        if vars.is_empty() {
            let rows = count(lit(1_i64)).alias(&mark);
            let counted = Aggregate::try_new(Arc::new(inner), Vec::new(), vec![rows])?;
            let plan = cross(outer, LogicalPlan::Aggregate(counted))?;
            return Ok((plan, column(&mark).gt(lit(0_i64))));
        }
        let domain = Domain::of(&outer, vars)?;
        let mut bound = self.push(inner, &domain)?;
        let keys: Vec<Expr> = bound.columns.iter().map(|c| column(c)).collect();
        let found = LogicalPlan::Distinct(Distinct::All(Arc::new(project(bound.plan, keys.clone())?)));
        bound.plan = project(found, keys.into_iter().chain([lit(true).alias(&mark)]).collect())?;
        Ok((domain.join_outer(outer, bound, JoinType::Left, None)?, column(&mark).is_not_null()))
    }

    /// The outer rows whose subquery has rows, or has none.
    fn semi(&self, outer: LogicalPlan, inner: LogicalPlan, negated: bool) -> Result<LogicalPlan> {
        let vars = bound_columns(&inner, &outer)?;
        if vars.is_empty() {
            let columns = columns_of(&outer);
            let (plan, found) = self.mark(outer, inner)?;
            let condition = if negated { Expr::Not(Box::new(found)) } else { found };
            return project(filter(plan, vec![condition])?, columns);
        }
        let domain = Domain::of(&outer, vars)?;
        let mut bound = self.push(inner, &domain)?;
        bound.plan = project(bound.plan, bound.columns.iter().map(|c| column(c)).collect())?;
        let join_type = if negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
        domain.join_outer(outer, bound, join_type, None)
    }
}

/// EXISTS or IN, taken apart: the subquery, the operand of IN, whether it is negated.
fn predicate(expr: Expr) -> std::result::Result<(LogicalPlan, Option<Expr>, bool), Expr> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) => Ok((Arc::unwrap_or_clone(subquery.subquery), None, negated)),
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            Ok((Arc::unwrap_or_clone(subquery.subquery), Some(*expr), negated))
        }
        Expr::Not(inner) if matches!(*inner, Expr::Exists(_) | Expr::InSubquery(_)) => {
            predicate(*inner).map(|(subquery, operand, negated)| (subquery, operand, !negated))
        }
        other => Err(other),
    }
}

fn restored(subquery: LogicalPlan, operand: Option<Expr>, negated: bool) -> Expr {
    let subquery = super::wrap(subquery);
    match operand {
        Some(operand) => Expr::InSubquery(InSubquery::new(Box::new(operand), subquery, negated)),
        None => Expr::Exists(Exists::new(subquery, negated)),
    }
}

/// `x IN (subquery)` as the existence of a row of the subquery that is equal to x.
fn with_operand(subquery: LogicalPlan, operand: Option<Expr>, outer: &LogicalPlan) -> Result<LogicalPlan> {
    let Some(operand) = operand else { return Ok(subquery) };
    let Some(first) = subquery.schema().columns().into_iter().next() else {
        return Err(unsupported("IN with a subquery without columns"));
    };
    // The operand's columns are those of the query around.
    let operand = operand.transform_up(|e| match e {
        Expr::Column(column) => {
            let field = outer.schema().field_from_column(&column)?.clone();
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    filter(subquery, vec![Expr::Column(first).eq(operand.data)])
}

/// The outer columns of `inner` that `outer` has; the others belong further out.
fn bound_columns(inner: &LogicalPlan, outer: &LogicalPlan) -> Result<Vec<Column>> {
    Ok(free_columns(inner)?.into_iter().filter(|c| outer.schema().has_column(c)).collect())
}

fn is_bound_by(schema: &DFSchema, columns: &[Column]) -> bool {
    columns.iter().all(|c| schema.has_column(c))
}

fn is_ours(inner: &LogicalPlan, operand: Option<&Expr>, outer: &LogicalPlan) -> Result<bool> {
    let operand_reads_further_out = operand.is_some_and(|o| !super::outer_columns(o).is_empty());
    Ok(operand_reads_further_out || !is_bound_by(outer.schema(), &free_columns(inner)?) || !is_plain_predicate(inner)?)
}

fn is_ours_scalar(inner: &LogicalPlan, outer: &LogicalPlan) -> Result<bool> {
    let free = free_columns(inner)?;
    Ok(!free.is_empty() && (!is_bound_by(outer.schema(), &free) || !is_plain_scalar(inner)?))
}

/// Whether the plan answers one row at most for each combination of its outer columns.
fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Limit(limit) => {
            matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1))))
                || plan.inputs().into_iter().all(has_one_row)
        }
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.inputs().into_iter().all(has_one_row)
        }
        _ => false,
    }
}

fn named_as(expr: Expr, name: Column) -> Expr {
    let (relation, own) = expr.qualified_name();
    if relation == name.relation && own == name.name {
        return expr;
    }
    expr.unalias().alias_qualified(name.relation, name.name)
}
