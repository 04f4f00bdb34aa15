//! What happened: the scheduler's input.

use std::{collections::BTreeMap, fmt, sync::Arc};

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, TaskAttemptId};

use crate::job::{JobSelector, JobSpec};

/// One thing that happened. Events may come late, twice, or about things long gone: those are recognised and ignored.
#[derive(Debug, Clone)]
pub enum Event {
    /// The driver wants this job run. A spec that makes no sense is answered with a failed job.
    JobSubmitted(JobSpec),
    /// A user, a timeout or a closed client no longer wants the job.
    JobCancelled { job: JobId, reason: String },
    /// As [`Event::JobCancelled`], for all jobs that are meant.
    JobsCancelled { jobs: JobSelector, reason: String },

    /// A new executor offers `slots` task slots. One that was lost cannot come back under its name: it is answered with
    /// [`crate::Action::RefuseExecutor`].
    ExecutorRegistered { executor: ExecutorId, node: Arc<str>, slots: u32 },
    /// The executor is about to leave: it gets no further tasks, those it has may end.
    ExecutorDraining { executor: ExecutorId },
    /// The connection to the executor broke, or is there again. While it is broken it gets no tasks; those it has go on.
    ExecutorReachable { executor: ExecutorId, reachable: bool },
    /// These outputs are there already, from before this scheduler began. Comes before the first job that names their
    /// shuffle; of executors that are not there they are ignored.
    OutputsRestored { shuffle: ShuffleId, num_maps: u32, num_reducers: u32, outputs: Vec<RestoredOutput> },
    /// These outputs are now to be had at `to`.
    OutputsMoved { outputs: Vec<OutputRef>, to: OutputHome },
    /// The executor is gone and whatever ran there will not report. `outputs_lost` is false when its outputs are still
    /// served under its name (nothing else about them changed).
    ExecutorLost { executor: ExecutorId, reason: ExecutorLossReason, outputs_lost: bool },

    /// The attempt runs and has read so many rows so far, for speculation. Best told of an ended one too, before its end.
    TaskProgress { attempt: TaskAttemptId, records: u64 },
    /// The attempt says that it is done.
    TaskFinished { attempt: TaskAttemptId, executor: ExecutorId, output: TaskOutput },
    /// The attempt says that it failed, or that it ended because it was told to.
    TaskFailed { attempt: TaskAttemptId, executor: ExecutorId, failure: TaskFailure },

    /// The driver holds all rows of this result.
    ResultFetched { attempt: TaskAttemptId },
    /// The driver cannot get this result. `executor_unreachable` when the executor did not answer at all, so that
    /// nothing of what it holds can be had.
    ResultFetchFailed { attempt: TaskAttemptId, executor_unreachable: bool, message: String },

    /// No further job will name this shuffle.
    ShuffleReleased { shuffle: ShuffleId },

    /// Time has passed; see [`crate::Scheduler::next_deadline`].
    Tick,
}

/// What an attempt left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOutput {
    /// Encoded bytes of each reduce partition's block, one entry a reducer; 0 is an empty block.
    pub sizes: Vec<u64>,
    pub home: TaskOutputHome,
}

impl TaskOutput {
    /// Output that stays on the executor that ran the attempt.
    pub fn on_executor(sizes: Vec<u64>) -> Self {
        Self { sizes, home: TaskOutputHome::Executor }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskOutputHome {
    /// In the files of the executor that ran the attempt.
    Executor,
    /// In the message itself: the driver has it, it cannot be lost and need not be fetched.
    Driver,
}

/// An output that an executor holds from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredOutput {
    pub map_index: u32,
    pub attempt: u64,
    pub executor: ExecutorId,
    /// As [`TaskOutput::sizes`].
    pub sizes: Vec<u64>,
}

/// The output of one attempt of a map task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputRef {
    pub shuffle: ShuffleId,
    pub map_index: u32,
    /// [`TaskAttemptId::attempt`] of the attempt that wrote it.
    pub attempt: u64,
}

