//! Sort-merge joins: where a person asks for one, and where the build side of a hash join is so many times larger than a
//! task's memory that splitting it once is not enough.
//!
//! A hash join that does not fit writes both sides to disk once for each level of splitting, 16 ways each; a sort writes
//! them once however large they are, up to as many runs as are merged at a time (64). Up to one level the hash join is the
//! cheaper one (docs/decisions/hybrid-hash-join.md).

use std::sync::Arc;

use arrow::{compute::SortOptions, datatypes::DataType};
use datafusion::{
    common::{
        JoinSide, Result,
        tree_node::{Transformed, TreeNode},
    },
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, SortMergeJoinExec, utils::JoinFilter},
        projection::{ProjectionExec, ProjectionExpr},
        sorts::sort::SortExec,
    },
};
use firesteel_plan::{SparkConf, conf::keys};

/// Memories of a task that a build side may fill before both sides are sorted: as many as the hash join has buckets.
pub(crate) const SORTED_ABOVE_MEMORIES: usize = 16;
const ORDER: SortOptions = SortOptions { descending: false, nulls_first: true };

/// Bytes of the build side of one partition above which both sides are sorted and merged, in tasks of an executor.
pub(crate) fn threshold_of_executors(conf: &SparkConf) -> u64 {
    let number = |value: i64| value.max(1) as f64;
    let memory = number(conf.bytes(&keys::EXECUTOR_MEMORY)) * conf.double(&keys::MEMORY_FRACTION).clamp(0.0, 1.0);
    threshold(conf, (memory / number(conf.int(&keys::EXECUTOR_CORES))) as usize)
}

/// As [`threshold_of_executors`], for tasks that have so much memory.
pub(crate) fn threshold(conf: &SparkConf, task_memory: usize) -> u64 {
    let default = || task_memory.saturating_mul(SORTED_ABOVE_MEMORIES) as u64;
    // Negative: never.
    conf.bytes_if_set(&keys::SORT_MERGE_THRESHOLD)
        .map_or_else(default, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// The same join by sorting and merging; `None` where that is not possible. Its sides are to be sorted by [`sorted_sides`]
/// or by DataFusion's rules.
pub(crate) fn sort_merge(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if join.null_aware || join.on().is_empty() {
        return Ok(None);
    }
    for (left, right) in join.on() {
        let (left, right) = (left.data_type(&join.left().schema())?, right.data_type(&join.right().schema())?);
        if left != right || !is_merged(&left) {
            return Ok(None);
        }
    }
    merge_of(join, join.left().clone(), join.right().clone()).map(Some)
}

/// As [`sort_merge`], with both sides sorted, partition by partition.
pub(crate) fn sorted_sides(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if sort_merge(join)?.is_none() {
        return Ok(None);
    }
    let keys = || join.on().iter().map(|(left, right)| (left.clone(), right.clone()));
    let sorted = |side: &Arc<dyn ExecutionPlan>, keys: Vec<_>| -> Option<Arc<dyn ExecutionPlan>> {
        let order = LexOrdering::new(keys.into_iter().map(|expr| PhysicalSortExpr::new(expr, ORDER)))?;
        Some(Arc::new(SortExec::new(order, side.clone()).with_preserve_partitioning(true)))
    };
    let (left, right): (Vec<_>, Vec<_>) = keys().unzip();
    let (Some(left), Some(right)) = (sorted(join.left(), left), sorted(join.right(), right)) else { return Ok(None) };
    merge_of(join, left, right).map(Some)
}

fn merge_of(
    join: &HashJoinExec,
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let on = join.on().to_vec();
    let order = vec![ORDER; on.len()];
    let filter = join.filter().map(left_columns_first).transpose()?;
    let (join_type, nulls) = (*join.join_type(), join.null_equality());
    let merge = Arc::new(SortMergeJoinExec::try_new(left, right, on, filter, join_type, order, nulls)?);
    let Some(columns) = join.projection.as_deref() else { return Ok(merge) };
    let schema = merge.schema();
    let exprs = columns.iter().map(|at| {
        let name = schema.field(*at).name();
        ProjectionExpr::new(Arc::new(Column::new(name, *at)), name.clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(exprs.collect::<Vec<_>>(), merge)?))
}

/// The same filter over a row that has the left side's columns before the right side's. DataFusion's merge makes such a row,
/// whatever order the filter has them in: that of a join whose sides have changed places is another one.
fn left_columns_first(filter: &JoinFilter) -> Result<JoinFilter> {
    let indices = filter.column_indices();
    let mut order: Vec<usize> = (0..indices.len()).collect();
    order.sort_by_key(|at| indices[*at].side != JoinSide::Left);
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, from)| place[*from] = to);
    let moved = filter.expression().clone().transform_up(|expr| {
        Ok(match expr.downcast_ref::<Column>() {
            Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), place[column.index()])) as _),
            None => Transformed::no(expr),
        })
    })?;
    let schema = Arc::new(filter.schema().project(&order)?);
    let indices = order.into_iter().map(|at| indices[at].clone()).collect();
    Ok(JoinFilter::new(moved.data, indices, schema))
}

/// Whether DataFusion's merge compares keys of this type.
fn is_merged(key: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Date64, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64,
        LargeBinary, LargeUtf8, Timestamp, Utf8, Utf8View,
    };
    matches!(
        key,
        Boolean
            | Int8
            | Int16
            | Int32
            | Int64
            | Float32
            | Float64
            | Binary
            | BinaryView
            | LargeBinary
            | Utf8
            | Utf8View
            | LargeUtf8
            | Decimal128(..)
            | Date32
            | Date64
            | Timestamp(_, None)
    )
}
