//! SELECT: the list, with what GROUP BY, HAVING, windows, QUALIFY and ORDER BY add around it.
//!
//! All expressions are resolved against the input first; aggregates and window functions met on the way are collected and
//! stood for by attributes. Then the plan is put together from below: aggregate, HAVING, windows, QUALIFY, the list, sort.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use datafusion::{
    common::Column,
    logical_expr::{Expr as DfExpr, LogicalPlan, LogicalPlanBuilder, expr::Sort as DfSort},
};
use firesteel_functions::Typed;
use firesteel_plan::{
    DataType, Expr, ExprKind, Relation, RelationKind, SparkError, SparkResult,
    expr::{FunctionCall, SortItem, WindowSpec},
    naming,
    relation::{Grouping, OrderAll},
};

use super::{filter_plan, generator, sort_plan};
use crate::{
    errors,
    expression::{Alias, AliasTarget, Clause, Collected, Env, Position, has_aggregate, has_subquery, is_generator},
    query::{Analyzer, RelEnv},
    scope::{Attribute, Planned, Scope, project},
};

/// ORDER BY that stands on a SELECT, which may sort by more than the list shows.
pub(crate) struct SortRequest<'a> {
    pub items: &'a [SortItem],
    pub all: Option<OrderAll>,
}

/// The parts of a SELECT.
struct Parts<'a> {
    input: &'a Relation,
    exprs: &'a [Expr],
    grouping: Option<&'a Grouping>,
    having: Option<&'a Expr>,
    qualify: Option<&'a Expr>,
}

/// One column of the list.
pub(crate) struct Item<'a> {
    pub name: String,
    /// Whether the query says the name.
    pub named: bool,
    pub source: ItemSource<'a>,
}

pub(crate) enum ItemSource<'a> {
    /// From a star.
    Attribute(Attribute),
    /// From the star of a struct.
    Field(Typed),
    Expr(&'a Expr),
}

/// A resolved column of the list.
pub(crate) struct Output {
    pub name: String,
    pub typed: Typed,
    /// Set where the column is an attribute of the input as it is: it keeps its identity.
    pub same_as: Option<Attribute>,
    pub shown: String,
    pub span: firesteel_plan::Span,
}

fn parts(relation: &Relation) -> SparkResult<Parts<'_>> {
    match &relation.kind {
        RelationKind::Project { input, exprs } => {
            Ok(Parts { input, exprs, grouping: None, having: None, qualify: None })
        }
        RelationKind::Aggregate { input, grouping, aggregates, having } => {
            Ok(Parts { input, exprs: aggregates, grouping: Some(grouping), having: having.as_ref(), qualify: None })
        }
        RelationKind::Qualify { input, condition } => {
            let mut inner = parts(input)?;
            inner.qualify = Some(condition);
            Ok(inner)
        }
        _ => Err(SparkError::unsupported("QUALIFY without a SELECT list")),
    }
}

