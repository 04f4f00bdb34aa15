//! Running it.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use datafusion::{
    common::{Result, internal_err},
    error::DataFusionError,
    execution::{TaskContext, memory_pool::MemoryPool},
    physical_plan::{ExecutionPlan, ExecutionPlanProperties},
};
use firesteel_plan::conf::keys;
use firesteel_protocol::{
    ShuffleId, TaskAttemptId,
    proto::{self, MapStatus, ScanSplit, TaskFailure, TaskMetrics, task_failure::Cause},
};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    failure::{failure_of, task_failure},
    metrics,
};
use crate::{
    EngineSession,
    cache::CacheAccess,
    codec::{PlanCodec, ReceivedStage, apply_splits},
    error::from_datafusion,
    memory::{TaskMemory, bounded, runtime_with_pool},
    shuffle::{
        BlockStore, FetchLimits, MapOutputId, ShuffleAccess, ShuffleWriter, ShuffleWriterOptions, WrittenOutput,
    },
};

/// Which task an operator runs in: an extension of its session configuration. Only in a task on an executor.
#[derive(Debug, Clone, Copy)]
pub struct TaskInfo {
    pub job: u64,
    pub id: TaskAttemptId,
}

/// What the tasks of an executor share.
#[derive(Clone)]
pub struct TaskEnvironment {
    pub session: EngineSession,
    pub codec: PlanCodec,
    pub store: Arc<BlockStore>,
}

/// One attempt at a task.
#[derive(Debug, Clone)]
pub struct TaskSpec {
    pub job: u64,
    pub id: TaskAttemptId,
    pub stage: Arc<ReceivedStage>,
    pub splits: Vec<ScanSplit>,
    pub output: ShuffleId,
    /// Reduce partitions that the driver expects.
    pub num_partitions: u32,
    pub shuffles: ShuffleAccess,
    pub cache: CacheAccess,
    /// Time from the task's arrival to its start.
    pub queued: Duration,
}

/// A view of a running task from outside.
#[derive(Debug, Default)]
pub struct TaskProgress {
    plan: Mutex<Option<Arc<dyn ExecutionPlan>>>,
    written: Mutex<WrittenOutput>,
    memory: Mutex<Weak<TaskMemory>>,
    started: Mutex<Option<Instant>>,
    queued: Mutex<Duration>,
}

impl TaskProgress {
    fn uses(&self, memory: &Arc<TaskMemory>) {
        *self.memory.lock() = Arc::downgrade(memory);
    }

    /// What it has counted so far.
    pub fn metrics(&self) -> TaskMetrics {
        let plan = self.plan.lock().clone();
        let mut total = plan.as_ref().map(metrics::of_plan).unwrap_or_default();
        metrics::add_output(&mut total, &self.written.lock());
        // As long as something of the task is held, its peak is known: its plan's metrics are read from the same place.
        if let Some(memory) = self.memory.lock().upgrade() {
            total.peak_memory_bytes = memory.peak() as u64;
        }
        total.run_nanos = self.started.lock().map_or(0, |start| start.elapsed().as_nanos() as u64);
        total.queue_nanos = self.queued.lock().as_nanos() as u64;
        total
    }
}

/// Runs an attempt to its end. Never panics, whatever the plan does; ends soon after `cancel`.
pub async fn run_task(
    env: &TaskEnvironment,
    task: TaskSpec,
    progress: &TaskProgress,
    cancel: &CancellationToken,
) -> Result<MapStatus, TaskFailure> {
    *progress.started.lock() = Some(Instant::now());
    *progress.queued.lock() = task.queued;
    let work = AssertUnwindSafe(work(env, &task, progress)).catch_unwind();
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(killed("the task was told to end")),
        outcome = work => outcome,
    };
    match outcome {
        Ok(result) => result,
        Err(panic) => Err(failure(Cause::InternalError(proto::InternalError {
            message: format!("the task panicked: {}", panic_message(panic.as_ref())),
            retryable: true,
        }))),
    }
}

