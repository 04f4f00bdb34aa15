//! Free slots meet pending tasks.

use std::collections::{BTreeSet, HashMap};

use firesteel_protocol::{StageId, TaskAttemptId, TaskId};

use crate::{
    actions::Action,
    config::SchedulerConfig,
    executors::Executors,
    locality::Locality,
    pool::{Pools, Round},
    scheduler::{Attempt, Scheduler},
    stage::Stage,
};

/// How many waiting retries are looked at for one that fits the free executors.
const MAX_RETRIES_SCANNED: usize = 64;

/// Of the tasks that wait, each executor gets one in so many ahead at the most, and none where that is less than
/// [`LEAST_AHEAD`].
const SHARE_AHEAD: u32 = 8;
const LEAST_AHEAD: u32 = 8;

/// Which slots may be free that were not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Any; or there are tasks that were not there before.
    All,
    /// Those of one executor, and nothing else has changed: what other free slots were refused for still holds.
    Executor(u32),
}

impl Scheduler {
    /// Gives every free slot a task, as far as there are tasks. Costs little when there is neither. Returns the stages that
    /// got slots.
    pub(crate) fn launch_tasks(&mut self, offer: Offer, actions: &mut Vec<Action>) -> BTreeSet<StageId> {
        let mut round = Round::default();
        let mut launched = BTreeSet::new();
        while offer.free(&self.executors).next().is_some() {
            let running = |stage| self.stages.get(&stage).map_or(0, |stage: &Stage| stage.tasks.running());
            let Some(chance) = self.pools.next(&mut round, running) else { break };
            let id = chance.turn.stage;
            let taken = self.launch_stage(id, chance.turn.pool, offer, chance.most, actions);
            if taken == 0 {
                round.nothing_for(chance.turn);
            } else {
                launched.insert(id);
            }
            self.update_turn(id);
        }
        launched
    }

    /// Gives an executor that does quick tasks some more than it has slots for, many at a time: between two of them it need not
    /// wait for the driver, and one message carries several. Only where no other stage has a task to launch, which would have
    /// to wait for them, and while there are so many tasks that nobody else goes without.
    pub(crate) fn launch_ahead(&mut self, executor: u32, actions: &mut Vec<Action>) {
        if self.config.tasks_ahead == 0 || self.config.speculation.is_some() {
            return;
        }
        let mut turns = self.pools.iter();
        let (Some(turn), None) = (turns.next(), turns.next()) else { return };
        drop(turns);
        let Some(stage) = self.stages.get(&turn.stage).filter(|stage| stage.runs_ahead()) else { return };
        let share = stage.tasks.pending() / (SHARE_AHEAD * self.executors.count().max(1));
        let most = self.config.tasks_ahead.min(share);
        let room = self.executors.room(executor, most);
        if most < LEAST_AHEAD || room < most / 2 {
            return;
        }
        if let Some(mut slots) = self.slots(turn.stage, turn.pool, Offer::Executor(executor), room, actions) {
            while slots.most > 0
                && let Some(task) = slots.stage.tasks.take_fresh()
            {
                slots.start(task, executor, false);
            }
        }
        self.update_turn(turn.stage);
    }

    fn slots<'a>(
        &'a mut self,
        id: StageId,
        pool: u32,
        offer: Offer,
        most: u32,
        actions: &'a mut Vec<Action>,
    ) -> Option<Slots<'a>> {
        let Self { now, config, pools, stages, executors, attempts, next_attempt, .. } = self;
        let stage = stages.get_mut(&id)?;
        Some(Slots {
            now: *now,
            config,
            offer,
            pool,
            pools,
            stage,
            executors,
            attempts,
            next_attempt,
            actions,
            most,
            nearest: None,
        })
    }

    fn launch_stage(&mut self, id: StageId, pool: u32, offer: Offer, most: u32, actions: &mut Vec<Action>) -> u32 {
        let Some(mut slots) = self.slots(id, pool, offer, most, actions) else { return 0 };
        slots.launch_retries();
        if slots.stage.tasks.has_preferences() {
            slots.launch_by_place();
        } else {
            slots.launch_fresh();
        }
        slots.launch_copies();
        most - slots.most
    }
}

impl Offer {
    fn free(self, executors: &Executors) -> impl Iterator<Item = u32> {
        let one = match self {
            Self::Executor(index) if executors.free_slots(index) > 0 => Some(index),
            _ => None,
        };
        let all = (self == Self::All).then(|| executors.free());
        one.into_iter().chain(all.into_iter().flatten())
    }
}

/// One stage before the free slots.
struct Slots<'a> {
    now: u64,
    config: &'a SchedulerConfig,
    offer: Offer,
    pool: u32,
    pools: &'a mut Pools,
    stage: &'a mut Stage,
    executors: &'a mut Executors,
    attempts: &'a mut HashMap<u64, Attempt>,
    next_attempt: &'a mut u64,
    actions: &'a mut Vec<Action>,
    /// Slots that the stage may still have.
    most: u32,
    /// The nearest level at which a task was launched.
    nearest: Option<Locality>,
}

