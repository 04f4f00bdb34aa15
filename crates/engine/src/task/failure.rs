//! DataFusion's errors as the typed failures that the scheduler decides by.

use std::{io, sync::Arc};

use datafusion::{error::DataFusionError, execution::TaskContext, physical_plan::ExecutionPlan};
use firesteel_plan::SparkError;
use firesteel_protocol::proto::{self, TaskFailure, task_failure::Cause};

use crate::{
    error::{find, from_datafusion},
    shuffle::{FetchFailedError, StoreError},
    source::{is_about_a_file, naming_file},
};

/// Why a task failed, however deep in wrappers the cause is.
pub fn task_failure(error: &DataFusionError) -> TaskFailure {
    TaskFailure { cause: Some(cause(error)) }
}

fn cause(error: &DataFusionError) -> Cause {
    if let Some(failed) = find::<FetchFailedError>(error) {
        return Cause::FetchFailed(failed.into());
    }
    match find::<StoreError>(error) {
        Some(full @ StoreError::DiskFull { .. }) => return disk_full(full.to_string()),
        Some(removed @ StoreError::Removed(_)) => {
            return Cause::Killed(proto::Killed { reason: removed.to_string() });
        }
        Some(other) => return internal(other.to_string()),
        None => {}
    }
    if let Some(io) = find::<io::Error>(error)
        && matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    {
        return disk_full(format!("the local disk is full: {io}. Give spark.local.dir a larger volume"));
    }
    if let Some(query) = find::<SparkError>(error) {
        return query_error(query);
    }
    if let DataFusionError::ResourcesExhausted(message) = error.find_root() {
        return Cause::OutOfMemory(proto::OutOfMemory { message: message.clone() });
    }
    let spark = from_datafusion(error);
    if spark.class() == "INTERNAL_ERROR" { internal(error.strip_backtrace()) } else { query_error(&spark) }
}

/// As [`task_failure`], naming the damaged file where there is one.
pub async fn failure_of(
    error: &DataFusionError,
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> TaskFailure {
    let mut failure = task_failure(error);
    if let Some(Cause::QueryError(query)) = &mut failure.cause
        && is_about_a_file(&query.error_class)
    {
        let named = naming_file(from_datafusion(error), plan, context).await;
        query.message = named.message().to_owned();
        query.parameters = named.parameters().clone().into_iter().collect();
    }
    failure
}

fn disk_full(message: String) -> Cause {
    Cause::DiskFull(proto::DiskFull { message })
}

fn internal(message: String) -> Cause {
    Cause::InternalError(proto::InternalError { message, retryable: true })
}

fn query_error(error: &SparkError) -> Cause {
    let class = error.class();
    // Storage may answer the next time; a value that cannot be cast will not.
    let retryable = ["FAILED_READ_FILE", "TASK_WRITE_FAILED", "INTERNAL_ERROR"].iter().any(|c| class.starts_with(c));
    Cause::QueryError(proto::QueryError {
        error_class: class.to_owned(),
        sql_state: error.sql_state().to_owned(),
        message: error.message().to_owned(),
        parameters: error.parameters().clone().into_iter().collect(),
        retryable,
    })
}
