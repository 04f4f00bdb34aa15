//! An executor: registers with its driver, runs tasks in its slots, serves their map outputs.
//!
//! It has two runtimes. One thread set runs tasks and nothing else; another beats, talks to the driver and serves
//! blocks, so that no task can keep the executor from being heard.

mod agent;
mod cached;
mod driver;
mod handover;
mod inventory;
mod listen;
mod options;
mod outbox;
mod outputs;
mod service;
mod tasks;

use std::thread::{self, JoinHandle};

use firesteel_engine::codec::PlanCodec;
use firesteel_protocol::ExecutorId;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

pub use options::{EXECUTOR_PORT, ExecutorError, ExecutorOptions};

use agent::{Agent, Stop};

/// Plans may nest deeply, and so do the calls that run them.
const TASK_STACK_BYTES: usize = 16 << 20;
const CONTROL_THREADS: usize = 2;
/// Threads that read blocks from disk for others.
const READER_THREADS: usize = 16;

/// Runs an executor until its driver says goodbye (`Ok`), it is told to end by SIGTERM (`Ok` after its grace), or it
/// has lost its driver for good (an error). Makes its own runtimes: call it from a thread that is not in one.
pub fn run_executor(options: ExecutorOptions) -> Result<(), ExecutorError> {
    run_executor_with(options, PlanCodec::standard())
}

/// As [`run_executor`], with a codec that knows further kinds of plan nodes.
pub fn run_executor_with(options: ExecutorOptions, codec: PlanCodec) -> Result<(), ExecutorError> {
    let stop = Stop::default();
    run(options, codec, stop, true)
}

fn run(options: ExecutorOptions, codec: PlanCodec, stop: Stop, signals: bool) -> Result<(), ExecutorError> {
    let failed = |e: std::io::Error| ExecutorError::Internal(format!("cannot start threads: {e}"));
    let tasks = Builder::new_multi_thread()
        .worker_threads(options.cores.max(1) as usize)
        .thread_name("firesteel-task")
        .thread_stack_size(TASK_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(failed)?;
    let control = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .max_blocking_threads(READER_THREADS)
        .thread_name("firesteel-control")
        .enable_all()
        .build()
        .map_err(failed)?;
    let result = control.block_on(async {
        if signals {
            watch_signals(stop.terminate.clone())?;
        }
        let agent = Agent::start(options, codec, tasks.handle().clone(), stop).await?;
        agent.run().await
    });
    // Tasks that do not end when told end with the process.
    tasks.shutdown_background();
    control.shutdown_background();
    result
}

fn watch_signals(terminate: CancellationToken) -> Result<(), ExecutorError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |e: std::io::Error| ExecutorError::Internal(format!("cannot watch for signals: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        terminate.cancel();
    });
    Ok(())
}

/// An executor on threads of this process. Dropping the handle kills it abruptly: its server stops, its tasks end, its
/// driver sees a lost stream.
#[derive(Debug)]
pub struct InProcessExecutor {
    id: ExecutorId,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), ExecutorError>>>,
}

impl InProcessExecutor {
    pub fn id(&self) -> &ExecutorId {
        &self.id
    }

    /// As by SIGTERM: says that it leaves, lets its tasks end within the grace, ends.
    pub fn terminate(&self) {
        self.stop.terminate.cancel();
    }

    /// Ends it at once, as SIGKILL would.
    pub fn kill(&self) {
        self.stop.kill.cancel();
    }

    /// Waits for its end. Blocks.
    pub fn join(mut self) -> Result<(), ExecutorError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(ExecutorError::Internal("the executor's thread panicked".to_owned())),
            None => Ok(()),
        }
    }
}

impl Drop for InProcessExecutor {
    fn drop(&mut self) {
        self.stop.kill.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(executor = %self.id, "the executor's thread panicked");
        }
    }
}

/// Starts an executor as [`run_executor`] would, but on threads of this process and without touching its signals.
pub fn start_in_process(options: ExecutorOptions) -> Result<InProcessExecutor, ExecutorError> {
    start_in_process_with(options, PlanCodec::standard())
}

/// As [`start_in_process`], with a codec that knows further kinds of plan nodes.
pub fn start_in_process_with(options: ExecutorOptions, codec: PlanCodec) -> Result<InProcessExecutor, ExecutorError> {
    let (id, stop) = (options.executor_id.clone(), Stop::default());
    let its_stop = stop.clone();
    let thread = thread::Builder::new()
        .name(format!("firesteel-{id}"))
        .spawn(move || run(options, codec, its_stop, false))
        .map_err(|e| ExecutorError::Internal(format!("cannot start a thread: {e}")))?;
    Ok(InProcessExecutor { id, stop, thread: Some(thread) })
}
