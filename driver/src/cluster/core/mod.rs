//! The scheduler and everybody it talks to.

mod actions;
mod attempts;
mod cached;
mod executors;
mod handover;
mod progress;
mod restored;
mod session;
mod spans;
mod views;

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
    adaptive::{AdaptivePlan, ShuffleStatistics},
    cache::BlockId,
    codec::{EncodedStage, PlanCodec},
    shuffle::{BlockClient, BlockSources, ShuffleTier},
};
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::{
    ExecutorId, Fingerprint, JobId, ShuffleId, StageId,
    proto::{MapOutputs, OutputLocation as WireLocation, RecallRequest, RemoveShuffle, driver_message},
};
use firesteel_scheduler::{
    Action, Event, JobProperties, JobSelector, JobSpec, OutputLocation, Scheduler, SchedulerConfig, StageProgress,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::{runtime::Handle, sync::mpsc};

use self::{attempts::Tally, handover::Handover, restored::Restored, session::Session, spans::Spans};
pub use self::{
    attempts::{AttemptCounts, StageView},
    views::ExecutorView,
};
use super::job::JobMessage;
use crate::progress::ProgressSender;

pub use self::session::STREAM;

/// Numbers of stages and attempts that one life of the driver may use: no two lives use the same, since executors keep
/// the outputs of the one before.
const STAGES_OF_A_LIFE: u64 = 10_000_000;
const ATTEMPTS_OF_A_LIFE: u64 = 1 << 40;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Core {
    me: Weak<Core>,
    engine: EngineSession,
    progress: ProgressSender,
    codec: PlanCodec,
    blocks: BlockSources,
    handover: Handover,
    /// Where results are fetched and decoded: not on the threads that listen to executors.
    work: Handle,
    started: Instant,
    /// Which life of the application's driver this is, from 1.
    generation: u64,
    /// Whether another one may follow it.
    recoverable: bool,
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
    /// Counts of ended queries.
    ended: Counts,
    /// Answers to [`Core::map_outputs`], with their epoch: a stage's first tasks ask on every executor at once.
    told_outputs: HashMap<ShuffleId, (u64, Bytes)>,
    tally: Tally,
    /// Why no further job is run.
    stopped: Option<String>,
    executed_plan: Option<Arc<AdaptivePlan>>,
    spans: Spans,
    restored: Restored,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    stages: u64,
    stages_done: u64,
    tasks: u64,
    tasks_done: u64,
}

impl Counts {
    fn add(&mut self, stage: &StageEntry) {
        self.stages += 1;
        self.stages_done += u64::from(stage.tasks_done == stage.num_tasks);
        self.tasks += u64::from(stage.num_tasks);
        self.tasks_done += u64::from(stage.tasks_done);
    }
}

struct Connection {
    /// Names the executor's process.
    process: Bytes,
    session: Session,
    /// What it holds of an earlier driver's work is known.
    inventoried: bool,
    address: String,
    node: String,
    slots: u32,
    last_heard: Instant,
    /// When its stream ended, if it did.
    ended: Option<Instant>,
    /// It takes no further tasks and will end.
    leaving: bool,
    /// By the driver's wish.
    released: bool,
}

/// What an executor answers a driver that sends for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recalled {
    Comes,
    /// There is a later driver.
    ObeysAnother,
    Silent(String),
}

/// A running job as people see it.
#[derive(Debug, Clone)]
pub struct JobView {
    pub id: JobId,
    pub properties: JobProperties,
    pub stages: Vec<StageProgress>,
}

/// A stage of a query that runs. It is known until the query ends ([`Core::forget`]), however many jobs list it.
pub struct StageEntry {
    /// The last job that listed it.
    pub job: JobId,
    pub encoded: Arc<EncodedStage>,
    pub num_tasks: u32,
    pub shuffle: ShuffleId,
    pub num_reducers: u32,
    pub inputs: Vec<ShuffleId>,
    /// Rows that each task wrote, once it was done.
    pub rows: Vec<Option<u64>>,
    /// Tasks that were done when last looked at.
    pub tasks_done: u32,
    /// The cached blocks that each task reads; empty when none reads any.
    pub cached: Vec<Vec<BlockId>>,
}

