//! What to do and what to know: the scheduler's output.

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId, TaskAttemptId};

use crate::{
    events::{ExecutorLossReason, FetchFailure, TaskFailure},
    map_outputs::OutputLocation,
};

/// One thing that the driver must do, or that it is told. To be carried out in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start this attempt there. Its inputs are complete: where they are, [`crate::Scheduler::map_outputs`] says. If it
    /// cannot be handed over, answer with [`crate::Event::TaskFailed`] or [`crate::Event::ExecutorLost`].
    LaunchTask {
        attempt: TaskAttemptId,
        /// The job on whose behalf the stage runs (the oldest of those that share it).
        job: JobId,
        executor: ExecutorId,
        /// How often this task was launched before.
        attempt_number: u32,
        /// A copy of an attempt that runs elsewhere and takes long: the first one to end counts.
        speculative: bool,
    },
    /// End this attempt. It keeps its slot until the executor says that it ended, one way or the other.
    KillTask {
        attempt: TaskAttemptId,
        executor: ExecutorId,
        reason: KillReason,
    },
    /// This attempt reported success, but another one counts, or none: what it wrote must go.
    DiscardAttemptOutput {
        attempt: TaskAttemptId,
        executor: ExecutorId,
        shuffle: ShuffleId,
    },
    /// This executor was counted lost, and what it had is made elsewhere: it must end. Others may come in its place,
    /// under other names.
    RefuseExecutor {
        executor: ExecutorId,
    },
    /// End this executor: the scheduler counts it as lost already, with all that it had. Another one may come.
    EndExecutor {
        executor: ExecutorId,
        reason: String,
    },

    /// The stage has all its inputs and runs. `tasks` is how many it runs in this attempt, which is fewer than it has
    /// when some outputs are there already.
    StageStarted {
        stage: StageId,
        stage_attempt: u32,
        tasks: u32,
    },
    /// The stage cannot go on before parts of its input are made again. Running attempts go on.
    StageSuspended {
        stage: StageId,
        stage_attempt: u32,
    },
    /// All outputs of the stage are there.
    StageFinished {
        stage: StageId,
        stage_attempt: u32,
    },

    /// The attempt's output is the one that counts of its result task: fetch it, then say
    /// [`crate::Event::ResultFetched`] or [`crate::Event::ResultFetchFailed`]. Nothing to fetch, and nothing to say,
    /// when the location is [`OutputLocation::Driver`].
    ///
    /// A later `ResultReady` of the same task replaces this one, as long as the scheduler has not heard that it was
    /// fetched: rows of another attempt than the last one told must then go.
    ResultReady {
        job: JobId,
        attempt: TaskAttemptId,
        location: OutputLocation,
    },
    /// The outputs of this shuffle became complete, moved or were lost: what executors know of it is out of date.
    MapOutputsChanged {
        shuffle: ShuffleId,
        epoch: u64,
    },
    /// Nobody needs this shuffle any more: its files must go, on every executor.
    RemoveShuffle {
        shuffle: ShuffleId,
    },

    JobSucceeded {
        job: JobId,
    },
    JobFailed {
        job: JobId,
        failure: JobFailure,
    },
    /// The answer to [`crate::Event::JobCancelled`] and [`crate::Event::JobsCancelled`].
    JobCancelled {
        job: JobId,
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// No job needs its stage any more.
    JobEnded,
    /// Its input is made again and will not be the same.
    RolledBack,
    /// Another attempt of the task was faster.
    OtherSucceeded,
}

impl std::fmt::Display for KillReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::JobEnded => "the job has ended",
            Self::RolledBack => "its input is being made again",
            Self::OtherSucceeded => "another attempt of the task was faster",
        })
    }
}

/// Why a job failed, with the error of the attempt that was one too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobFailure {
    /// A defect of the driver, never of the query.
    #[error("the job's graph of stages is not valid: {0}")]
    InvalidSpec(String),
    #[error("task {} of stage {} failed {failures} time(s), the last on executor {executor}: {failure}", attempt.task.partition, attempt.task.stage)]
    Task { attempt: TaskAttemptId, executor: ExecutorId, failures: u32, failure: TaskFailure },
    #[error(
        "stage {stage} could not read its input in {attempts} attempts in a row (spark.stage.maxConsecutiveAttempts): {last}"
    )]
    FetchFailures { stage: StageId, attempts: u32, last: FetchFailure },
    #[error(
        "{failures} executors failed (spark.executor.maxNumFailures = {limit}), the last one, {executor}: {reason}"
    )]
    ExecutorFailures { failures: u32, limit: u32, executor: ExecutorId, reason: ExecutorLossReason },
    #[error("no executor for {waited_ms} ms (firesteel.scheduler.noExecutorsTimeout){}", last_loss(.last))]
    NoExecutors { waited_ms: u64, last: Option<(ExecutorId, ExecutorLossReason)> },
    #[error(
        "stage {stage} must start over because rows of stage {cause} were lost that cannot be made again in the same \
         order, but parts of its result have already been delivered; a sort or a checkpoint before the repartition \
         makes the rows repeatable"
    )]
    CannotRollBack { stage: StageId, cause: StageId },
    #[error(
        "task {task} of stage {stage} cannot run anywhere due to node and executor excludeOnFailure; most recent failure: \
         {last}; exclusion can be configured with spark.excludeOnFailure.*"
    )]
    ExcludedEverywhere { stage: StageId, task: u32, last: String },
    #[error(
        "total size of serialized results of {results} tasks ({bytes} bytes) is bigger than spark.driver.maxResultSize \
         ({limit} bytes)"
    )]
    ResultTooLarge { results: u32, bytes: u64, limit: u64 },
}

fn last_loss(last: &Option<(ExecutorId, ExecutorLossReason)>) -> String {
    match last {
        Some((executor, reason)) => format!("; the last one, {executor}, was lost: {reason}"),
        None => "; none has ever registered".to_owned(),
    }
}
