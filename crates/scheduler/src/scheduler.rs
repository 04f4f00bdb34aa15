//! The state machine's front: what each event means.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId, TaskAttemptId, TaskId};

use crate::{
    actions::{Action, JobFailure},
    config::SchedulerConfig,
    events::{Event, ExecutorLossReason, OutputHome, OutputRef, RestoredOutput},
    exclusion::{Health, Unschedulable},
    executors::Executors,
    job::Job,
    launch::Offer,
    locality::Locality,
    map_outputs::{Home, MapOutputTracker, MapOutputs},
    pool::{Pools, Turn},
    progress::{Demand, StageProgress, StageState},
    stage::Stage,
};

/// The scheduler of one application. Owned and called by one thread; never blocks, never fails, never looks at a clock.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: SchedulerConfig,
    /// The time of the event that is being handled.
    pub(crate) now: u64,
    pub(crate) jobs: HashMap<JobId, Job>,
    pub(crate) stages: HashMap<StageId, Stage>,
    /// Which live stage writes a shuffle.
    pub(crate) writers: HashMap<ShuffleId, StageId>,
    pub(crate) pools: Pools,
    pub(crate) executors: Executors,
    pub(crate) outputs: MapOutputTracker,
    /// Every attempt that holds a slot, by its number.
    pub(crate) attempts: HashMap<u64, Attempt>,
    pub(crate) next_attempt: u64,
    pub(crate) health: Health,
    pub(crate) unschedulable: Unschedulable,
    /// Attempts that were told to end and have not, the first told first; kept only for `spark.task.reaper`.
    pub(crate) ending: VecDeque<(u64, u64)>,
    /// Groups whose further jobs are cancelled as they come, the last ones cancelled.
    pub(crate) cancelled_groups: VecDeque<String>,
    /// When executors failed, at most one more than the limit.
    executor_failures: VecDeque<u64>,
    last_loss: Option<(ExecutorId, ExecutorLossReason)>,
    /// Since when there has been work and no executor.
    without_executors_since: Option<u64>,
    /// When it was last looked for slow tasks.
    pub(crate) looked_for_slow: u64,
}

/// What an executor holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Outputs that other executors may still read, shuffle by shuffle.
    pub outputs: Vec<OutputRef>,
    /// Results that the driver has not fetched yet.
    pub results: usize,
}

/// An attempt that holds a slot. Its result is wanted as long as its task says that it runs in this attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub task: TaskId,
    pub stage_attempt: u32,
    pub executor: u32,
    pub shuffle: ShuffleId,
    /// The pool that its slot counts for.
    pub pool: u32,
    pub launched_at: u64,
    /// Attempts that go before it in its slot.
    pub before: u32,
    /// Rows that it has read, as far as told.
    pub records: u64,
}

impl Attempt {
    pub fn id(&self, number: u64) -> TaskAttemptId {
        TaskAttemptId { task: self.task, stage_attempt: self.stage_attempt, attempt: number }
    }
}

impl Scheduler {
    pub fn new(config: SchedulerConfig) -> Self {
        Self {
            pools: Pools::new(&config.pools),
            config,
            now: 0,
            jobs: HashMap::new(),
            stages: HashMap::new(),
            writers: HashMap::new(),
            executors: Executors::default(),
            outputs: MapOutputTracker::default(),
            attempts: HashMap::new(),
            next_attempt: 0,
            health: Health::default(),
            unschedulable: Unschedulable::default(),
            ending: VecDeque::new(),
            cancelled_groups: VecDeque::new(),
            executor_failures: VecDeque::new(),
            last_loss: None,
            without_executors_since: None,
            looked_for_slow: 0,
        }
    }

    /// Numbers its attempts from `attempt` on: after those of every scheduler before it whose outputs it may be given.
    pub fn first_attempt(mut self, attempt: u64) -> Self {
        self.next_attempt = attempt;
        self
    }

