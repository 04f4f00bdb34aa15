//! Relations: each of Spark's unresolved operators becomes a DataFusion plan and the scope of its columns.

mod aggregate;
mod generator;
pub(crate) mod hint;
mod join;
mod pivot;
pub(crate) mod recursive;
mod sample;
mod select;
mod set_operation;
mod table;
mod transform;
mod values;
mod view;

pub(crate) use aggregate::{GROUPING_TYPE, grouping_bits};

use std::{cell::RefCell, sync::Arc};

use datafusion::{
    logical_expr::{Distinct, EmptyRelation, Expr as DfExpr, Filter, Limit, LogicalPlan, Sort, expr::Sort as DfSort},
    scalar::ScalarValue,
};
use firesteel_functions::{Typed, coercion, operators};
use firesteel_plan::{
    DataType, Expr, Ident, Relation, RelationKind, Span, SparkError, SparkResult,
    expr::SortItem,
    relation::{Cte, OrderAll},
};

use crate::{
    errors,
    expression::{Clause, Env, Position, has_aggregate, has_window, is_generator, window_not_allowed},
    query::{Analyzer, CteEntry, Ctes, RelEnv, Windows},
    scope::{Planned, Scope},
};

impl Analyzer<'_> {
    /// Plans `relation`. Errors say where in the text they are.
    pub fn relation(&self, relation: &Relation, env: &RelEnv<'_>) -> SparkResult<Planned> {
        self.relation_inner(relation, env).map_err(|error| env.locate(error, relation.span))
    }

    fn relation_inner(&self, relation: &Relation, env: &RelEnv<'_>) -> SparkResult<Planned> {
        match &relation.kind {
            RelationKind::Table { name, options } => {
                let planned = self.table(name, options, &RelEnv { hints: None, ..*env })?;
                Ok(hint::heed(planned, env.hints, name, self.case_sensitive()))
            }
            RelationKind::DataSource { .. } => self.data_source(&relation.kind),
            RelationKind::TableFunction { name, args } => self.table_function(name, args, env),
            RelationKind::OneRow => Ok(one_row()),
            RelationKind::Values { rows } => self.values(rows, env),
            RelationKind::Project { .. } | RelationKind::Aggregate { .. } | RelationKind::Qualify { .. } => {
                self.select(relation, None, env)
            }
            RelationKind::Filter { input, condition } => self.filter(input, condition, env),
            RelationKind::WithWindows { input, windows } => {
                let windows = Windows { parent: env.windows, entries: windows };
                self.relation(input, &RelEnv { windows: Some(&windows), ..*env })
            }
            RelationKind::Distinct { input } => distinct(self.relation(input, env)?.exact()?),
            // SORT BY orders each partition; the order of all is one such order.
            RelationKind::Sort { input, items, all, .. } => self.sort(input, items, *all, env),
            RelationKind::Limit { input, limit } => {
                let planned = self.relation(input, env)?;
                let limit = self.limit_value("limit", limit, env)?;
                self.limited(planned, 0, limit)
            }
            RelationKind::Offset { input, offset } => {
                let planned = self.relation(input, env)?;
                let offset = self.limit_value("offset", offset, env)?;
                self.limited(planned, offset.unwrap_or(0), None)
            }
            RelationKind::Join { left, right, join_type, condition, lateral } => {
                let place = behind(left.span, relation.span, env.text);
                self.join(left, right, *join_type, condition, *lateral, env).map_err(|e| env.locate(e, place))
            }
            RelationKind::SetOperation { left, right, op, all, by_name, allow_missing_columns } => {
                self.set_operation(left, right, *op, *all, *by_name, *allow_missing_columns, env)
            }
            RelationKind::UnionAll { inputs } => self.union_all(inputs, env),
            RelationKind::SubqueryAlias { input, alias, columns } => {
                let planned = self.relation(input, &RelEnv { hints: None, ..*env })?;
                let planned = hint::heed(planned, env.hints, std::slice::from_ref(alias), self.case_sensitive());
                rename(planned, alias, columns)
            }
            RelationKind::With { ctes, input, recursive } => self.with(ctes, input, *recursive, env),
            RelationKind::LateralView { input, generator, outer, table, columns } => {
                self.lateral_view(input, generator, *outer, table.as_deref(), columns, env)
            }
            RelationKind::TableHistory { .. } => {
                Err(SparkError::unsupported("reading a table AS OF a version or time, or its CHANGES"))
            }
            RelationKind::Stream { .. } => Err(SparkError::unsupported("STREAM")),
            RelationKind::Watermark { .. } => Err(SparkError::unsupported("WATERMARK")),
            RelationKind::NearestJoin { .. } => Err(SparkError::unsupported("JOIN … NEAREST … BY")),
            RelationKind::Transform(transform) => self.transform(transform, env),
            RelationKind::SetColumns { input, assignments } => self.set_columns(input, assignments, env),
            RelationKind::Pivot { input, grouping, aggregates, column, values } => {
                let pivot = pivot::Pivot { grouping: grouping.as_deref(), aggregates, column, values };
                self.pivot(input, &pivot, env)
            }
            RelationKind::Unpivot(unpivot) => self.unpivot(unpivot, env),
            RelationKind::Sample { with_replacement: true, .. } => {
                Err(SparkError::unsupported("a sample that takes rows more than once"))
            }
            RelationKind::Sample { system: true, .. } => Err(SparkError::unsupported("TABLESAMPLE SYSTEM")),
            RelationKind::Sample { input, method, seed, .. } => self.sample(input, method, *seed, env),
            RelationKind::Hint { input, name, args } => self.hint(input, name, args, env),
            RelationKind::Repartition { input, partitions, by, shuffle } => {
                self.repartition(input, *partitions, by, *shuffle, env)
            }
        }
    }

    fn filter(&self, input: &Relation, condition: &Expr, env: &RelEnv<'_>) -> SparkResult<Planned> {
        let planned = self.relation(input, env)?;
        if has_window(condition) {
            return Err(window_not_allowed("WHERE"));
        }
        let found: Vec<String> = (has_aggregate(condition) || is_generator(condition))
            .then(|| {
                let scopes = [&planned.scope];
                self.show(condition, &Env::new(env, &scopes, Clause::Where))
            })
            .into_iter()
            .collect();
        if !found.is_empty() {
            return Err(errors::invalid_where(&found));
        }
        let scopes = [&planned.scope];
        let expr_env = Env { position: Position::Conjunct, ..Env::new(env, &scopes, Clause::Where) };
        let condition = self.condition(condition, &expr_env, errors::filter_not_boolean)?;
        Ok(Planned { plan: filter_plan(planned.plan, condition.expr)?, scope: planned.scope })
    }

    /// ORDER BY above something that is not a SELECT: only its output is seen.
    fn sort(
        &self,
        input: &Relation,
        items: &[SortItem],
        all: Option<OrderAll>,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        match &input.kind {
            RelationKind::Project { .. } | RelationKind::Aggregate { .. } | RelationKind::Qualify { .. } => {
                return self.select(input, Some(&select::SortRequest { items, all }), env);
            }
            RelationKind::WithWindows { input, windows } => {
                let windows = Windows { parent: env.windows, entries: windows };
                return self.sort(input, items, all, &RelEnv { windows: Some(&windows), ..*env });
            }
            RelationKind::With { ctes, input, recursive } => {
                // ORDER BY of the query that WITH stands before.
                return self.with_ctes(ctes, *recursive, env, &|inner| self.sort(input, items, all, inner));
            }
            _ => {}
        }
        let planned = self.relation(input, env)?.exact()?;
        let scopes = [&planned.scope];
        let expr_env = Env::new(env, &scopes, Clause::OrderBy);
        let mut keys = Vec::with_capacity(items.len());
        if let Some(all) = all {
            keys.extend(
                planned
                    .scope
                    .attributes
                    .iter()
                    .map(|a| DfSort::new(a.expr(), all.ascending, all.nulls_first.unwrap_or(all.ascending))),
            );
        }
        for item in items {
            let expr = match self.sort_position(item, planned.scope.attributes.len(), env)? {
                Some(i) => planned.scope.attributes[i].expr(),
                None => {
                    let typed = self.expr(&item.expr, &expr_env)?;
                    self.check_orderable(&typed.data_type, item, &expr_env)?;
                    typed.expr
                }
            };
            keys.push(DfSort::new(expr, item.ascending, item.nulls_first()));
        }
        Ok(Planned { plan: sort_plan(planned.plan, keys), scope: planned.scope })
    }

    /// The 0-based column that `ORDER BY n` names.
    fn sort_position(&self, item: &SortItem, size: usize, env: &RelEnv<'_>) -> SparkResult<Option<usize>> {
        if !self.order_by_ordinal {
            return Ok(None);
        }
        let Some(n) = integer(&item.expr) else { return Ok(None) };
        match usize::try_from(n) {
            Ok(at @ 1..) if at <= size => Ok(Some(at - 1)),
            _ => Err(env.locate(errors::order_by_position(n, size), item.expr.span)),
        }
    }

    fn check_orderable(&self, data_type: &DataType, item: &SortItem, env: &Env<'_>) -> SparkResult<()> {
        if !is_orderable(data_type) {
            let shown = firesteel_plan::naming::sort_item(item, &self.names(env));
            let error = errors::mismatch(
                "INVALID_ORDERING_TYPE",
                &shown,
                format!("The `sortorder` does not support ordering on type {}.", errors::sql_type(data_type)),
            )
            .param("functionName", "`sortorder`")
            .param("dataType", errors::sql_type(data_type));
            return Err(env.rel.locate(error, item.expr.span));
        }
        Ok(())
    }

    /// The value of LIMIT or OFFSET: a constant, not negative. `None` for LIMIT ALL.
    fn limit_value(&self, name: &str, e: &Expr, env: &RelEnv<'_>) -> SparkResult<Option<usize>> {
        let expr_env = Env::new(env, &[], Clause::Other);
        let shown = self.show(e, &expr_env);
        let fail =
            |subclass: &str, rest: String| Err(env.locate(errors::limit_like(subclass, name, &shown, &rest), e.span));
        let value = match self.expr(e, &expr_env) {
            Ok(value) => value,
            Err(error) if error.class().starts_with("UNRESOLVED_COLUMN") => {
                return fail("IS_UNFOLDABLE", "must evaluate to a constant value.".to_owned());
            }
            Err(error) => return Err(error),
        };
        if value.expr.is_volatile() {
            return fail("IS_UNFOLDABLE", "must evaluate to a constant value.".to_owned());
        }
        if value.data_type != DataType::Integer {
            let rest = format!("must be integer type, but got {}.", errors::sql_type(&value.data_type));
            return fail("DATA_TYPE", rest);
        }
        let long = coercion::implicit(&self.functions, value, &DataType::Long)?;
        match constant(long.expr) {
            Some(ScalarValue::Int64(Some(n))) => match usize::try_from(n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => fail("IS_NEGATIVE", format!("must be equal to or greater than 0, but got {n}.")),
            },
            Some(value) if value.is_null() => fail("IS_NULL", "must not be null.".to_owned()),
            _ => fail("IS_UNFOLDABLE", "must evaluate to a constant value.".to_owned()),
        }
    }

    fn limited(&self, planned: Planned, skip: usize, fetch: Option<usize>) -> SparkResult<Planned> {
        let number =
            |n: usize| Box::new(DfExpr::Literal(ScalarValue::Int64(Some(i64::try_from(n).unwrap_or(i64::MAX))), None));
        let plan = LogicalPlan::Limit(Limit {
            skip: (skip > 0).then(|| number(skip)),
            fetch: fetch.map(number),
            input: Arc::new(planned.plan),
        });
        Ok(Planned { plan, scope: planned.scope })
    }

    fn with(&self, ctes: &[Cte], input: &Relation, recursive: bool, env: &RelEnv<'_>) -> SparkResult<Planned> {
        self.with_ctes(ctes, recursive, env, &|inner| self.relation(input, inner))
    }

    fn with_ctes(
        &self,
        ctes: &[Cte],
        recursive: bool,
        env: &RelEnv<'_>,
        body: &dyn Fn(&RelEnv<'_>) -> SparkResult<Planned>,
    ) -> SparkResult<Planned> {
        let mut scope = Ctes { parent: env.ctes, entries: Vec::with_capacity(ctes.len()) };
        for (i, cte) in ctes.iter().enumerate() {
            if ctes[..i].iter().any(|c| crate::scope::same_name(&c.name, &cte.name, self.case_sensitive())) {
                let error = SparkError::new(
                    "DUPLICATED_CTE_NAMES",
                    "42602",
                    format!("CTE definition can't have duplicate names: {}.", errors::id(&cte.name)),
                )
                .param("duplicateNames", errors::id(&cte.name));
                return Err(env.locate(error, cte.span));
            }
            // Checked here even where nothing refers to it.
            let own = recursive && recursive::refers(&cte.query, &cte.name, self.case_sensitive());
            let planned = if own {
                self.recursive_cte(cte, &scope, env)
            } else {
                let inner = RelEnv { ctes: Some(&scope), windows: None, hints: None, ..*env };
                self.relation(&cte.query, &inner).and_then(|p| rename(p, &cte.name, &cte.columns))
            };
            let planned = planned.map_err(|e| env.locate(e, cte.span))?;
            scope.entries.push(CteEntry {
                name: &cte.name,
                columns: &cte.columns,
                query: &cte.query,
                planned: RefCell::new(Some(planned)),
                recursive: own.then_some(cte),
                own: None,
            });
        }
        body(&RelEnv { ctes: Some(&scope), hints: None, ..*env })
    }

    fn tables_partitions(&self) -> usize {
        self.shuffle_partitions
    }
}

