//! Task attempts counted by stage and by executor: what was launched, what failed, what had to run again.

use std::collections::{BTreeMap, HashMap, VecDeque};

use firesteel_protocol::{ExecutorId, JobId, StageId, TaskAttemptId};
use serde::Serialize;

/// Stages of ended jobs that are remembered for people.
const REMEMBERED: usize = 500;

/// Task attempts of a stage, a job or an application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptCounts {
    pub launched: u64,
    /// Ended without a result, by a failure or with their executor. Those that were told to end are not counted.
    pub failed: u64,
    /// Launched because an earlier attempt of the task failed, or because what it had made was lost. Not the copies of
    /// slow tasks.
    pub rerun: u64,
    /// Copies of slow tasks.
    pub speculative: u64,
    /// Copies that were done before the attempt they are a copy of.
    pub speculative_won: u64,
}

impl AttemptCounts {
    fn add(&mut self, other: Self) {
        self.launched += other.launched;
        self.failed += other.failed;
        self.rerun += other.rerun;
        self.speculative += other.speculative;
        self.speculative_won += other.speculative_won;
    }
}

/// Of one executor, as long as it is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecutorTasks {
    pub running: u64,
    pub done: u64,
    pub failed: u64,
}

/// A stage as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageView {
    pub stage: u32,
    pub job: u64,
    /// `idle`, `waiting`, `running`, or after its job `ended`.
    pub state: &'static str,
    pub stage_attempt: u32,
    pub tasks: u32,
    pub running: u32,
    pub done: u32,
    #[serde(flatten)]
    pub attempts: AttemptCounts,
}

#[derive(Debug)]
struct Running {
    stage: StageId,
    executor: ExecutorId,
    speculative: bool,
}

/// Constant work for each attempt that is launched and that ends; bounded by the jobs and attempts that run.
#[derive(Debug, Default)]
pub struct Tally {
    total: AttemptCounts,
    stages: HashMap<StageId, AttemptCounts>,
    executors: HashMap<ExecutorId, ExecutorTasks>,
    running: HashMap<u64, Running>,
    ended: VecDeque<StageView>,
}

impl Tally {
    pub fn total(&self) -> AttemptCounts {
        self.total
    }

    pub fn stage(&self, stage: StageId) -> AttemptCounts {
        self.stages.get(&stage).copied().unwrap_or_default()
    }

    pub fn executor(&self, executor: &ExecutorId) -> ExecutorTasks {
        self.executors.get(executor).copied().unwrap_or_default()
    }

    /// Stages of ended jobs, the oldest first.
    pub fn ended(&self) -> impl Iterator<Item = &StageView> {
        self.ended.iter()
    }

    fn count(&mut self, stage: StageId, what: AttemptCounts) {
        self.total.add(what);
        self.stages.entry(stage).or_default().add(what);
    }

    pub fn launched(&mut self, attempt: TaskAttemptId, executor: &ExecutorId, attempt_number: u32, speculative: bool) {
        let stage = attempt.task.stage;
        self.count(
            stage,
            AttemptCounts {
                launched: 1,
                rerun: u64::from(attempt_number > 0 && !speculative),
                speculative: u64::from(speculative),
                ..AttemptCounts::default()
            },
        );
        self.executors.entry(executor.clone()).or_default().running += 1;
        self.running.insert(attempt.attempt, Running { stage, executor: executor.clone(), speculative });
    }

    /// The attempt says that it is done; `counts` unless another one was faster or nobody wants its result.
    pub fn finished(&mut self, attempt: TaskAttemptId, counts: bool) {
        let Some(ended) = self.running.remove(&attempt.attempt) else { return };
        let executor = self.executors.entry(ended.executor).or_default();
        executor.running = executor.running.saturating_sub(1);
        executor.done += u64::from(counts);
        if ended.speculative && counts {
            self.count(ended.stage, AttemptCounts { speculative_won: 1, ..AttemptCounts::default() });
        }
    }

    /// The attempt ended without a result; `killed` when it was told to.
    pub fn failed(&mut self, attempt: TaskAttemptId, killed: bool) {
        let Some(ended) = self.running.remove(&attempt.attempt) else { return };
        let executor = self.executors.entry(ended.executor).or_default();
        executor.running = executor.running.saturating_sub(1);
        if !killed {
            executor.failed += 1;
            self.count(ended.stage, AttemptCounts { failed: 1, ..AttemptCounts::default() });
        }
    }