    /// Takes in what happened at `now` (milliseconds of a clock that never goes back) and appends what to do about it
    /// to `actions`, in order.
    pub fn handle(&mut self, now: u64, event: Event, actions: &mut Vec<Action>) {
        self.now = now;
        let mut offer = Offer::All;
        match event {
            Event::JobSubmitted(spec) => self.submit_job(spec, actions),
            Event::JobCancelled { job, reason } => self.cancel_job(job, reason, actions),
            Event::JobsCancelled { jobs, reason } => self.cancel_jobs(&jobs, &reason, actions),
            Event::ExecutorRegistered { executor, node, slots } => {
                self.executor_registered(executor, node, slots, actions);
            }
            Event::ExecutorDraining { executor } => self.executors.drain(now, &executor),
            Event::ExecutorReachable { executor, reachable } => self.executors.set_reachable(&executor, reachable),
            Event::OutputsRestored { shuffle, num_maps, num_reducers, outputs } => {
                self.restore_outputs(shuffle, num_maps, num_reducers, &outputs);
            }
            Event::OutputsMoved { outputs, to } => self.move_outputs(&outputs, &to, actions),
            Event::ExecutorLost { executor, reason, outputs_lost } => {
                self.executor_lost(executor, reason, outputs_lost, actions);
            }
            Event::TaskProgress { attempt, records } => {
                if let Some(running) = self.attempts.get_mut(&attempt.attempt) {
                    running.records = running.records.max(records);
                }
                return;
            }
            Event::TaskFinished { attempt, executor, output } => {
                offer = self.task_finished(attempt, executor, &output, actions);
            }
            Event::TaskFailed { attempt, executor, failure } => {
                self.task_failed(attempt, &executor, failure, actions);
            }
            Event::ResultFetched { attempt } => self.result_fetched(attempt, actions),
            Event::ResultFetchFailed { attempt, executor_unreachable, message } => {
                self.result_fetch_failed(attempt, executor_unreachable, message, actions);
            }
            Event::ShuffleReleased { shuffle } => self.release_shuffle(shuffle, actions),
            Event::Tick => {}
        }
        let terms = self.end_exclusion_terms();
        let ended = self.end_executors_of_endless_tasks(actions);
        let slow = self.find_slow_tasks();
        // Executors that the event does not name may have something to run now.
        if terms || ended || slow {
            offer = Offer::All;
        }
        let launched = self.launch_tasks(offer, actions);
        if let Offer::Executor(executor) = offer {
            self.launch_ahead(executor, actions);
        }
        if self.watch_unschedulable(&launched, actions) {
            self.launch_tasks(Offer::All, actions);
        }
        self.watch_for_executors(now, actions);
    }

    /// When [`Event::Tick`] should come at the latest, on the clock of [`Scheduler::handle`]; `None` while nothing
    /// depends on time.
    pub fn next_deadline(&self) -> Option<u64> {
        let starved = self.without_executors_since.map(|at| at.saturating_add(self.config.no_executors_timeout_ms));
        let others = [
            self.next_look_for_slow_tasks(),
            self.health.next_end(),
            self.unschedulable.next_end(),
            self.next_endless_task(),
            self.next_locality_level(),
        ];
        starved.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// When tasks that wait for a place and see free slots elsewhere may go there.
    fn next_locality_level(&self) -> Option<u64> {
        if !self.executors.has_free() {
            return None;
        }
        let waiting = self.pools.iter().filter_map(|turn| self.stages.get(&turn.stage));
        let placed = waiting.filter(|stage| stage.tasks.has_preferences() && stage.tasks.pending() > 0);
        placed.filter_map(|stage| stage.delay.next_end(&self.config.locality)).min()
    }

    /// Where the outputs of this shuffle (or result) are; `None` when no job uses it.
    pub fn map_outputs(&self, shuffle: ShuffleId) -> Option<MapOutputs<'_>> {
        Some(MapOutputs { outputs: self.outputs.get(shuffle)?, executors: &self.executors })
    }

    /// What this executor holds that is still wanted. Looks at every output there is.
    pub fn held_by(&self, executor: &ExecutorId) -> Held {
        let mut held = Held::default();
        let Some(index) = self.executors.index(executor) else { return held };
        for (shuffle, outputs) in self.outputs.iter() {
            let there = outputs.at(Home::executor(index));
            if outputs.is_result {
                held.results += there.count();
            } else {
                held.outputs.extend(there.map(|(map_index, attempt)| OutputRef { shuffle, map_index, attempt }));
            }
        }
        held
    }

    /// The executors that hold outputs that somebody may still read. Looks at every output there is.
    pub fn holders(&self) -> HashSet<ExecutorId> {
        let mut holders = HashSet::new();
        for (_, outputs) in self.outputs.iter() {
            holders.extend(outputs.homes());
        }
        holders.into_iter().map(|index| self.executors.name(index).clone()).collect()
    }

    /// How far the stages of a running job are, in the order of its spec; `None` when it is not running.
    pub fn job_progress(&self, job: JobId) -> Option<Vec<StageProgress>> {
        let job = self.jobs.get(&job)?;
        Some(job.stages.iter().filter_map(|stage| self.stages.get(stage)).map(Stage::progress).collect())
    }

