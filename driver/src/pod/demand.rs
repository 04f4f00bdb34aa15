//! How many executors there should be, from how much there is to do: Spark's dynamic allocation. Pure: what is to do, who
//! does what and the time in, a number and names out.
//!
//! While tasks wait, executors are asked for in steps that double; when fewer would do, fewer are asked for at once; an
//! executor that has done nothing for a while is let go, unless what it holds is still wanted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use firesteel_api::scaling::Dynamic;

/// What there is to do and who does it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// Tasks that could run if there were slots.
    pub pending: u64,
    /// Attempts that run.
    pub running: u64,
    /// Stages with a task that may run on none of the executors: each needs another one.
    pub unschedulable: u32,
    /// Executors that take tasks.
    pub executors: Vec<Busy>,
}

/// One executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    pub id: u64,
    pub tasks: usize,
    /// Map outputs that a plan may still read.
    pub holds_outputs: bool,
    pub holds_cached_blocks: bool,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Executors wanted.
    pub target: u32,
    /// Executors to let go.
    pub release: Vec<u64>,
}

/// Decides again and again, as Spark's `ExecutorAllocationManager` does.
#[derive(Debug)]
pub struct Policy {
    rules: Dynamic,
    /// Task slots of an executor.
    slots: u32,
    target: u32,
    /// Executors that the next step adds.
    step: u32,
    /// When more are asked for, while tasks wait.
    add_at: Option<Instant>,
    /// Nothing was to do yet: the number asked for at the start stands.
    at_start: bool,
    /// Since when executors do nothing.
    idle: BTreeMap<u64, Instant>,
}

impl Policy {
    pub fn new(rules: Dynamic, slots: u32, initial: u32) -> Self {
        Self {
            rules,
            slots: slots.max(1),
            target: initial,
            step: 1,
            add_at: None,
            at_start: true,
            idle: BTreeMap::new(),
        }
    }

    /// After this a pod that is asked for in vain is not needed any more.
    pub fn patience(&self) -> Duration {
        self.rules.idle
    }

    pub fn decide(&mut self, now: Instant, load: &Load) -> Decision {
        if load.pending + load.running > 0 {
            self.at_start = false;
        }
        if load.pending == 0 {
            (self.add_at, self.step) = (None, 1);
        } else if self.add_at.is_none() {
            self.add_at = Some(now + self.rules.backlog);
        }
        let overdue = self.overdue(now, load);
        self.at_start &= overdue.is_empty();
        if !self.at_start {
            self.aim(now, load);
        }
        Decision { target: self.target, release: self.release(overdue, load) }
    }

    /// Executors that would run all tasks at once, times the ratio. For tasks that may run on none of those that are there,
    /// others beside them.
    fn needed(&self, load: &Load) -> u32 {
        // A cast of a float saturates.
        let for_tasks = |tasks: f64| (tasks * self.rules.ratio / f64::from(self.slots)).ceil() as u32;
        let needed = for_tasks((load.pending + load.running) as f64);
        if load.unschedulable == 0 {
            return needed;
        }
        let there = u32::try_from(load.executors.len()).unwrap_or(u32::MAX);
        needed.max(there).saturating_add(for_tasks(f64::from(load.unschedulable)))
    }

    fn aim(&mut self, now: Instant, load: &Load) {
        let needed = self.needed(load);
        if needed < self.target {
            self.target = needed.clamp(self.rules.min, self.rules.max);
            self.step = 1;
        } else if self.add_at.is_some_and(|at| now >= at) {
            self.add(needed, load);
            self.add_at = Some(now + self.rules.sustained_backlog);
        }
    }

    fn add(&mut self, needed: u32, load: &Load) {
        if self.target >= self.rules.max {
            self.step = 1;
            return;
        }
        let before = self.target;
        let there = u32::try_from(load.executors.len()).unwrap_or(u32::MAX);
        let wanted = before.max(there).saturating_add(self.step).min(needed);
        self.target = wanted.clamp(self.rules.min, self.rules.max);
        let added = self.target.saturating_sub(before);
        self.step = if added == self.step { self.step.saturating_mul(2) } else { 1 };
    }

    /// Executors that have done nothing for longer than they may, the longest idle first.
    fn overdue(&mut self, now: Instant, load: &Load) -> Vec<u64> {
        self.idle.retain(|id, _| load.executors.iter().any(|e| e.id == *id && e.tasks == 0));
        let mut overdue = Vec::new();
        for executor in load.executors.iter().filter(|e| e.tasks == 0) {
            let since = *self.idle.entry(executor.id).or_insert(now);
            if now.saturating_duration_since(since) >= self.may_idle(executor) {
                overdue.push((since, executor.id));
            }
        }
        overdue.sort_unstable();
        overdue.into_iter().map(|(_, id)| id).collect()
    }

