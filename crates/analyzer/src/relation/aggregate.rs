//! GROUP BY: its expressions, grouping sets, and what of a SELECT may stand beside them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use datafusion::{
    common::{
        Column,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    functions_aggregate::expr_fn::count,
    logical_expr::{Aggregate, Cast, Expr as DfExpr, GroupingSet as DfGroupingSet, LogicalPlan, lit},
};
use firesteel_engine::optimize::contains_subquery;
use firesteel_functions::{Typed, operators};
use firesteel_plan::{
    DataType, Expr, SparkError, SparkResult,
    relation::{Grouping, GroupingElement, GroupingSet},
};

use super::{
    integer, is_orderable,
    select::{Item, ItemSource},
};
use crate::{
    errors,
    expression::{Alias, AliasTarget, Clause, Env, has_aggregate},
    query::Analyzer,
    scope::{Attribute, Scope, project},
};

/// More grouping sets than this is a mistake.
const MAX_GROUPING_SETS: usize = 4096;

/// A resolved GROUP BY.
pub(crate) struct Grouped {
    /// Each expression once.
    pub exprs: Vec<Typed>,
    /// Where there are grouping sets: the indices into `exprs` of each.
    pub sets: Option<Vec<Vec<usize>>>,
    written: bool,
}

impl Grouped {
    /// Whether the query has a GROUP BY clause.
    pub fn has_keys(&self) -> bool {
        self.written
    }

    fn add(&mut self, typed: Typed) -> usize {
        match self.exprs.iter().position(|e| e.expr == typed.expr) {
            Some(at) => at,
            None => {
                self.exprs.push(typed);
                self.exprs.len() - 1
            }
        }
    }
}

/// How expressions over the input become expressions over the aggregate's output.
pub(crate) struct Rewrite {
    keys: HashMap<DfExpr, DfExpr>,
    columns: HashSet<String>,
    /// Those of `columns` that are keys.
    key_columns: HashSet<String>,
    /// Whether keys may be null above the aggregate though they are not below.
    pub changes_nulls: bool,
}