/// Where outputs can be moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputHome {
    Executor(ExecutorId),
    /// The store behind the executors, which outlives them.
    Store,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskFailure {
    /// Its input could not be had. Never the task's fault.
    FetchFailed(FetchFailure),
    /// The query's own error. `retryable` is false where a second try must give the same: the job fails at once.
    Query {
        error: QueryError,
        retryable: bool,
    },
    OutOfMemory {
        message: String,
    },
    DiskFull {
        message: String,
    },
    /// It was told to end, by the scheduler or by its executor. Never the task's fault.
    Killed {
        reason: String,
    },
    /// The executor that ran it is gone.
    ExecutorLost {
        executor: ExecutorId,
        reason: ExecutorLossReason,
    },
    /// The driver found the result gone when it wanted to fetch it.
    ResultLost {
        message: String,
    },
    /// A defect, a lost dependency, a storage error, a task that could not be handed to its executor.
    Internal {
        message: String,
        retryable: bool,
    },
}

/// Blocks that a task wanted and could not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFailure {
    pub shuffle: ShuffleId,
    /// Where they were thought to be; `None` for the store, or when no place was known.
    pub executor: Option<ExecutorId>,
    /// Whose blocks: empty means all of this shuffle that are there.
    pub map_indexes: Vec<u32>,
    /// The executor answered and the blocks are damaged: only they are lost. Otherwise all that the executor holds
    /// counts as lost, of every shuffle. (Of the store's, only the blocks that are named are ever lost.)
    pub corrupt: bool,
    pub message: String,
}

/// An error of the query with Spark's error class; carried, not interpreted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryError {
    pub error_class: String,
    pub sql_state: String,
    pub message: String,
    pub parameters: BTreeMap<String, String>,
}

/// Why an executor is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutorLossReason {
    /// Killed for using more memory than its limit.
    OutOfMemory,
    /// Its process ended with this exit code, or by a signal.
    Crashed { exit_code: Option<i32> },
    /// Its heartbeats or its connection stopped, and nothing says why.
    Unresponsive { message: String },
    /// Taken by the cluster: evicted, preempted, its node drained or gone, its pod deleted by others.
    TakenByCluster { message: String },
    /// It was told to leave (its node drained, its pod deleted) and did so in good order.
    Left { message: String },
    /// Ended by the driver's wish: scaled down, idle.
    Released,
}

impl ExecutorLossReason {
    /// Whether the loss counts against the tasks that ran there (`spark.task.maxFailures`).
    pub fn blames_tasks(&self) -> bool {
        match self {
            Self::OutOfMemory | Self::Crashed { .. } | Self::Unresponsive { .. } => true,
            Self::TakenByCluster { .. } | Self::Left { .. } | Self::Released => false,
        }
    }

    /// Whether the loss counts as an executor failure (`spark.executor.maxNumFailures`).
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Released | Self::Left { .. })
    }
}

impl fmt::Display for ExecutorLossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("killed for using more memory than its limit"),
            Self::Crashed { exit_code: Some(code) } => write!(f, "its process ended with exit code {code}"),
            Self::Crashed { exit_code: None } => f.write_str("its process ended by a signal"),
            Self::Unresponsive { message } => write!(f, "no longer answering: {message}"),
            Self::TakenByCluster { message } => write!(f, "taken by the cluster: {message}"),
            Self::Left { message } => write!(f, "left in good order: {message}"),
            Self::Released => f.write_str("released by the driver"),
        }
    }
}

impl fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.corrupt { "damaged blocks" } else { "blocks not available" };
        write!(f, "{what} of shuffle {}", self.shuffle)?;
        if let Some(executor) = &self.executor {
            write!(f, " on executor {executor}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.error_class.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "[{}] {}", self.error_class, self.message)
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FetchFailed(failure) => write!(f, "fetch failed: {failure}"),
            Self::Query { error, .. } => error.fmt(f),
            Self::OutOfMemory { message } => write!(f, "out of memory: {message}"),
            Self::DiskFull { message } => write!(f, "disk full: {message}"),
            Self::Killed { reason } => write!(f, "killed: {reason}"),
            Self::ExecutorLost { executor, reason } => write!(f, "executor {executor} was lost: {reason}"),
            Self::ResultLost { message } => write!(f, "the result was lost before the driver had it: {message}"),
            Self::Internal { message, .. } => f.write_str(message),
        }
    }
}
