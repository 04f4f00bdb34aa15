//! What can be configured, under the key that sets it. The driver reads the keys; this crate never parses text.

/// Limits of the scheduler. All times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// `spark.task.maxFailures`: a job fails when one task has failed this often. At least 1.
    pub max_task_failures: u32,
    /// `spark.stage.maxConsecutiveAttempts`: a job fails when this many attempts of one stage in a row ended in fetch
    /// failures. At least 1.
    pub max_consecutive_stage_attempts: u32,
    /// `spark.executor.maxNumFailures`: running jobs fail when more executors than this were lost to failures.
    /// Spark's default is twice the number of executors asked for, and never below 3: see
    /// [`SchedulerConfig::default_max_executor_failures`].
    pub max_executor_failures: u32,
    /// `spark.executor.failuresValidityInterval`: executor failures older than this no longer count. `None`: they
    /// count for ever.
    pub executor_failures_validity_ms: Option<u64>,
    /// `firesteel.scheduler.noExecutorsTimeout`: jobs with work left fail when there has been no executor at all for
    /// this long, at the start or later.
    pub no_executors_timeout_ms: u64,
    /// `spark.speculation`: copies of tasks that take much longer than the others of their stage.
    pub speculation: Option<Speculation>,
}

/// When a running task gets a copy, as Spark decides it. Shares are in thousandths: the state machine has no fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speculation {
    /// `spark.speculation.interval`: how often it is looked for slow tasks.
    pub interval_ms: u64,
    /// `spark.speculation.multiplier`: slow is what runs this many times as long as the stage's median.
    pub multiplier_permille: u64,
    /// `spark.speculation.quantile`: the share of a stage's tasks that must be done before.
    pub quantile_permille: u64,
    /// `spark.speculation.minTaskRuntime`: no task gets a copy before it has run this long.
    pub min_task_runtime_ms: u64,
    /// `spark.speculation.task.duration.threshold`: in stages of no more tasks than an executor has slots, where there is no
    /// median to speak of, what runs longer than this is slow.
    pub duration_threshold_ms: Option<u64>,
}

impl Default for Speculation {
    fn default() -> Self {
        Self {
            interval_ms: 100,
            multiplier_permille: 3000,
            quantile_permille: 900,
            min_task_runtime_ms: 100,
            duration_threshold_ms: None,
        }
    }
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            max_task_failures: 4,
            max_consecutive_stage_attempts: 4,
            max_executor_failures: 3,
            executor_failures_validity_ms: None,
            no_executors_timeout_ms: 300_000,
            speculation: None,
        }
    }
}

impl SchedulerConfig {
    /// Spark's default of `spark.executor.maxNumFailures` for an application that asks for `executors` executors.
    pub fn default_max_executor_failures(executors: u32) -> u32 {
        executors.saturating_mul(2).max(3)
    }
}
