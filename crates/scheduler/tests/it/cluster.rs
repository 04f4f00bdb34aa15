//! A virtual cluster: it carries out the scheduler's actions in virtual time, with messages that take time, come twice
//! or come late, and with faults. It keeps files and what they were made from, so that a wrong decision becomes a wrong
//! result, and checks after every event that the scheduler's books agree with what is really there.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId, TaskAttemptId};
use firesteel_scheduler::{
    Action, Event, ExecutorLossReason, FetchFailure, JobFailure, JobSelector, JobSpec, OutputHome, OutputLocation,
    OutputRef, QueryError, Scheduler, SchedulerConfig, StageSpec, TaskFailure, TaskOutput, TaskOutputHome,
};

/// A test ends as hung after so many messages.
const MAX_STEPS: usize = 100_000;

#[derive(Debug, Clone)]
pub struct Scenario {
    /// Jobs and when each is submitted; of several in a row, each one when the one before has succeeded. What such a row
    /// retains is released at its end.
    pub jobs: Vec<(u64, Vec<JobSpec>)>,
    pub executors: Vec<u32>,
    pub faults: Vec<(u64, Fault)>,
    pub config: SchedulerConfig,
    /// One message in so many comes twice; 0: none.
    pub duplicate_every: u64,
    /// One result in so many comes within the task's message.
    pub inline_every: u64,
    pub seed: u64,
}

/// `usize` picks one of the executors that there ever were.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The process ends, with all its files. The scheduler hears so later.
    Kill(usize, ExecutorLossReason),
    /// The scheduler hears that it is gone, but it goes on for a while.
    FalseAlarm(usize),
    /// Its files are gone, it goes on.
    LoseFiles(usize),
    /// The files of one shuffle on it are damaged.
    Corrupt(usize, u32),
    /// Nobody can fetch from it for this long.
    Unreachable(usize, u64),
    /// It hands over its files, to the store or to another one, and leaves.
    Decommission(usize, Option<usize>),
    /// It takes so many times longer.
    Slow(usize, u64),
    AddExecutor(u32),
    /// What the store holds is gone.
    LoseStore,
    /// The next so many tasks to end fail like this.
    FailTasks(u32, TaskFailure),
    Cancel(usize),
    /// Cancels the jobs with this tag.
    CancelTag(usize),
    /// The next so many tasks that are told to end go on to their own end.
    DeafToKills(u32),
}

pub fn query_error(retryable: bool) -> TaskFailure {
    let error = QueryError { error_class: "DIVIDE_BY_ZERO".into(), ..QueryError::default() };
    TaskFailure::Query { error, retryable }
}

/// The outputs of stages that give other rows each time that a file goes back to: of each map, one version or several
/// that do not go together.
type Lineage = BTreeSet<FileKey>;
type FileKey = (ShuffleId, u32, u64);

#[derive(Debug, Clone)]
struct File {
    lineage: Lineage,
    corrupt: bool,
}

#[derive(Debug, Default)]
struct Node {
    slots: u32,
    alive: bool,
    draining: bool,
    slow: u64,
    unreachable_until: u64,
    running: BTreeMap<u64, Running>,
    files: BTreeMap<FileKey, File>,
    /// Slots taken as the driver must see it.
    occupied: BTreeSet<u64>,
}

#[derive(Debug)]
struct Running {
    id: TaskAttemptId,
    inputs: Vec<(ShuffleId, u32, u64, OutputLocation)>,
}

