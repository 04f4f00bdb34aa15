//! A domain on its way down a subquery's plan, to where nothing below reads the outer query.

use std::sync::Arc;

use datafusion::{
    common::{Column, JoinType, NullEquality, Result},
    functions_window::row_number::row_number_udwf,
    logical_expr::{
        Aggregate, BinaryExpr, Distinct, Expr, FetchType, Filter, GroupingSet, Join, Limit, LogicalPlan,
        LogicalPlanBuilder, Operator, SkipType, Sort, SortExpr, Union, Unnest as UnnestLists, Window,
        expr::{AggregateFunctionParams, WindowFunction},
        lit,
        utils::{conjunction, split_conjunction_owned},
    },
};

use super::{
    Unnest, column, columns_of,
    domain::{Bound, Domain, cross, join},
    free_columns, outer_columns, project, unsupported,
};

impl Unnest {
    /// What `plan` answers for each combination of `domain`, with the combination beside it.
    pub(super) fn push(&self, plan: LogicalPlan, domain: &Domain) -> Result<Bound> {
        if !reads(&plan, domain)? {
            let Bound { plan: values, columns } = domain.fresh(self)?;
            return Ok(Bound { plan: cross(values, plan)?, columns });
        }
        match plan {
            LogicalPlan::Projection(node) => {
                let Bound { plan, columns } = self.push(Arc::unwrap_or_clone(node.input), domain)?;
                let mut exprs = named(domain, node.expr, &columns)?;
                exprs.extend(columns.iter().map(|c| column(c)));
                Ok(Bound { plan: project(plan, exprs)?, columns })
            }
            LogicalPlan::Filter(node) => self.push_filter(node, domain),
            LogicalPlan::SubqueryAlias(node) => self.push(Arc::unwrap_or_clone(node.input), domain),
            LogicalPlan::Aggregate(node) if node.group_expr.is_empty() => self.push_whole_aggregate(node, domain),
            LogicalPlan::Aggregate(node) => self.push_aggregate(node, domain),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Bound { plan, columns } = self.push(Arc::unwrap_or_clone(input), domain)?;
                Ok(Bound { plan: LogicalPlan::Distinct(Distinct::All(Arc::new(plan))), columns })
            }
            LogicalPlan::Sort(Sort { expr, input, fetch: None }) => {
                let Bound { plan, columns } = self.push(Arc::unwrap_or_clone(input), domain)?;
                let expr = sort_keys(domain, expr, &columns)?;
                Ok(Bound { plan: LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None }), columns })
            }
            LogicalPlan::Limit(node) => self.push_limit(node, domain),
            LogicalPlan::Join(node) => self.push_join(node, domain),
            LogicalPlan::Union(node) => self.push_union(node, domain),
            LogicalPlan::Window(node) => self.push_window(node, domain),
            LogicalPlan::Unnest(UnnestLists { input, exec_columns, options, .. }) => {
                let Bound { plan, columns } = self.push(Arc::unwrap_or_clone(input), domain)?;
                let plan = LogicalPlanBuilder::new(plan).unnest_columns_with_options(exec_columns, options)?.build()?;
                Ok(Bound { plan, columns })
            }
            LogicalPlan::Repartition(node) => self.push(Arc::unwrap_or_clone(node.input), domain),
            LogicalPlan::Values(node) => {
                let names: Vec<String> = node.schema.fields().iter().map(|f| f.name().clone()).collect();
                let mut inputs = Vec::with_capacity(node.values.len());
                let columns: Vec<String> = domain.vars.iter().map(|v| self.name(&v.name)).collect();
                for row in node.values {
                    let fresh = domain.fresh(self)?;
                    let mut exprs = Vec::with_capacity(row.len() + columns.len());
                    for (value, name) in row.into_iter().zip(&names) {
                        exprs.push(domain.bind(value, &fresh.columns)?.alias(name));
                    }
                    exprs.extend(fresh.columns.iter().zip(&columns).map(|(own, name)| column(own).alias(name)));
                    inputs.push(Arc::new(project(fresh.plan, exprs)?));
                }
                Ok(Bound { plan: union(inputs)?, columns })
            }
            other => Err(unsupported(format_args!("a subquery with outer references below {}", kind(&other)))),
        }
    }

    fn push_filter(&self, node: Filter, domain: &Domain) -> Result<Bound> {
        let input = Arc::unwrap_or_clone(node.input);
        let conjuncts = split_conjunction_owned(node.predicate);
        if !reads(&input, domain)?
            && let Some(bound) = self.bound_by_equalities(&input, &conjuncts, domain)?
        {
            return Ok(bound);
        }
        let Bound { plan, columns } = self.push(input, domain)?;
        let bound = conjuncts.into_iter().map(|c| domain.bind(c, &columns)).collect::<Result<Vec<_>>>()?;
        Ok(Bound { plan: filter(plan, bound)?, columns })
    }

    /// Where every outer column must be equal to something of the input, that is its value: no domain is needed.
    fn bound_by_equalities(&self, input: &LogicalPlan, conjuncts: &[Expr], domain: &Domain) -> Result<Option<Bound>> {
        let mut values = Vec::with_capacity(domain.vars.len());
        let mut used = Vec::with_capacity(domain.vars.len());
        for var in &domain.vars {
            let found = conjuncts.iter().enumerate().find_map(|(i, c)| {
                let value = equal_to(c, var)?;
                // Keys of floats are compared otherwise than `=` compares them: 0.0 and -0.0.
                let data_type = datafusion::logical_expr::ExprSchemable::get_type(value, input.schema()).ok()?;
                let exact = !data_type.is_floating() && !data_type.is_nested();
                (exact && !super::contains_subquery(value) && !value.is_volatile()).then_some((i, value))
            });
            let Some((at, value)) = found else { return Ok(None) };
            used.push(at);
            values.push(value.clone());
        }
        let columns: Vec<String> = domain.vars.iter().map(|v| self.name(&v.name)).collect();
        let mut exprs = columns_of(input);
        exprs.extend(values.into_iter().zip(&columns).map(|(value, name)| value.alias(name)));
        let mut rest: Vec<Expr> = columns.iter().map(|c| column(c).is_not_null()).collect();
        for (i, conjunct) in conjuncts.iter().enumerate() {
            if !used.contains(&i) {
                rest.push(domain.bind(conjunct.clone(), &columns)?);
            }
        }
        let plan = filter(project(input.clone(), exprs)?, rest)?;
        Ok(Some(Bound { plan, columns }))
    }

    fn push_aggregate(&self, node: Aggregate, domain: &Domain) -> Result<Bound> {
        let Bound { plan, columns } = self.push(Arc::unwrap_or_clone(node.input), domain)?;
        let keys = columns.iter().map(|c| column(c));
        let group_expr = match node.group_expr.as_slice() {
            // Before the others: the bits of the grouping id are counted from the last.
            [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => {
                let mut bound = Vec::with_capacity(sets.len());
                for set in sets {
                    let mut with_keys: Vec<Expr> = keys.clone().collect();
                    with_keys.extend(named(domain, set.clone(), &columns)?);
                    bound.push(with_keys);
                }
                vec![Expr::GroupingSet(GroupingSet::GroupingSets(bound))]
            }
            [Expr::GroupingSet(_), ..] => return Err(unsupported("ROLLUP or CUBE in a correlated subquery")),
            _ => {
                let mut group = named(domain, node.group_expr, &columns)?;
                group.extend(keys);
                group
            }
        };
        let aggr_expr = named(domain, node.aggr_expr, &columns)?;
        Ok(Bound { plan: LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(plan), group_expr, aggr_expr)?), columns })
    }

    /// One row for each combination, also where there is nothing to aggregate: combinations without rows are joined in,
    /// and a filter keeps them from being counted.
    fn push_whole_aggregate(&self, node: Aggregate, domain: &Domain) -> Result<Bound> {
        let inner = self.push(Arc::unwrap_or_clone(node.input), domain)?;
        let marker = self.name("row");
        let mut exprs = columns_of(&inner.plan);
        exprs.push(lit(true).alias(&marker));
        let rows = project(inner.plan, exprs)?;
        let fresh = domain.fresh(self)?;
        let keys = fresh.columns.iter().zip(&inner.columns).map(|(d, c)| (column(d), column(c))).collect();
        let all = join(fresh.plan, rows, keys, None, JoinType::Left, NullEquality::NullEqualsNull)?;
        let mut aggr_expr = Vec::with_capacity(node.aggr_expr.len());
        for expr in named(domain, node.aggr_expr, &fresh.columns)? {
            aggr_expr.push(counted_where(expr, &marker)?);
        }
        let group = fresh.columns.iter().map(|c| column(c)).collect();
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(all), group, aggr_expr)?);
        Ok(Bound { plan, columns: fresh.columns })
    }

    /// The rows of each combination are numbered, in the order that is asked for.
    fn push_limit(&self, node: Limit, domain: &Domain) -> Result<Bound> {
        let Top { skip, fetch, input, order, projections } = Top::of(node)?;
        let Bound { plan, columns } = self.push(input, domain)?;
        let own = columns_of(&plan);
        let mut window = WindowFunction::new(row_number_udwf(), Vec::new());
        window.params.partition_by = columns.iter().map(|c| column(c)).collect();
        window.params.order_by = sort_keys(domain, order, &columns)?;
        let number = Expr::WindowFunction(Box::new(window));
        let numbered = number.schema_name().to_string();
        let plan = LogicalPlan::Window(Window::try_new(vec![number], Arc::new(plan))?);
        let at = |n: usize| lit(u64::try_from(n).unwrap_or(u64::MAX));
        let mut kept = vec![column(&numbered).gt(at(skip))];
        if let Some(fetch) = fetch {
            kept.push(column(&numbered).lt_eq(at(skip.saturating_add(fetch))));
        }
        let mut plan = project(filter(plan, kept)?, own)?;
        for exprs in projections.into_iter().rev() {
            let mut exprs = named(domain, exprs, &columns)?;
            exprs.extend(columns.iter().map(|c| column(c)));
            plan = project(plan, exprs)?;
        }
        Ok(Bound { plan, columns })
    }

    fn push_join(&self, node: Join, domain: &Domain) -> Result<Bound> {
        let (left_reads, right_reads) = (reads(&node.left, domain)?, reads(&node.right, domain)?);
        let condition_reads =
            node.filter.iter().chain(node.on.iter().flat_map(|(l, r)| [l, r])).any(|e| domain.is_in(e));
        let left_only = matches!(node.join_type, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark);
        // The side whose rows stay without a match must be there for each combination; so must the other where it reads
        // the outer query.
        let (into_left, into_right) = match node.join_type {
            JoinType::Inner => (left_reads || (condition_reads && !right_reads), right_reads),
            JoinType::Left => (true, right_reads),
            JoinType::Right => (left_reads, true),
            JoinType::Full => (true, true),
            _ if left_only => (true, right_reads),
            other => return Err(unsupported(format_args!("a {other} join in a correlated subquery"))),
        };
        if node.null_aware {
            return Err(unsupported("NOT IN in a correlated subquery"));
        }
        let (left, right) = (Arc::unwrap_or_clone(node.left), Arc::unwrap_or_clone(node.right));
        let on = |columns: &[String]| -> Result<Vec<(Expr, Expr)>> {
            node.on
                .iter()
                .map(|(l, r)| Ok((domain.bind(l.clone(), columns)?, domain.bind(r.clone(), columns)?)))
                .collect()
        };
        let bind_filter = |columns: &[String]| node.filter.clone().map(|f| domain.bind(f, columns)).transpose();
        if into_left && into_right {
            let (left, right) = (self.push(left, domain)?, self.push(right, domain)?);
            let mut filter = bind_filter(&left.columns)?;
            let mut keys = Vec::with_capacity(node.on.len() + left.columns.len());
            for (l, r) in &node.on {
                let (l, r) = (domain.bind(l.clone(), &left.columns)?, domain.bind(r.clone(), &right.columns)?);
                // Where the domain's nulls are equal, the join's own keys, whose nulls are not, are compared apart.
                if domain.nulls == NullEquality::NullEqualsNull && node.null_equality != domain.nulls {
                    filter = filter.into_iter().chain([l.eq(r)]).reduce(Expr::and);
                } else {
                    keys.push((l, r));
                }
            }
            keys.extend(left.columns.iter().zip(&right.columns).map(|(l, r)| (column(l), column(r))));
            let nulls = match node.null_equality {
                NullEquality::NullEqualsNull => NullEquality::NullEqualsNull,
                NullEquality::NullEqualsNothing => domain.nulls,
            };
            let plan = join(left.plan, right.plan, keys, filter, node.join_type, nulls)?;
            return match node.join_type {
                JoinType::Right => Ok(Bound { plan, columns: right.columns }),
                JoinType::Full => self.either(plan, left.columns, right.columns),
                _ => Ok(Bound { plan, columns: left.columns }),
            };
        }
        let (left, right, columns) = if into_left {
            let bound = self.push(left, domain)?;
            (bound.plan, right, bound.columns)
        } else {
            let bound = self.push(right, domain)?;
            (left, bound.plan, bound.columns)
        };
        let plan = join(left, right, on(&columns)?, bind_filter(&columns)?, node.join_type, node.null_equality)?;
        Ok(Bound { plan, columns })
    }

    /// After a full join: the domain's columns of the side that has the row.
    fn either(&self, plan: LogicalPlan, left: Vec<String>, right: Vec<String>) -> Result<Bound> {
        let mut exprs = columns_of(&plan);
        let mut columns = Vec::with_capacity(left.len());
        for (l, r) in left.iter().zip(&right) {
            let name = self.name(l);
            let value = datafusion::functions::core::coalesce().call(vec![column(l), column(r)]);
            exprs.push(value.alias(&name));
            columns.push(name);
        }
        Ok(Bound { plan: project(plan, exprs)?, columns })
    }

    fn push_union(&self, node: Union, domain: &Domain) -> Result<Bound> {
        let names: Vec<_> = node.schema.columns();
        let columns: Vec<String> = domain.vars.iter().map(|v| self.name(&v.name)).collect();
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in node.inputs {
            let own = input.schema().columns();
            let bound = self.push(Arc::unwrap_or_clone(input), domain)?;
            let mut exprs = Vec::with_capacity(own.len() + columns.len());
            for (own, name) in own.into_iter().zip(&names) {
                exprs.push(Expr::Column(own).alias_qualified(name.relation.clone(), &name.name));
            }
            exprs.extend(bound.columns.iter().zip(&columns).map(|(own, name)| column(own).alias(name)));
            inputs.push(Arc::new(project(bound.plan, exprs)?));
        }
        Ok(Bound { plan: union(inputs)?, columns })
    }

    fn push_window(&self, node: Window, domain: &Domain) -> Result<Bound> {
        let Bound { plan, columns } = self.push(Arc::unwrap_or_clone(node.input), domain)?;
        let mut exprs = columns_of(&plan);
        let mut windows = Vec::with_capacity(node.window_expr.len());
        for expr in node.window_expr {
            let (qualifier, name) = expr.qualified_name();
            let Expr::WindowFunction(mut window) = domain.bind(expr.unalias(), &columns)? else {
                return Err(unsupported("a window expression in a correlated subquery"));
            };
            window.params.partition_by.extend(columns.iter().map(|c| column(c)));
            let expr = Expr::WindowFunction(window);
            exprs.push(column(&expr.schema_name().to_string()).alias_qualified(qualifier, name));
            windows.push(expr);
        }
        let plan = LogicalPlan::Window(Window::try_new(windows, Arc::new(plan))?);
        Ok(Bound { plan: project(plan, exprs)?, columns })
    }
}

