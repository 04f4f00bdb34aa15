//! Tasks that take much longer than the others of their stage get a copy on another node; the first of the two to end
//! counts. As in Spark's `TaskSetManager.checkSpeculatableTasks`.

use std::{cmp::Reverse, collections::BinaryHeap};

use firesteel_protocol::TaskId;

use crate::{
    config::Speculation,
    progress::StageState,
    scheduler::{Attempt, Scheduler},
    stage::Stage,
};

impl Scheduler {
    /// Marks slow tasks for a copy, from time to time. True if there are any.
    pub(crate) fn find_slow_tasks(&mut self) -> bool {
        let Some(rules) = self.config.speculation else { return false };
        if self.now < self.looked_for_slow.saturating_add(rules.interval_ms) {
            return false;
        }
        self.looked_for_slow = self.now;
        let slots = self.executors.most_slots();
        let mut slow: Vec<(u64, TaskId)> = Vec::new();
        for (number, attempt) in &self.attempts {
            let Some(stage) = self.stages.get(&attempt.task.stage) else { continue };
            if stage.state == StageState::Running
                && (self.is_slow(attempt, stage, &rules, slots) || self.ends_too_late(attempt, stage, &rules))
            {
                slow.push((*number, attempt.task));
            }
        }
        // The oldest first, so that the same events give the same actions.
        slow.sort_unstable_by_key(|(number, _)| *number);
        for (_, task) in &slow {
            if let Some(stage) = self.stages.get_mut(&task.stage) {
                stage.tasks.want_copy(task.partition);
            }
            self.update_turn(task.stage);
        }
        !slow.is_empty()
    }

    fn is_slow(&self, attempt: &Attempt, stage: &Stage, rules: &Speculation, slots: u32) -> bool {
        let ran_for = self.now.saturating_sub(attempt.launched_at);
        let Some((limit, by_median)) = slow_after(stage, rules, slots) else { return false };
        if ran_for <= limit {
            return false;
        }
        match &rules.efficiency {
            Some(efficiency) if by_median => {
                ran_for > limit.saturating_mul(efficiency.long_run_permille) / 1000
                    || stage.pace.is_slower(attempt.records, ran_for, efficiency.process_rate_permille)
            }
            _ => true,
        }
    }

    /// Whether its executor is leaving and will be gone before the task has had the stage's usual time.
    fn ends_too_late(&self, attempt: &Attempt, stage: &Stage, rules: &Speculation) -> bool {
        let notice = self.executors.draining_since(attempt.executor);
        let gone = notice.zip(rules.decommission_kill_interval_ms).map(|(at, interval)| at.saturating_add(interval));
        let done = stage.durations.get().map(|median| attempt.launched_at.saturating_add(median));
        gone.zip(done).is_some_and(|(gone, done)| done > gone)
    }

    /// When it must be looked for slow tasks again, while any task runs.
    pub(crate) fn next_look_for_slow_tasks(&self) -> Option<u64> {
        let rules = self.config.speculation.filter(|_| !self.attempts.is_empty())?;
        Some(self.looked_for_slow.saturating_add(rules.interval_ms))
    }
}

/// How long a task of the stage may run before it counts as slow, and whether the others' times say so; `None` while that
/// cannot be told.
fn slow_after(stage: &Stage, rules: &Speculation, slots: u32) -> Option<(u64, bool)> {
    let tasks = stage.tasks.len();
    let needed = (u64::from(tasks) * rules.quantile_permille / 1000).max(1);
    if tasks > 1 && stage.durations.len() as u64 >= needed {
        let median = stage.durations.get()?;
        return Some(((median.saturating_mul(rules.multiplier_permille) / 1000).max(rules.min_task_runtime_ms), true));
    }
    let threshold = rules.duration_threshold_ms.filter(|_| tasks <= slots)?;
    Some((threshold.max(rules.min_task_runtime_ms), false))
}

/// How fast the tasks of a stage that are done have read their rows.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    records: u64,
    millis: u64,
}

impl Pace {
    pub fn add(&mut self, records: u64, millis: u64) {
        self.records = self.records.saturating_add(records);
        self.millis = self.millis.saturating_add(millis);
    }

    /// Whether `records` in `millis` is less than so many thousandths of the mean rate. Not when no task reads rows.
    pub fn is_slower(&self, records: u64, millis: u64, permille: u64) -> bool {
        let its = u128::from(records) * u128::from(self.millis) * 1000;
        its < u128::from(self.records) * u128::from(millis) * u128::from(permille)
    }
}

/// The median of numbers that come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Median {
    /// The lower half, largest first.
    low: BinaryHeap<u64>,
    /// The upper half, smallest first; never longer than the lower one.
    high: BinaryHeap<Reverse<u64>>,
}

impl Median {
    pub fn add(&mut self, number: u64) {
        self.low.push(number);
        self.high.extend(self.low.pop().map(Reverse));
        if self.high.len() > self.low.len() {
            self.low.extend(self.high.pop().map(|Reverse(number)| number));
        }
    }

    pub fn len(&self) -> usize {
        self.low.len() + self.high.len()
    }

    /// The one in the middle, or the mean of the two.
    pub fn get(&self) -> Option<u64> {
        let low = *self.low.peek()?;
        match self.high.peek() {
            Some(Reverse(high)) if self.high.len() == self.low.len() => Some(low.midpoint(*high)),
            _ => Some(low),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let mut median = Median::default();
        assert_eq!(median.get(), None);
        for (number, middle) in [(7, 7), (1, 4), (9, 7), (9, 8), (2, 7), (100, 8)] {
            median.add(number);
            assert_eq!(median.get(), Some(middle), "after {number}");
        }
        assert_eq!(median.len(), 6);
    }
}
