//! Subqueries in expressions: scalar, IN and EXISTS, correlated or not.
//!
//! Where a predicate only decides which rows stay, IN and EXISTS become predicates that are planned as semi, anti and mark
//! joins. Where their value is seen (a SELECT list, under NOT, in CASE), unknown must stay apart from false, which those
//! joins do not do: there they are counted with scalar subqueries. The engine's rules make the joins.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, Spans,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    functions_aggregate::expr_fn::count,
    logical_expr::{
        Aggregate, Expr as DfExpr, Filter, LogicalPlan, Subquery,
        expr::{Exists, InSubquery},
        lit,
    },
    scalar::ScalarValue,
};
use firesteel_functions::{Typed, coercion, operators, types};
use firesteel_plan::{DataType, Expr, ExprKind, Relation, SparkError, SparkResult, expr::BinaryOp};

use super::{Clause, Env, Position, boolean, when};
use crate::{
    errors,
    query::{Analyzer, MAX_SUBQUERY_DEPTH, RelEnv},
    scope::{Planned, project},
};

impl Analyzer<'_> {
    fn subquery(&self, relation: &Relation, env: &Env<'_>) -> SparkResult<Planned> {
        let inner = RelEnv { outer: Some(env), windows: None, hints: None, args: None, ..*env.rel };
        if self.subqueries.get() >= MAX_SUBQUERY_DEPTH {
            return Err(env.rel.locate(errors::too_complex(), relation.span));
        }
        self.subqueries.set(self.subqueries.get() + 1);
        let planned = self.relation(relation, &inner);
        self.subqueries.set(self.subqueries.get() - 1);
        let planned = planned?.exact()?;
        let outer = outer_columns(&planned.plan).map_err(errors::from_datafusion)?;
        if !outer.is_empty() {
            let outer: Vec<String> = outer.into_iter().map(|column| name_around(&column, env)).collect();
            self.outer_columns.borrow_mut().insert(std::ptr::from_ref(relation), outer.join(", "));
        }
        Ok(planned)
    }

    pub(crate) fn scalar_subquery(&self, relation: &Relation, env: &Env<'_>) -> SparkResult<Typed> {
        let planned = self.subquery(relation, env)?;
        let [attribute] = planned.scope.attributes.as_slice() else {
            return Err(errors::scalar_subquery_columns(planned.scope.attributes.len()));
        };
        let data_type = attribute.data_type.clone();
        Ok(Typed::new(DfExpr::ScalarSubquery(wrap(planned.plan)), data_type, true))
    }

    pub(super) fn exists(&self, relation: &Relation, env: &Env<'_>) -> SparkResult<Typed> {
        let planned = self.subquery(relation, env)?;
        if env.position == Position::Value {
            return Ok(boolean(any_rows(planned.plan)?, false));
        }
        Ok(boolean(exists(planned.plan, false), false))
    }

    pub(super) fn not_exists(&self, relation: &Relation, env: &Env<'_>) -> SparkResult<Typed> {
        let planned = self.subquery(relation, env)?;
        if env.position == Position::Value {
            return Ok(boolean(DfExpr::Not(Box::new(any_rows(planned.plan)?)), false));
        }
        Ok(boolean(exists(planned.plan, true), false))
    }

    pub(super) fn in_subquery(
        &self,
        operand: &Expr,
        relation: &Relation,
        negated: bool,
        env: &Env<'_>,
    ) -> SparkResult<Typed> {
        let ctx = &self.functions;
        let operands = self.in_operands(operand);
        let planned = self.subquery(relation, env)?;
        let columns = &planned.scope.attributes;
        if operands.len() != columns.len() {
            let left: Vec<_> = operands.iter().map(|o| self.show(o, env)).collect();
            let right: Vec<_> = columns.iter().map(|c| c.full_name().join(".")).collect();
            return Err(errors::in_subquery_columns(&left, &right));
        }
        let value_env = Env { position: Position::Value, ..*env };
        let mut left = Vec::with_capacity(operands.len());
        let mut right = Vec::with_capacity(operands.len());
        for (operand, column) in operands.iter().zip(columns) {
            let operand_value = self.expr(operand, &value_env)?;
            let column_value = super::attribute::typed(column);
            let Some(common) = coercion::comparison_type(&operand_value.data_type, &column_value.data_type, ctx.ansi)
            else {
                return Err(errors::mismatch(
                    "IN_SUBQUERY_DATA_TYPE_MISMATCH",
                    &format!("({} IN (listquery()))", self.show(operand, env)),
                    format!(
                        "The data type of one or more elements in the left hand side of an IN subquery is not \
                         compatible with the data type of the output of the subquery. Mismatched columns: \
                         [(\"{}\": {}, \"{}\": {})].",
                        self.show(operand, env),
                        errors::sql_type(&operand_value.data_type),
                        column.name,
                        errors::sql_type(&column_value.data_type)
                    ),
                ));
            };
            left.push(coercion::implicit(ctx, operand_value, &common)?);
            right.push(coercion::implicit(ctx, column_value, &common)?);
        }
        let nullable = left.iter().chain(&right).any(|v| v.nullable);
        // Also where the subquery answers nothing.
        if let ([operand], false) = (operands.as_slice(), planned.scope.attributes.is_empty())
            && matches!(operand.kind, ExprKind::Literal(firesteel_plan::expr::Literal::Null))
            && self.null_in_empty
        {
            return Ok(boolean(lit(ScalarValue::Boolean(None)), true));
        }

        let correlated = !planned.plan.all_out_ref_exprs().is_empty();
        if let ([operand], [column]) = (left.as_slice(), right.as_slice())
            && match env.position {
                Position::Conjunct => !(negated && correlated),
                Position::Predicate => !negated,
                Position::Value => false,
            }
        {
            let attribute = self.attribute_of(&planned.scope.attributes[0].name, column);
            let plan = project(planned.plan, vec![column.expr.clone().alias(&attribute.column)])?;
            let subquery = InSubquery::new(Box::new(operand.expr.clone()), wrap(plan), negated);
            return Ok(boolean(DfExpr::InSubquery(subquery), nullable));
        }

        let outer: Vec<Typed> = left
            .iter()
            .map(|v| Ok(Typed { expr: self.to_outer(v.expr.clone(), env)?, ..v.clone() }))
            .collect::<SparkResult<_>>()?;
        let equal = |or_null: bool| -> SparkResult<DfExpr> {
            let mut all: Option<DfExpr> = None;
            for (l, r) in outer.iter().zip(&right) {
                let mut one = operators::binary(ctx, BinaryOp::Equal, r.clone(), l.clone())?.expr;
                if or_null {
                    if r.nullable {
                        one = one.or(r.expr.clone().is_null());
                    }
                    if l.nullable {
                        one = one.or(l.expr.clone().is_null());
                    }
                }
                all = Some(match all {
                    Some(all) => all.and(one),
                    None => one,
                });
            }
            all.ok_or_else(|| SparkError::internal("IN without columns"))
        };
        if env.position != Position::Value {
            let plan = filter(planned.plan, equal(negated)?)?;
            return Ok(boolean(exists(plan, negated), false));
        }
        let matched = any_rows(filter(planned.plan.clone(), equal(false)?)?)?;
        let unknown = match (left.as_slice(), right.as_slice()) {
            // For one column nothing of it depends on the outer row's value.
            ([operand], [column]) => {
                let has_null = any_rows(filter(planned.plan.clone(), column.expr.clone().is_null())?)?;
                let not_empty = any_rows(planned.plan)?;
                has_null.or(operand.expr.clone().is_null().and(not_empty))
            }
            _ => any_rows(filter(planned.plan, equal(true)?)?)?,
        };
        // In a condition unknown must stay unknown: NOT may stand above. Where the value is shown, Spark's existence
        // joins make it false, for NOT IN too.
        let in_condition = !matches!(env.clause, Clause::Select | Clause::OrderBy | Clause::GroupBy | Clause::Other);
        let value = match (in_condition, negated) {
            (true, _) => when(matched, lit(!negated), when(unknown, lit(ScalarValue::Boolean(None)), lit(negated))),
            (false, false) => matched.is_true(),
            (false, true) => DfExpr::Not(Box::new(matched.or(unknown).is_true())),
        };
        Ok(boolean(value, nullable))
    }

    /// The expression as a subquery inside sees it.
    pub(super) fn to_outer(&self, expr: DfExpr, env: &Env<'_>) -> SparkResult<DfExpr> {
        expr.transform_up(|e| match e {
            DfExpr::Column(column) => {
                let attribute = self
                    .attribute_by_column(&column.name, env)
                    .ok_or_else(|| datafusion::error::DataFusionError::Plan(format!("no attribute {column}")))?;
                let field = types::field_to_arrow(&attribute.0, &attribute.1, attribute.2)
                    .map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))?;
                Ok(Transformed::yes(DfExpr::OuterReferenceColumn(
                    Arc::new(field),
                    Column::new_unqualified(column.name),
                )))
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|t| t.data)
        .map_err(errors::from_datafusion)
    }

    fn attribute_by_column(&self, column: &str, env: &Env<'_>) -> Option<(String, DataType, bool)> {
        let in_scopes =
            env.scopes.iter().flat_map(|s| s.attributes.iter().chain(&s.hidden)).find(|a| a.column == column);
        if let Some(a) = in_scopes {
            return Some((a.column.clone(), a.data_type.clone(), a.nullable));
        }
        let collected = env.select?.borrow();
        collected
            .aggregates
            .iter()
            .chain(&collected.windows)
            .map(|(_, a)| a)
            .find(|a| a.column == column)
            .map(|a| (a.column.clone(), a.data_type.clone(), a.nullable))
    }
}

