//! Free slots meet pending tasks.

use std::collections::HashMap;

use firesteel_protocol::{StageId, TaskAttemptId, TaskId};

use crate::{
    actions::Action,
    executors::Executors,
    scheduler::{Attempt, Scheduler},
    stage::Stage,
};

/// How many waiting retries are looked at for one that fits the free executors.
const MAX_RETRIES_SCANNED: usize = 64;

impl Scheduler {
    /// Gives every free slot a task, as far as there are tasks. Costs little when there is neither.
    pub(crate) fn launch_tasks(&mut self, now: u64, actions: &mut Vec<Action>) {
        let mut turn = None;
        while self.executors.has_free() {
            turn = self.pool.next(turn);
            let Some((_, id)) = turn else { return };
            self.launch_stage(now, id, actions);
            self.update_turn(id);
        }
    }

    fn launch_stage(&mut self, now: u64, id: StageId, actions: &mut Vec<Action>) {
        let Self { stages, executors, attempts, next_attempt, .. } = self;
        let Some(stage) = stages.get_mut(&id) else { return };
        let mut slots = Slots { now, stage, executors, attempts, next_attempt, actions };
        if slots.stage.tasks.has_preferences() {
            slots.launch_preferring();
        }
        slots.launch_retries();
        slots.launch_fresh();
        slots.launch_copies();
    }
}

/// One stage before the free slots.
struct Slots<'a> {
    now: u64,
    stage: &'a mut Stage,
    executors: &'a mut Executors,
    attempts: &'a mut HashMap<u64, Attempt>,
    next_attempt: &'a mut u64,
    actions: &'a mut Vec<Action>,
}

impl Slots<'_> {
    /// Tasks that would like to be on an executor that has a slot.
    fn launch_preferring(&mut self) {
        let free: Vec<u32> = self.executors.free().collect();
        for executor in free {
            while self.executors.free_slots(executor) > 0 {
                let (name, node) = (self.executors.name(executor), self.executors.node(executor));
                let Some(task) = self.stage.tasks.take_preferring(executor, name, node) else { break };
                self.launch(task, executor);
            }
        }
    }

    /// Tasks that failed before, each on another executor than last time if there is another one at all.
    fn launch_retries(&mut self) {
        let only_one = self.executors.schedulable() == 1;
        let mut at = 0;
        while at < self.stage.tasks.retries().min(MAX_RETRIES_SCANNED) && self.executors.has_free() {
            let Some((task, avoid)) = self.stage.tasks.retry(at) else { continue };
            let elsewhere = self.executors.free().find(|executor| only_one || *executor != avoid);
            match elsewhere {
                // Its entry is out of date from here on, and goes when it is looked at again.
                Some(executor) => self.launch(task, executor),
                None => at += 1,
            }
        }
    }

    /// The others, spread over the freest executors.
    fn launch_fresh(&mut self) {
        while let Some(executor) = self.executors.freest()
            && let Some(task) = self.stage.tasks.take_fresh()
        {
            self.launch(task, executor);
        }
    }

    /// Copies of slow tasks, each on another node than the attempt that is slow: what slows it down is mostly its node.
    fn launch_copies(&mut self) {
        if self.stage.tasks.copies_wanted() == 0 {
            return;
        }
        for (task, slow) in self.stage.tasks.wanted_copies() {
            let Some(node) = self.attempts.get(&slow).map(|a| self.executors.node(a.executor).clone()) else {
                continue;
            };
            let elsewhere = self.executors.free().find(|executor| *self.executors.node(*executor) != node);
            if let Some(executor) = elsewhere {
                self.start(task, executor, true);
            }
        }
    }

    fn launch(&mut self, task: u32, executor: u32) {
        self.start(task, executor, false);
    }

    fn start(&mut self, task: u32, executor: u32, speculative: bool) {
        let number = *self.next_attempt;
        *self.next_attempt += 1;
        let stage = &mut *self.stage;
        let attempt = TaskAttemptId {
            task: TaskId { stage: stage.id(), partition: task },
            stage_attempt: stage.attempt,
            attempt: number,
        };
        let attempt_number =
            if speculative { stage.tasks.copied(task, number) } else { stage.tasks.launched(task, number) };
        stage.began = true;
        self.executors.occupy(executor, number);
        self.attempts.insert(
            number,
            Attempt {
                task: attempt.task,
                stage_attempt: attempt.stage_attempt,
                executor,
                shuffle: stage.spec.output.shuffle(),
                launched_at: self.now,
            },
        );
        if let Some(job) = stage.jobs.first().copied() {
            let executor = self.executors.name(executor).clone();
            self.actions.push(Action::LaunchTask { attempt, job, executor, attempt_number, speculative });
        }
    }
}