    /// What ran there has failed. Answers how many attempts that were.
    pub fn executor_lost(&mut self, executor: &ExecutorId) -> u64 {
        self.executors.remove(executor);
        let mut lost = BTreeMap::<StageId, u64>::new();
        self.running.retain(|_, running| {
            let stays = running.executor != *executor;
            if !stays {
                *lost.entry(running.stage).or_default() += 1;
            }
            stays
        });
        for (stage, failed) in &lost {
            self.count(*stage, AttemptCounts { failed: *failed, ..AttemptCounts::default() });
        }
        lost.values().sum()
    }

    /// Of all these stages.
    pub fn stages<'a>(&self, stages: impl Iterator<Item = &'a StageId>) -> AttemptCounts {
        let mut sum = AttemptCounts::default();
        stages.for_each(|stage| sum.add(self.stage(*stage)));
        sum
    }

    /// The stages of a job that is over, with their tasks. Answers what they came to.
    pub fn job_ended(&mut self, job: JobId, stages: &[(StageId, u32)], succeeded: bool) -> AttemptCounts {
        let mut sum = AttemptCounts::default();
        for (stage, tasks) in stages {
            let Some(attempts) = self.stages.remove(stage) else { continue };
            sum.add(attempts);
            if self.ended.len() == REMEMBERED {
                self.ended.pop_front();
            }
            self.ended.push_back(StageView {
                stage: stage.0,
                job: job.0,
                state: "ended",
                stage_attempt: 0,
                tasks: *tasks,
                running: 0,
                done: if succeeded { *tasks } else { 0 },
                attempts,
            });
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firesteel_protocol::TaskId;

    fn attempt(stage: u32, number: u64) -> TaskAttemptId {
        TaskAttemptId {
            task: TaskId { stage: StageId(stage), partition: number as u32 },
            stage_attempt: 0,
            attempt: number,
        }
    }

    #[test]
    fn what_runs_again_is_told_from_copies() {
        let (a, b) = (ExecutorId::new("a"), ExecutorId::new("b"));
        let mut tally = Tally::default();
        tally.launched(attempt(0, 0), &a, 0, false);
        tally.launched(attempt(0, 1), &b, 0, false);
        tally.launched(attempt(1, 2), &a, 0, false);
        tally.finished(attempt(0, 0), true);
        assert_eq!(tally.executor(&a), ExecutorTasks { running: 1, done: 1, failed: 0 });
        // Said twice, counted once.
        tally.finished(attempt(0, 0), true);
        assert_eq!(tally.executor_lost(&a), 1, "what it runs, not what it has done");
        tally.failed(attempt(1, 2), false);
        tally.launched(attempt(0, 3), &b, 1, false);
        tally.launched(attempt(1, 4), &b, 1, false);
        // A copy that wins; the attempt it is a copy of is killed. One that does not.
        tally.launched(attempt(1, 5), &b, 2, true);
        tally.finished(attempt(1, 5), true);
        tally.failed(attempt(1, 4), true);
        tally.launched(attempt(0, 6), &b, 2, true);
        tally.finished(attempt(0, 6), false);
        let first = AttemptCounts { launched: 4, failed: 0, rerun: 1, speculative: 1, speculative_won: 0 };
        let second = AttemptCounts { launched: 3, failed: 1, rerun: 1, speculative: 1, speculative_won: 1 };
        assert_eq!((tally.stage(StageId(0)), tally.stage(StageId(1))), (first, second));
        let mut sum = first;
        sum.add(second);
        assert_eq!(tally.total(), sum);
        assert_eq!(tally.job_ended(JobId(7), &[(StageId(0), 2), (StageId(1), 1)], true), sum);
        assert_eq!(tally.ended().map(|s| (s.stage, s.job, s.done)).collect::<Vec<_>>(), [(0, 7, 2), (1, 7, 1)]);
        assert_eq!(tally.stage(StageId(1)), AttemptCounts::default(), "nothing is kept of a job that is over");
    }
}
