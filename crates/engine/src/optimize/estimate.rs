//! How many rows a plan yields, as far as the sizes of its tables tell. Numbers to compare plans by, not to rely on.

use std::collections::HashMap;

use datafusion::{
    common::{Column, JoinType, ScalarValue, Statistics, stats::Precision},
    datasource::source_as_provider,
    logical_expr::{Expr, Join, LogicalPlan, TableScan},
};

use super::selectivity::{conjuncts, of_predicate};
use crate::{exchange::ExchangeNode, join::JoinHintNode};

/// What is known of a plan's output.
#[derive(Debug, Clone, Default)]
pub struct Estimate {
    pub rows: f64,
    /// Rows before any filter: there are no more different keys of several columns.
    pub unfiltered: f64,
    pub columns: HashMap<Column, ColumnEstimate>,
}

/// What is known of a column. Values are numbers where its type can be put in line: integers, decimals, dates, times.
#[derive(Debug, Clone, Copy, Default)]
pub struct ColumnEstimate {
    pub distinct: Option<f64>,
    pub range: Option<(f64, f64)>,
}

/// Of the rows of a semi join's left side that find a partner where nothing better is known.
const SEMI_JOIN_SHARE: f64 = 0.5;

impl Estimate {
    /// Nothing where a table's size is not known.
    pub fn of(plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => of_scan(scan),
            LogicalPlan::Filter(filter) => {
                let mut input = Self::of(&filter.input)?;
                input.keep(conjuncts(&filter.predicate).iter().map(|p| of_predicate(p, &input)).product());
                Some(input)
            }
            LogicalPlan::Projection(projection) => {
                let input = Self::of(&projection.input)?;
                let named = projection.schema.columns().into_iter().zip(&projection.expr);
                let columns = named.filter_map(|(column, expr)| Some((column, *input.columns.get(plain(expr)?)?)));
                Some(Self { columns: columns.collect(), ..input })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = Self::of(&alias.input)?;
                let named = alias.schema.columns().into_iter().zip(alias.input.schema().columns());
                let columns = named.filter_map(|(column, of)| Some((column, *input.columns.get(&of)?)));
                Some(Self { columns: columns.collect(), ..input })
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = Self::of(&aggregate.input)?;
                let groups = aggregate.group_expr.iter().map(|e| input.distinct(e)).product::<f64>();
                let rows = if aggregate.group_expr.is_empty() { 1.0 } else { groups.min(input.rows) };
                let named = aggregate.schema.columns().into_iter().zip(&aggregate.group_expr);
                let columns = named.filter_map(|(column, expr)| Some((column, *input.columns.get(plain(expr)?)?)));
                let mut output = Self { columns: columns.collect(), ..Self::of_rows(rows) };
                output.keep(1.0);
                Some(output)
            }
            LogicalPlan::Join(join) => {
                let (left, right) = (Self::of(&join.left)?, Self::of(&join.right)?);
                Some(of_join(join, left, right))
            }
            LogicalPlan::Limit(limit) => {
                let mut input = Self::of(&limit.input)?;
                if let Some(Expr::Literal(ScalarValue::Int64(Some(rows)), _)) = limit.fetch.as_deref() {
                    input.rows = input.rows.min(*rows as f64);
                }
                Some(input)
            }
            LogicalPlan::Sort(sort) => Self::of(&sort.input),
            LogicalPlan::Distinct(distinct) => Self::of(distinct.input()),
            LogicalPlan::Window(window) => Self::of(&window.input),
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                match node.downcast_ref::<ExchangeNode>() {
                    Some(exchange) => Self::of(&exchange.input),
                    None => Self::of(&node.downcast_ref::<JoinHintNode>()?.input),
                }
            }
            LogicalPlan::Values(values) => Some(Self::of_rows(values.values.len() as f64)),
            LogicalPlan::EmptyRelation(empty) => Some(Self::of_rows(f64::from(empty.produce_one_row))),
            LogicalPlan::Union(union) => {
                let rows = union.inputs.iter().map(|input| Self::of(input).map(|e| e.rows)).sum::<Option<f64>>()?;
                Some(Self::of_rows(rows))
            }
            _ => None,
        }
    }

    fn of_rows(rows: f64) -> Self {
        Self { rows, unfiltered: rows, columns: HashMap::new() }
    }

    /// Leaves a share of the rows.
    pub fn keep(&mut self, share: f64) {
        self.rows = (self.rows * share).max(1.0);
        for column in self.columns.values_mut() {
            column.distinct = column.distinct.map(|d| d.min(self.rows));
        }
    }

    /// Different values of an expression.
    pub fn distinct(&self, expr: &Expr) -> f64 {
        let known = plain(expr).and_then(|c| self.columns.get(c)).and_then(|c| c.distinct);
        known.unwrap_or(self.rows).clamp(1.0, self.rows.max(1.0))
    }

    /// Both sides together, every row with every row.
    pub fn cross(mut self, other: Self) -> Self {
        self.rows *= other.rows;
        self.unfiltered *= other.unfiltered;
        self.columns.extend(other.columns);
        self
    }
}