impl Analyzer<'_> {
    pub(super) fn select(
        &self,
        relation: &Relation,
        sort: Option<&SortRequest<'_>>,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let parts = parts(relation)?;
        let mut input = self.relation(parts.input, env)?;
        let mut generated = Vec::new();
        if parts.grouping.is_none() {
            for (at, e) in parts.exprs.iter().enumerate().filter(|(_, e)| is_generator(e)) {
                let generator::Generated { planned, generated: columns } = self.generate(input, e, env)?;
                input = planned;
                generated.push((at, columns));
            }
        }
        self.select_from(input, &parts, generated, sort, env)
    }

    /// GROUP BY over rows that are planned already.
    pub(super) fn aggregate_of(
        &self,
        input: Planned,
        list: &[Expr],
        grouping: &Grouping,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let below = Relation::bare(RelationKind::OneRow);
        let parts = Parts { input: &below, exprs: list, grouping: Some(grouping), having: None, qualify: None };
        self.select_from(input, &parts, Vec::new(), None, env)
    }

    /// The attributes, some of them with other values.
    pub(super) fn select_with(
        &self,
        input: Planned,
        attributes: &[Attribute],
        other: impl Fn(&Attribute) -> Option<Expr>,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let mut list = Vec::with_capacity(attributes.len());
        let mut given = Vec::new();
        for (at, attribute) in attributes.iter().enumerate() {
            match other(attribute) {
                Some(e) => list.push(e),
                None => {
                    list.push(Expr::literal(firesteel_plan::expr::Literal::Null));
                    given.push((at, vec![attribute.clone()]));
                }
            }
        }
        let below = Relation::bare(RelationKind::OneRow);
        let parts = Parts { input: &below, exprs: &list, grouping: None, having: None, qualify: None };
        self.select_from(input, &parts, given, None, env)
    }

    fn select_from(
        &self,
        input: Planned,
        parts: &Parts<'_>,
        generated: Vec<(usize, Vec<Attribute>)>,
        sort: Option<&SortRequest<'_>>,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let Planned { plan, scope } = input;
        let plan = self.with_times(plan, parts, &scope, env)?;
        let items = self.items(parts.exprs, generated, &scope, env)?;
        let sort_items = sort.map_or(&[][..], |s| s.items);
        let is_aggregate = parts.grouping.is_some()
            || parts.having.is_some()
            || items.iter().any(|i| matches!(i.source, ItemSource::Expr(e) if has_aggregate(e)))
            || sort_items.iter().any(|i| has_aggregate(&i.expr));

        let scopes = [&scope];
        let collected = RefCell::new(Collected::default());
        let base = Env { select: Some(&collected), ..Env::new(env, &scopes, Clause::Select) };

        let grouped = if is_aggregate {
            let grouping = parts.grouping.unwrap_or(&Grouping::None);
            let grouped = self.grouping(grouping, &items, &base)?;
            let mut collected = collected.borrow_mut();
            collected.grouping = grouped.exprs.clone();
            if grouped.sets.is_some() {
                let id = self.attribute("grouping_id", DataType::Long, false);
                collected.grouping_id = Some(id);
            }
            Some(grouped)
        } else {
            None
        };

        let mut outputs = self.outputs(&items, &base)?;
        // HAVING, QUALIFY and ORDER BY see the list's names first, then the input.
        let aliases: Vec<Alias<'_>> = outputs
            .iter()
            .map(|o| Alias { name: o.name.clone(), target: AliasTarget::Typed(o.typed.clone()) })
            .collect();
        let after = Env { aliases: &aliases, aliases_first: true, ..base };
        let conjunct = Env { position: Position::Conjunct, ..after };
        let having = parts
            .having
            .map(|e| {
                let env = Env { clause: Clause::Having, ..conjunct };
                self.condition(e, &env, errors::filter_not_boolean).map(|t| (t, e))
            })
            .transpose()?;
        let qualify = parts
            .qualify
            .map(|e| {
                let env = Env { clause: Clause::Qualify, ..conjunct };
                self.condition(e, &env, errors::filter_not_boolean).map(|t| (t, e))
            })
            .transpose()?;
        let mut keys = Vec::new();
        if let Some(sort) = sort {
            let sort_env = Env { clause: Clause::OrderBy, ..after };
            keys = self.sort_keys(sort, &outputs, &sort_env)?;
        }
        drop(aliases);

        // From here on the plan is built.
        let collected = collected.into_inner();
        let mut plan = plan;
        let mut having = having.map(|(t, e)| (t.expr, e));
        let mut qualify = qualify.map(|(t, e)| (t.expr, e));
        let mut windows = collected.windows;
        if let Some(grouped) = grouped {
            let (aggregated, mut rewrite) =
                self.aggregate_plan(plan, &grouped, collected.aggregates, collected.grouping_id)?;
            plan = aggregated;
            for (expr, attribute) in &mut windows {
                let taken = std::mem::take(expr);
                *expr = rewrite.apply(taken, &attribute.name, grouped.has_keys())?;
            }
            rewrite.allow(windows.iter().map(|(_, a)| a.column.clone()));
            for output in &mut outputs {
                let expr = std::mem::take(&mut output.typed.expr);
                output.typed.expr = rewrite
                    .apply(expr, &output.shown, grouped.has_keys())
                    .map_err(|e| locate_in_list(e, output.span, env))?;
                if rewrite.changes_nulls {
                    output.same_as = None;
                    output.typed.nullable |= rewrite.has_key(&output.typed.expr);
                }
            }
            let names: Vec<Vec<String>> = outputs.iter().map(|o| vec![o.name.clone()]).collect();
            let above = |expr: &mut DfExpr, shown: &str, span| {
                let taken = std::mem::take(expr);
                *expr = rewrite
                    .apply_above(taken, shown, grouped.has_keys(), &scope, &names)
                    .map_err(|e| env.locate(e, span))?;
                Ok::<(), SparkError>(())
            };
            for (key, shown, span) in &mut keys {
                above(&mut key.expr, shown, *span)?;
            }
            for (expr, e) in having.iter_mut().chain(&mut qualify) {
                let shown = self.show(e, &Env::new(env, &scopes, Clause::Having));
                above(expr, &shown, e.span)?;
            }
        }
        if let Some((having, _)) = having {
            plan = filter_plan(plan, having)?;
        }
        if !windows.is_empty() {
            plan = window_plan(plan, windows)?;
        }
        if let Some((qualify, _)) = qualify {
            plan = filter_plan(plan, qualify)?;
        }
        self.list(plan, outputs, keys.into_iter().map(|(key, ..)| key).collect())
    }

    /// Rows without a time are in no window of time: Spark leaves them out where there are windows.
    fn with_times(
        &self,
        mut plan: LogicalPlan,
        parts: &Parts<'_>,
        scope: &Scope,
        env: &RelEnv<'_>,
    ) -> SparkResult<LogicalPlan> {
        let mut times: Vec<&Expr> = Vec::new();
        let grouped = match parts.grouping {
            Some(Grouping::Exprs(exprs)) => exprs.as_slice(),
            _ => &[],
        };
        for e in parts.exprs.iter().chain(grouped) {
            let mut stack = vec![e];
            while let Some(e) = stack.pop() {
                match &e.kind {
                    ExprKind::Function(call) if is_time_window(call) => times.extend(call.args.first()),
                    _ => stack.extend(crate::visit::expr_children(e).exprs),
                }
            }
        }
        let scopes = [scope];
        for time in times {
            let time = self.expr(time, &Env::new(env, &scopes, Clause::Select))?;
            if time.nullable {
                plan = filter_plan(plan, time.expr.is_not_null())?;
            }
        }
        Ok(plan)
    }

    /// The list's columns, stars written out.
    fn items<'e>(
        &self,
        exprs: &'e [Expr],
        mut generated: Vec<(usize, Vec<Attribute>)>,
        scope: &Scope,
        env: &RelEnv<'_>,
    ) -> SparkResult<Vec<Item<'e>>> {
        let scopes = [scope];
        let names_env = Env::new(env, &scopes, Clause::Select);
        let mut items = Vec::with_capacity(exprs.len());
        for (i, e) in exprs.iter().enumerate() {
            if let Some((_, columns)) = generated.iter_mut().find(|(at, _)| *at == i) {
                items.extend(std::mem::take(columns).into_iter().map(|a| Item {
                    name: a.name.clone(),
                    named: false,
                    source: ItemSource::Attribute(a),
                }));
                continue;
            }
            match &e.kind {
                ExprKind::Star { target, except } => {
                    if let Some(fields) =
                        self.struct_star(target.as_deref(), except, scope).map_err(|error| env.locate(error, e.span))?
                    {
                        items.extend(fields);
                        continue;
                    }
                    items.extend(
                        self.star(target.as_deref(), except, scope)
                            .map_err(|error| env.locate(error, e.span))?
                            .into_iter()
                            .map(|a| Item { name: a.name.clone(), named: false, source: ItemSource::Attribute(a) }),
                    );
                }
                ExprKind::Alias { operand, names } => match names.as_slice() {
                    [name] => items.push(Item { name: name.clone(), named: true, source: ItemSource::Expr(operand) }),
                    _ => {
                        return Err(env.locate(
                            SparkError::new(
                                "MULTI_ALIAS_WITHOUT_GENERATOR",
                                "42K0E",
                                format!(
                                    "Multi part aliasing ({}) is not supported with {} as it is not a generator function.",
                                    names.join(", "),
                                    self.show(operand, &names_env)
                                ),
                            ),
                            e.span,
                        ));
                    }
                },
                _ => {
                    let name = self.column_name(e, &names_env);
                    items.push(Item { name, named: false, source: ItemSource::Expr(e) });
                }
            }
        }
        Ok(items)
    }

    /// The fields that `s.*` stands for where `s` is a struct and no table.
    fn struct_star<'e>(
        &self,
        target: Option<&[String]>,
        except: &[Vec<String>],
        scope: &Scope,
    ) -> SparkResult<Option<Vec<Item<'e>>>> {
        let Some(target) = target else { return Ok(None) };
        if scope.star(Some(target), self.case_sensitive()).is_some() {
            return Ok(None);
        }
        let Some(found) = scope.find(target, self.case_sensitive())? else { return Ok(None) };
        let attribute = found.attribute;
        let base = Typed::new(attribute.expr(), attribute.data_type.clone(), attribute.nullable);
        let base = self.fields(base, found.fields, &attribute.name)?;
        let DataType::Struct(fields) = &base.data_type else {
            let (target, kind) = (errors::ids(target), errors::sql_type(&base.data_type));
            return Err(SparkError::new(
                "CANNOT_RESOLVE_STAR_EXPAND",
                "42704",
                format!("Cannot resolve {target}.* given that it is of the type {kind} and no struct."),
            )
            .param("targetString", target));
        };
        if !except.is_empty() {
            return Err(SparkError::unsupported("EXCEPT of a struct's field"));
        }
        let items = fields
            .iter()
            .map(|f| {
                let value = self.field(base.clone(), &f.name, &attribute.name)?;
                Ok(Item { name: f.name.clone(), named: false, source: ItemSource::Field(value) })
            })
            .collect::<SparkResult<Vec<_>>>()?;
        Ok(Some(items))
    }

    fn star(&self, target: Option<&[String]>, except: &[Vec<String>], scope: &Scope) -> SparkResult<Vec<Attribute>> {
        let Some(mut attributes) = scope.star(target, self.case_sensitive()) else {
            let target = target.unwrap_or_default();
            let columns = scope.names().iter().map(|n| errors::id(n)).collect::<Vec<_>>().join(", ");
            return Err(SparkError::new(
                "CANNOT_RESOLVE_STAR_EXPAND",
                "42704",
                format!(
                    "Cannot resolve {}.* given input columns {columns}. Please check that the specified table or \
                     struct exists and is accessible in the input columns.",
                    errors::ids(target)
                ),
            )
            .param("targetString", errors::ids(target))
            .param("columns", columns));
        };
        for name in except {
            let Some(found) = scope.find(name, self.case_sensitive())? else {
                return Err(errors::unresolved_column(name, &scope.suggestions(name)));
            };
            if !found.fields.is_empty() {
                return Err(SparkError::unsupported("EXCEPT of a struct's field"));
            }
            let id = found.attribute.id;
            attributes.retain(|a| a.id != id);
        }
        Ok(attributes)
    }

    /// The name of a column without an alias.
    pub(crate) fn column_name(&self, e: &Expr, env: &Env<'_>) -> String {
        // A cast of a column is named after the column.
        if let ExprKind::Cast { operand, .. } = &e.kind
            && is_cast_column(operand)
        {
            return self.column_name(operand, env);
        }
        // A plain column keeps the name that its table gave it.
        if let ExprKind::Attribute { name, .. } = &e.kind {
            for scope in env.scopes {
                if let Ok(Some(found)) = scope.find(name, self.case_sensitive())
                    && found.fields.is_empty()
                {
                    return name.last().cloned().unwrap_or_default();
                }
            }
        }
        if let ExprKind::Function(call) = &e.kind
            && is_time_window(call)
        {
            return "window".to_owned();
        }
        // A named window is shown as it is defined.
        if let ExprKind::Function(call) = &e.kind
            && let Some(WindowSpec::Named(name)) = &call.over
            && let Some(definition) = env.rel.windows.and_then(|w| w.find(name, self.case_sensitive()))
        {
            let over = Some(WindowSpec::Inline(definition.clone()));
            let inlined = Expr::new(ExprKind::Function(Box::new(FunctionCall { over, ..(**call).clone() })), e.span);
            return naming::column_name(&inlined, &self.names(env));
        }
        let call = self.shown_as(e, env);
        naming::column_name(call.as_ref().unwrap_or(e), &self.names(env))
    }

    fn outputs(&self, items: &[Item<'_>], base: &Env<'_>) -> SparkResult<Vec<Output>> {
        let mut outputs: Vec<Output> = Vec::with_capacity(items.len());
        let mut aliases: Vec<Alias<'_>> = Vec::new();
        let mut inputs: HashMap<&str, &Attribute> = HashMap::new();
        for attribute in base.scopes.iter().flat_map(|s| s.attributes.iter().chain(&s.hidden)) {
            inputs.entry(&attribute.column).or_insert(attribute);
        }
        for item in items {
            let output = match &item.source {
                ItemSource::Attribute(a) => Output {
                    name: item.name.clone(),
                    typed: Typed::new(a.expr(), a.data_type.clone(), a.nullable),
                    same_as: Some(a.clone()),
                    shown: a.name.clone(),
                    span: firesteel_plan::Span::NONE,
                },
                ItemSource::Field(typed) => Output {
                    name: item.name.clone(),
                    typed: typed.clone(),
                    same_as: None,
                    shown: item.name.clone(),
                    span: firesteel_plan::Span::NONE,
                },
                ItemSource::Expr(e) => {
                    let env = Env { aliases: &aliases, ..*base };
                    let typed = self.expr(e, &env)?;
                    let same_as = match &typed.expr {
                        DfExpr::Column(column) => inputs.get(column.name.as_str()).map(|a| (*a).clone()),
                        _ => None,
                    };
                    // The columns that a subquery reads of this query belong to its name.
                    let name = match item.named || !has_subquery(e) {
                        true => item.name.clone(),
                        false => self.column_name(e, base),
                    };
                    Output { name, typed, same_as, shown: self.show(e, base), span: e.span }
                }
            };
            // Later items may use the name; a plain column's name is in scope anyway.
            if matches!(item.source, ItemSource::Expr(_)) {
                aliases.push(Alias { name: output.name.clone(), target: AliasTarget::Typed(output.typed.clone()) });
            }
            outputs.push(output);
        }
        Ok(outputs)
    }

    fn sort_keys(
        &self,
        sort: &SortRequest<'_>,
        outputs: &[Output],
        env: &Env<'_>,
    ) -> SparkResult<Vec<(DfSort, String, firesteel_plan::Span)>> {
        let mut keys = Vec::new();
        if let Some(all) = sort.all {
            let nulls_first = all.nulls_first.unwrap_or(all.ascending);
            keys.extend(
                outputs
                    .iter()
                    .map(|o| (DfSort::new(o.typed.expr.clone(), all.ascending, nulls_first), o.shown.clone(), o.span)),
            );
        }
        for item in sort.items {
            let (expr, shown) = match self.sort_position(item, outputs.len(), env.rel)? {
                Some(at) => (outputs[at].typed.expr.clone(), outputs[at].shown.clone()),
                None => {
                    let typed = self.expr(&item.expr, env)?;
                    self.check_orderable(&typed.data_type, item, env)?;
                    (typed.expr, self.show(&item.expr, env))
                }
            };
            keys.push((DfSort::new(expr, item.ascending, item.nulls_first()), shown, item.expr.span));
        }
        Ok(keys)
    }

    /// The projection of the list, sorted by `keys`, which may be more than the list shows.
    fn list(&self, plan: LogicalPlan, outputs: Vec<Output>, mut keys: Vec<DfSort>) -> SparkResult<Planned> {
        let mut exprs = Vec::with_capacity(outputs.len());
        let mut attributes: Vec<Attribute> = Vec::with_capacity(outputs.len());
        let mut seen: HashSet<String> = HashSet::with_capacity(outputs.len());
        for output in outputs {
            let mut attribute = match output.same_as {
                Some(same) => Attribute { name: output.name, nullable: output.typed.nullable, ..same },
                None => self.attribute_of(output.name, &output.typed),
            };
            if !seen.insert(attribute.column.clone()) {
                // The same column twice: one value, two names in the plan.
                attribute.column = format!("{}#{}", attribute.name, self.next_id());
            }
            let expr = output.typed.expr;
            let plain = matches!(&expr, DfExpr::Column(c) if c.name == attribute.column);
            exprs.push(if plain { expr } else { expr.alias(&attribute.column) });
            attributes.push(attribute);
        }
        let width = exprs.len();
        for key in &mut keys {
            let at = exprs.iter().position(|e| unaliased(e) == &key.expr);
            let name = match at {
                Some(at) => name_of(&exprs[at]),
                None => {
                    let name = format!("sort#{}", self.next_id());
                    exprs.push(std::mem::take(&mut key.expr).alias(&name));
                    name
                }
            };
            key.expr = DfExpr::Column(Column::new_unqualified(name));
        }
        let hidden = exprs.len() > width;
        let mut plan = project(plan, exprs)?;
        if !keys.is_empty() {
            plan = sort_plan(plan, keys);
        }
        if hidden {
            plan = project(plan, attributes.iter().map(Attribute::expr).collect())?;
        }
        Ok(Planned { plan, scope: Scope::new(attributes) })
    }
}

