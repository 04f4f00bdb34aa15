//! The tasks of this executor: their slots, their ends.

use std::{collections::HashMap, sync::Arc, time::Instant};

use firesteel_engine::{
    cache::CacheAccess,
    shuffle::{BlockClient, ShuffleAccess, ShuffleTier},
    task::{TaskEnvironment, TaskProgress, TaskSpec, run_task},
};
use firesteel_protocol::{
    ExecutorId, Fingerprint, ShuffleId, TaskAttemptId,
    proto::{
        self, InternalError, Killed, LaunchTask, QueryError, TaskFailed, TaskFailure, TaskFinished, TaskOutput,
        TaskProgress as TaskProgressMessage, executor_message::Message, task_failure::Cause,
    },
};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    cached,
    driver::{AskError, Driver},
    outbox::Reporter,
    outputs::TaskInputs,
};

/// Runs tasks, as many at a time as there are slots.
pub struct Tasks {
    executor: ExecutorId,
    /// As others reach it.
    address: String,
    env: TaskEnvironment,
    driver: Arc<Driver>,
    client: BlockClient,
    runtime: Handle,
    slots: Arc<Semaphore>,
    number_of_slots: usize,
    running: Mutex<HashMap<u64, Running>>,
}

struct Running {
    id: TaskAttemptId,
    progress: Arc<TaskProgress>,
    cancel: CancellationToken,
}

impl Tasks {
    pub fn new(
        executor: ExecutorId,
        address: String,
        env: TaskEnvironment,
        driver: Arc<Driver>,
        client: BlockClient,
        runtime: Handle,
        slots: u32,
    ) -> Self {
        let number_of_slots = slots.max(1) as usize;
        let slots = Arc::new(Semaphore::new(number_of_slots));
        Self { number_of_slots, executor, address, env, driver, client, runtime, slots, running: Mutex::default() }
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub fn client(&self) -> &BlockClient {
        &self.client
    }

    pub fn env(&self) -> &TaskEnvironment {
        &self.env
    }

    /// Starts an attempt; what comes of it goes to `reports`.
    pub fn launch(self: &Arc<Self>, launch: LaunchTask, reports: Reporter) {
        let Some(id) = launch.id.as_ref().map(TaskAttemptId::from) else {
            tracing::error!("a task without an id was launched");
            return;
        };
        let (progress, cancel) = (Arc::new(TaskProgress::default()), CancellationToken::new());
        let running = Running { id, progress: progress.clone(), cancel: cancel.clone() };
        if self.running.lock().insert(id.attempt, running).is_some() {
            tracing::warn!(task = %id, "a task was launched twice");
        }
        let (tasks, arrived) = (self.clone(), Instant::now());
        self.runtime.spawn(async move {
            let outcome = tasks.attempt(id, launch, arrived, &progress, &cancel).await;
            tasks.running.lock().remove(&id.attempt);
            let metrics = Some(progress.metrics());
            let message = match outcome {
                Ok(output) => {
                    Message::TaskFinished(TaskFinished { id: Some(id.into()), output: Some(output), metrics })
                }
                Err(failure) => {
                    tracing::info!(task = %id, failure = ?failure.cause, "a task failed");
                    Message::TaskFailed(TaskFailed { id: Some(id.into()), failure: Some(failure), metrics })
                }
            };
            // The driver knows of the blocks before it knows that the task is over.
            if let Some(blocks) = cached::changed(tasks.env.session.cache_store()) {
                reports.say(blocks).await;
            }
            // Waits for the driver when that is away.
            reports.say(message).await;
        });
    }

    async fn attempt(
        &self,
        id: TaskAttemptId,
        launch: LaunchTask,
        arrived: Instant,
        progress: &TaskProgress,
        cancel: &CancellationToken,
    ) -> Result<proto::MapStatus, TaskFailure> {
        let slot = tokio::select! {
            () = cancel.cancelled() => return Err(killed("the task was told to end before it started")),
            slot = self.slots.acquire() => slot,
        };
        let _slot = slot.map_err(|_| killed("the executor ends"))?;
        let stage = tokio::select! {
            () = cancel.cancelled() => return Err(killed("the task was told to end before it started")),
            stage = self.driver.stage(launch.plan_key) => stage.map_err(no_plan)?,
        };
        let Some(TaskOutput { shuffle_id, num_partitions, fingerprint }) = launch.output else {
            return Err(failure(Cause::InternalError(InternalError {
                message: "a task without an output was launched".to_owned(),
                retryable: false,
            })));
        };
        if let Some(fingerprint) = Fingerprint::from_bytes(&fingerprint) {
            self.env.store.identify(ShuffleId(shuffle_id), fingerprint);
        }
        let epochs = launch.inputs.iter().map(|input| (ShuffleId(input.shuffle_id), input.epoch)).collect();
        let source = Arc::new(TaskInputs { driver: self.driver.clone(), epochs });
        let local = Some((self.executor.clone(), self.env.store.clone()));
        let tier = ShuffleTier::new(self.env.session.stores().clone());
        let task = TaskSpec {
            job: launch.job_id,
            id,
            stage,
            splits: launch.splits,
            output: ShuffleId(shuffle_id),
            num_partitions,
            shuffles: ShuffleAccess { source, client: self.client.clone(), tier, local },
            cache: CacheAccess::new(self.client.clone(), &self.address, launch.cached),
            queued: arrived.elapsed(),
        };
        run_task(&self.env, task, progress, cancel).await
    }

    pub fn kill(&self, attempt: u64) {
        if let Some(running) = self.running.lock().get(&attempt) {
            running.cancel.cancel();
        }
    }

    pub fn kill_all(&self) {
        self.running.lock().values().for_each(|running| running.cancel.cancel());
    }

    /// Tasks that are here and have no slot yet.
    pub fn waiting(&self) -> usize {
        if self.slots.available_permits() > 0 { 0 } else { self.count().saturating_sub(self.number_of_slots) }
    }

    pub fn count(&self) -> usize {
        self.running.lock().len()
    }

    /// What every task has counted so far.
    pub fn progress(&self) -> Vec<TaskProgressMessage> {
        let running: Vec<_> = self.running.lock().values().map(|r| (r.id, r.progress.clone())).collect();
        running
            .into_iter()
            .map(|(id, progress)| TaskProgressMessage { id: Some(id.into()), metrics: Some(progress.metrics()) })
            .collect()
    }
}

/// The answer to a task that came while the executor leaves.
pub fn refused(launch: &LaunchTask) -> Message {
    let failure = Some(killed("the executor leaves and takes no further tasks"));
    Message::TaskFailed(TaskFailed { id: launch.id, failure, metrics: None })
}

fn no_plan(error: AskError) -> TaskFailure {
    let message = error.to_string();
    failure(match error {
        AskError::Answer(_) => Cause::QueryError(QueryError {
            error_class: "INTERNAL_ERROR".to_owned(),
            sql_state: "XX000".to_owned(),
            message,
            ..Default::default()
        }),
        AskError::Driver(_) => Cause::InternalError(InternalError { message, retryable: true }),
    })
}

fn failure(cause: Cause) -> TaskFailure {
    TaskFailure { cause: Some(cause) }
}

fn killed(reason: &str) -> TaskFailure {
    failure(Cause::Killed(Killed { reason: reason.to_owned() }))
}