pub struct JobEntry {
    pub properties: JobProperties,
    pub messages: mpsc::UnboundedSender<JobMessage>,
    pub wanted: Wanted,
    pub stages: Vec<StageId>,
}

/// What a job is for.
pub enum Wanted {
    /// Rows for the driver.
    Result { schema: SchemaRef, shuffle: ShuffleId },
    /// Outputs that stages of later jobs read.
    MapOutputs(ShuffleId),
}

impl Core {
    /// Call within a runtime: results are fetched there.
    pub fn new(
        engine: EngineSession,
        progress: ProgressSender,
        config: SchedulerConfig,
        token: &str,
        life: Option<u64>,
    ) -> SparkResult<Arc<Self>> {
        let generation = life.unwrap_or(1).max(1);
        let first_stage = u32::try_from((generation - 1) * STAGES_OF_A_LIFE)
            .map_err(|_| SparkError::internal(format!("no driver has {generation} lives")))?;
        let client = BlockClient::new(token, CONNECT_TIMEOUT).map_err(|e| SparkError::internal(e.message()))?;
        let blocks = BlockSources { client, tier: ShuffleTier::new(engine.stores().clone()), locations: None };
        let handover = Handover::new(&engine.conf());
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            engine,
            progress,
            codec: PlanCodec::standard(),
            blocks,
            handover,
            work: Handle::current(),
            started: Instant::now(),
            generation,
            recoverable: life.is_some(),
            next_job: AtomicU64::new(0),
            next_stage: AtomicU32::new(first_stage),
            state: Mutex::new(State {
                scheduler: Scheduler::new(config).first_attempt((generation - 1) * ATTEMPTS_OF_A_LIFE),
                actions: Vec::new(),
                executors: BTreeMap::new(),
                stages: HashMap::new(),
                jobs: HashMap::new(),
                ended: Counts::default(),
                told_outputs: HashMap::new(),
                tally: Tally::default(),
                stopped: None,
                executed_plan: None,
                spans: Spans::default(),
                restored: Restored::default(),
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

    // ---- jobs

    pub fn submit(&self, spec: JobSpec, entry: JobEntry, stages: Vec<(StageId, StageEntry)>) {
        let mut state = self.state.lock();
        if let Some(reason) = &state.stopped {
            let _ = entry.messages.send(JobMessage::Failed(cancelled(reason)));
            return;
        }
        state.spans.job_started(spec.job, entry.stages.len());
        for stage in &entry.stages {
            if let Some(listed) = state.stages.get_mut(stage) {
                listed.job = spec.job;
            }
        }
        state.jobs.insert(spec.job, entry);
        for (id, stage) in stages {
            let stage = self.restore(&mut state, stage);
            state.stages.insert(id, stage);
        }
        self.event_in(&mut state, Event::JobSubmitted(spec));
    }

    /// A query has ended: its stages and what they left behind go.
    pub fn forget(&self, stages: &[StageId]) {
        let mut state = self.state.lock();
        self.see_progress(&mut state);
        for stage in stages {
            let Some(entry) = state.stages.remove(stage) else { continue };
            state.ended.add(&entry);
            let done = entry.tasks_done == entry.num_tasks;
            state.tally.job_ended(entry.job, &[(*stage, entry.num_tasks)], done);
            self.event_in(&mut state, Event::ShuffleReleased { shuffle: entry.shuffle });
        }
        self.publish(&mut state);
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

    /// Cancels the jobs that are meant; each one's caller gets the error. Answers before the tasks have ended.
    pub fn cancel_jobs(&self, jobs: JobSelector, reason: &str) {
        self.event(Event::JobsCancelled { jobs, reason: reason.to_owned() });
    }

    /// Running jobs, what they were submitted with, and how far their stages are.
    pub fn jobs(&self) -> Vec<JobView> {
        let state = self.state.lock();
        let view = |(id, entry): (&JobId, &JobEntry)| JobView {
            id: *id,
            properties: entry.properties.clone(),
            stages: state.scheduler.job_progress(*id).unwrap_or_default(),
        };
        let mut jobs: Vec<JobView> = state.jobs.iter().map(view).collect();
        jobs.sort_unstable_by_key(|job| job.id);
        jobs
    }

    pub fn cancel(&self, job: JobId, reason: &str) {
        let mut state = self.state.lock();
        if state.jobs.contains_key(&job) {
            self.event_in(&mut state, Event::JobCancelled { job, reason: reason.to_owned() });
        }
    }

    // ---- questions of queries

    /// Remembers the plan that a query ran in the end.
    pub fn keep_plan(&self, plan: AdaptivePlan) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!("{}", plan.explain());
        }
        let before = self.state.lock().executed_plan.replace(Arc::new(plan));
        // A plan is large: it goes when nobody waits.
        drop(before);
    }

    /// What was kept last, as text.
    pub fn kept_plan(&self) -> Option<String> {
        let plan = self.state.lock().executed_plan.clone();
        plan.map(|plan| plan.explain())
    }

    /// The sizes of a shuffle's reduce partitions; `None` while outputs are missing.
    fn shuffle_statistics(state: &State, shuffle: ShuffleId) -> Option<ShuffleStatistics> {
        let outputs = state.scheduler.map_outputs(shuffle).filter(|outputs| outputs.is_complete())?;
        let entry = state.stages.get(&StageId(shuffle.0))?;
        Some(ShuffleStatistics {
            bytes: outputs.reducer_sizes(),
            rows: entry.rows.iter().flatten().sum(),
            maps: outputs.num_maps(),
        })
    }

    /// Bytes of one reduce partition in each map output; 0 of those that are missing.
    pub fn block_sizes(&self, shuffle: ShuffleId, partition: u32) -> Vec<u64> {
        let state = self.state.lock();
        let Some(outputs) = state.scheduler.map_outputs(shuffle) else { return Vec::new() };
        let mut sizes = vec![0; outputs.num_maps() as usize];
        for output in outputs.iter() {
            sizes[output.map_index as usize] = output.size(partition);
        }
        sizes
    }

    // ---- recovery

    /// The fingerprints of these shuffles, as far as they have any.
    pub fn fingerprints(&self, shuffles: &[ShuffleId]) -> HashMap<ShuffleId, Fingerprint> {
        let state = self.state.lock();
        shuffles.iter().filter_map(|shuffle| Some((*shuffle, state.restored.fingerprint(*shuffle)?))).collect()
    }

    /// Whether stages need fingerprints.
    pub fn is_recoverable(&self) -> bool {
        self.recoverable
    }

    pub fn know(&self, shuffle: ShuffleId, fingerprint: Fingerprint) {
        self.state.lock().restored.know(shuffle, fingerprint);
    }

    /// Takes over what tasks of an earlier driver have done of this stage.
    fn restore(&self, state: &mut State, mut stage: StageEntry) -> StageEntry {
        let (shuffle, num_maps, num_reducers) = (stage.shuffle, stage.num_tasks, stage.num_reducers);
        let outputs = state.restored.adopt(shuffle, num_maps, num_reducers);
        if outputs.is_empty() {
            return stage;
        }
        tracing::info!(stage = shuffle.0, tasks = num_maps, restored = outputs.len(), "outputs of an earlier driver");
        for (output, rows) in &outputs {
            if let Some(known) = stage.rows.get_mut(output.map_index as usize) {
                *known = Some(*rows);
            }
        }
        let outputs = outputs.into_iter().map(|(output, _)| output).collect();
        self.event_in(state, Event::OutputsRestored { shuffle, num_maps, num_reducers, outputs });
        stage
    }

    /// Lets executors remove what no stage has taken over.
    pub fn give_up_restored(&self) {
        let mut state = self.state.lock();
        let shuffle_ids: Vec<u32> = state.restored.give_up().into_iter().map(|shuffle| shuffle.0).collect();
        if !shuffle_ids.is_empty() {
            for connection in state.executors.values_mut() {
                connection
                    .session
                    .say(driver_message::Message::RemoveShuffle(RemoveShuffle { shuffle_ids: shuffle_ids.clone() }));
            }
        }
    }

    /// Sends for the executor that serves at `executor`, once.
    pub async fn recall(&self, executor: &str, driver: &str) -> Recalled {
        let request = RecallRequest { generation: self.generation, address: driver.to_owned() };
        match tokio::time::timeout(CONNECT_TIMEOUT, self.blocks.client.recall(executor, request)).await {
            Ok(Ok(true)) => Recalled::Comes,
            Ok(Ok(false)) => Recalled::ObeysAnother,
            Ok(Err(status)) => Recalled::Silent(status.message().to_owned()),
            Err(_) => Recalled::Silent("no answer in time".to_owned()),
        }
    }

    /// Goes without a word: executors wait for the driver that follows, and keep what they hold for it.
    pub fn abandon(&self) {
        let mut state = self.state.lock();
        state.executors.clear();
        state.stopped = Some("another driver follows this one".to_owned());
    }

    /// Waits until these executors have told what they hold, are lost, or `within` is over.
    pub async fn inventoried(&self, executors: &[ExecutorId], within: Duration) {
        let deadline = Instant::now() + within;
        let missing = || {
            let state = self.state.lock();
            let told = |id: &&ExecutorId| state.executors.get(*id).is_some_and(|executor| executor.inventoried);
            executors.iter().filter(|id| !told(id)).count()
        };
        while missing() > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    // ---- questions of executors

    pub fn stage_plan(&self, key: u64) -> Option<Bytes> {
        let stage = StageId(u32::try_from(key).ok()?);
        self.state.lock().stages.get(&stage).map(|s| s.encoded.wire.clone())
    }

    /// An encoded [`MapOutputs`], made once an epoch however many executors ask.
    pub fn map_outputs(&self, shuffle: ShuffleId) -> Option<Bytes> {
        let state = &mut *self.state.lock();
        let outputs = state.scheduler.map_outputs(shuffle)?;
        let epoch = outputs.epoch();
        if let Some((_, told)) = state.told_outputs.get(&shuffle).filter(|(of, _)| *of == epoch) {
            return Some(told.clone());
        }
        // The store is the place without an executor.
        let mut by_place: BTreeMap<Option<ExecutorId>, WireLocation> = BTreeMap::new();
        for output in outputs.iter() {
            let place = match output.location {
                OutputLocation::Executor(id) => Some(id),
                OutputLocation::Store => None,
                OutputLocation::Driver => continue,
            };
            let location = by_place.entry(place.clone()).or_insert_with(|| WireLocation {
                executor_id: place.as_ref().map(ToString::to_string).unwrap_or_default(),
                address: match &place {
                    Some(id) => state.executors.get(id).map(|c| c.address.clone()).unwrap_or_default(),
                    None => self.handover.folder().to_owned(),
                },
                ..WireLocation::default()
            });
            location.map_indexes.push(output.map_index);
            location.attempts.push(output.attempt);
        }
        let message = MapOutputs {
            epoch,
            locations: by_place.into_values().collect(),
            num_maps: outputs.num_maps(),
            num_partitions: outputs.num_reducers(),
            stored_as: state.restored.name(shuffle).0,
        };
        let told = Bytes::from(message.encode_to_vec());
        state.told_outputs.insert(shuffle, (epoch, told.clone()));
        Some(told)
    }
}

fn cancelled(reason: &str) -> SparkError {
    SparkError::new("OPERATION_CANCELED", "HY008", format!("Operation has been canceled: {reason}."))
}

fn job_cancelled(job: JobId, reason: &str) -> SparkError {
    SparkError::new("SPARK_JOB_CANCELLED", "XXKDA", format!("Job {job} cancelled {reason}"))
        .param("jobId", job.to_string())
        .param("reason", reason)
}