#[derive(Debug, Clone)]
enum Message {
    ToScheduler(Event),
    Start(ExecutorId, u64),
    End(ExecutorId, u64),
    Kill(ExecutorId, u64),
    FetchResult(JobId, TaskAttemptId, OutputLocation),
    Fault(Fault),
    Stop(ExecutorId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed(JobFailure),
    Cancelled,
}

#[derive(Debug, Default)]
pub struct Report {
    pub outcomes: BTreeMap<JobId, Outcome>,
    /// Launches of each stage.
    pub launches: BTreeMap<StageId, u32>,
    /// Launches of a second attempt beside the first.
    pub copies: u32,
    /// Executors that the scheduler gave up of its own.
    pub given_up: u32,
    pub events: usize,
}

pub struct Cluster {
    scheduler: Scheduler,
    now: u64,
    sequence: u64,
    queue: BinaryHeap<std::cmp::Reverse<(u64, u64)>>,
    messages: BTreeMap<u64, Message>,
    nodes: BTreeMap<ExecutorId, Node>,
    names: Vec<ExecutorId>,
    store: BTreeMap<FileKey, File>,
    inline: BTreeMap<u64, Lineage>,
    stages: BTreeMap<StageId, StageSpec>,
    specs: BTreeMap<JobId, JobSpec>,
    submitted: BTreeSet<JobId>,
    /// What is to follow a job, and the shuffles to release at the end.
    rows: BTreeMap<JobId, (VecDeque<JobSpec>, BTreeSet<ShuffleId>)>,
    /// The driver's rows: for each result, the attempt told last, and the one whose rows it has.
    ready: BTreeMap<(JobId, u32), TaskAttemptId>,
    held: BTreeMap<(JobId, u32), (TaskAttemptId, Lineage)>,
    launched: BTreeSet<u64>,
    /// Attempts that count for their task as far as the scheduler has said.
    live: BTreeMap<(StageId, u32), BTreeSet<u64>>,
    /// The node of each executor, and the executor of each attempt.
    node_of: BTreeMap<ExecutorId, String>,
    launched_on: BTreeMap<u64, ExecutorId>,
    killed: BTreeSet<u64>,
    fail_next: Vec<TaskFailure>,
    deaf_to_kills: u32,
    failures_told: u32,
    duplicate_every: u64,
    inline_every: u64,
    random: u64,
    tasks_ahead: usize,
    pub report: Report,
}

impl Cluster {
    pub fn new(scenario: &Scenario) -> Self {
        let mut cluster = Self {
            scheduler: Scheduler::new(scenario.config.clone()),
            tasks_ahead: scenario.config.tasks_ahead as usize,
            now: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            messages: BTreeMap::new(),
            nodes: BTreeMap::new(),
            names: Vec::new(),
            store: BTreeMap::new(),
            inline: BTreeMap::new(),
            stages: BTreeMap::new(),
            specs: BTreeMap::new(),
            submitted: BTreeSet::new(),
            rows: BTreeMap::new(),
            ready: BTreeMap::new(),
            held: BTreeMap::new(),
            launched: BTreeSet::new(),
            live: BTreeMap::new(),
            node_of: BTreeMap::new(),
            launched_on: BTreeMap::new(),
            killed: BTreeSet::new(),
            fail_next: Vec::new(),
            deaf_to_kills: 0,
            failures_told: 0,
            duplicate_every: scenario.duplicate_every,
            inline_every: scenario.inline_every,
            random: scenario.seed,
            report: Report::default(),
        };
        for slots in &scenario.executors {
            cluster.add_executor(*slots);
        }
        for (at, row) in &scenario.jobs {
            let mut shuffles = BTreeSet::new();
            for stage in row.iter().flat_map(|spec| &spec.stages) {
                cluster.stages.insert(stage.stage, stage.clone());
                shuffles.insert(stage.output.shuffle());
            }
            let mut row: VecDeque<JobSpec> = row.iter().cloned().collect();
            let first = row.pop_front().expect("a job");
            cluster.send(*at, Message::ToScheduler(Event::JobSubmitted(first.clone())));
            cluster.rows.insert(first.job, (row, shuffles));
            cluster.specs.insert(first.job, first);
        }
        for (at, fault) in &scenario.faults {
            cluster.send(*at, Message::Fault(fault.clone()));
        }
        cluster
    }

    /// Runs until nothing more happens and every job has ended.
    pub fn run(mut self) -> Report {
        let mut steps = 0;
        while let Some(at) = self.next_time() {
            steps += 1;
            assert!(steps < MAX_STEPS, "hung: {:?} of {:?}", self.report.outcomes, self.specs.keys());
            self.now = at;
            match self.queue.peek() {
                Some(std::cmp::Reverse((time, sequence))) if *time == at => {
                    let sequence = *sequence;
                    self.queue.pop();
                    let message = self.messages.remove(&sequence).expect("a queued message");
                    self.deliver(message);
                }
                _ => self.handle(Event::Tick),
            }
        }
        self.check_quiescence();
        self.report
    }

