//! The scheduler's limits, from the keys that set them.

use firesteel_plan::{
    SparkConf, SparkError, SparkResult,
    conf::{ConfKey, keys, parse_millis},
};
use firesteel_scheduler::{
    ApplicationExclusion, Efficiency, Exclusion, LocalityWaits, SchedulerConfig, Speculation, StageExclusion,
};

use super::pools::pools;

/// `firesteel.scheduler.tasksAhead` at the most: all that are launched must fit into what a session keeps.
const MOST_AHEAD: i64 = 1024;

/// `executors`: the most that the application asks for; `dynamic_allocation`: others may come when those do not serve.
pub fn scheduler_config(conf: &SparkConf, executors: u32, dynamic_allocation: bool) -> SparkResult<SchedulerConfig> {
    let failures = conf.int_if_set(&keys::EXECUTOR_MAX_FAILURES).and_then(|limit| u32::try_from(limit).ok());
    let max_task_failures = positive(conf, &keys::TASK_MAX_FAILURES)?;
    Ok(SchedulerConfig {
        max_task_failures,
        max_consecutive_stage_attempts: positive(conf, &keys::STAGE_MAX_CONSECUTIVE_ATTEMPTS)?,
        ignore_decommission_fetch_failure: conf.bool(&keys::STAGE_IGNORE_DECOMMISSION),
        max_executor_failures: failures.unwrap_or_else(|| SchedulerConfig::default_max_executor_failures(executors)),
        executor_failures_validity_ms: conf.millis_if_set(&keys::EXECUTOR_FAILURES_VALIDITY),
        no_executors_timeout_ms: conf.millis(&keys::NO_EXECUTORS_TIMEOUT),
        speculation: conf.bool(&keys::SPECULATION).then(|| speculation(conf)),
        exclusion: exclusion(conf, max_task_failures)?,
        locality: locality(conf),
        pools: pools(conf)?,
        kill_timeout_ms: kill_timeout(conf)?,
        tasks_ahead: u32::try_from(conf.int(&keys::TASKS_AHEAD).clamp(0, MOST_AHEAD)).unwrap_or(0),
        cancelled_groups: positive(conf, &keys::CANCELLED_GROUPS)? as usize,
        dynamic_allocation,
    })
}

fn positive(conf: &SparkConf, key: &ConfKey) -> SparkResult<u32> {
    match u32::try_from(conf.int(key)) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(invalid(key, conf.text(key), "it must be a number above 0")),
    }
}

fn invalid(key: &ConfKey, value: &str, requirement: &str) -> SparkError {
    SparkError::new(
        "INVALID_CONF_VALUE.REQUIREMENT",
        "22022",
        format!("The value '{value}' in the config \"{}\" is invalid: {requirement}.", key.name),
    )
    .param("confName", key.name)
    .param("confValue", value)
    .param("confRequirement", requirement)
}

fn permille(conf: &SparkConf, key: &ConfKey) -> u64 {
    (conf.double(key).max(0.0) * 1000.0).round() as u64
}

fn speculation(conf: &SparkConf) -> Speculation {
    let efficiency = || Efficiency {
        process_rate_permille: permille(conf, &keys::SPECULATION_PROCESS_RATE),
        long_run_permille: permille(conf, &keys::SPECULATION_LONG_RUN),
    };
    Speculation {
        interval_ms: conf.millis(&keys::SPECULATION_INTERVAL),
        multiplier_permille: permille(conf, &keys::SPECULATION_MULTIPLIER),
        quantile_permille: permille(conf, &keys::SPECULATION_QUANTILE),
        min_task_runtime_ms: conf.millis(&keys::SPECULATION_MIN_RUNTIME),
        duration_threshold_ms: conf.millis_if_set(&keys::SPECULATION_THRESHOLD),
        efficiency: conf.bool(&keys::SPECULATION_EFFICIENCY).then(efficiency),
        decommission_kill_interval_ms: conf.millis_if_set(&keys::DECOMMISSION_KILL_INTERVAL),
    }
}

