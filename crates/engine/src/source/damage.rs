//! Which file is damaged, or has columns of other types than the table: readers fail without telling it.

use std::{sync::Arc, time::Duration};

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    execution::TaskContext,
    physical_plan::ExecutionPlan,
};
use firesteel_plan::SparkError;
use futures::TryStreamExt;

use super::columns::COLUMN_MISMATCH;
use crate::{error::from_datafusion, stage::file_scan};

/// Reading again must not take longer than people wait for an error.
const LOOK_FOR: Duration = Duration::from_secs(60);
/// Files that a message names when it is not known which of them it is.
const SHOWN: usize = 5;

/// `error`, which ended a run of `plan`, with the file that it is about, when it is about one and does not say which.
pub async fn naming_file(error: SparkError, plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> SparkError {
    if !is_about_a_file(error.class()) || error.parameters().contains_key("path") {
        return error;
    }
    let files = files(plan);
    let found = tokio::time::timeout(LOOK_FOR, damaged(&files, error.class(), context)).await.ok().flatten();
    let (named, told) = match (found, files.as_slice()) {
        (Some(file), _) => (file.clone(), format!("The file is {file}.")),
        (None, []) => return error,
        (None, [(scan, file)]) => (url(scan, file), format!("The file is {}.", url(scan, file))),
        (None, several) => {
            let first: Vec<String> = several.iter().take(SHOWN).map(|(scan, file)| url(scan, file)).collect();
            let more =
                if several.len() > SHOWN { format!(" and {} more", several.len() - SHOWN) } else { String::new() };
            (first.join(", "), format!("It is one of {}{more}.", first.join(", ")))
        }
    };
    let remedy = match error.class() {
        COLUMN_MISMATCH => "Give the table's column the type that it has in the file.",
        _ => "Replace or remove it.",
    };
    let message = format!("{} {told} {remedy}", error.message());
    let mut told = SparkError::new(error.class(), error.sql_state(), message);
    for (name, value) in error.parameters() {
        told = told.param(name.clone(), value.clone());
    }
    told.param("path", named)
}

pub(crate) const UNREADABLE: &str = "FAILED_READ_FILE.NO_HINT";

/// Whether readers may have failed so without telling of which file.
pub(crate) fn is_about_a_file(class: &str) -> bool {
    [UNREADABLE, COLUMN_MISMATCH].contains(&class)
}

/// Reads one file after the other until one fails so.
async fn damaged(
    files: &[(FileScanConfig, PartitionedFile)],
    class: &str,
    context: &Arc<TaskContext>,
) -> Option<String> {
    for (scan, file) in files {
        let alone = FileScanConfigBuilder::from(scan.clone())
            .with_file_groups(vec![FileGroup::new(vec![file.clone()])])
            .with_limit(None)
            .build();
        let read = DataSourceExec::from_data_source(alone).execute(0, context.clone());
        let drained = async { read?.try_for_each(|_| futures::future::ready(Ok(()))).await };
        if let Err(error) = drained.await
            && from_datafusion(&error).class() == class
        {
            return Some(url(scan, file));
        }
    }
    None
}

/// The files that `plan` scans, each with its scan.
fn files(plan: &Arc<dyn ExecutionPlan>) -> Vec<(FileScanConfig, PartitionedFile)> {
    let mut found = Vec::new();
    let _ = plan.apply(|node| {
        if let Some(scan) = file_scan(node) {
            let files = scan.file_groups.iter().flat_map(|group| group.iter());
            found.extend(files.map(|file| (scan.clone(), file.clone())));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn url(scan: &FileScanConfig, file: &PartitionedFile) -> String {
    format!("{}/{}", scan.object_store_url.as_str().trim_end_matches('/'), file.object_meta.location)
}
