//! What can be configured, under the key that sets it. The driver reads the keys; this crate never parses text.

use std::sync::Arc;

use crate::pool::PoolSchedule;

/// Limits of the scheduler. All times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// `spark.task.maxFailures`: a job fails when one task has failed this often. At least 1.
    pub max_task_failures: u32,
    /// `spark.stage.maxConsecutiveAttempts`: a job fails when this many attempts of one stage in a row ended in fetch
    /// failures. At least 1.
    pub max_consecutive_stage_attempts: u32,
    /// `spark.stage.ignoreDecommissionFetchFailure`: blocks that an executor could not serve because it is leaving do not
    /// count against their reader's stage.
    pub ignore_decommission_fetch_failure: bool,
    /// `spark.executor.maxNumFailures`: running jobs fail when more executors than this were lost to failures. Its default:
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
    /// `spark.excludeOnFailure.*`: executors and nodes on which tasks failed get no further ones.
    pub exclusion: Exclusion,
    /// `spark.locality.wait.*`: how long a task waits for the place it prefers.
    pub locality: LocalityWaits,
    /// `spark.scheduler.mode` and the pools of `spark.scheduler.allocation.file`.
    pub pools: PoolsConfig,
    /// `spark.task.reaper.killTimeout`, when `spark.task.reaper.enabled`: an executor whose task was told to end and has not
    /// after this long is ended itself.
    pub kill_timeout_ms: Option<u64>,
    /// `spark.dynamicAllocation.enabled`: further executors may come when those that are there do not serve.
    pub dynamic_allocation: bool,
    /// `firesteel.scheduler.tasksAhead`: tasks that an executor may be given beyond its slots while they take few milliseconds.
    pub tasks_ahead: u32,
    /// `spark.scheduler.numCancelledJobGroupsToTrack`: of groups that were cancelled with their future jobs, how many are
    /// remembered.
    pub cancelled_groups: usize,
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
    /// `spark.speculation.efficiency.enabled`: a task that reads rows as fast as the others is not copied for having more.
    pub efficiency: Option<Efficiency>,
    /// `spark.executor.decommission.killInterval`: how long after the notice a leaving executor is gone; a task there that
    /// will not be done by then gets a copy.
    pub decommission_kill_interval_ms: Option<u64>,
}

/// `spark.speculation.efficiency.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Efficiency {
    /// `processRateMultiplier`: a slow task is inefficient when it reads rows at less than this share of the mean rate.
    pub process_rate_permille: u64,
    /// `longRunTaskFactor`: efficient or not, a task that runs this many times the threshold gets a copy.
    pub long_run_permille: u64,
}

/// `spark.excludeOnFailure.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// `taskAndStage.enabled`: for the rest of a stage.
    pub stage: Option<StageExclusion>,
    /// `application.enabled`: for all tasks, for a time.
    pub application: Option<ApplicationExclusion>,
    /// `spark.scheduler.excludeOnFailure.unschedulableTaskSetTimeout`: how long a stage with a task that may run nowhere
    /// waits for another executor.
    pub unschedulable_timeout_ms: u64,
}

/// All at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageExclusion {
    /// `task.maxTaskAttemptsPerExecutor`: a task that failed this often on an executor does not go there again.
    pub max_task_attempts_per_executor: u32,
    /// `task.maxTaskAttemptsPerNode`
    pub max_task_attempts_per_node: u32,
    /// `stage.maxFailedTasksPerExecutor`: so many tasks of a stage failed on the executor: none of the stage's goes there.
    pub max_failed_tasks_per_executor: u32,
    /// `stage.maxFailedExecutorsPerNode`: so many executors of a node are excluded for the stage: the node is.
    pub max_failed_executors_per_node: u32,
}

/// All numbers at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplicationExclusion {
    /// `application.maxFailedTasksPerExecutor`: counted when their stage has succeeded without the executor.
    pub max_failed_tasks_per_executor: u32,
    /// `application.maxFailedExecutorsPerNode`
    pub max_failed_executors_per_node: u32,
    /// `timeout`: after this long an executor or node is tried again.
    pub timeout_ms: u64,
    /// `killExcludedExecutors`: others take their place at once.
    pub kill: bool,
    /// `application.fetchFailure.enabled`: an executor that does not serve its blocks is excluded at once.
    pub on_fetch_failure: bool,
}

/// `spark.locality.wait.*`. There are no racks, as in Spark on Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalityWaits {
    /// `spark.locality.wait.process`: for the very executor.
    pub process_ms: u64,
    /// `spark.locality.wait.node`: for an executor of the node.
    pub node_ms: u64,
    /// `spark.locality.wait.legacyResetOnTaskLaunch`: the wait begins again with each launch, as before Spark 3.1.
    pub reset_on_launch: bool,
}

/// How jobs share the slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolsConfig {
    /// `spark.scheduler.mode`. In FIFO there is one pool, and what jobs say of pools has no meaning.
    pub mode: SchedulingMode,
    /// The pools of the allocation file. Jobs of others get `minShare` 0, weight 1 and FIFO.
    pub pools: Vec<(Arc<str>, PoolSchedule)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchedulingMode {
    /// First come, first served.
    #[default]
    Fifo,
    /// By shares.
    Fair,
}

impl Default for Speculation {
    fn default() -> Self {
        Self {
            interval_ms: 100,
            multiplier_permille: 3000,
            quantile_permille: 900,
            min_task_runtime_ms: 100,
            duration_threshold_ms: None,
            efficiency: Some(Efficiency::default()),
            decommission_kill_interval_ms: None,
        }
    }
}

impl Default for Efficiency {
    fn default() -> Self {
        Self { process_rate_permille: 750, long_run_permille: 2000 }
    }
}

impl Default for Exclusion {
    fn default() -> Self {
        Self { stage: None, application: None, unschedulable_timeout_ms: 120_000 }
    }
}

impl Default for StageExclusion {
    fn default() -> Self {
        Self {
            max_task_attempts_per_executor: 1,
            max_task_attempts_per_node: 2,
            max_failed_tasks_per_executor: 2,
            max_failed_executors_per_node: 2,
        }
    }
}

impl Default for ApplicationExclusion {
    fn default() -> Self {
        Self {
            max_failed_tasks_per_executor: 2,
            max_failed_executors_per_node: 2,
            timeout_ms: 3_600_000,
            kill: false,
            on_fetch_failure: false,
        }
    }
}

impl Default for LocalityWaits {
    fn default() -> Self {
        Self { process_ms: 3000, node_ms: 3000, reset_on_launch: false }
    }
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            max_task_failures: 4,
            max_consecutive_stage_attempts: 4,
            ignore_decommission_fetch_failure: true,
            max_executor_failures: 3,
            executor_failures_validity_ms: None,
            no_executors_timeout_ms: 300_000,
            speculation: None,
            exclusion: Exclusion::default(),
            locality: LocalityWaits::default(),
            pools: PoolsConfig::default(),
            kill_timeout_ms: None,
            dynamic_allocation: false,
            tasks_ahead: 64,
            cancelled_groups: 1000,
        }
    }
}

impl SchedulerConfig {
    /// Spark's default of `spark.executor.maxNumFailures`: twice the number of executors asked for
    /// (`spark.executor.instances`, or `spark.dynamicAllocation.maxExecutors` where that is on), and never below 3.
    pub fn default_max_executor_failures(executors: u32) -> u32 {
        executors.saturating_mul(2).max(3)
    }
}