    fn may_idle(&self, executor: &Busy) -> Duration {
        let outputs = (executor.holds_outputs && self.rules.shuffle_tracking).then_some(self.rules.shuffle_idle);
        let cached = executor.holds_cached_blocks.then_some(self.rules.cached_idle);
        outputs.into_iter().chain(cached).max().unwrap_or(self.rules.idle)
    }

    /// Never so many that fewer are left than are asked for.
    fn release(&self, overdue: Vec<u64>, load: &Load) -> Vec<u64> {
        let keep = self.target.max(self.rules.min) as usize;
        let spare = load.executors.len().saturating_sub(keep);
        overdue.into_iter().take(spare).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(min: u32, max: u32) -> Dynamic {
        Dynamic {
            min,
            max,
            ratio: 1.0,
            backlog: Duration::from_secs(1),
            sustained_backlog: Duration::from_secs(1),
            idle: Duration::from_secs(60),
            cached_idle: Duration::from_secs(600),
            shuffle_idle: Duration::from_secs(300),
            shuffle_tracking: true,
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// Executors with so many tasks each.
    fn load(pending: u64, tasks: &[usize]) -> Load {
        let executors = (1..).zip(tasks);
        Load {
            pending,
            running: tasks.iter().sum::<usize>() as u64,
            unschedulable: 0,
            executors: executors
                .map(|(id, tasks)| Busy { id, tasks: *tasks, holds_outputs: false, holds_cached_blocks: false })
                .collect(),
        }
    }

    #[test]
    fn a_task_that_may_run_on_none_of_the_executors_gets_another_one() {
        let start = Instant::now();
        let mut policy = Policy::new(rules(0, 8), 4, 2);
        let load = Load { unschedulable: 1, ..load(1, &[1, 0]) };
        policy.decide(start, &load);
        assert_eq!(policy.decide(after(start, 1), &load).target, 3);
    }

    #[test]
    fn a_backlog_is_met_in_steps_that_double() {
        let start = Instant::now();
        let mut policy = Policy::new(rules(0, 100), 2, 0);
        let mut targets = Vec::new();
        for second in 0..8 {
            targets.push(policy.decide(after(start, second), &load(80, &[])).target);
        }
        assert_eq!(targets, [0, 1, 3, 7, 15, 31, 40, 40], "80 tasks need 40 executors of two slots");
    }

    #[test]
    fn steps_begin_again_after_the_queue_was_empty() {
        let start = Instant::now();
        let mut policy = Policy::new(rules(0, 100), 1, 0);
        let mut at = |second, load: Load| policy.decide(after(start, second), &load).target;
        assert_eq!(at(0, load(50, &[])), 0);
        assert_eq!((at(1, load(50, &[])), at(2, load(50, &[]))), (1, 3));
        assert_eq!(at(3, load(0, &[1, 1, 1])), 3);
        assert_eq!(at(4, load(50, &[1, 1, 1])), 3, "the backlog is new");
        assert_eq!(at(5, load(50, &[1, 1, 1])), 4);
    }

    #[test]
    fn bounds_hold() {
        let start = Instant::now();
        let mut policy = Policy::new(rules(2, 5), 1, 3);
        assert_eq!(policy.decide(start, &load(0, &[])).target, 3, "nothing was to do yet");
        assert_eq!(policy.decide(start, &load(0, &[1])).target, 2, "not fewer than the least");
        for second in 1..20 {
            assert!(policy.decide(after(start, second), &load(1000, &[1, 1])).target <= 5);
        }
        assert_eq!(policy.decide(after(start, 20), &load(1000, &[1, 1])).target, 5);
    }

    #[test]
    fn the_ratio_asks_for_fewer() {
        let start = Instant::now();
        let mut policy = Policy::new(Dynamic { ratio: 0.5, ..rules(0, 100) }, 4, 0);
        let mut last = 0;
        for second in 0..10 {
            last = policy.decide(after(start, second), &load(81, &[])).target;
        }
        assert_eq!(last, 11, "81 tasks, half of them, four at a time");
    }

    #[test]
    fn idle_executors_are_let_go_the_longest_idle_first() {
        let start = Instant::now();
        let mut policy = Policy::new(rules(1, 10), 1, 3);
        assert_eq!(policy.decide(start, &load(0, &[1, 0, 1])).release, [0; 0]);
        assert_eq!(policy.decide(after(start, 10), &load(0, &[0, 0, 0])).release, [0; 0]);
        assert_eq!(policy.decide(after(start, 59), &load(0, &[0, 0, 0])).release, [0; 0]);
        assert_eq!(policy.decide(after(start, 60), &load(0, &[0, 0, 0])).release, [2]);
        let mut without_2 = load(0, &[0, 0, 0]);
        without_2.executors.remove(1);
        let decision = policy.decide(after(start, 70), &without_2);
        assert_eq!(decision, Decision { target: 1, release: vec![1] }, "one stays");
    }

    #[test]
    fn an_executor_that_works_again_is_not_idle() {
        let start = Instant::now();
        let mut policy = Policy::new(rules(0, 10), 1, 1);
        policy.decide(start, &load(0, &[0]));
        policy.decide(after(start, 50), &load(0, &[1]));
        assert_eq!(policy.decide(after(start, 70), &load(0, &[0])).release, [0; 0]);
        assert_eq!(policy.decide(after(start, 130), &load(0, &[0])).release, [1]);
    }

    #[test]
    fn what_an_executor_holds_keeps_it() {
        let table = [
            (true, false, true, 300),
            (false, true, true, 600),
            (true, true, true, 600),
            (true, false, false, 60),
            (true, true, false, 600),
            (false, false, true, 60),
        ];
        for (holds_outputs, holds_cached_blocks, shuffle_tracking, seconds) in table {
            let start = Instant::now();
            let mut policy = Policy::new(Dynamic { shuffle_tracking, ..rules(0, 10) }, 1, 1);
            let executors = vec![Busy { id: 1, tasks: 0, holds_outputs, holds_cached_blocks }];
            let load = Load { executors, ..Load::default() };
            policy.decide(start, &load);
            assert_eq!(policy.decide(after(start, seconds - 1), &load).release, [0; 0], "{load:?}");
            assert_eq!(policy.decide(after(start, seconds), &load).release, [1], "{load:?}");
        }
    }

    #[test]
    fn idle_executors_are_kept_while_there_is_work_for_them() {
        let start = Instant::now();
        let mut policy = Policy::new(Dynamic { idle: Duration::ZERO, ..rules(0, 10) }, 1, 3);
        // Tasks that cannot go to these executors, for instance.
        assert_eq!(policy.decide(start, &load(3, &[0, 0, 0])).release, [0; 0]);
        assert_eq!(policy.decide(start, &load(1, &[0, 0, 0])).release.len(), 2);
    }

    proptest! {
        /// Whatever comes: bounds hold, nobody who works is let go, no more are let go than can be spared, and what is
        /// let go was there.
        #[test]
        fn any_course_of_events(
            min in 0u32..4,
            more in 0u32..8,
            slots in 1u32..4,
            initial in 0u32..8,
            events in prop::collection::vec((0u64..100, 0u64..40, prop::collection::vec((0usize..3, any::<bool>(), any::<bool>()), 0..12)), 1..60),
        ) {
            let max = (min + more).max(1);
            let mut policy = Policy::new(rules(min, max), slots, initial.clamp(min, max));
            let mut now = Instant::now();
            for (seconds, pending, executors) in events {
                now += Duration::from_secs(seconds);
                let executors: Vec<Busy> = (1..)
                    .zip(executors)
                    .map(|(id, (tasks, holds_outputs, holds_cached_blocks))| Busy { id, tasks, holds_outputs, holds_cached_blocks })
                    .collect();
                let running = executors.iter().map(|e| e.tasks as u64).sum();
                let load = Load { pending, running, executors, ..Load::default() };
                let decision = policy.decide(now, &load);
                prop_assert!(decision.target >= min && decision.target <= max);
                let left = load.executors.len() - decision.release.len();
                prop_assert!(decision.release.is_empty() || left >= decision.target as usize);
                for id in &decision.release {
                    let released = load.executors.iter().find(|e| e.id == *id);
                    prop_assert!(released.is_some_and(|e| e.tasks == 0));
                }
                prop_assert!(decision.target <= policy.needed(&load).max(min).max(initial.clamp(min, max)));
            }
        }

        /// With the same load for long enough, there are as many as that load needs.
        #[test]
        fn a_steady_load_gets_what_it_needs(pending in 1u64..500, max in 1u32..200, slots in 1u32..8) {
            let mut policy = Policy::new(rules(0, max), slots, 0);
            let mut now = Instant::now();
            let mut target = 0;
            for _ in 0..40 {
                target = policy.decide(now, &load(pending, &[])).target;
                now += Duration::from_secs(1);
            }
            prop_assert_eq!(u64::from(target), pending.div_ceil(u64::from(slots)).min(u64::from(max)));
        }
    }
}