/// The part of `whole` that stands behind `first`.
fn behind(first: Span, whole: Span, text: &str) -> Span {
    match text.get(first.end as usize..whole.end as usize) {
        Some(rest) if !first.is_none() => {
            let spaces = u32::try_from(rest.len() - rest.trim_start().len()).unwrap_or(0);
            Span { start: first.end + spaces, end: whole.end }
        }
        _ => whole,
    }
}

/// One row without columns.
pub(crate) fn one_row() -> Planned {
    let plan = LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: true,
        schema: Arc::new(datafusion::common::DFSchema::empty()),
    });
    Planned { plan, scope: Scope::default() }
}

pub(crate) fn filter_plan(plan: LogicalPlan, condition: DfExpr) -> SparkResult<LogicalPlan> {
    Filter::try_new(condition, Arc::new(plan)).map(LogicalPlan::Filter).map_err(errors::from_datafusion)
}

pub(crate) fn sort_plan(plan: LogicalPlan, keys: Vec<DfSort>) -> LogicalPlan {
    LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(plan), fetch: None })
}

/// Duplicates out; maps cannot be compared.
pub(crate) fn distinct(planned: Planned) -> SparkResult<Planned> {
    if let Some(map) = planned.scope.attributes.iter().find(|a| has_map(&a.data_type)) {
        return Err(SparkError::new(
            "UNSUPPORTED_FEATURE.SET_OPERATION_ON_MAP_TYPE",
            "0A000",
            format!(
                "The feature is not supported: Cannot have MAP type columns in DataFrame which calls set operations \
                 (INTERSECT, EXCEPT, etc.), but the type of column {} is {}.",
                errors::id(&map.name),
                errors::sql_type(&map.data_type)
            ),
        )
        .param("colName", errors::id(&map.name))
        .param("dataType", errors::sql_type(&map.data_type)));
    }
    // NaN is one value, and so are 0.0 and -0.0.
    let mut changed = false;
    let mut exprs = Vec::with_capacity(planned.scope.attributes.len());
    for a in &planned.scope.attributes {
        let key = operators::normalized_key(Typed::new(a.expr(), a.data_type.clone(), a.nullable))?.expr;
        let plain = matches!(key, DfExpr::Column(_));
        changed |= !plain;
        exprs.push(if plain { key } else { key.alias(&a.column) });
    }
    let plan = if changed { crate::scope::project(planned.plan, exprs)? } else { planned.plan };
    Ok(Planned { plan: LogicalPlan::Distinct(Distinct::All(Arc::new(plan))), scope: planned.scope })
}

fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map { .. } => true,
        DataType::Array { element, .. } => has_map(element),
        DataType::Struct(fields) => fields.iter().any(|f| has_map(&f.data_type)),
        _ => false,
    }
}

pub(crate) fn is_orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map { .. } | DataType::Variant | DataType::CalendarInterval => false,
        DataType::Array { element, .. } => is_orderable(element),
        DataType::Struct(fields) => fields.iter().all(|f| is_orderable(&f.data_type)),
        _ => true,
    }
}

/// `(…) AS alias(columns…)`
pub(crate) fn rename(planned: Planned, alias: &str, columns: &[Ident]) -> SparkResult<Planned> {
    let mut scope = planned.scope.with_qualifier(&[alias.to_owned()]);
    if !columns.is_empty() {
        if columns.len() != scope.attributes.len() {
            return Err(errors::alias_column_count(columns.len(), scope.attributes.len()));
        }
        for (attribute, name) in scope.attributes.iter_mut().zip(columns) {
            attribute.name.clone_from(name);
        }
    }
    Ok(Planned { plan: planned.plan, scope })
}

/// The value of an integer literal, as GROUP BY and ORDER BY take it for a position.
pub(crate) fn integer(e: &Expr) -> Option<i64> {
    use firesteel_plan::{ExprKind, expr::Literal, expr::UnaryOp};
    match &e.kind {
        ExprKind::Literal(Literal::Integer(n)) => Some(i64::from(*n)),
        ExprKind::Unary { op: UnaryOp::Minus, operand } => integer(operand).map(|n| -n),
        _ => None,
    }
}

/// Evaluates an expression without columns.
pub(crate) fn constant(expr: DfExpr) -> Option<ScalarValue> {
    use datafusion::{logical_expr::simplify::SimplifyContext, optimizer::simplify_expressions::ExprSimplifier};
    let context = SimplifyContext::default();
    match ExprSimplifier::new(context).simplify(expr).ok()? {
        DfExpr::Literal(value, _) => Some(value),
        _ => None,
    }
}
