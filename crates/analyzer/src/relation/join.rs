//! Joins.

use std::sync::Arc;

use datafusion::{
    common::{NullEquality, Spans},
    logical_expr::{
        Expr as DfExpr, Join, JoinConstraint, JoinType as DfJoinType, LogicalPlan, LogicalPlanBuilder, Subquery, lit,
    },
};
use firesteel_engine::optimize::contains_subquery;
use firesteel_functions::{Typed, coercion, operators};
use firesteel_plan::{
    Relation, SparkError, SparkResult,
    expr::BinaryOp,
    relation::{JoinCondition, JoinType},
};

use super::filter_plan;
use crate::{
    errors,
    expression::{Clause, Env, Position, has_aggregate, has_window},
    query::{Analyzer, RelEnv, build},
    scope::{Attribute, Planned, Scope, project, same_name},
};

impl Analyzer<'_> {
    pub(super) fn join(
        &self,
        left: &Relation,
        right: &Relation,
        join_type: JoinType,
        condition: &JoinCondition,
        lateral: bool,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let left = self.relation(left, env)?;
        let right = if lateral { self.lateral(&left.scope, right, env)? } else { self.relation(right, env)? };
        match condition {
            JoinCondition::None => self.joined(left, right, join_type, None),
            JoinCondition::On(e) => {
                let both = Scope {
                    attributes: left.scope.attributes.iter().chain(&right.scope.attributes).cloned().collect(),
                    hidden: left.scope.hidden.iter().chain(&right.scope.hidden).cloned().collect(),
                };
                let scopes = [&both];
                // The condition of an outer join drops no rows: it says which belong together.
                let position = match join_type {
                    JoinType::Inner | JoinType::Cross => Position::Conjunct,
                    _ => Position::Predicate,
                };
                let expr_env = Env { position, ..Env::new(env, &scopes, Clause::JoinOn) };
                if has_aggregate(e) || has_window(e) {
                    let shown = errors::sql_expr(&self.show(e, &expr_env));
                    let error = SparkError::new(
                        "UNSUPPORTED_EXPR_FOR_OPERATOR",
                        "42K0E",
                        format!(
                            "A query operator contains one or more unsupported expressions. Consider to rewrite it to \
                             avoid window functions, aggregate functions, and generator functions in the WHERE clause.\n\
                             Invalid expressions: [{shown}]"
                        ),
                    )
                    .param("invalidExprSqls", shown);
                    return Err(env.locate(error, e.span));
                }
                let condition = self.condition(e, &expr_env, errors::join_condition_not_boolean)?;
                self.joined(left, right, join_type, Some(condition.expr))
            }
            JoinCondition::Using(names) => self.using(left, right, join_type, names),
            JoinCondition::Natural => {
                let cs = self.case_sensitive();
                let names: Vec<String> = left
                    .scope
                    .attributes
                    .iter()
                    .filter(|a| right.scope.attributes.iter().any(|b| same_name(&a.name, &b.name, cs)))
                    .map(|a| a.name.clone())
                    .collect();
                self.using(left, right, join_type, &names)
            }
        }
    }

    /// The right side of LATERAL sees the left side's columns.
    fn lateral(&self, left: &Scope, right: &Relation, env: &RelEnv<'_>) -> SparkResult<Planned> {
        let scopes = [left];
        let around = Env::new(env, &scopes, Clause::Other);
        let inner = RelEnv { outer: Some(&around), windows: None, hints: None, args: None, ..*env };
        let planned = self.relation(right, &inner)?.exact()?;
        let outer_ref_columns = planned.plan.all_out_ref_exprs();
        if outer_ref_columns.is_empty() {
            return Ok(planned);
        }
        let subquery = Subquery { subquery: Arc::new(planned.plan), outer_ref_columns, spans: Spans::new() };
        Ok(Planned { plan: LogicalPlan::Subquery(subquery), scope: planned.scope })
    }

    fn joined(
        &self,
        left: Planned,
        right: Planned,
        join_type: JoinType,
        condition: Option<DfExpr>,
    ) -> SparkResult<Planned> {
        let scope = joined_scope(&left.scope, &right.scope, join_type);
        let plan = self.join_plan(left.plan, right.plan, join_type, condition)?;
        Ok(Planned { plan, scope })
    }

    fn join_plan(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        join_type: JoinType,
        condition: Option<DfExpr>,
    ) -> SparkResult<LogicalPlan> {
        let df_type = match join_type {
            JoinType::Inner | JoinType::Cross => DfJoinType::Inner,
            JoinType::Left => DfJoinType::Left,
            JoinType::Right => DfJoinType::Right,
            JoinType::Full => DfJoinType::Full,
            JoinType::LeftSemi => DfJoinType::LeftSemi,
            JoinType::LeftAnti => DfJoinType::LeftAnti,
        };
        // The join's rule for subqueries knows filters better.
        if df_type == DfJoinType::Inner && condition.as_ref().is_some_and(contains_subquery) {
            let crossed = build(LogicalPlanBuilder::new(left).cross_join(right))?;
            return match condition {
                Some(condition) => filter_plan(crossed, condition),
                None => Ok(crossed),
            };
        }
        if df_type == DfJoinType::Inner && condition.is_none() {
            return build(LogicalPlanBuilder::new(left).cross_join(right));
        }
        Join::try_new(
            Arc::new(left),
            Arc::new(right),
            Vec::new(),
            Some(condition.unwrap_or_else(|| lit(true))),
            df_type,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )
        .map(LogicalPlan::Join)
        .map_err(errors::from_datafusion)
    }

    /// USING and NATURAL: the keys come once and first, the sides' own remain under their qualified names.
    fn using(&self, left: Planned, right: Planned, join_type: JoinType, names: &[String]) -> SparkResult<Planned> {
        let cs = self.case_sensitive();
        let find = |scope: &Scope, name: &String, side: &str| -> SparkResult<Attribute> {
            let found = scope.find(std::slice::from_ref(name), cs)?;
            match found {
                Some(found) => Ok(found.attribute.clone()),
                None => {
                    let mut all = scope.names();
                    all.sort();
                    let all: Vec<_> = all.iter().map(|n| errors::id(n)).collect();
                    Err(errors::unresolved_using_column(name, side, &all))
                }
            }
        };
        let mut keys = Vec::with_capacity(names.len());
        let mut condition: Option<DfExpr> = None;
        for name in names {
            let (l, r) = (find(&left.scope, name, "left")?, find(&right.scope, name, "right")?);
            let value = |a: &Attribute| Typed::new(a.expr(), a.data_type.clone(), a.nullable);
            let equal = operators::binary(&self.functions, BinaryOp::Equal, value(&l), value(&r))?.expr;
            condition = Some(match condition {
                Some(condition) => condition.and(equal),
                None => equal,
            });
            keys.push((l, r));
        }
        let plan = self.join_plan(left.plan, right.plan, join_type, condition)?;
        if matches!(join_type, JoinType::LeftSemi | JoinType::LeftAnti) {
            let rest = left.scope.attributes.iter().filter(|a| !keys.iter().any(|(l, _)| l.id == a.id));
            let attributes = keys.iter().map(|(l, _)| l).chain(rest).cloned().collect();
            return Ok(Planned { plan, scope: Scope { attributes, hidden: left.scope.hidden } });
        }
        let mut scope = joined_scope(&left.scope, &right.scope, join_type);
        let is_left = |a: &Attribute| keys.iter().any(|(l, _)| l.id == a.id);
        let is_right = |a: &Attribute| keys.iter().any(|(_, r)| r.id == a.id);
        let mut out = Vec::with_capacity(scope.attributes.len());
        let mut plan = plan;
        let own: Vec<Attribute> = scope.attributes.iter().filter(|a| is_left(a) || is_right(a)).cloned().collect();
        let of = |key: &Attribute| own.iter().find(|a| a.id == key.id).cloned().unwrap_or_else(|| key.clone());
        match join_type {
            JoinType::Full => {
                let mut exprs: Vec<DfExpr> = plan.schema().columns().into_iter().map(DfExpr::Column).collect();
                for (l, r) in &keys {
                    let values = [l, r].map(|a| Typed::new(a.expr(), a.data_type.clone(), true)).to_vec();
                    let (values, common) = coercion::unify(&self.functions, "coalesce", values)?;
                    let nullable = l.nullable || r.nullable;
                    let merged =
                        datafusion::functions::core::coalesce().call(values.into_iter().map(|v| v.expr).collect());
                    let attribute = self.attribute(&l.name, common, nullable);
                    exprs.push(merged.alias(&attribute.column));
                    out.push(attribute);
                    scope.hidden.extend([of(l), of(r)]);
                }
                plan = project(plan, exprs)?;
            }
            JoinType::Right => {
                for (l, r) in &keys {
                    out.push(of(r));
                    scope.hidden.push(of(l));
                }
            }
            _ => {
                for (l, r) in &keys {
                    out.push(of(l));
                    scope.hidden.push(of(r));
                }
            }
        }
        out.extend(scope.attributes.into_iter().filter(|a| !is_left(a) && !is_right(a)));
        Ok(Planned { plan, scope: Scope { attributes: out, hidden: scope.hidden } })
    }
}

fn joined_scope(left: &Scope, right: &Scope, join_type: JoinType) -> Scope {
    let nullable = |attributes: &[Attribute], may: bool| -> Vec<Attribute> {
        attributes.iter().map(|a| Attribute { nullable: a.nullable || may, ..a.clone() }).collect()
    };
    let (left_may, right_may) = match join_type {
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        JoinType::Full => (true, true),
        _ => (false, false),
    };
    let mut attributes = nullable(&left.attributes, left_may);
    let mut hidden = nullable(&left.hidden, left_may);
    if !matches!(join_type, JoinType::LeftSemi | JoinType::LeftAnti) {
        attributes.extend(nullable(&right.attributes, right_may));
        hidden.extend(nullable(&right.hidden, right_may));
    }
    Scope { attributes, hidden }
}
