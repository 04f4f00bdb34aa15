//! The driver in a pod.

use std::{path::Path, process::ExitCode};

/// Runs the job of the mounted file.
pub async fn run(_job: &Path) -> ExitCode {
    ExitCode::FAILURE
}
