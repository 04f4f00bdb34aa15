//! DataFusion's errors as the typed failures that the scheduler decides by.

use std::{io, sync::Arc};

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::DataFusionError,
    physical_plan::ExecutionPlan,
};
use firesteel_plan::SparkError;
use firesteel_protocol::proto::{self, TaskFailure, task_failure::Cause};

use crate::{
    error::{find, from_datafusion},
    shuffle::{FetchFailedError, StoreError},
    stage::file_scan,
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

/// Readers do not tell which file is damaged: the files that the task reads are named, which are few.
pub fn naming_files(mut failure: TaskFailure, plan: &Arc<dyn ExecutionPlan>) -> TaskFailure {
    const SHOWN: usize = 5;
    if let Some(Cause::QueryError(error)) = &mut failure.cause
        && error.error_class == "FAILED_READ_FILE.NO_HINT"
        && !error.parameters.contains_key("path")
    {
        let files = files(plan);
        let named = files[..files.len().min(SHOWN)].join(", ");
        let told = match files.len() {
            0 => return failure,
            1 => format!(" The file is {named}."),
            n if n > SHOWN => format!(" It is one of {named} and {} more.", n - SHOWN),
            _ => format!(" It is one of {named}."),
        };
        error.message.push_str(&told);
        error.parameters.insert("path".to_owned(), named);
    }
    failure
}

/// URLs of the files that a task's plan scans.
fn files(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut found = Vec::new();
    let _ = plan.apply(|node| {
        if let Some(scan) = file_scan(node) {
            let store = scan.object_store_url.as_str().trim_end_matches('/');
            let groups = scan.file_groups.iter().flat_map(|group| group.iter());
            found.extend(groups.map(|file| format!("{store}/{}", file.object_meta.location)));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found.sort();
    found.dedup();
    found
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
