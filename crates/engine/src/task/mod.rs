//! One attempt at a task: decode the stage's plan, run one partition of it, write its output, say how it went.

mod failure;
mod metrics;
mod run;

pub use failure::task_failure;
pub use metrics::{scan_size, scanned_bytes};
pub use run::{TaskEnvironment, TaskInfo, TaskProgress, TaskSpec, run_task};