fn reads(plan: &LogicalPlan, domain: &Domain) -> Result<bool> {
    Ok(free_columns(plan)?.iter().any(|c| domain.vars.contains(c)))
}

fn named(domain: &Domain, exprs: Vec<Expr>, columns: &[String]) -> Result<Vec<Expr>> {
    exprs.into_iter().map(|e| domain.bind_named(e, columns)).collect()
}

fn sort_keys(domain: &Domain, keys: Vec<SortExpr>, columns: &[String]) -> Result<Vec<SortExpr>> {
    keys.into_iter().map(|key| Ok(SortExpr { expr: domain.bind(key.expr, columns)?, ..key })).collect()
}

pub(super) fn filter(plan: LogicalPlan, conjuncts: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(conjuncts) {
        Some(predicate) => Filter::try_new(predicate, Arc::new(plan)).map(LogicalPlan::Filter),
        None => Ok(plan),
    }
}

fn union(mut inputs: Vec<Arc<LogicalPlan>>) -> Result<LogicalPlan> {
    match (inputs.pop(), inputs.is_empty()) {
        (Some(only), true) => Ok(Arc::unwrap_or_clone(only)),
        (Some(last), false) => {
            inputs.push(last);
            Union::try_new(inputs).map(LogicalPlan::Union)
        }
        (None, _) => Err(unsupported("VALUES without rows in a correlated subquery")),
    }
}

