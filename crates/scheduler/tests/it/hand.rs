//! The scheduler driven by hand: one event, then a look at what it wants.

use std::collections::HashMap;

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId, TaskAttemptId};
use firesteel_scheduler::{
    Action, Event, ExecutorLossReason, FetchFailure, JobFailure, JobProperties, JobSpec, OutputHome, OutputLocation,
    OutputRef, Scheduler, SchedulerConfig, StageOutput, StageSpec, TaskFailure, TaskOutput,
};

pub struct Hand {
    pub scheduler: Scheduler,
    pub now: u64,
    /// Everything that it wanted; what was looked at for launches is taken out.
    pub actions: Vec<Action>,
    /// Blocks that the tasks of each stage leave.
    reducers: HashMap<StageId, usize>,
}

/// A launched attempt and where.
pub type Launch = (TaskAttemptId, ExecutorId);

impl Hand {
    pub fn new() -> Self {
        Self::with(SchedulerConfig::default())
    }

    pub fn with(config: SchedulerConfig) -> Self {
        Self { scheduler: Scheduler::new(config), now: 0, actions: Vec::new(), reducers: HashMap::new() }
    }

    pub fn tell(&mut self, event: Event) {
        self.scheduler.handle(self.now, event, &mut self.actions);
    }

    pub fn executor(&mut self, name: &str, slots: u32) {
        self.executor_on("node", name, slots);
    }

    pub fn executor_on(&mut self, node: &str, name: &str, slots: u32) {
        self.tell(Event::ExecutorRegistered { executor: ExecutorId::new(name), node: node.into(), slots });
    }

    pub fn lose(&mut self, name: &str, reason: ExecutorLossReason) {
        self.tell(Event::ExecutorLost { executor: ExecutorId::new(name), reason, outputs_lost: true });
    }

    pub fn submit(&mut self, spec: JobSpec) {
        self.reducers.extend(spec.stages.iter().map(|stage| (stage.stage, stage.output.num_reducers() as usize)));
        self.tell(Event::JobSubmitted(spec));
    }

    /// The attempts launched since the last look. Other actions stay.
    pub fn launched(&mut self) -> Vec<Launch> {
        let mut launched = Vec::new();
        self.actions.retain(|action| match action {
            Action::LaunchTask { attempt, executor, .. } => {
                launched.push((*attempt, executor.clone()));
                false
            }
            _ => true,
        });
        launched
    }

    pub fn finish(&mut self, (attempt, executor): &Launch) {
        let output = TaskOutput::on_executor(vec![100; self.reducers[&attempt.task.stage]]);
        self.tell(Event::TaskFinished { attempt: *attempt, executor: executor.clone(), output });
    }

    pub fn fail(&mut self, (attempt, executor): &Launch, failure: TaskFailure) {
        self.tell(Event::TaskFailed { attempt: *attempt, executor: executor.clone(), failure });
    }

    pub fn fetch_failed(&mut self, reader: &Launch, shuffle: u32, executor: &str, maps: &[u32], corrupt: bool) {
        let failure = FetchFailure {
            shuffle: ShuffleId(shuffle),
            executor: Some(ExecutorId::new(executor)),
            map_indexes: maps.to_vec(),
            corrupt,
            message: "connection refused".into(),
        };
        self.fail(reader, TaskFailure::FetchFailed(failure));
    }

    /// Finishes what is launched, wave after wave, until nothing more is, and says what was launched.
    pub fn finish_all(&mut self) -> Vec<Launch> {
        let mut all = Vec::new();
        loop {
            let wave = self.launched();
            if wave.is_empty() {
                return all;
            }
            wave.iter().for_each(|launch| self.finish(launch));
            all.extend(wave);
        }
    }

    /// Finishes what is launched and goes on until the driver has all rows.
    pub fn run_to_end(&mut self) {
        for launch in self.finish_all() {
            self.fetched(&launch);
        }
    }

    /// All that this executor holds goes elsewhere, and the executor with it.
    pub fn hand_over(&mut self, from: &str, to: OutputHome, shuffles: &[u32]) {
        let from = ExecutorId::new(from);
        let mut outputs = Vec::new();
        for shuffle in shuffles.iter().copied().map(ShuffleId) {
            let held = self.scheduler.map_outputs(shuffle).expect("outputs");
            let held = held.iter().filter(|output| output.location == OutputLocation::Executor(from.clone()));
            outputs.extend(held.map(|output| OutputRef {
                shuffle,
                map_index: output.map_index,
                attempt: output.attempt,
            }));
        }
        self.tell(Event::OutputsMoved { outputs, to });
        self.lose(from.as_str(), ExecutorLossReason::Released);
    }

    pub fn fetched(&mut self, launch: &Launch) {
        self.tell(Event::ResultFetched { attempt: launch.0 });
    }

    pub fn succeeded(&self, job: u64) -> bool {
        self.actions.contains(&Action::JobSucceeded { job: JobId(job) })
    }

    pub fn failure(&self, job: u64) -> Option<JobFailure> {
        self.actions.iter().find_map(|action| match action {
            Action::JobFailed { job: failed, failure } if failed.0 == job => Some(failure.clone()),
            _ => None,
        })
    }
}

pub fn partitions(launches: &[Launch]) -> Vec<(u32, u32)> {
    let mut all: Vec<_> = launches.iter().map(|(id, _)| (id.task.stage.0, id.task.partition)).collect();
    all.sort_unstable();
    all
}

pub fn map(stage: u32, parents: &[u32], tasks: u32) -> StageSpec {
    StageSpec {
        stage: StageId(stage),
        parents: parents.iter().map(|parent| StageId(*parent)).collect(),
        num_tasks: tasks,
        output: StageOutput::Shuffle { shuffle: ShuffleId(stage), num_reducers: 3 },
        preferences: vec![],
        indeterminate: false,
        lazy_parents: vec![],
    }
}

pub fn result(stage: u32, parents: &[u32], tasks: u32) -> StageSpec {
    StageSpec { output: StageOutput::Result { shuffle: ShuffleId(stage) }, ..map(stage, parents, tasks) }
}

/// The last stage is the result.
pub fn job(id: u64, stages: Vec<StageSpec>) -> JobSpec {
    let result_stage = stages.last().expect("a stage").stage;
    JobSpec { job: JobId(id), stages, result_stage, retain_shuffles: false, properties: JobProperties::default() }
}

pub const FIRST: JobId = JobId(1);

pub fn evicted() -> ExecutorLossReason {
    ExecutorLossReason::TakenByCluster { message: "evicted".into() }
}

pub fn crashed() -> ExecutorLossReason {
    ExecutorLossReason::Crashed { exit_code: Some(134) }
}

pub fn disk_full() -> TaskFailure {
    TaskFailure::DiskFull { message: "no space left on device".into() }
}

pub fn on<'a>(launches: &'a [Launch], executor: &str) -> Vec<&'a Launch> {
    launches.iter().filter(|(_, at)| at.as_str() == executor).collect()
}
