//! Hints about the way of a join (`BROADCAST(t)`, `MERGE`, …), from the query to the rule that heeds them
//! ([`crate::optimize`]): a node in the logical plan above what is hinted, and one in the physical plan until joins are chosen.

use std::{cmp::Ordering, collections::HashSet, fmt, sync::Arc};

use datafusion::{
    common::{DFSchemaRef, Result, Statistics, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        statistics::{ChildStats, StatisticsArgs},
    },
};

/// In the order in which one goes before another where both sides of a join have one, as in Spark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JoinHint {
    /// Every task reads this side whole.
    Broadcast,
    /// Both sides are sorted and merged.
    Merge,
    /// Hash tables are built from this side, partition by partition.
    ShuffleHash,
    /// Every row with every row. Heeded by joins without equal keys, which run so anyway.
    ShuffleReplicateNestedLoop,
}

impl JoinHint {
    /// By one of the names that Spark knows it by, in capitals.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "BROADCAST" | "BROADCASTJOIN" | "MAPJOIN" => Self::Broadcast,
            "MERGE" | "SHUFFLE_MERGE" | "MERGEJOIN" => Self::Merge,
            "SHUFFLE_HASH" => Self::ShuffleHash,
            "SHUFFLE_REPLICATE_NL" => Self::ShuffleReplicateNestedLoop,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JoinHintNode {
    pub input: Arc<LogicalPlan>,
    pub hint: JoinHint,
}

impl JoinHintNode {
    pub fn plan(input: LogicalPlan, hint: JoinHint) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input: Arc::new(input), hint }) })
    }
}

impl PartialOrd for JoinHintNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for JoinHintNode {
    fn name(&self) -> &str {
        "JoinHint"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// Filters may go below it.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "JoinHint: {:?}", self.hint)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop().filter(|_| inputs.is_empty()) else {
            return internal_err!("a hint has one input");
        };
        Ok(Self { input: Arc::new(input), hint: self.hint })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// Its input, hinted.
#[derive(Debug, Clone)]
pub struct JoinHintExec {
    pub input: Arc<dyn ExecutionPlan>,
    pub hint: JoinHint,
}

impl DisplayAs for JoinHintExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHintExec: {:?}", self.hint)
    }
}

impl ExecutionPlan for JoinHintExec {
    fn name(&self) -> &'static str {
        "JoinHintExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop().filter(|_| children.is_empty()) else {
            return internal_err!("a hint has one input");
        };
        Ok(Arc::new(Self { input, hint: self.hint }))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match inputs {
            [input] => Ok(input.clone()),
            _ => internal_err!("a hint has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