fn exclusion(conf: &SparkConf, max_task_failures: u32) -> SparkResult<Exclusion> {
    let both = conf.bool(&keys::EXCLUDE_ON_FAILURE);
    let on = |key| conf.bool_if_set(key).unwrap_or(both);
    let stage = StageExclusion {
        max_task_attempts_per_executor: positive(conf, &keys::EXCLUDE_TASK_PER_EXECUTOR)?,
        max_task_attempts_per_node: positive(conf, &keys::EXCLUDE_TASK_PER_NODE)?,
        max_failed_tasks_per_executor: positive(conf, &keys::EXCLUDE_STAGE_PER_EXECUTOR)?,
        max_failed_executors_per_node: positive(conf, &keys::EXCLUDE_STAGE_PER_NODE)?,
    };
    let application = ApplicationExclusion {
        max_failed_tasks_per_executor: positive(conf, &keys::EXCLUDE_APPLICATION_PER_EXECUTOR)?,
        max_failed_executors_per_node: positive(conf, &keys::EXCLUDE_APPLICATION_PER_NODE)?,
        timeout_ms: conf.millis(&keys::EXCLUDE_TIMEOUT).max(1),
        kill: conf.bool(&keys::EXCLUDE_KILL),
        on_fetch_failure: conf.bool(&keys::EXCLUDE_FETCH_FAILURE),
    };
    let (stage_on, application_on) = (on(&keys::EXCLUDE_TASK_AND_STAGE), on(&keys::EXCLUDE_APPLICATION));
    // Else the job would fail before the node is excluded: Spark refuses it too.
    if stage_on && stage.max_task_attempts_per_node >= max_task_failures {
        let key = &keys::EXCLUDE_TASK_PER_NODE;
        return Err(invalid(key, conf.text(key), "it must be less than spark.task.maxFailures"));
    }
    Ok(Exclusion {
        stage: stage_on.then_some(stage),
        application: application_on.then_some(application),
        unschedulable_timeout_ms: conf.millis(&keys::EXCLUDE_UNSCHEDULABLE_TIMEOUT),
    })
}

fn locality(conf: &SparkConf) -> LocalityWaits {
    let wait = |key| conf.millis_if_set(key).unwrap_or_else(|| conf.millis(&keys::LOCALITY_WAIT));
    LocalityWaits {
        process_ms: wait(&keys::LOCALITY_WAIT_PROCESS),
        node_ms: wait(&keys::LOCALITY_WAIT_NODE),
        reset_on_launch: conf.bool(&keys::LOCALITY_LEGACY_RESET),
    }
}

fn kill_timeout(conf: &SparkConf) -> SparkResult<Option<u64>> {
    let key = &keys::REAPER_KILL_TIMEOUT;
    let text = conf.text(key).trim();
    if text.starts_with('-') {
        return Ok(None);
    }
    // A bare number is milliseconds here.
    let time = text.parse().ok().or_else(|| parse_millis(text));
    let time = time.ok_or_else(|| invalid(key, text, "it must be a time such as 60s, or -1"))?;
    Ok(Some(time).filter(|_| conf.bool(&keys::REAPER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(keys: &[(&str, &str)]) -> SparkResult<SchedulerConfig> {
        let mut conf = SparkConf::new();
        for (key, value) in keys {
            conf.set(*key, *value)?;
        }
        scheduler_config(&conf, 2, false)
    }

    #[test]
    fn without_keys_everything_is_as_in_spark() {
        let config = config(&[]).unwrap();
        let default = SchedulerConfig { max_executor_failures: 4, ..SchedulerConfig::default() };
        assert_eq!(config, default);
    }

    #[test]
    fn each_level_of_exclusion_can_be_had_alone() {
        let both = config(&[("spark.excludeOnFailure.enabled", "true")]).unwrap().exclusion;
        assert!(both.stage.is_some() && both.application.is_some());
        let stage =
            [("spark.excludeOnFailure.enabled", "true"), ("spark.excludeOnFailure.application.enabled", "false")];
        let stage = config(&stage).unwrap().exclusion;
        assert!(stage.stage.is_some() && stage.application.is_none());
        let application = config(&[("spark.excludeOnFailure.application.enabled", "true")]).unwrap().exclusion;
        assert!(application.stage.is_none() && application.application.is_some());
        let wrong = [("spark.excludeOnFailure.enabled", "true"), ("spark.task.maxFailures", "2")];
        assert_eq!(config(&wrong).unwrap_err().class(), "INVALID_CONF_VALUE.REQUIREMENT");
    }

    #[test]
    fn times_without_a_unit_are_milliseconds_where_spark_has_it_so() {
        let config = config(&[
            ("spark.locality.wait", "500"),
            ("spark.locality.wait.node", "1s"),
            ("spark.task.reaper.enabled", "true"),
            ("spark.task.reaper.killTimeout", "700"),
        ])
        .unwrap();
        assert_eq!((config.locality.process_ms, config.locality.node_ms), (500, 1000));
        assert_eq!(config.kill_timeout_ms, Some(700));
    }
}
