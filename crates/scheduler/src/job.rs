//! What the driver asks for: a job as a graph of stages.

use std::sync::Arc;

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId};

/// One query: a graph of stages whose last one, `result_stage`, is what the driver wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    pub job: JobId,
    /// Every stage that `result_stage` needs, directly or not, in any order.
    ///
    /// A stage that another running job has brought is shared when its spec is equal. A new stage may name a shuffle
    /// that an ended job retained: what is left of its outputs is used, and only what is missing runs.
    pub stages: Vec<StageSpec>,
    pub result_stage: StageId,
    /// Keep the shuffles of this job after its end, until [`crate::Event::ShuffleReleased`]; else they go with the last
    /// job that uses them.
    pub retain_shuffles: bool,
}

/// The tasks between two exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpec {
    pub stage: StageId,
    /// The stages whose shuffles this stage reads.
    pub parents: Vec<StageId>,
    pub num_tasks: u32,
    pub output: StageOutput,
    /// Where each task would best run: empty, or one entry a task.
    pub preferences: Vec<Vec<Preference>>,
    /// Running a task of this stage again may give other rows, or the same rows in another split. When outputs are lost
    /// that somebody has begun to read, the stage and all that follows it start over.
    pub indeterminate: bool,
}

/// Where a stage leaves its rows. Either way they stay with the executors and are addressed by a shuffle id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOutput {
    /// For the tasks of later stages.
    Shuffle { shuffle: ShuffleId, num_reducers: u32 },
    /// For the driver: one block a task, that the driver fetches when told [`crate::Action::ResultReady`].
    Result { shuffle: ShuffleId },
}

impl StageOutput {
    pub fn shuffle(&self) -> ShuffleId {
        match self {
            Self::Shuffle { shuffle, .. } | Self::Result { shuffle } => *shuffle,
        }
    }

    /// Blocks that each task leaves.
    pub fn num_reducers(&self) -> u32 {
        match self {
            Self::Shuffle { num_reducers, .. } => *num_reducers,
            Self::Result { .. } => 1,
        }
    }

    pub fn is_result(&self) -> bool {
        matches!(self, Self::Result { .. })
    }
}

/// A place where a task would find its input. A wish, never a condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Preference {
    Executor(ExecutorId),
    Node(Arc<str>),
}
