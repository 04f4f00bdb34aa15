//! The scheduler and everybody it talks to.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use firesteel_engine::{
    EngineSession,
    codec::{EncodedStage, PlanCodec},
    shuffle::{BlockClient, MapOutputId, fetch_result},
};
use firesteel_plan::{SparkError, SparkResult, conf::keys};
use firesteel_protocol::{
    ExecutorId, JobId, ShuffleId, StageId, TaskAttemptId,
    proto::{
        self, DriverMessage, KillTask, LaunchTask, MapOutputs, OutputLocation as WireLocation, RemoveAttemptOutput,
        RemoveShuffle, ShuffleInput, Shutdown, TaskMetrics, TaskOutput as WireTaskOutput, driver_message::Message,
    },
};
use firesteel_scheduler::{
    Action, Event, ExecutorLossReason, JobSpec, OutputLocation, Scheduler, SchedulerConfig, StageState, TaskFailure,
    TaskOutput,
};
use futures::TryStreamExt;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{failure, job::JobMessage};
use crate::progress::ProgressSender;

/// Messages that may wait for an executor. More than its slots could ever want.
pub const OUTBOX: usize = 4096;
/// How long the end of an executor's stream waits for a better explanation.
const EXPLAIN_LOSS: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Core {
    me: Weak<Core>,
    engine: EngineSession,
    progress: ProgressSender,
    codec: PlanCodec,
    blocks: BlockClient,
    started: Instant,
    next_job: AtomicU64,
    next_stage: AtomicU32,
    state: Mutex<State>,
}

struct State {
    scheduler: Scheduler,
    actions: Vec<Action>,
    executors: BTreeMap<ExecutorId, Connection>,
    stages: HashMap<StageId, StageEntry>,
    jobs: HashMap<JobId, JobEntry>,
    /// Counts of ended jobs.
    ended: Counts,
    failed_tasks: u64,
    /// Why no further job is run.
    stopped: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    stages: u64,
    stages_done: u64,
    tasks: u64,
    tasks_done: u64,
}

struct Connection {
    outbox: mpsc::Sender<Result<DriverMessage, tonic::Status>>,
    address: String,
    node: String,
    slots: u32,
    last_heard: Instant,
    /// When its stream ended, if it did.
    ended: Option<Instant>,
    leaving: bool,
}

/// An executor as people see it.
#[derive(Debug, Clone)]
pub struct ExecutorView {
    pub id: ExecutorId,
    pub node: String,
    pub slots: u32,
}

/// A stage of a running job.
pub struct StageEntry {
    pub job: JobId,
    pub encoded: Arc<EncodedStage>,
    pub num_tasks: u32,
    pub shuffle: ShuffleId,
    pub num_reducers: u32,
    pub inputs: Vec<ShuffleId>,
}

pub struct JobEntry {
    pub messages: mpsc::UnboundedSender<JobMessage>,
    pub result_schema: SchemaRef,
    pub result_stage: StageId,
    pub result_shuffle: ShuffleId,
    pub stages: Vec<StageId>,
    pub fetched_bytes: u64,
}