/// The share of pairs that equal keys let through: each value of the side with fewer finds its like. Several keys depend on
/// each other more often than not (both parts of a foreign key), and the side with fewer rows has no more different ones
/// than rows.
pub fn of_keys<'a>(left: &Estimate, right: &Estimate, keys: impl IntoIterator<Item = (&'a Expr, &'a Expr)>) -> f64 {
    let one = |(l, r): (&Expr, &Expr)| 1.0 / left.distinct(l).max(right.distinct(r));
    let shares: Vec<f64> = keys.into_iter().map(one).collect();
    let all = shares.iter().product::<f64>();
    if shares.len() < 2 { all } else { all.max(1.0 / left.unfiltered.min(right.unfiltered).max(1.0)) }
}

fn of_join(join: &Join, left: Estimate, right: Estimate) -> Estimate {
    let keys = of_keys(&left, &right, join.on.iter().map(|(l, r)| (l, r)));
    // Values of the left side that the right side has.
    let found = join.on.iter().map(|(l, r)| (right.distinct(r) / left.distinct(l)).min(1.0)).fold(1.0, f64::min);
    let (left_rows, right_rows) = (left.rows, right.rows);
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftMark => {
            let mut left = left;
            if join.join_type == JoinType::LeftSemi {
                left.keep(if join.filter.is_some() { found * SEMI_JOIN_SHARE } else { found });
            }
            left
        }
        JoinType::LeftAnti => {
            let mut left = left;
            left.keep((1.0 - found).max(1.0 - SEMI_JOIN_SHARE));
            left
        }
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right,
        _ => {
            let mut both = left.cross(right);
            let filter = join.filter.as_ref();
            let others: f64 = filter.map_or(1.0, |f| conjuncts(f).iter().map(|p| of_predicate(p, &both)).product());
            both.keep(keys * others);
            let least = match join.join_type {
                JoinType::Left => left_rows,
                JoinType::Right => right_rows,
                JoinType::Full => left_rows.max(right_rows),
                _ => 0.0,
            };
            both.rows = both.rows.max(least);
            both.unfiltered = both.rows;
            both
        }
    }
}

fn of_scan(scan: &TableScan) -> Option<Estimate> {
    let provider = source_as_provider(&scan.source).ok()?;
    let statistics = provider.statistics()?;
    let rows = *statistics.num_rows.get_value()? as f64;
    let schema = provider.schema();
    let columns = scan.projected_schema.columns().into_iter().filter_map(|column| {
        let index = schema.index_of(&column.name).ok()?;
        Some((column, of_column(&statistics, index, rows)))
    });
    Some(Estimate { columns: columns.collect(), ..Estimate::of_rows(rows.max(1.0)) })
}

fn of_column(statistics: &Statistics, index: usize, rows: f64) -> ColumnEstimate {
    let Some(column) = statistics.column_statistics.get(index) else { return ColumnEstimate::default() };
    let number = |value: &Precision<ScalarValue>| value.get_value().and_then(position);
    let range = number(&column.min_value).zip(number(&column.max_value)).filter(|(min, max)| min <= max);
    let counted = column.distinct_count.get_value().map(|n| *n as f64);
    // Whole numbers between two others are so many at most.
    let distinct = counted.or_else(|| range.map(|(min, max)| (max - min + 1.0).min(rows)));
    ColumnEstimate { distinct, range }
}

/// A value's place among others of its type; decimals count in their last digit.
pub fn position(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Int8(Some(v)) => f64::from(*v),
        ScalarValue::Int16(Some(v)) => f64::from(*v),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => f64::from(*v),
        ScalarValue::Int64(Some(v)) | ScalarValue::TimestampMicrosecond(Some(v), _) => *v as f64,
        ScalarValue::Decimal128(Some(v), _, _) => *v as f64,
        _ => return None,
    })
}

/// The column that an expression is, under whatever name.
pub fn plain(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => plain(&alias.expr),
        _ => None,
    }
}