/// The outer columns that a plan reads, as often as it does, from its top.
fn outer_columns(plan: &LogicalPlan) -> datafusion::error::Result<Vec<String>> {
    let mut names = Vec::new();
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if let DfExpr::OuterReferenceColumn(_, column) = e {
                    names.push(column.name.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(names)
}

/// The name that people use for a column of the queries around.
fn name_around(column: &str, env: &Env<'_>) -> String {
    let scopes = std::iter::once(env).chain(env.around()).flat_map(|env| env.scopes);
    let known = scopes.flat_map(|s| s.attributes.iter().chain(&s.hidden)).find(|a| a.column == column);
    match known {
        Some(found) => found.name.clone(),
        None => column.rsplit_once('#').map_or(column, |(name, _)| name).to_owned(),
    }
}

fn wrap(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() }
}

fn exists(plan: LogicalPlan, negated: bool) -> DfExpr {
    DfExpr::Exists(Exists::new(wrap(plan), negated))
}

fn filter(plan: LogicalPlan, condition: DfExpr) -> SparkResult<LogicalPlan> {
    Filter::try_new(condition, Arc::new(plan)).map(LogicalPlan::Filter).map_err(errors::from_datafusion)
}

/// `(SELECT count(*) FROM plan) > 0`
fn any_rows(plan: LogicalPlan) -> SparkResult<DfExpr> {
    let counted = Aggregate::try_new(Arc::new(plan), Vec::new(), vec![count(lit(1_i64))])
        .map(LogicalPlan::Aggregate)
        .map_err(errors::from_datafusion)?;
    Ok(DfExpr::ScalarSubquery(wrap(counted)).gt(lit(0_i64)))
}