    /// What could be used and what there is.
    pub fn demand(&self) -> Demand {
        let pending = self.pools.iter().filter_map(|turn| self.stages.get(&turn.stage));
        Demand {
            pending_tasks: pending.map(|stage| u64::from(stage.tasks.pending() + stage.tasks.copies_wanted())).sum(),
            running_attempts: self.attempts.len() as u64,
            slots: self.executors.slots(),
            unschedulable_stages: self.unschedulable.len(),
        }
    }

    /// The pools with their running attempts and the stages that wait for slots.
    pub fn pools(&self) -> impl Iterator<Item = (&str, u32, usize)> {
        self.pools.views()
    }

    pub fn executors(&self) -> &Executors {
        &self.executors
    }

    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    fn restore_outputs(&mut self, shuffle: ShuffleId, num_maps: u32, num_reducers: u32, restored: &[RestoredOutput]) {
        if self.outputs.get(shuffle).is_some() {
            return;
        }
        let outputs = self.outputs.entry(shuffle, num_maps, num_reducers);
        for output in restored {
            let fits = output.map_index < num_maps && output.sizes.len() == num_reducers as usize;
            if let Some(executor) = self.executors.index(&output.executor)
                && fits
            {
                outputs.restore(output.map_index, output.attempt, Home::executor(executor), &output.sizes);
            }
        }
    }

    fn move_outputs(&mut self, moved: &[OutputRef], to: &OutputHome, actions: &mut Vec<Action>) {
        let to = match to {
            OutputHome::Store => Home::STORE,
            OutputHome::Executor(name) => match self.executors.index(name) {
                Some(index) => Home::executor(index),
                None => return,
            },
        };
        let mut changed = BTreeSet::new();
        for OutputRef { shuffle, map_index, attempt } in moved.iter().copied() {
            let Some(outputs) = self.outputs.get_mut(shuffle) else { continue };
            let counts = outputs.attempt(map_index) == Some(attempt) && outputs.home(map_index) != Some(Home::DRIVER);
            if !counts {
                continue;
            }
            outputs.set_home(map_index, to);
            if !outputs.is_result {
                changed.insert(shuffle);
            } else if let Some(stage) = self.writers.get(&shuffle).and_then(|stage| self.stages.get(stage))
                && let (Some(attempt), Some(location), Some(job)) =
                    (outputs.attempt_id(stage.id(), map_index), to.location(&self.executors), stage.jobs.first())
            {
                actions.push(Action::ResultReady { job: *job, attempt, location });
            }
        }
        for shuffle in changed {
            if let Some(outputs) = self.outputs.get(shuffle) {
                actions.push(Action::MapOutputsChanged { shuffle, epoch: outputs.epoch() });
            }
        }
    }

    fn executor_registered(&mut self, name: ExecutorId, node: Arc<str>, slots: u32, actions: &mut Vec<Action>) {
        let waiting: Vec<StageId> = self.pools.iter().map(|turn| turn.stage).collect();
        for id in waiting {
            let Some(stage) = self.stages.get_mut(&id).filter(|stage| stage.tasks.has_preferences()) else { continue };
            for level in [Locality::ProcessLocal, Locality::NodeLocal] {
                let tasks = &mut stage.tasks;
                if tasks.waits_for(level, &name, &node) && !tasks.has_at(level, &self.executors) {
                    stage.delay.nearer(level);
                }
            }
        }
        let excluded = self.health.excludes_node(&node);
        if self.executors.add(name.clone(), node, slots) {
            if let Some(index) = self.executors.index(&name).filter(|_| excluded) {
                self.executors.set_excluded(index, true);
            }
        } else if self.executors.index(&name).is_none() {
            actions.push(Action::RefuseExecutor { executor: name });
        }
    }

    /// Gives up an executor that is there.
    pub(crate) fn end_executor(
        &mut self,
        index: u32,
        reason: String,
        loss: ExecutorLossReason,
        actions: &mut Vec<Action>,
    ) {
        let executor = self.executors.name(index).clone();
        tracing::warn!(%executor, reason, "the executor is given up");
        actions.push(Action::EndExecutor { executor: executor.clone(), reason });
        self.executor_lost(executor, loss, true, actions);
    }