impl Analyzer<'_> {
    pub(super) fn grouping(&self, grouping: &Grouping, items: &[Item<'_>], base: &Env<'_>) -> SparkResult<Grouped> {
        let mut grouped = Grouped { exprs: Vec::new(), sets: None, written: !matches!(grouping, Grouping::None) };
        let aliases: Vec<Alias<'_>> = if self.group_by_aliases {
            items
                .iter()
                .filter_map(|i| match &i.source {
                    ItemSource::Expr(e) => Some(Alias { name: i.name.clone(), target: AliasTarget::Unresolved(e) }),
                    ItemSource::Attribute(_) | ItemSource::Field(_) => None,
                })
                .collect()
        } else {
            Vec::new()
        };
        let env = Env { aliases: &aliases, select: None, clause: Clause::GroupBy, ..*base };
        match grouping {
            Grouping::None => {}
            Grouping::Exprs(exprs) => {
                for e in exprs {
                    let typed = self.grouping_expr(e, items, &env)?;
                    grouped.add(typed);
                }
            }
            Grouping::All => {
                for item in items {
                    match &item.source {
                        ItemSource::Attribute(a) => {
                            grouped.add(Typed::new(a.expr(), a.data_type.clone(), a.nullable));
                        }
                        ItemSource::Field(typed) => {
                            grouped.add(typed.clone());
                        }
                        ItemSource::Expr(e) if !has_aggregate(e) => {
                            let typed = self.expr(e, &Env { aliases: &[], ..env })?;
                            if typed.literal().is_none() {
                                grouped.add(typed);
                            }
                        }
                        ItemSource::Expr(_) => {}
                    }
                }
            }
            Grouping::Elements(elements) => {
                let mut resolve = |e: &Expr| -> SparkResult<usize> {
                    let typed = self.grouping_expr(e, items, &env)?;
                    Ok(grouped.add(typed))
                };
                let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
                for element in elements {
                    let more = element_sets(element, &mut resolve)?;
                    if sets.len() * more.len() > MAX_GROUPING_SETS {
                        return Err(SparkError::unsupported(format_args!(
                            "more than {MAX_GROUPING_SETS} grouping sets"
                        )));
                    }
                    sets = sets
                        .iter()
                        .flat_map(|set| more.iter().map(move |m| set.iter().chain(m).copied().collect()))
                        .collect();
                }
                for set in &mut sets {
                    let mut seen = Vec::new();
                    set.retain(|i| {
                        let new = !seen.contains(i);
                        seen.push(*i);
                        new
                    });
                }
                grouped.sets = Some(sets);
            }
        }
        Ok(grouped)
    }

    fn grouping_expr(&self, e: &Expr, items: &[Item<'_>], env: &Env<'_>) -> SparkResult<Typed> {
        let typed = self.grouping_value(e, items, env)?;
        if !is_groupable(&typed.data_type) {
            let shown = self.show(e, env);
            let error = SparkError::new(
                "GROUP_EXPRESSION_TYPE_IS_NOT_ORDERABLE",
                "42822",
                format!(
                    "The expression {} cannot be used as a grouping expression because its data type {} is not an \
                     orderable data type.",
                    errors::sql_expr(&shown),
                    errors::sql_type(&typed.data_type)
                ),
            )
            .param("sqlExpr", errors::sql_expr(&shown))
            .param("dataType", errors::sql_type(&typed.data_type));
            return Err(env.rel.locate(error, e.span));
        }
        Ok(typed)
    }

    fn grouping_value(&self, e: &Expr, items: &[Item<'_>], env: &Env<'_>) -> SparkResult<Typed> {
        if self.group_by_ordinal
            && let Some(n) = integer(e)
        {
            let at = usize::try_from(n).ok().and_then(|n| n.checked_sub(1)).filter(|n| *n < items.len());
            let Some(at) = at else {
                return Err(env.rel.locate(errors::group_by_position(n, items.len()), e.span));
            };
            return match &items[at].source {
                ItemSource::Attribute(a) => Ok(Typed::new(a.expr(), a.data_type.clone(), a.nullable)),
                ItemSource::Field(typed) => Ok(typed.clone()),
                ItemSource::Expr(item) if has_aggregate(item) => {
                    let shown = self.show(item, env);
                    Err(env.rel.locate(errors::group_by_position_aggregate(n, &shown), e.span))
                }
                ItemSource::Expr(item) => self.expr(item, &Env { aliases: &[], ..*env }),
            };
        }
        self.expr(e, env)
    }

    /// A key that is one value in all rows is null beside that in grouping sets: the planner takes it for a constant unless it is a
    /// column.
    fn with_constant_keys(&self, input: LogicalPlan, keys: &mut [DfExpr]) -> SparkResult<LogicalPlan> {
        let mut columns: Vec<DfExpr> = input.schema().columns().into_iter().map(DfExpr::Column).collect();
        let width = columns.len();
        for key in keys.iter_mut().filter(|key| key.column_refs().is_empty()) {
            let name = format!("key#{}", self.next_id());
            columns.push(std::mem::take(key).alias(&name));
            *key = DfExpr::Column(Column::new_unqualified(&name));
        }
        if columns.len() == width { Ok(input) } else { project(input, columns) }
    }

    /// The aggregate's plan: columns named as the input's where a key is a plain column, else as new attributes.
    pub(super) fn aggregate_plan(
        &self,
        input: LogicalPlan,
        grouped: &Grouped,
        mut aggregates: Vec<(DfExpr, Attribute)>,
        grouping_id: Option<Attribute>,
    ) -> SparkResult<(LogicalPlan, Rewrite)> {
        // NaN is one group, and so are 0.0 and -0.0.
        let mut keys: Vec<DfExpr> = grouped
            .exprs
            .iter()
            .map(|e| operators::normalized_key(e.clone()).map(|t| t.expr))
            .collect::<SparkResult<_>>()?;
        let mut input = input;
        if grouped.sets.is_some() {
            input = self.with_constant_keys(input, &mut keys)?;
        }
        let group_expr = match &grouped.sets {
            None => keys.clone(),
            Some(sets) => {
                let sets = sets.iter().map(|s| s.iter().map(|i| keys[*i].clone()).collect()).collect();
                vec![DfExpr::GroupingSet(DfGroupingSet::GroupingSets(sets))]
            }
        };
        let mut exprs: Vec<DfExpr> = Vec::with_capacity(aggregates.len());
        let mut seen: HashSet<DfExpr> = HashSet::with_capacity(aggregates.len());
        for (expr, attribute) in &mut aggregates {
            // Two subqueries may have one text, which would be the name of both.
            if contains_subquery(expr) {
                *expr = std::mem::take(expr).alias(&attribute.column);
            }
            if seen.insert(expr.clone()) {
                exprs.push(expr.clone());
            }
        }
        if keys.is_empty() && exprs.is_empty() {
            // One row whatever the input holds.
            exprs.push(count(lit(1_i64)));
        }
        // The empty set among others has no row where there is no input; alone it is the aggregation of everything.
        let has_rows = match &grouped.sets {
            Some(sets) if sets.iter().any(Vec::is_empty) && *sets != [Vec::<usize>::new()] => {
                let rows = count(lit(1_i64));
                if !exprs.contains(&rows) {
                    exprs.push(rows.clone());
                }
                Some(Column::new_unqualified(rows.schema_name().to_string()))
            }
            _ => None,
        };
        let mut plan = Aggregate::try_new(Arc::new(input), group_expr, exprs)
            .map(LogicalPlan::Aggregate)
            .map_err(errors::from_datafusion)?;
        if let Some(rows) = has_rows {
            plan = super::filter_plan(plan, DfExpr::Column(rows).gt(lit(0_i64)))?;
        }

        let mut columns = Vec::new();
        let mut rewrite = Rewrite {
            keys: HashMap::new(),
            columns: HashSet::new(),
            key_columns: HashSet::new(),
            changes_nulls: grouped.sets.is_some(),
        };
        let mut rename = |from: String, to: String, columns: &mut Vec<DfExpr>| {
            let column = DfExpr::Column(Column::new_unqualified(&from));
            columns.push(if from == to { column } else { column.alias(&to) });
            rewrite.columns.insert(to);
        };
        let (mut rewritten, mut key_columns) = (HashMap::new(), HashSet::new());
        for (typed, key) in grouped.exprs.iter().zip(&keys) {
            let from = key.schema_name().to_string();
            let to = match key {
                DfExpr::Column(column) => {
                    if typed.expr != *key {
                        rewritten.insert(typed.expr.clone(), key.clone());
                    }
                    column.name.clone()
                }
                _ => {
                    let to = format!("group#{}", self.next_id());
                    rewritten.insert(typed.expr.clone(), DfExpr::Column(Column::new_unqualified(&to)));
                    to
                }
            };
            key_columns.insert(to.clone());
            rename(from, to, &mut columns);
        }
        for (expr, attribute) in &aggregates {
            rename(expr.schema_name().to_string(), attribute.column.clone(), &mut columns);
        }
        if let Some(id) = grouping_id {
            let raw = DfExpr::Column(Column::new_unqualified(Aggregate::INTERNAL_GROUPING_ID));
            let long = DfExpr::Cast(Cast::new(Box::new(raw), arrow::datatypes::DataType::Int64));
            let mask = 1_i64.checked_shl(u32::try_from(keys.len()).unwrap_or(63)).map_or(i64::MAX, |m| m - 1);
            columns.push((long & lit(mask)).alias(&id.column));
            rewrite.columns.insert(id.column);
        }
        (rewrite.keys, rewrite.key_columns) = (rewritten, key_columns);
        Ok((project(plan, columns)?, rewrite))
    }
}

fn is_groupable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map { key, value, .. } => is_groupable(key) && is_groupable(value),
        DataType::Array { element, .. } => is_groupable(element),
        DataType::Struct(fields) => fields.iter().all(|f| is_groupable(&f.data_type)),
        other => is_orderable(other),
    }
}