    fn next_time(&self) -> Option<u64> {
        let message = self.queue.peek().map(|entry| entry.0.0);
        let deadline = self.scheduler.next_deadline().map(|deadline| deadline.max(self.now));
        message.into_iter().chain(deadline).min()
    }

    fn send(&mut self, at: u64, message: Message) {
        self.sequence += 1;
        self.queue.push(std::cmp::Reverse((at, self.sequence)));
        self.messages.insert(self.sequence, message);
    }

    /// From 0 to below `bound` (splitmix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn soon(&mut self, bound: u64) -> u64 {
        self.now + self.below(bound)
    }

    fn tell(&mut self, event: Event) {
        let at = self.soon(4);
        if self.duplicate_every > 0 && self.below(self.duplicate_every) == 0 {
            let late = self.soon(60);
            self.send(late, Message::ToScheduler(event.clone()));
        }
        self.send(at, Message::ToScheduler(event));
    }

    fn add_executor(&mut self, slots: u32) {
        let name = ExecutorId::new(format!("exec-{}", self.names.len()));
        self.names.push(name.clone());
        let node = Node { slots, alive: true, slow: 1, ..Node::default() };
        self.nodes.insert(name.clone(), node);
        let at = self.soon(10);
        let node = format!("node-{}", self.names.len() % 2);
        self.node_of.insert(name.clone(), node.clone());
        self.send(at, Message::ToScheduler(Event::ExecutorRegistered { executor: name, node: node.into(), slots }));
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::ToScheduler(event) => self.handle(event),
            Message::Start(executor, attempt) => self.start(&executor, attempt),
            Message::End(executor, attempt) => self.end(&executor, attempt),
            Message::Kill(..) if self.deaf_to_kills > 0 => self.deaf_to_kills -= 1,
            Message::Kill(executor, attempt) => {
                let node = self.nodes.get_mut(&executor).expect("an executor");
                if let Some(running) = node.running.remove(&attempt) {
                    let failure = TaskFailure::Killed { reason: "told to".into() };
                    self.tell(Event::TaskFailed { attempt: running.id, executor, failure });
                }
            }
            Message::FetchResult(job, attempt, location) => self.fetch_result(job, attempt, &location),
            Message::Fault(fault) => self.fault(fault),
            Message::Stop(executor) => self.stop(&executor),
        }
    }

    fn stop(&mut self, executor: &ExecutorId) {
        let node = self.nodes.get_mut(executor).expect("an executor");
        node.alive = false;
        node.running.clear();
        node.files.clear();
    }

    fn fault(&mut self, fault: Fault) {
        let pick = |names: &[ExecutorId], index: usize| names[index % names.len()].clone();
        match fault {
            Fault::Kill(index, reason) => {
                let executor = pick(&self.names, index);
                if self.nodes[&executor].alive {
                    self.stop(&executor);
                    let at = self.soon(30);
                    let lost = Event::ExecutorLost { executor, reason, outputs_lost: true };
                    self.send(at, Message::ToScheduler(lost));
                }
            }
            Fault::FalseAlarm(index) => {
                let executor = pick(&self.names, index);
                if self.nodes[&executor].alive {
                    let later = self.soon(50);
                    self.send(later, Message::Stop(executor.clone()));
                    let reason = ExecutorLossReason::Unresponsive { message: "no heartbeat".into() };
                    self.handle(Event::ExecutorLost { executor, reason, outputs_lost: true });
                }
            }
            Fault::LoseFiles(index) => {
                let executor = pick(&self.names, index);
                self.nodes.get_mut(&executor).expect("an executor").files.clear();
            }
            Fault::Corrupt(index, shuffle) => {
                let executor = pick(&self.names, index);
                let files = &mut self.nodes.get_mut(&executor).expect("an executor").files;
                for (_, file) in files.iter_mut().filter(|(key, _)| key.0.0 % 4 == shuffle % 4) {
                    file.corrupt = true;
                }
            }
            Fault::Unreachable(index, time) => {
                let executor = pick(&self.names, index);
                self.nodes.get_mut(&executor).expect("an executor").unreachable_until = self.now + time;
            }
            Fault::Slow(index, times) => {
                let executor = pick(&self.names, index);
                self.nodes.get_mut(&executor).expect("an executor").slow = times;
            }
            Fault::Decommission(index, to) => {
                let executor = pick(&self.names, index);
                let to = to.map(|to| pick(&self.names, to)).filter(|to| *to != executor && self.nodes[to].alive);
                if self.nodes[&executor].alive {
                    self.decommission(executor, to);
                }
            }
            Fault::LoseStore => self.store.clear(),
            Fault::AddExecutor(slots) => self.add_executor(slots),
            Fault::FailTasks(count, failure) => self.fail_next.extend(vec![failure; count as usize]),
            Fault::DeafToKills(count) => self.deaf_to_kills += count,
            Fault::CancelTag(number) => {
                let jobs = JobSelector::Tag(format!("tag-{number}"));
                self.handle(Event::JobsCancelled { jobs, reason: "by the user".into() });
            }
            Fault::Cancel(index) => {
                let job = *self.specs.keys().nth(index % self.specs.len()).expect("a job");
                self.handle(Event::JobCancelled { job, reason: "by the user".into() });
            }
        }
    }

    fn decommission(&mut self, executor: ExecutorId, to: Option<ExecutorId>) {
        self.nodes.get_mut(&executor).expect("an executor").draining = true;
        self.handle(Event::ExecutorDraining { executor: executor.clone() });
        // Only what counts is worth moving.
        let mut files = std::mem::take(&mut self.nodes.get_mut(&executor).expect("an executor").files);
        files.retain(|(shuffle, map, attempt), _| self.counts(*shuffle, *map) == Some(*attempt));
        let outputs = files.keys().map(|(shuffle, map_index, attempt)| OutputRef {
            shuffle: *shuffle,
            map_index: *map_index,
            attempt: *attempt,
        });
        let outputs = outputs.collect();
        let to = match to {
            Some(to) => {
                self.nodes.get_mut(&to).expect("an executor").files.extend(files);
                OutputHome::Executor(to)
            }
            None => {
                self.store.extend(files);
                OutputHome::Store
            }
        };
        self.handle(Event::OutputsMoved { outputs, to });
        self.stop(&executor);
        self.handle(Event::ExecutorLost { executor, reason: ExecutorLossReason::Released, outputs_lost: true });
    }

    fn start(&mut self, executor: &ExecutorId, attempt: u64) {
        let node = self.nodes.get_mut(executor).expect("an executor");
        let Some(running) = node.running.get_mut(&attempt) else { return };
        let id = running.id;
        let stage = &self.stages[&id.task.stage];
        let shuffles: Vec<ShuffleId> =
            stage.parents.iter().map(|parent| self.stages[parent].output.shuffle()).collect();
        for shuffle in shuffles {
            let outputs = self.scheduler.map_outputs(shuffle);
            let Some(outputs) = outputs.filter(|outputs| outputs.is_complete()) else {
                node.running.remove(&attempt);
                let failure = FetchFailure {
                    shuffle,
                    executor: None,
                    map_indexes: vec![],
                    corrupt: false,
                    message: "not registered".into(),
                };
                let failure = TaskFailure::FetchFailed(failure);
                self.tell(Event::TaskFailed { attempt: id, executor: executor.clone(), failure });
                return;
            };
            running.inputs.extend(outputs.iter().map(|map| (shuffle, map.map_index, map.attempt, map.location)));
        }
        let slow = node.slow;
        let at = self.now + (1 + self.below(10)) * slow;
        self.send(at, Message::End(executor.clone(), attempt));
    }

    fn end(&mut self, executor: &ExecutorId, attempt: u64) {
        let Some(running) = self.nodes.get_mut(executor).expect("an executor").running.remove(&attempt) else {
            return;
        };
        let id = running.id;
        let executor = executor.clone();
        if let Some(failure) = self.fail_next.pop() {
            self.tell(Event::TaskFailed { attempt: id, executor, failure });
            return;
        }
        let mut lineage = Lineage::new();
        for (shuffle, map, writer, location) in &running.inputs {
            match self.read((*shuffle, *map, *writer), location) {
                Ok(file) => lineage.extend(file),
                Err(failure) => {
                    let failure = TaskFailure::FetchFailed(failure);
                    self.tell(Event::TaskFailed { attempt: id, executor, failure });
                    return;
                }
            }
        }
        let stage = &self.stages[&id.task.stage];
        let (shuffle, reducers, is_result) =
            (stage.output.shuffle(), stage.output.num_reducers(), stage.output.is_result());
        if stage.indeterminate {
            lineage.insert((shuffle, id.task.partition, id.attempt));
        }
        let mut output = TaskOutput::on_executor(vec![10; reducers as usize]);
        if is_result && self.inline_every > 0 && self.below(self.inline_every) == 0 {
            output.home = TaskOutputHome::Driver;
            self.inline.insert(id.attempt, lineage);
        } else {
            let file = File { lineage, corrupt: false };
            let files = &mut self.nodes.get_mut(&executor).expect("an executor").files;
            files.insert((shuffle, id.task.partition, id.attempt), file);
        }
        self.tell(Event::TaskFinished { attempt: id, executor, output });
    }

    fn read(&self, key: FileKey, location: &OutputLocation) -> Result<Lineage, FetchFailure> {
        let failure = |executor: Option<&ExecutorId>, corrupt| FetchFailure {
            shuffle: key.0,
            executor: executor.cloned(),
            map_indexes: vec![key.1],
            corrupt,
            message: "cannot read".into(),
        };
        match location {
            OutputLocation::Executor(executor) => {
                let node = &self.nodes[executor];
                if !node.alive || node.unreachable_until > self.now {
                    return Err(failure(Some(executor), false));
                }
                match node.files.get(&key) {
                    None => Err(failure(Some(executor), false)),
                    Some(file) if file.corrupt => Err(failure(Some(executor), true)),
                    Some(file) => Ok(file.lineage.clone()),
                }
            }
            OutputLocation::Store => {
                let file = self.store.get(&key);
                file.map(|file| file.lineage.clone()).ok_or_else(|| failure(None, false))
            }
            OutputLocation::Driver => Ok(self.inline[&key.2].clone()),
        }
    }

    fn fetch_result(&mut self, job: JobId, id: TaskAttemptId, location: &OutputLocation) {
        let replaced = self.ready.get(&(job, id.task.partition)) != Some(&id);
        if replaced || self.report.outcomes.contains_key(&job) {
            return;
        }
        let shuffle = self.stages[&id.task.stage].output.shuffle();
        let event = match self.read((shuffle, id.task.partition, id.attempt), location) {
            Ok(lineage) => {
                self.held.insert((job, id.task.partition), (id, lineage));
                Event::ResultFetched { attempt: id }
            }
            Err(failure) => Event::ResultFetchFailed {
                attempt: id,
                executor_unreachable: !failure.corrupt,
                message: failure.message,
            },
        };
        self.tell(event);
    }

    /// One event into the scheduler; its actions are carried out and checked.
    fn handle(&mut self, event: Event) {
        self.report.events += 1;
        match &event {
            Event::TaskFinished { attempt, executor, .. } | Event::TaskFailed { attempt, executor, .. } => {
                self.nodes.get_mut(executor).expect("an executor").occupied.remove(&attempt.attempt);
            }
            Event::ExecutorLost { executor, reason, .. } => {
                self.failures_told += u32::from(reason.is_failure());
                let ended = std::mem::take(&mut self.nodes.get_mut(executor).expect("an executor").occupied);
                self.killed.extend(ended);
            }
            Event::JobSubmitted(spec) => {
                self.submitted.insert(spec.job);
            }
            _ => {}
        }
        if let Event::TaskFinished { attempt, .. } | Event::TaskFailed { attempt, .. } = &event {
            self.killed.insert(attempt.attempt);
        }
        let mut actions = Vec::new();
        self.scheduler.handle(self.now, event, &mut actions);
        for action in actions {
            self.carry_out(action);
        }
        for (name, slots, occupied) in self.scheduler.executors().alive() {
            let node = &self.nodes[name];
            assert_eq!(occupied, node.occupied.len(), "slots of {name}");
            let most = slots as usize + self.tasks_ahead;
            assert!(occupied <= most, "{name} has more tasks than slots");
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::LaunchTask { attempt, job, executor, speculative, .. } => {
                self.check_copy(attempt, &executor, speculative);
                self.launch(attempt, job, executor);
            }
            Action::KillTask { attempt, executor, .. } => {
                self.killed.insert(attempt.attempt);
                let at = self.soon(6);
                self.send(at, Message::Kill(executor, attempt.attempt));
            }
            Action::DiscardAttemptOutput { attempt, executor, shuffle } => {
                let map = attempt.task.partition;
                assert_ne!(self.counts(shuffle, map), Some(attempt.attempt), "an output that counts is discarded");
                self.nodes.get_mut(&executor).expect("an executor").files.remove(&(shuffle, map, attempt.attempt));
            }
            Action::ResultReady { job, attempt, location } => {
                self.assert_running(job);
                self.ready.insert((job, attempt.task.partition), attempt);
                if location == OutputLocation::Driver {
                    let lineage = self.inline[&attempt.attempt].clone();
                    self.held.insert((job, attempt.task.partition), (attempt, lineage));
                } else {
                    let at = self.soon(8);
                    self.send(at, Message::FetchResult(job, attempt, location));
                }
            }
            Action::RemoveShuffle { shuffle } => {
                for node in self.nodes.values_mut() {
                    node.files.retain(|key, _| key.0 != shuffle);
                }
                self.store.retain(|key, _| key.0 != shuffle);
            }
            Action::JobSucceeded { job } => {
                self.check_result(job);
                self.job_ended(job, Outcome::Succeeded);
            }
            Action::JobFailed { job, failure } => {
                self.check_failure(&failure);
                self.job_ended(job, Outcome::Failed(failure));
            }
            Action::JobCancelled { job, .. } => self.job_ended(job, Outcome::Cancelled),
            Action::RefuseExecutor { executor } => self.stop(&executor),
            Action::EndExecutor { executor, .. } => {
                let ended = std::mem::take(&mut self.nodes.get_mut(&executor).expect("an executor").occupied);
                self.killed.extend(ended);
                self.report.given_up += 1;
                // The reaper's count as failures.
                self.failures_told += 1;
                self.stop(&executor);
            }
            Action::StageStarted { .. }
            | Action::StageSuspended { .. }
            | Action::StageFinished { .. }
            | Action::MapOutputsChanged { .. } => {}
        }
    }

    /// The attempt whose output the scheduler goes by.
    fn counts(&self, shuffle: ShuffleId, map: u32) -> Option<u64> {
        let outputs = self.scheduler.map_outputs(shuffle)?;
        outputs.iter().find(|output| output.map_index == map).map(|output| output.attempt)
    }

    /// A task runs in one attempt, or in two on two nodes.
    fn check_copy(&mut self, id: TaskAttemptId, executor: &ExecutorId, speculative: bool) {
        let live = self.live.entry((id.task.stage, id.task.partition)).or_default();
        live.retain(|attempt| !self.killed.contains(attempt));
        assert_eq!(live.len(), usize::from(speculative), "{id} is launched while {live:?} of the same task run");
        for other in live.iter() {
            assert_ne!(self.node_of[executor], self.node_of[&self.launched_on[other]], "{id} is copied on its node");
        }
        live.insert(id.attempt);
        self.launched_on.insert(id.attempt, executor.clone());
        self.report.copies += u32::from(speculative);
    }

    fn launch(&mut self, id: TaskAttemptId, job: JobId, executor: ExecutorId) {
        self.assert_running(job);
        assert!(self.launched.insert(id.attempt), "attempt {id} is launched twice");
        *self.report.launches.entry(id.task.stage).or_default() += 1;
        let at = self.soon(4);
        let node = self.nodes.get_mut(&executor).expect("an executor");
        assert!(!node.draining, "{executor} is leaving and got a task");
        assert!(node.occupied.insert(id.attempt));
        assert!(node.occupied.len() <= node.slots as usize + self.tasks_ahead);
        if node.alive {
            node.running.insert(id.attempt, Running { id, inputs: vec![] });
            self.send(at, Message::Start(executor, id.attempt));
        }
    }

    fn assert_running(&self, job: JobId) {
        assert!(self.submitted.contains(&job) && !self.report.outcomes.contains_key(&job), "job {job} does not run");
    }

    fn job_ended(&mut self, job: JobId, outcome: Outcome) {
        let before = self.report.outcomes.insert(job, outcome.clone());
        assert_eq!(before, None, "job {job} ends twice");
        let (mut row, shuffles) = self.rows.remove(&job).unwrap_or_default();
        match row.pop_front() {
            Some(next) if outcome == Outcome::Succeeded => {
                self.rows.insert(next.job, (row, shuffles));
                self.specs.insert(next.job, next.clone());
                let at = self.soon(8);
                self.send(at, Message::ToScheduler(Event::JobSubmitted(next)));
            }
            _ => {
                for shuffle in shuffles {
                    let at = self.soon(8);
                    self.send(at, Message::ToScheduler(Event::ShuffleReleased { shuffle }));
                }
            }
        }
        assert!(self.scheduler.job_progress(job).is_none());
    }

    /// The driver has the rows of one attempt of every result task, and they go together.
    fn check_result(&self, job: JobId) {
        let spec = &self.specs[&job];
        let result = spec.stages.iter().find(|stage| stage.stage == spec.result_stage).expect("a result stage");
        if !result.output.is_result() {
            return;
        }
        let mut all = Lineage::new();
        for partition in 0..result.num_tasks {
            let (held, lineage) = self.held.get(&(job, partition)).expect("rows of every result");
            assert_eq!(held, &self.ready[&(job, partition)], "rows of an attempt that does not count");
            all.extend(lineage);
        }
        let versions: BTreeMap<_, _> = all.iter().map(|(shuffle, map, attempt)| ((shuffle, map), attempt)).collect();
        assert_eq!(versions.len(), all.len(), "rows of outputs in several versions: {all:?}");
    }

    /// A job may only fail for a reason that there was.
    fn check_failure(&self, failure: &JobFailure) {
        let config = self.scheduler.config();
        match failure {
            JobFailure::InvalidSpec(problem) => panic!("a spec is refused: {problem}"),
            JobFailure::Task { failure: TaskFailure::Query { retryable: false, .. }, failures, .. } => {
                assert!(*failures >= 1);
            }
            JobFailure::Task { failure: TaskFailure::FetchFailed(_) | TaskFailure::Killed { .. }, .. } => {
                panic!("a task went round: {failure}")
            }
            JobFailure::Task { failures, .. } => assert_eq!(*failures, config.max_task_failures),
            JobFailure::FetchFailures { attempts, .. } => {
                assert_eq!(*attempts, config.max_consecutive_stage_attempts);
            }
            JobFailure::ExecutorFailures { failures, limit, .. } => {
                assert!(failures > limit && self.failures_told >= *failures);
            }
            JobFailure::NoExecutors { waited_ms, .. } => {
                assert!(*waited_ms >= config.no_executors_timeout_ms);
                assert_eq!(self.scheduler.executors().alive().count(), 0);
            }
            JobFailure::ExcludedEverywhere { .. } => {
                let rules = &config.exclusion;
                assert!(rules.stage.is_some() || rules.application.is_some(), "{failure}");
            }
            JobFailure::ResultTooLarge { bytes, limit, .. } => assert!(bytes > limit),
            JobFailure::CannotRollBack { cause, .. } => {
                assert!(self.stages[cause].indeterminate && !self.held.is_empty());
            }
        }
    }

    fn check_quiescence(&self) {
        for job in self.specs.keys() {
            assert!(self.report.outcomes.contains_key(job), "job {job} has not ended");
        }
        let demand = self.scheduler.demand();
        assert_eq!((demand.running_attempts, demand.pending_tasks), (0, 0));
        for (name, _, occupied) in self.scheduler.executors().alive() {
            assert_eq!(occupied, 0, "{name} keeps a slot");
            assert!(self.nodes[name].files.is_empty(), "{name} keeps files");
        }
        assert!(self.store.is_empty(), "the store keeps files");
        for stage in self.stages.values() {
            assert!(self.scheduler.map_outputs(stage.output.shuffle()).is_none());
        }
    }
}