    pub(crate) fn executor_lost(
        &mut self,
        name: ExecutorId,
        reason: ExecutorLossReason,
        outputs_lost: bool,
        actions: &mut Vec<Action>,
    ) {
        let Some((index, attempts)) = self.executors.remove(&name) else { return };
        self.health.forget_failures_of(index);
        let mut touched = Vec::new();
        if outputs_lost {
            self.lose_outputs_of(index, u64::MAX, &mut touched, actions);
        }
        self.attempts_lost(&attempts, &name, &reason, &mut touched, actions);
        self.resubmit_after_loss(touched, actions);

        self.last_loss = Some((name.clone(), reason.clone()));
        if reason.is_failure() {
            self.count_executor_failure(name, reason, actions);
        }
    }

    fn count_executor_failure(&mut self, executor: ExecutorId, reason: ExecutorLossReason, actions: &mut Vec<Action>) {
        let now = self.now;
        let failures = &mut self.executor_failures;
        let limit = self.config.max_executor_failures;
        failures.push_back(now);
        if let Some(validity) = self.config.executor_failures_validity_ms {
            while failures.front().is_some_and(|at| at.saturating_add(validity) <= now) {
                failures.pop_front();
            }
        }
        if failures.len() as u64 <= u64::from(limit) {
            return;
        }
        if self.jobs.is_empty() {
            failures.pop_front();
            return;
        }
        // The count begins again: what ends a batch job must not end a session for ever.
        let failures = std::mem::take(failures).len() as u32;
        let failure = JobFailure::ExecutorFailures { failures, limit, executor, reason };
        self.fail_jobs(self.running_jobs(), &failure, actions);
    }

    /// Fails the jobs that have work left when there has been no executor for too long.
    fn watch_for_executors(&mut self, now: u64, actions: &mut Vec<Action>) {
        if !self.executors.is_empty() || !self.jobs.values().any(|job| self.has_work(job)) {
            self.without_executors_since = None;
            return;
        }
        let since = *self.without_executors_since.get_or_insert(now);
        let waited_ms = now.saturating_sub(since);
        if waited_ms < self.config.no_executors_timeout_ms {
            return;
        }
        self.without_executors_since = None;
        let failure = JobFailure::NoExecutors { waited_ms, last: self.last_loss.clone() };
        let mut jobs = self.running_jobs();
        jobs.retain(|job| self.jobs.get(job).is_some_and(|job| self.has_work(job)));
        self.fail_jobs(jobs, &failure, actions);
    }

    /// Whether anything is still to be run; not when the results only wait to be fetched.
    fn has_work(&self, job: &Job) -> bool {
        self.stages.get(&job.result_stage).is_some_and(|stage| !stage.tasks.is_complete())
    }

    fn running_jobs(&self) -> Vec<JobId> {
        let mut jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        jobs.sort_unstable();
        jobs
    }

    fn release_shuffle(&mut self, shuffle: ShuffleId, actions: &mut Vec<Action>) {
        let Some(outputs) = self.outputs.get_mut(shuffle) else { return };
        outputs.retained = false;
        if !self.writers.contains_key(&shuffle) {
            self.outputs.remove(shuffle);
            actions.push(Action::RemoveShuffle { shuffle });
        }
    }

    /// Whether a stage's outputs are needed now: by the driver, or by a stage that waits.
    pub(crate) fn is_wanted(&self, stage: &Stage) -> bool {
        let for_a_job = |job: &JobId| self.jobs.get(job).is_some_and(|job| job.result_stage == stage.id());
        let waits = |child: &StageId| self.stages.get(child).is_some_and(|child| child.state == StageState::Waiting);
        stage.jobs.iter().any(for_a_job) || stage.children.iter().any(waits)
    }

    pub(crate) fn parents_complete(&self, stage: &Stage) -> bool {
        let complete = |parent| self.stages.get(parent).is_some_and(|parent| parent.tasks.is_complete());
        stage.spec.parents.iter().all(|parent| !stage.needs(*parent) || complete(parent))
    }

    /// Brings the pool up to date with a stage whose state or pending tasks changed.
    pub(crate) fn update_turn(&mut self, stage: StageId) {
        let Some(stage) = self.stages.get_mut(&stage) else { return };
        let first = stage.jobs.first().filter(|_| stage.wants_slots());
        let wanted = first.map(|job| {
            let pool = self.jobs.get(job).map_or(0, |job| job.pool);
            Turn { pool, job: *job, stage: stage.id() }
        });
        if wanted == stage.turn {
            return;
        }
        if let Some(turn) = stage.turn {
            self.pools.remove(turn);
        }
        match wanted {
            Some(turn) => self.pools.insert(turn),
            None => self.unschedulable.remove(stage.id()),
        }
        stage.turn = wanted;
    }
}
