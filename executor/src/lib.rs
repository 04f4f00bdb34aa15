//! An executor: registers with its driver, runs tasks in its slots, serves their map outputs.

mod options;

use firesteel_protocol::ExecutorId;

pub use options::{ExecutorError, ExecutorOptions};

/// Runs an executor until its driver says goodbye (`Ok`), it is told to end by SIGTERM (`Ok` after its grace), or it
/// has lost its driver for good (an error). Makes its own runtimes: call it from a thread that is not in one.
pub fn run_executor(options: ExecutorOptions) -> Result<(), ExecutorError> {
    let _ = options;
    Err(ExecutorError::Config("not built yet".to_owned()))
}

/// An executor on threads of this process. Dropping the handle kills it abruptly: its server stops, its tasks end, its
/// driver sees a lost stream.
#[derive(Debug)]
pub struct InProcessExecutor {
    id: ExecutorId,
}

impl InProcessExecutor {
    pub fn id(&self) -> &ExecutorId {
        &self.id
    }

    /// As by SIGTERM: says that it leaves, lets its tasks end within the grace, ends.
    pub fn terminate(&self) {}

    /// Waits for its end. Blocks.
    pub fn join(self) -> Result<(), ExecutorError> {
        Ok(())
    }
}

/// Starts an executor as [`run_executor`] would, but on threads of this process and without touching its signals.
pub fn start_in_process(options: ExecutorOptions) -> Result<InProcessExecutor, ExecutorError> {
    Ok(InProcessExecutor { id: options.executor_id })
}