fn is_time_window(call: &FunctionCall) -> bool {
    call.over.is_none() && matches!(call.name.as_slice(), [name] if name.eq_ignore_ascii_case("window"))
}

fn is_cast_column(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Attribute { .. } => true,
        ExprKind::Cast { operand, .. } => is_cast_column(operand),
        _ => false,
    }
}

/// Without GROUP BY it is the whole query that is wrong, not one column.
fn locate_in_list(error: SparkError, span: firesteel_plan::Span, env: &RelEnv<'_>) -> SparkError {
    if error.class() == "MISSING_GROUP_BY" { error } else { env.locate(error, span) }
}

fn unaliased(expr: &DfExpr) -> &DfExpr {
    match expr {
        DfExpr::Alias(alias) => &alias.expr,
        other => other,
    }
}

fn name_of(expr: &DfExpr) -> String {
    match expr {
        DfExpr::Alias(alias) => alias.name.clone(),
        DfExpr::Column(column) => column.name.clone(),
        other => other.schema_name().to_string(),
    }
}

/// Computes the window functions and gives them their attributes' names.
fn window_plan(plan: LogicalPlan, windows: Vec<(DfExpr, Attribute)>) -> SparkResult<LogicalPlan> {
    let mut columns: Vec<DfExpr> = plan.schema().columns().into_iter().map(DfExpr::Column).collect();
    let mut exprs: Vec<DfExpr> = Vec::with_capacity(windows.len());
    let mut seen: HashSet<DfExpr> = HashSet::with_capacity(windows.len());
    for (expr, attribute) in windows {
        columns.push(DfExpr::Column(Column::new_unqualified(expr.schema_name().to_string())).alias(&attribute.column));
        if seen.insert(expr.clone()) {
            exprs.push(expr);
        }
    }
    let plan = LogicalPlanBuilder::window_plan(plan, exprs).map_err(errors::from_datafusion)?;
    project(plan, columns)
}