/// The value that a conjunct makes equal to the outer column.
fn equal_to<'e>(conjunct: &'e Expr, var: &Column) -> Option<&'e Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct else { return None };
    let is_var = |e: &Expr| matches!(e, Expr::OuterReferenceColumn(_, c) if c == var);
    match (left.as_ref(), right.as_ref()) {
        (l, value) if is_var(l) && outer_columns(value).is_empty() => Some(value),
        (value, r) if is_var(r) && outer_columns(value).is_empty() => Some(value),
        _ => None,
    }
}

/// The aggregate over the rows that have the marker.
fn counted_where(expr: Expr, marker: &str) -> Result<Expr> {
    let (qualifier, name) = expr.qualified_name();
    let Expr::AggregateFunction(mut call) = expr.unalias() else {
        return Err(unsupported("an aggregate expression in a correlated subquery"));
    };
    let there = column(marker).is_not_null();
    let AggregateFunctionParams { filter, .. } = &mut call.params;
    *filter = Some(Box::new(match filter.take() {
        Some(filter) => there.and(*filter),
        None => there,
    }));
    Ok(Expr::AggregateFunction(call).alias_qualified(qualifier, name))
}

/// LIMIT and OFFSET, taken apart.
struct Top {
    skip: usize,
    fetch: Option<usize>,
    input: LogicalPlan,
    order: Vec<SortExpr>,
    /// What is computed of the rows that stay, the last first.
    projections: Vec<Vec<Expr>>,
}

impl Top {
    fn of(node: Limit) -> Result<Self> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (node.get_skip_type()?, node.get_fetch_type()?)
        else {
            return Err(unsupported("a LIMIT that is no literal in a correlated subquery"));
        };
        match Arc::unwrap_or_clone(node.input) {
            LogicalPlan::Limit(inner) => {
                let inner = Self::of(inner)?;
                let left = inner.fetch.map(|n| n.saturating_sub(skip));
                let fetch = match (left, fetch) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                Ok(Self { skip: inner.skip.saturating_add(skip), fetch, ..inner })
            }
            input => {
                let mut projections = Vec::new();
                let mut below = &input;
                while let LogicalPlan::Projection(projection) = below {
                    projections.push(projection.expr.clone());
                    below = &projection.input;
                }
                Ok(match below {
                    LogicalPlan::Sort(Sort { expr, input, fetch: None }) => {
                        Self { skip, fetch, input: input.as_ref().clone(), order: expr.clone(), projections }
                    }
                    _ => Self { skip, fetch, input, order: Vec::new(), projections: Vec::new() },
                })
            }
        }
    }
}

fn kind(plan: &LogicalPlan) -> String {
    plan.display().to_string().split([':', '[']).next().unwrap_or_default().trim().to_owned()
}
