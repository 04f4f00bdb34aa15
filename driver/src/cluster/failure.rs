//! Failures between the wire, the scheduler and the person.

use firesteel_plan::SparkError;
use firesteel_protocol::{ExecutorId, ShuffleId, proto};
use firesteel_scheduler::{FetchFailure, JobFailure, QueryError, TaskFailure};

pub fn from_wire(failure: Option<proto::TaskFailure>) -> TaskFailure {
    use proto::task_failure::Cause;
    match failure.and_then(|f| f.cause) {
        Some(Cause::FetchFailed(f)) => TaskFailure::FetchFailed(FetchFailure {
            shuffle: ShuffleId(f.shuffle_id),
            executor: Some(f.executor_id).filter(|e| !e.is_empty()).map(ExecutorId::from),
            map_indexes: f.map_indexes,
            corrupt: f.corrupt,
            message: f.message,
        }),
        Some(Cause::QueryError(e)) => TaskFailure::Query {
            error: QueryError {
                error_class: e.error_class,
                sql_state: e.sql_state,
                message: e.message,
                parameters: e.parameters.into_iter().collect(),
            },
            retryable: e.retryable,
        },
        Some(Cause::OutOfMemory(e)) => TaskFailure::OutOfMemory { message: e.message },
        Some(Cause::DiskFull(e)) => TaskFailure::DiskFull { message: e.message },
        Some(Cause::Killed(e)) => TaskFailure::Killed { reason: e.reason },
        Some(Cause::InternalError(e)) => TaskFailure::Internal { message: e.message, retryable: e.retryable },
        None => TaskFailure::Internal { message: "the executor gave no reason".to_owned(), retryable: true },
    }
}

/// The error a person sees when a job fails.
pub fn to_error(failure: &JobFailure) -> SparkError {
    let JobFailure::Task { failure: cause, .. } = failure else {
        let class = match failure {
            JobFailure::NoExecutors { .. } => "EXECUTORS_NOT_AVAILABLE",
            JobFailure::ExecutorFailures { .. } => "EXECUTORS_FAILED",
            JobFailure::ResultTooLarge { bytes, limit, .. } => {
                return crate::application::result_too_large(*bytes, *limit);
            }
            _ => "JOB_ABORTED",
        };
        return SparkError::new(class, "58000", sentence(failure));
    };
    match cause {
        TaskFailure::Query { error, .. } => {
            let mut out = SparkError::new(&error.error_class, &error.sql_state, &error.message);
            for (name, value) in &error.parameters {
                out = out.param(name, value);
            }
            out
        }
        TaskFailure::OutOfMemory { .. } => SparkError::new(
            "UNABLE_TO_ACQUIRE_MEMORY",
            "53200",
            format!("{} Raise spark.executor.memory or spark.sql.shuffle.partitions.", sentence(failure)),
        ),
        TaskFailure::DiskFull { .. } => SparkError::new(
            "DISK_FULL",
            "53100",
            format!("{} Give executors a larger volume for spark.local.dir.", sentence(failure)),
        ),
        _ => SparkError::new("JOB_ABORTED", "58000", sentence(failure)),
    }
}

fn sentence(failure: &JobFailure) -> String {
    format!("Job aborted: {failure}.")
}