async fn work(env: &TaskEnvironment, task: &TaskSpec, progress: &TaskProgress) -> Result<MapStatus, TaskFailure> {
    let conf = task.stage.conf();
    let memory = env.session.memory().task(format!("task {}", task.id));
    progress.uses(&memory);
    let context = task_context(env, task, memory.pool()).map_err(|e| task_failure(&e))?;
    drop(memory);
    let (plan, output) = prepare(env, task, &context).map_err(|e| undecodable(&e))?;
    *progress.plan.lock() = Some(plan.clone());
    let codec = if conf.bool(&keys::SHUFFLE_COMPRESS) { conf.text(&keys::IO_COMPRESSION) } else { "none" };
    let options = ShuffleWriterOptions {
        compression: codec.parse().map_err(|e| task_failure(&crate::error::to_datafusion(e)))?,
        batch_rows: context.session_config().batch_size(),
        most_buffers: usize::try_from(conf.int(&keys::BYPASS_MERGE_THRESHOLD)).unwrap_or(0),
        ..ShuffleWriterOptions::default()
    };
    let write = async {
        let partition = task.id.task.partition;
        let id = MapOutputId { shuffle: task.output, map: partition, attempt: task.id.attempt };
        let pool = context.memory_pool();
        let mut writer = ShuffleWriter::new(&env.store, id, plan.schema(), &output, options, pool)?;
        let mut rows = plan.execute(partition as usize, context.clone())?;
        while let Some(batch) = rows.next().await {
            writer.write(batch?)?;
            let mut written = progress.written.lock();
            written.rows = writer.rows();
            written.sizes = vec![writer.bytes()];
        }
        drop(rows);
        writer.finish()
    };
    let written: WrittenOutput = match write.await {
        Ok(written) => written,
        Err(error) => return Err(failure_of(&error, &plan, &context).await),
    };
    let status = MapStatus { sizes: written.sizes.clone(), rows: written.rows };
    *progress.written.lock() = written;
    Ok(status)
}

fn task_context(env: &TaskEnvironment, task: &TaskSpec, memory: Arc<dyn MemoryPool>) -> Result<Arc<TaskContext>> {
    let limits = FetchLimits::new(task.stage.conf(), env.session.memory().sure_share());
    let config = task
        .stage
        .config(&env.session)
        .with_extension(Arc::new(task.shuffles.clone()))
        .with_extension(Arc::new(limits))
        .with_extension(Arc::new(task.cache.clone()))
        .with_extension(Arc::new(TaskInfo { job: task.job, id: task.id }))
        .with_option_extension(firesteel_functions::TaskOptions::of(u64::from(task.id.task.partition)));
    // Functions come from the plan's codec, so the context needs none.
    let none = (Default::default(), Default::default(), Default::default(), Default::default());
    Ok(Arc::new(TaskContext::new(
        Some(task.id.to_string()),
        format!("job-{}", task.job),
        config,
        none.0,
        none.1,
        none.2,
        none.3,
        runtime_with_pool(env.session.runtime(), memory)?,
    )))
}

type Prepared = (Arc<dyn ExecutionPlan>, datafusion::physical_plan::Partitioning);

fn prepare(env: &TaskEnvironment, task: &TaskSpec, context: &TaskContext) -> Result<Prepared> {
    let stage = env.codec.decode_stage(&task.stage, context)?;
    let plan = apply_splits(stage.plan, &task.splits)?;
    let (partition, partitions) = (task.id.task.partition as usize, plan.output_partitioning().partition_count());
    if partition >= partitions {
        return internal_err!("task {partition} of a plan of {partitions} partitions");
    }
    if stage.output.partition_count() != task.num_partitions as usize {
        return internal_err!(
            "the plan writes {} partitions, its task {}",
            stage.output.partition_count(),
            task.num_partitions
        );
    }
    Ok((bounded(plan)?, stage.output))
}

/// A plan that cannot be had from its bytes is the query's error: it fails the same way everywhere.
fn undecodable(error: &DataFusionError) -> TaskFailure {
    let spark = from_datafusion(error);
    failure(Cause::QueryError(proto::QueryError {
        error_class: spark.class().to_owned(),
        sql_state: spark.sql_state().to_owned(),
        message: format!("The plan cannot be decoded: {}", spark.message()),
        parameters: spark.parameters().clone().into_iter().collect(),
        retryable: false,
    }))
}

fn failure(cause: Cause) -> TaskFailure {
    TaskFailure { cause: Some(cause) }
}

fn killed(reason: &str) -> TaskFailure {
    failure(Cause::Killed(proto::Killed { reason: reason.to_owned() }))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
