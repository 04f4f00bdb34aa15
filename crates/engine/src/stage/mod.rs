//! From one physical plan to a graph of stages.
//!
//! A plan is cut where rows change hands: at hash, range and round-robin repartitions, where many partitions become
//! one, and at the build sides that every task of a join reads whole. What is below a cut becomes a stage of its own
//! that writes a shuffle; in its place stands a [`crate::shuffle::ShuffleReaderExec`].

mod cut;
mod join;
mod scans;
mod subquery;

use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use firesteel_protocol::ShuffleId;

pub use cut::{Progress, cut, cut_ready};
pub(crate) use cut::{each_node, grow_stack, over, partitions};
pub(crate) use join::outputs_build_rows;
pub use scans::{ScanPartition, scan_partitions};
pub(crate) use scans::{each_read, file_scan};
pub use subquery::inline_scalar_subqueries;

/// A query as a graph of stages.
#[derive(Debug, Clone)]
pub struct StageGraph {
    /// In topological order: every stage comes after those whose shuffles it reads. The last one is the result stage.
    pub stages: Vec<Stage>,
}

impl StageGraph {
    /// The stage whose rows are the query's result.
    pub fn result(&self) -> Option<&Stage> {
        self.stages.last()
    }
}

/// The tasks between two exchanges. Task `p` runs partition `p` of `plan` and writes its rows, split by `output`, as
/// map output `p` of `shuffle`.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its index in [`StageGraph::stages`].
    pub index: usize,
    pub plan: Arc<dyn ExecutionPlan>,
    /// At least 1.
    pub num_tasks: usize,
    /// What its tasks write. The result stage writes one too, with one reduce partition, that the driver fetches.
    pub shuffle: ShuffleId,
    /// How the rows of a task are spread over reduce partitions. `UnknownPartitioning(1)` where there is only one.
    pub output: Partitioning,
    /// The shuffles it reads, each once.
    pub inputs: Vec<StageInput>,
    /// Running a task again may give other rows, or the same rows in another split (round-robin over rows that come
    /// in no fixed order, limits, volatile functions).
    pub indeterminate: bool,
    /// A cached relation is computed from it: it runs as far as blocks of that are missing, never for itself.
    pub lineage: bool,
    /// Its readers must see as many reduce partitions as it writes: the query says how many, or there is one.
    pub counted: bool,
}

impl Stage {
    /// Blocks that each task writes.
    pub fn num_reducers(&self) -> usize {
        self.output.partition_count()
    }
}

/// A shuffle that a stage reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageInput {
    /// Index of the stage that writes it.
    pub stage: usize,
    pub shuffle: ShuffleId,
    pub kind: InputKind,
    /// Only cached relations are computed from it, and every block of them is somewhere: it need not be there before the
    /// stage runs, and is made when a block is lost after all.
    pub lazy: bool,
}

/// Which blocks a reader's partition consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// Partition `p` reads block `p` of every map output.
    Partitioned,
    /// The one partition reads every block of every map output, in any order.
    Gather,
    /// Partition `m` reads all blocks of map output `m`, in the order they were written.
    PerMap,
    /// As `Gather`, read whole by every task of the stage: the build side of a broadcast join.
    Broadcast,
}