impl Slots<'_> {
    /// Free executors that the stage as a whole may use, the freest first.
    fn free(&self) -> impl Iterator<Item = u32> {
        let failures = Some(&self.stage.failures).filter(|failures| !failures.is_empty());
        let executors = &*self.executors;
        let excluded = move |index| failures.is_some_and(|f| f.excludes(index, executors.node(index)));
        self.offer.free(executors).filter(move |index| !excluded(*index))
    }

    fn may_run(&self, task: u32, executor: u32) -> bool {
        let rules = self.config.exclusion.stage.as_ref();
        self.stage.may_run(rules, task, executor, self.executors.node(executor))
    }

    /// Tasks that failed before, each on another executor than last time if there is another one at all.
    fn launch_retries(&mut self) {
        let mut at = 0;
        while at < self.stage.tasks.retries().min(MAX_RETRIES_SCANNED) && self.most > 0 {
            let Some((task, avoid)) = self.stage.tasks.retry(at) else { continue };
            let any = self.executors.only_one();
            let fits = |executor: &u32| (any || *executor != avoid) && self.may_run(task, *executor);
            let found = self.free().find(fits);
            match found {
                // Its entry is out of date from here on, and goes when it is looked at again.
                Some(executor) => self.launch(task, executor, Locality::NoPref),
                None => at += 1,
            }
        }
    }

    /// Tasks without a preference, spread over the freest executors.
    fn launch_fresh(&mut self) {
        while self.most > 0 {
            let freest = self.free().next();
            let Some(executor) = freest else { return };
            let Some(task) = self.stage.tasks.take_fresh() else { return };
            self.launch(task, executor, Locality::NoPref);
        }
    }

    /// From near to far, as far as tasks have waited for the nearer places. Tasks without a preference come when no task
    /// finds its node, and before those that go elsewhere.
    fn launch_by_place(&mut self) {
        for level in [Locality::ProcessLocal, Locality::NodeLocal, Locality::NoPref, Locality::Any] {
            if level == Locality::NoPref {
                self.launch_fresh();
                continue;
            }
            while self.most > 0 && level <= self.allowed() && self.launch_round(level) {}
        }
        let waiting = self.stage.tasks.has_at(Locality::Any, self.executors);
        let refused = waiting && self.most > 0 && self.free().next().is_some();
        let all = self.offer == Offer::All;
        self.stage.delay.offered(self.now, &self.config.locality, self.nearest, refused, all);
    }

    fn allowed(&mut self) -> Locality {
        self.stage.delay.allowed(self.now, &self.config.locality, &mut self.stage.tasks, self.executors)
    }

    /// One task for each free executor. False when nobody found one.
    fn launch_round(&mut self, level: Locality) -> bool {
        let free: Vec<u32> = self.free().collect();
        let mut any = false;
        for executor in free {
            if self.most == 0 {
                break;
            }
            let (name, node) = (self.executors.name(executor), self.executors.node(executor));
            if let Some(task) = self.stage.tasks.take_at(level, name, node) {
                self.launch(task, executor, level);
                any = true;
            }
        }
        any
    }

    /// Copies of slow tasks, each on another node than the attempt that is slow: what slows it down is mostly its node.
    fn launch_copies(&mut self) {
        if self.stage.tasks.copies_wanted() == 0 {
            return;
        }
        for (task, slow) in self.stage.tasks.wanted_copies() {
            if self.most == 0 {
                return;
            }
            let Some(node) = self.attempts.get(&slow).map(|a| self.executors.node(a.executor).clone()) else {
                continue;
            };
            let fits = |executor: &u32| *self.executors.node(*executor) != node && self.may_run(task, *executor);
            let elsewhere = self.free().find(fits);
            if let Some(executor) = elsewhere {
                self.start(task, executor, true);
            }
        }
    }

    fn launch(&mut self, task: u32, executor: u32, level: Locality) {
        self.nearest = Some(self.nearest.map_or(level, |nearest| nearest.min(level)));
        self.start(task, executor, false);
    }

    fn start(&mut self, task: u32, executor: u32, speculative: bool) {
        let number = *self.next_attempt;
        *self.next_attempt += 1;
        self.most -= 1;
        let stage = &mut *self.stage;
        let attempt = TaskAttemptId {
            task: TaskId { stage: stage.id(), partition: task },
            stage_attempt: stage.attempt,
            attempt: number,
        };
        let attempt_number =
            if speculative { stage.tasks.copied(task, number) } else { stage.tasks.launched(task, number) };
        stage.began = true;
        let before = self.executors.tasks_a_slot(executor);
        self.executors.occupy(executor, number);
        self.pools.launched(self.pool);
        self.attempts.insert(
            number,
            Attempt {
                task: attempt.task,
                stage_attempt: attempt.stage_attempt,
                executor,
                shuffle: stage.spec.output.shuffle(),
                pool: self.pool,
                launched_at: self.now,
                before,
                records: 0,
            },
        );
        if let Some(job) = stage.jobs.first().copied() {
            let executor = self.executors.name(executor).clone();
            self.actions.push(Action::LaunchTask { attempt, job, executor, attempt_number, speculative });
        }
    }
}