impl Rewrite {
    /// Columns that are computed above the aggregate: its window functions.
    pub fn allow(&mut self, columns: impl Iterator<Item = String>) {
        self.columns.extend(columns);
    }

    /// Whether an expression over the aggregate's output uses a grouping column.
    pub fn has_key(&self, expr: &DfExpr) -> bool {
        expr.column_refs().iter().any(|c| self.key_columns.contains(&c.name))
    }

    /// Replaces grouping expressions by their columns. What is left must be made of those and of aggregates.
    pub fn apply(&self, expr: DfExpr, shown: &str, has_group_by: bool) -> SparkResult<DfExpr> {
        let expr = expr
            .transform_down(|e| match self.keys.get(&e) {
                Some(column) => Ok(Transformed::new(column.clone(), true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(e)),
            })
            .map_err(errors::from_datafusion)?
            .data;
        let foreign = expr.column_refs().into_iter().find(|c| !self.columns.contains(&c.name)).map(|c| c.name.clone());
        match foreign {
            None => Ok(expr),
            Some(_) if !has_group_by => Err(errors::missing_group_by()),
            Some(_) => Err(errors::missing_aggregation(shown, &format!("any_value({shown})"))),
        }
    }

    /// The same for an expression of HAVING, QUALIFY or ORDER BY, which sees what the aggregate answers and no more:
    /// `outputs` are the names of that.
    pub fn apply_above(
        &self,
        expr: DfExpr,
        shown: &str,
        has_group_by: bool,
        input: &Scope,
        outputs: &[Vec<String>],
    ) -> SparkResult<DfExpr> {
        let columns: Vec<String> = expr.column_refs().into_iter().map(|c| c.name.clone()).collect();
        self.apply(expr, shown, has_group_by).map_err(|error| {
            let foreign = columns.iter().find_map(|name| {
                let unknown = !self.columns.contains(name);
                input.attributes.iter().chain(&input.hidden).find(|a| unknown && a.column == *name)
            });
            match foreign {
                Some(a) if error.class() == "MISSING_AGGREGATION" => {
                    let name = [a.name.clone()];
                    errors::unresolved_column(&name, &crate::scope::suggest(&name, outputs.to_vec()))
                }
                _ => error,
            }
        })
    }
}

fn element_sets(
    element: &GroupingElement,
    resolve: &mut dyn FnMut(&Expr) -> SparkResult<usize>,
) -> SparkResult<Vec<Vec<usize>>> {
    let mut all = |groups: &[Vec<Expr>]| -> SparkResult<Vec<Vec<usize>>> {
        groups.iter().map(|g| g.iter().map(&mut *resolve).collect()).collect()
    };
    match element {
        GroupingElement::Expr(e) => Ok(vec![vec![resolve(e)?]]),
        GroupingElement::Rollup(groups) => {
            let groups = all(groups)?;
            Ok((0..=groups.len()).rev().map(|n| groups[..n].concat()).collect())
        }
        GroupingElement::Cube(groups) => {
            let groups = all(groups)?;
            let width = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            if width > MAX_GROUPING_SETS.ilog2() {
                return Err(SparkError::unsupported(format_args!("CUBE of {} columns", groups.len())));
            }
            Ok((0..1_usize << width)
                .rev()
                .map(|bits| {
                    groups
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| bits >> (groups.len() - 1 - i) & 1 == 1)
                        .flat_map(|(_, g)| g.iter().copied())
                        .collect()
                })
                .collect())
        }
        GroupingElement::Sets(sets) => {
            let mut out = Vec::new();
            for set in sets {
                match set {
                    GroupingSet::Exprs(exprs) => {
                        out.push(exprs.iter().map(&mut *resolve).collect::<SparkResult<_>>()?);
                    }
                    GroupingSet::Element(element) => out.extend(element_sets(element, resolve)?),
                }
            }
            Ok(out)
        }
    }
}

/// `grouping(expr)` and `grouping_id(…)` over the grouping id, whose lowest bit is the last grouping expression's.
pub(crate) fn grouping_bits(id: &Attribute, grouping: &[Typed], args: &[Typed]) -> Option<DfExpr> {
    use datafusion::logical_expr::{BinaryExpr, Operator};
    let shift = |expr: DfExpr, op: Operator, by: usize| {
        let by = lit(i64::try_from(by).unwrap_or(0));
        DfExpr::BinaryExpr(BinaryExpr::new(Box::new(expr), op, Box::new(by)))
    };
    let mut value: Option<DfExpr> = None;
    for (i, arg) in args.iter().enumerate() {
        let at = grouping.iter().position(|g| g.expr == arg.expr)?;
        let bit = shift(id.expr(), Operator::BitwiseShiftRight, grouping.len() - 1 - at) & lit(1_i64);
        let bit = shift(bit, Operator::BitwiseShiftLeft, args.len() - 1 - i);
        value = Some(match value {
            Some(value) => value | bit,
            None => bit,
        });
    }
    value
}

pub(crate) const GROUPING_TYPE: DataType = DataType::Byte;
