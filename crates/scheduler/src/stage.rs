//! A stage as it runs.

use firesteel_protocol::{JobId, StageId};

use crate::{
    config::StageExclusion,
    exclusion::StageFailures,
    executors::Executors,
    job::StageSpec,
    locality::Delay,
    pool::Turn,
    progress::{StageProgress, StageState},
    speculation::{Median, Pace},
    task_set::TaskSet,
};

#[derive(Debug)]
pub(crate) struct Stage {
    pub spec: StageSpec,
    /// The running jobs that need it, oldest first; never empty.
    pub jobs: Vec<JobId>,
    /// The stages that read it.
    pub children: Vec<StageId>,
    pub state: StageState,
    pub tasks: TaskSet,
    /// Number of the current attempt, or of the last one.
    pub attempt: u32,
    /// Whether there was any attempt.
    pub submitted: bool,
    /// Attempts in a row that ended in a fetch failure (`spark.stage.maxConsecutiveAttempts`).
    pub fetch_failed_attempts: u32,
    /// Fetch failures of stage attempts below this are counted already: an attempt counts once, however many of its
    /// tasks report.
    pub fetch_failures_counted: u32,
    /// Some task was launched, or done by an earlier job, since the stage (last) began: it may have read its parents.
    pub began: bool,
    /// Outputs were lost after a child began.
    pub read_outputs_lost: bool,
    pub failed_attempts: u32,
    /// Which of its tasks failed where in this attempt of the stage.
    pub failures: StageFailures,
    /// How long its tasks have waited for the places that they prefer.
    pub delay: Delay,
    /// A task has missed what its lazy parents write: they count as the others from then on.
    pub needs_lazy_parents: bool,
    /// How long its successful attempts took, in milliseconds; kept only for speculation.
    pub durations: Median,
    /// How fast they read rows; kept only for speculation.
    pub pace: Pace,
    /// How long a slot is busy with one of its tasks.
    pub quickness: Quickness,
    /// Its entry in the pool, if it has one.
    pub turn: Option<Turn>,
}

impl Stage {
    pub fn new(spec: StageSpec, job: JobId, is_done: impl Fn(u32) -> bool, executors: &Executors) -> Self {
        let tasks = TaskSet::new(spec.num_tasks, is_done, &spec.preferences, executors);
        Self {
            jobs: vec![job],
            children: Vec::new(),
            state: StageState::Idle,
            attempt: 0,
            submitted: false,
            fetch_failed_attempts: 0,
            fetch_failures_counted: 0,
            began: tasks.done() > 0,
            read_outputs_lost: false,
            failed_attempts: 0,
            failures: StageFailures::default(),
            delay: Delay::new(0),
            needs_lazy_parents: false,
            durations: Median::default(),
            pace: Pace::default(),
            quickness: Quickness::default(),
            turn: None,
            tasks,
            spec,
        }
    }

    /// Whether its tasks cannot do without what this parent writes.
    pub fn needs(&self, parent: StageId) -> bool {
        self.needs_lazy_parents || !self.spec.lazy_parents.contains(&parent)
    }

    pub fn id(&self) -> StageId {
        self.spec.stage
    }

    /// Whether it has a task to launch.
    pub fn wants_slots(&self) -> bool {
        self.state == StageState::Running && self.tasks.pending() + self.tasks.copies_wanted() > 0
    }

    /// Whether executors may be given more of its tasks than they have slots: they are quick, any may run anywhere, and none
    /// has failed.
    pub fn runs_ahead(&self) -> bool {
        self.quickness.is_quick()
            && self.state == StageState::Running
            && !self.tasks.has_preferences()
            && self.tasks.retries() == 0
            && self.failures.is_empty()
    }

    /// Whether no exclusion keeps the task from running there.
    pub fn may_run(&self, rules: Option<&StageExclusion>, task: u32, executor: u32, node: &str) -> bool {
        let Some(rules) = rules.filter(|_| !self.failures.is_empty()) else { return true };
        !self.failures.excludes(executor, node) && !self.failures.excludes_task(rules, task, executor, node)
    }

    pub fn progress(&self) -> StageProgress {
        StageProgress {
            stage: self.id(),
            state: self.state,
            stage_attempt: self.attempt,
            tasks: self.tasks.len(),
            running: self.tasks.running(),
            done: self.tasks.done(),
            failed_attempts: self.failed_attempts,
        }
    }
}

/// The time that a slot spends with a task, as the driver sees it: from the launch to the end, shared with the attempts that
/// were in the slot before it. Later tasks count more.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quickness {
    ended: u64,
    micros: u64,
}

impl Quickness {
    /// Tasks that must have ended before anything can be said.
    const LEAST: u64 = 32;
    const REMEMBERED: u64 = 256;
    const QUICK_MICROS: u64 = 4000;

    pub fn add(&mut self, millis: u64, before: u32) {
        self.ended += 1;
        self.micros += millis.saturating_mul(1000) / (u64::from(before) + 1);
        if self.ended == Self::REMEMBERED {
            self.ended /= 2;
            self.micros /= 2;
        }
    }

    pub fn is_quick(self) -> bool {
        self.ended >= Self::LEAST && self.micros / self.ended <= Self::QUICK_MICROS
    }
}