impl Core {
    pub fn new(
        engine: EngineSession,
        progress: ProgressSender,
        config: SchedulerConfig,
        token: &str,
    ) -> SparkResult<Arc<Self>> {
        let blocks = BlockClient::new(token, CONNECT_TIMEOUT).map_err(|e| SparkError::internal(e.message()))?;
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            engine,
            progress,
            codec: PlanCodec::standard(),
            blocks,
            started: Instant::now(),
            next_job: AtomicU64::new(0),
            next_stage: AtomicU32::new(0),
            state: Mutex::new(State {
                scheduler: Scheduler::new(config),
                actions: Vec::new(),
                executors: BTreeMap::new(),
                stages: HashMap::new(),
                jobs: HashMap::new(),
                ended: Counts::default(),
                failed_tasks: 0,
                stopped: None,
            }),
        }))
    }

    pub fn engine(&self) -> &EngineSession {
        &self.engine
    }

    pub fn codec(&self) -> &PlanCodec {
        &self.codec
    }

    pub fn progress(&self) -> &ProgressSender {
        &self.progress
    }

    pub fn new_job_id(&self) -> JobId {
        JobId(self.next_job.fetch_add(1, Ordering::Relaxed))
    }

    /// The first of `count` stage numbers, which name the stages' shuffles too.
    pub fn new_stage_ids(&self, count: u32) -> u32 {
        self.next_stage.fetch_add(count, Ordering::Relaxed)
    }

    pub fn executors(&self) -> Vec<ExecutorView> {
        let state = self.state.lock();
        let view =
            |(id, c): (&ExecutorId, &Connection)| ExecutorView { id: id.clone(), node: c.node.clone(), slots: c.slots };
        state.executors.iter().filter(|(_, c)| c.ended.is_none()).map(view).collect()
    }

    // ---- jobs

    pub fn submit(&self, spec: JobSpec, entry: JobEntry, stages: Vec<(StageId, StageEntry)>) {
        let mut state = self.state.lock();
        if let Some(reason) = &state.stopped {
            let _ = entry.messages.send(JobMessage::Failed(cancelled(reason)));
            return;
        }
        state.jobs.insert(spec.job, entry);
        state.stages.extend(stages);
        self.event_in(&mut state, Event::JobSubmitted(spec));
    }

    /// Cancels what runs and refuses what would come.
    pub fn stop(&self, reason: &str) {
        let mut state = self.state.lock();
        state.stopped = Some(reason.to_owned());
        let jobs: Vec<JobId> = state.jobs.keys().copied().collect();
        for job in jobs {
            self.event_in(&mut state, Event::JobCancelled { job, reason: reason.to_owned() });
        }
    }

    pub fn cancel(&self, job: JobId, reason: &str) {
        let mut state = self.state.lock();
        if state.jobs.contains_key(&job) {
            self.event_in(&mut state, Event::JobCancelled { job, reason: reason.to_owned() });
        }
    }

    // ---- executors

    /// A new executor. Answers its id, or why it is not wanted.
    ///
    /// One that comes back on another stream has ended its tasks when it lost the first: it counts as lost, and another
    /// takes its place under another name.
    pub fn register(
        &self,
        message: &proto::Register,
        outbox: mpsc::Sender<Result<DriverMessage, tonic::Status>>,
    ) -> Result<ExecutorId, String> {
        if message.protocol_version != firesteel_protocol::PROTOCOL_VERSION {
            return Err(format!(
                "executor {} is of version {}, the driver of {}: use one image for both",
                message.executor_id,
                message.protocol_version,
                firesteel_protocol::PROTOCOL_VERSION
            ));
        }
        let id = ExecutorId::from(message.executor_id.clone());
        let mut state = self.state.lock();
        if state.executors.remove(&id).is_some() {
            let reason = ExecutorLossReason::Unresponsive { message: "its connection broke".to_owned() };
            tracing::warn!(executor = %id, %reason, "executor lost");
            self.event_in(&mut state, Event::ExecutorLost { executor: id.clone(), reason, outputs_lost: true });
            return Err(format!("executor {id} had lost its connection and was replaced"));
        }
        state.executors.insert(
            id.clone(),
            Connection {
                outbox,
                address: message.address.clone(),
                node: message.node.clone(),
                slots: message.slots,
                last_heard: Instant::now(),
                ended: None,
                leaving: false,
            },
        );
        tracing::info!(executor = %id, node = message.node, slots = message.slots, "executor registered");
        let node = message.node.as_str().into();
        self.event_in(&mut state, Event::ExecutorRegistered { executor: id.clone(), node, slots: message.slots });
        Ok(id)
    }

    /// Heartbeat interval told to executors.
    pub fn registered_message(&self) -> proto::Registered {
        let conf = self.engine.conf();
        proto::Registered {
            conf: super::conf_for_executors(&conf),
            heartbeat_interval_ms: conf.millis(&keys::HEARTBEAT_INTERVAL),
        }
    }

    pub fn heard_of(&self, id: &ExecutorId) {
        if let Some(connection) = self.state.lock().executors.get_mut(id) {
            connection.last_heard = Instant::now();
        }
    }

    pub fn task_finished(&self, executor: &ExecutorId, message: proto::TaskFinished) {
        let Some(id) = message.id.as_ref().map(TaskAttemptId::from) else { return };
        self.count(message.metrics.as_ref());
        let output = TaskOutput::on_executor(message.output.map(|o| o.sizes).unwrap_or_default());
        self.event(Event::TaskFinished { attempt: id, executor: executor.clone(), output });
    }

    pub fn task_failed(&self, executor: &ExecutorId, message: proto::TaskFailed) {
        let Some(id) = message.id.as_ref().map(TaskAttemptId::from) else { return };
        let failure = failure::from_wire(message.failure);
        tracing::warn!(attempt = %id, executor = %executor, %failure, "task attempt failed");
        self.count(message.metrics.as_ref());
        self.event(Event::TaskFailed { attempt: id, executor: executor.clone(), failure });
    }

    pub fn leaving(&self, id: &ExecutorId, reason: &str) {
        tracing::info!(executor = %id, reason, "executor is leaving");
        let mut state = self.state.lock();
        if let Some(connection) = state.executors.get_mut(id) {
            connection.leaving = true;
        }
        self.event_in(&mut state, Event::ExecutorDraining { executor: id.clone() });
    }

    /// The executor's stream ended. The clock counts it as lost after a while, unless its pod tells why before.
    pub fn stream_ended(&self, id: &ExecutorId) {
        if let Some(connection) = self.state.lock().executors.get_mut(id) {
            connection.ended = Some(Instant::now());
        }
    }

    /// What the watch of its pod says, of an executor that never registered too. The scheduler counts each once.
    pub fn executor_lost(&self, id: &ExecutorId, reason: ExecutorLossReason) {
        let mut state = self.state.lock();
        if state.executors.remove(id).is_some() {
            tracing::warn!(executor = %id, %reason, "executor lost");
        }
        self.event_in(&mut state, Event::ExecutorLost { executor: id.clone(), reason, outputs_lost: true });
    }

    /// Executors that are not given up.
    pub fn registered_ids(&self) -> Vec<ExecutorId> {
        self.state.lock().executors.keys().cloned().collect()
    }

    pub fn shutdown_executors(&self, reason: &str) {
        for connection in self.state.lock().executors.values() {
            let message = Message::Shutdown(Shutdown { reason: reason.to_owned() });
            let _ = connection.outbox.try_send(Ok(DriverMessage { message: Some(message) }));
        }
    }

    // ---- questions of executors

    pub fn stage_plan(&self, key: u64) -> Option<Bytes> {
        let stage = StageId(u32::try_from(key).ok()?);
        self.state.lock().stages.get(&stage).map(|s| s.encoded.wire.clone())
    }

    pub fn map_outputs(&self, shuffle: ShuffleId) -> Option<MapOutputs> {
        let state = self.state.lock();
        let outputs = state.scheduler.map_outputs(shuffle)?;
        let mut by_executor: BTreeMap<ExecutorId, WireLocation> = BTreeMap::new();
        for output in outputs.iter() {
            let OutputLocation::Executor(id) = output.location else { continue };
            let location = by_executor.entry(id.clone()).or_insert_with(|| WireLocation {
                executor_id: id.to_string(),
                address: state.executors.get(&id).map(|c| c.address.clone()).unwrap_or_default(),
                ..WireLocation::default()
            });
            location.map_indexes.push(output.map_index);
            location.attempts.push(output.attempt);
        }
        Some(MapOutputs {
            epoch: outputs.epoch(),
            locations: by_executor.into_values().collect(),
            num_maps: outputs.num_maps(),
            num_partitions: outputs.num_reducers(),
        })
    }

    // ---- the clock

    pub fn tick(&self) {
        let silence = Duration::from_millis(self.engine.conf().millis(&keys::NETWORK_TIMEOUT).max(1000));
        let mut state = self.state.lock();
        let now = Instant::now();
        let gone: Vec<(ExecutorId, ExecutorLossReason)> = state
            .executors
            .iter()
            .filter_map(|(id, c)| {
                let reason = if let Some(ended) = c.ended {
                    if now.duration_since(ended) < EXPLAIN_LOSS {
                        return None;
                    }
                    if c.leaving {
                        ExecutorLossReason::TakenByCluster { message: "it was told to end".to_owned() }
                    } else {
                        ExecutorLossReason::Unresponsive { message: "its connection closed".to_owned() }
                    }
                } else if now.duration_since(c.last_heard) > silence {
                    let message = format!("no heartbeat for {} s (spark.network.timeout)", silence.as_secs());
                    ExecutorLossReason::Unresponsive { message }
                } else {
                    return None;
                };
                Some((id.clone(), reason))
            })
            .collect();
        for (executor, reason) in gone {
            tracing::warn!(%executor, %reason, "executor lost");
            state.executors.remove(&executor);
            self.event_in(&mut state, Event::ExecutorLost { executor, reason, outputs_lost: true });
        }
        self.event_in(&mut state, Event::Tick);
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let mut counts = state.ended;
        let mut running = 0;
        let mut active = None;
        for job in state.jobs.keys() {
            for stage in state.scheduler.job_progress(*job).unwrap_or_default() {
                counts.stages += 1;
                counts.tasks += u64::from(stage.tasks);
                counts.tasks_done += u64::from(stage.done);
                counts.stages_done += u64::from(stage.done == stage.tasks);
                running += u64::from(stage.running);
                if stage.state == StageState::Running {
                    active = Some(stage.stage);
                }
            }
        }
        let failed = state.failed_tasks;
        let slots = state.scheduler.demand().slots;
        self.progress.update(|p| {
            p.stages_total = counts.stages;
            p.stages_done = counts.stages_done;
            p.tasks_total = counts.tasks;
            p.tasks_done = counts.tasks_done;
            p.tasks_running = running;
            p.tasks_failed = failed;
            if let Some(stage) = active {
                p.activity = if slots == 0 {
                    format!("stage {stage} waits for executors")
                } else {
                    format!("stage {stage} is running")
                };
            }
        });
    }

    fn count(&self, metrics: Option<&TaskMetrics>) {
        let Some(m) = metrics else { return };
        self.progress.update(|p| {
            p.rows_read += m.input_rows;
            p.bytes_read += m.input_bytes;
            p.shuffle_bytes += m.shuffle_write_bytes;
            p.spilled_bytes += m.spilled_bytes;
        });
    }

    // ---- events and actions

    pub fn event(&self, event: Event) {
        let mut state = self.state.lock();
        self.event_in(&mut state, event);
    }

    fn event_in(&self, state: &mut State, event: Event) {
        let mut next = vec![event];
        // Handing over a task can fail, which is an event again; each event removes an executor, so this ends.
        while let Some(event) = next.pop() {
            if matches!(event, Event::TaskFailed { .. }) {
                state.failed_tasks += 1;
            }
            let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let mut actions = std::mem::take(&mut state.actions);
            actions.clear();
            state.scheduler.handle(now, event, &mut actions);
            for action in actions.drain(..) {
                self.act(state, action, &mut next);
            }
            state.actions = actions;
        }
    }

    fn act(&self, state: &mut State, action: Action, next: &mut Vec<Event>) {
        match action {
            Action::LaunchTask { attempt, job, executor, .. } => {
                let message = self.launch(state, attempt, job);
                let sent = message.is_some_and(|m| self.send(state, &executor, Message::LaunchTask(m)));
                if !sent {
                    let message = "the task could not be handed to its executor".to_owned();
                    let failure = TaskFailure::Internal { message, retryable: true };
                    next.push(Event::TaskFailed { attempt, executor, failure });
                }
            }
            Action::KillTask { attempt, executor, reason } => {
                let kill = KillTask { id: Some(attempt.into()), reason: reason.to_string() };
                self.send(state, &executor, Message::KillTask(kill));
            }
            Action::DiscardAttemptOutput { attempt, executor, shuffle } => {
                let remove = RemoveAttemptOutput {
                    shuffle_id: shuffle.0,
                    map_index: attempt.task.partition,
                    attempt: attempt.attempt,
                };
                self.send(state, &executor, Message::RemoveAttemptOutput(remove));
            }
            Action::RefuseExecutor { executor } => {
                let reason = "the driver had given it up and replaced it".to_owned();
                self.send(state, &executor, Message::Shutdown(Shutdown { reason }));
                state.executors.remove(&executor);
            }
            Action::StageStarted { stage, stage_attempt, tasks } => {
                tracing::info!(stage = stage.0, stage_attempt, tasks, "stage started");
            }
            Action::StageSuspended { stage, stage_attempt } => {
                tracing::warn!(stage = stage.0, stage_attempt, "stage waits for lost inputs to be made again");
            }
            Action::StageFinished { stage, stage_attempt } => {
                tracing::info!(stage = stage.0, stage_attempt, "stage finished");
            }
            Action::ResultReady { job, attempt, location } => self.fetch(state, job, attempt, location),
            // Each task is told the epoch it needs when it is launched.
            Action::MapOutputsChanged { .. } => {}
            Action::RemoveShuffle { shuffle } => {
                let ids: Vec<ExecutorId> = state.executors.keys().cloned().collect();
                for id in ids {
                    let remove = RemoveShuffle { shuffle_ids: vec![shuffle.0] };
                    self.send(state, &id, Message::RemoveShuffle(remove));
                }
            }
            Action::JobSucceeded { job } => self.job_ended(state, job, JobMessage::Succeeded),
            Action::JobFailed { job, failure } => {
                let error = failure::to_error(&failure);
                self.job_ended(state, job, JobMessage::Failed(error));
            }
            Action::JobCancelled { job, reason } => {
                self.job_ended(state, job, JobMessage::Failed(cancelled(&reason)));
            }
        }
    }

    fn launch(&self, state: &State, attempt: TaskAttemptId, job: JobId) -> Option<LaunchTask> {
        let stage = state.stages.get(&attempt.task.stage)?;
        let inputs = stage.inputs.iter().map(|shuffle| ShuffleInput {
            shuffle_id: shuffle.0,
            epoch: state.scheduler.map_outputs(*shuffle).map_or(0, |o| o.epoch()),
        });
        Some(LaunchTask {
            id: Some(attempt.into()),
            plan_key: u64::from(attempt.task.stage.0),
            splits: stage.encoded.splits(attempt.task.partition as usize).to_vec(),
            output: Some(WireTaskOutput { shuffle_id: stage.shuffle.0, num_partitions: stage.num_reducers }),
            inputs: inputs.collect(),
            job_id: job.0,
        })
    }

    fn send(&self, state: &State, executor: &ExecutorId, message: Message) -> bool {
        let Some(connection) = state.executors.get(executor).filter(|c| c.ended.is_none()) else { return false };
        connection.outbox.try_send(Ok(DriverMessage { message: Some(message) })).is_ok()
    }

    /// Fetches the rows of one result task, then tells both the scheduler and the job.
    fn fetch(&self, state: &State, job: JobId, attempt: TaskAttemptId, location: OutputLocation) {
        let OutputLocation::Executor(executor) = location else { return };
        let Some(entry) = state.jobs.get(&job) else { return };
        let Some(core) = self.me.upgrade() else { return };
        let address = state.executors.get(&executor).map(|c| c.address.clone());
        let output =
            MapOutputId { shuffle: entry.result_shuffle, map: attempt.task.partition, attempt: attempt.attempt };
        let schema = entry.result_schema.clone();
        tokio::spawn(async move {
            let Some(address) = address else {
                core.event(Event::ResultFetchFailed {
                    attempt,
                    executor_unreachable: true,
                    message: format!("executor {executor} is gone"),
                });
                return;
            };
            let stream = fetch_result(&core.blocks, executor.clone(), &address, output, schema);
            match stream.try_collect::<Vec<_>>().await {
                Ok(batches) => core.result_fetched(job, attempt, batches),
                Err(error) => {
                    let message = firesteel_engine::error::from_datafusion(&error).to_string();
                    tracing::warn!(%attempt, %executor, message, "a result could not be fetched");
                    core.event(Event::ResultFetchFailed { attempt, executor_unreachable: true, message });
                }
            }
        });
    }

    fn result_fetched(&self, job: JobId, attempt: TaskAttemptId, batches: Vec<arrow::array::RecordBatch>) {
        let limit = u64::try_from(self.engine.conf().bytes(&keys::MAX_RESULT_SIZE)).unwrap_or(0);
        let mut state = self.state.lock();
        let Some(entry) = state.jobs.get_mut(&job) else { return };
        entry.fetched_bytes += batches.iter().map(|b| b.get_array_memory_size() as u64).sum::<u64>();
        if limit > 0 && entry.fetched_bytes > limit {
            let error = crate::application::result_too_large(entry.fetched_bytes, limit);
            let _ = entry.messages.send(JobMessage::Failed(error));
            let reason = "its result is larger than spark.driver.maxResultSize".to_owned();
            self.event_in(&mut state, Event::JobCancelled { job, reason });
            return;
        }
        let _ = entry.messages.send(JobMessage::Partition { partition: attempt.task.partition, batches });
        self.event_in(&mut state, Event::ResultFetched { attempt });
    }

    fn job_ended(&self, state: &mut State, job: JobId, message: JobMessage) {
        let Some(entry) = state.jobs.remove(&job) else { return };
        let succeeded = matches!(message, JobMessage::Succeeded);
        let _ = entry.messages.send(message);
        let mut stages = Counts { stages: entry.stages.len() as u64, ..Counts::default() };
        for stage in &entry.stages {
            if let Some(ended) = state.stages.remove(stage) {
                stages.tasks += u64::from(ended.num_tasks);
            }
        }
        (stages.stages_done, stages.tasks_done) = if succeeded {
            (stages.stages, stages.tasks)
        } else {
            // The scheduler has forgotten the job: what was last seen of it has to do.
            let seen = self.progress.get();
            let done = |seen: u64, before: u64, all: u64| seen.saturating_sub(before).min(all);
            (
                done(seen.stages_done, state.ended.stages_done, stages.stages),
                done(seen.tasks_done, state.ended.tasks_done, stages.tasks),
            )
        };
        state.ended.stages += stages.stages;
        state.ended.stages_done += stages.stages_done;
        state.ended.tasks += stages.tasks;
        state.ended.tasks_done += stages.tasks_done;
        self.publish(state);
    }
}

fn cancelled(reason: &str) -> SparkError {
    SparkError::new("OPERATION_CANCELED", "HY008", format!("Operation has been canceled: {reason}."))
}
