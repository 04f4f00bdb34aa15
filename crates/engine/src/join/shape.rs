//! What all parts of one join have in common.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{JoinType, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, HashJoinExecBuilder, PartitionMode},
    },
};

use super::feed::Feed;

/// The join of one pair of streams, whichever part of the whole they are.
#[derive(Debug)]
pub(super) struct Shape {
    pub join: Arc<HashJoinExec>,
    pub left_keys: Vec<Arc<dyn PhysicalExpr>>,
    pub right_keys: Vec<Arc<dyn PhysicalExpr>>,
}

impl Shape {
    pub fn new(join: Arc<HashJoinExec>) -> Self {
        let (left_keys, right_keys) = join.on().iter().cloned().unzip();
        Self { join, left_keys, right_keys }
    }

    pub fn left_schema(&self) -> SchemaRef {
        self.join.left().schema()
    }

    pub fn right_schema(&self) -> SchemaRef {
        self.join.right().schema()
    }

    pub fn schema(&self) -> SchemaRef {
        self.join.schema()
    }

    pub fn join_type(&self) -> JoinType {
        *self.join.join_type()
    }

    /// Whether `left` must be read although `right` is empty.
    pub fn keeps_left(&self) -> bool {
        matches!(self.join_type(), JoinType::Left | JoinType::Full | JoinType::LeftAnti | JoinType::LeftMark)
    }

    /// Whether `right` must be read although `left` is empty.
    pub fn keeps_right(&self) -> bool {
        matches!(self.join_type(), JoinType::Right | JoinType::Full | JoinType::RightAnti | JoinType::RightMark)
    }

    /// Both streams joined by DataFusion's hash join, which takes its memory from `context`.
    pub fn hash_join(
        &self,
        left: SendableRecordBatchStream,
        right: SendableRecordBatchStream,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.hash_join_as(left, right, context, |join| join)
    }

    /// As [`Self::hash_join`], changed by `with`.
    pub fn hash_join_as(
        &self,
        left: SendableRecordBatchStream,
        right: SendableRecordBatchStream,
        context: Arc<TaskContext>,
        with: impl FnOnce(HashJoinExecBuilder) -> HashJoinExecBuilder,
    ) -> Result<SendableRecordBatchStream> {
        let join = self
            .join
            .builder()
            .reset_state()
            .with_null_aware(false)
            .with_partition_mode(PartitionMode::Partitioned)
            .recompute_properties();
        let join =
            with(join).with_new_children(vec![Arc::new(Feed::one(left)), Arc::new(Feed::one(right))])?.build()?;
        join.execute(0, context)
    }
}
