//! What is known of rows that are there, and what follows for plans over them.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    common::JoinType,
    physical_plan::{
        ExecutionPlan,
        aggregates::AggregateExec,
        coalesce_partitions::CoalescePartitionsExec,
        coop::CooperativeExec,
        empty::EmptyExec,
        filter::FilterExec,
        joins::HashJoinExec,
        limit::{GlobalLimitExec, LocalLimitExec},
        projection::ProjectionExec,
        repartition::RepartitionExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        union::UnionExec,
    },
};
use firesteel_protocol::ShuffleId;

use crate::{exchange::ExchangeExec, shuffle::ShuffleReaderExec, stage::grow_stack};

/// A shuffle all of whose outputs are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShuffleStatistics {
    /// Encoded bytes of each reduce partition; 0 exactly where there is no row.
    pub bytes: Vec<u64>,
    pub rows: u64,
    pub maps: u32,
}

impl ShuffleStatistics {
    pub fn total(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

pub type Statistics = HashMap<ShuffleId, ShuffleStatistics>;

/// No more than so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    pub rows: u64,
    /// In memory, roughly: more than the encoded bytes where these are few for so many rows.
    pub bytes: u64,
}

/// The size of what a plan yields, where all of it comes from shuffles that are there.
pub fn real_size(plan: &Arc<dyn ExecutionPlan>, known: &Statistics) -> Option<Size> {
    grow_stack(|| size(plan, known))
}

fn size(plan: &Arc<dyn ExecutionPlan>, known: &Statistics) -> Option<Size> {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        let shuffle = known.get(&reader.shuffle())?;
        let bytes = shuffle.total().max(shuffle.rows.saturating_mul(width(&plan.schema())));
        return Some(Size { rows: shuffle.rows, bytes });
    }
    if plan.is::<EmptyExec>() {
        return Some(Size::default());
    }
    if plan.is::<UnionExec>() {
        let sizes = plan.children().into_iter().map(|child| real_size(child, known)).collect::<Option<Vec<_>>>()?;
        return Some(sizes.iter().fold(Size::default(), |sum, one| Size {
            rows: sum.rows.saturating_add(one.rows),
            bytes: sum.bytes.saturating_add(one.bytes),
        }));
    }
    let below = match preserved_side(plan) {
        Some(side) => side,
        None if passes_on(plan) => match plan.children()[..] {
            [child] => child,
            _ => return None,
        },
        None => return None,
    };
    let input = real_size(below, known)?;
    if plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| aggregate.group_expr().is_empty()) {
        return Some(Size { rows: 1, bytes: width(&plan.schema()) });
    }
    let wider = width(&plan.schema()).saturating_sub(width(&below.schema()));
    Some(Size { rows: input.rows, bytes: input.bytes.saturating_add(wider.saturating_mul(input.rows)) })
}

/// The side of a join whose rows come out at most once each, and nothing else.
fn preserved_side(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let join = plan.downcast_ref::<HashJoinExec>()?;
    match join.join_type() {
        JoinType::LeftSemi | JoinType::LeftAnti => Some(join.left()),
        JoinType::RightSemi | JoinType::RightAnti => Some(join.right()),
        _ => None,
    }
}

/// Whether an operator with one input yields no more rows than it gets.
fn passes_on(plan: &Arc<dyn ExecutionPlan>) -> bool {
    passes_rows(plan)
        || plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| !aggregate.group_expr().has_grouping_set())
}

/// Whether an operator with one input yields rows of it, each at most once, and no others.
pub fn passes_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    is_row_wise(plan)
        || plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<ExchangeExec>()
}

/// Whether an operator treats each row on its own.
pub fn is_row_wise(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<FilterExec>() || plan.is::<ProjectionExec>() || plan.is::<CooperativeExec>()
}

/// Least bytes of a row in memory.
fn width(schema: &Schema) -> u64 {
    schema.fields().iter().map(|field| type_width(field.data_type())).sum()
}

fn type_width(data_type: &DataType) -> u64 {
    match data_type {
        DataType::Boolean | DataType::Null => 1,
        DataType::Utf8View | DataType::BinaryView => 16,
        DataType::Struct(fields) => fields.iter().map(|field| type_width(field.data_type())).sum(),
        other => other.primitive_width().map_or(4, |width| width as u64),
    }
}
