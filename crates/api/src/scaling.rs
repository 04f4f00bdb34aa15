//! How many executors a job gets, how they come and how they go: the typed fields and Spark's own configuration keys, read
//! as one. Where both are given they must agree.

use std::time::Duration;

use crate::{job::SparkJobSpec, resources, validate::Problem};

/// More executors than this are not asked for.
pub const MOST_EXECUTORS: u32 = 10_000;
/// Seconds that a pod has to end, unless told otherwise: enough to hand some GB over.
const DEFAULT_TERMINATION_SECS: u64 = 60;
/// Seconds of them for what comes after the handover.
const LAST_SECS: u64 = 5;
/// Spark's "for ever".
const FOR_EVER: Duration = Duration::from_millis(u64::MAX / 2);

/// The executors of a job over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Executors asked for at the start.
    pub initial: u32,
    /// `None`: as many as at the start, always.
    pub dynamic: Option<Dynamic>,
    pub creation: Creation,
    pub grace: Grace,
}

impl Scaling {
    /// The most executors that there can be.
    pub fn most(&self) -> u32 {
        self.dynamic.as_ref().map_or(self.initial, |dynamic| dynamic.max)
    }
}

/// `spark.dynamicAllocation.*`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dynamic {
    pub min: u32,
    pub max: u32,
    /// Executors asked for, as share of those that would run all tasks at once.
    pub ratio: f64,
    /// How long tasks wait before executors are asked for, and before more are.
    pub backlog: Duration,
    pub sustained_backlog: Duration,
    /// How long an executor may do nothing; and one that holds cached blocks; and one that holds shuffle outputs.
    pub idle: Duration,
    pub cached_idle: Duration,
    pub shuffle_idle: Duration,
    /// Whether executors are kept for the outputs they hold.
    pub shuffle_tracking: bool,
}

/// `spark.kubernetes.allocation.*`: how pods are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    pub batch: u32,
    pub delay: Duration,
    /// After this a pod that Kubernetes took and that nobody has seen is asked for again.
    pub timeout: Duration,
    pub max_pending: u32,
    /// Pods that may be made in the attempt's whole life.
    pub maximum: u32,
}

impl Default for Creation {
    /// Spark's defaults.
    fn default() -> Self {
        Self {
            batch: 20,
            delay: Duration::from_secs(1),
            timeout: Duration::from_secs(600),
            max_pending: u32::MAX,
            maximum: u32::MAX,
        }
    }
}

/// How long an executor that must leave may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// Seconds for tasks to end and outputs to be handed over.
    pub leave: u64,
    /// `terminationGracePeriodSeconds` of its pod.
    pub termination: u64,
}

/// Reads it.
///
/// # Errors
/// A field or key that cannot be read, a field and its key that disagree, bounds that exclude each other.
pub fn of_job(spec: &SparkJobSpec) -> Result<Scaling, Problem> {
    let conf = Conf(spec);
    let dynamic = dynamic(spec, &conf)?;
    let instances = resources::executor_instances(spec)?;
    let initial = match &dynamic {
        None => instances,
        Some(dynamic) => initial(spec, &conf, dynamic)?,
    };
    let defaults = Creation::default();
    let creation = Creation {
        batch: conf.count("spark.kubernetes.allocation.batch.size", 1)?.unwrap_or(defaults.batch),
        delay: conf.time("spark.kubernetes.allocation.batch.delay", MILLIS)?.unwrap_or(defaults.delay),
        timeout: conf.time("spark.kubernetes.allocation.executor.timeout", MILLIS)?.unwrap_or(defaults.timeout),
        max_pending: conf.count("spark.kubernetes.allocation.maxPendingPods", 1)?.unwrap_or(defaults.max_pending),
        maximum: conf.count("spark.kubernetes.allocation.maximum", 1)?.unwrap_or(defaults.maximum),
    };
    Ok(Scaling { initial, dynamic, creation, grace: grace(spec, &conf)? })
}

/// Configuration keys of pods that this module reads.
pub(crate) fn handles_kubernetes_key(key: &str) -> bool {
    matches!(
        key,
        "spark.kubernetes.allocation.batch.size"
            | "spark.kubernetes.allocation.batch.delay"
            | "spark.kubernetes.allocation.executor.timeout"
            | "spark.kubernetes.allocation.maxPendingPods"
            | "spark.kubernetes.allocation.maximum"
            | "spark.kubernetes.executor.terminationGracePeriodSeconds"
    )
}

fn dynamic(spec: &SparkJobSpec, conf: &Conf<'_>) -> Result<Option<Dynamic>, Problem> {
    const ENABLED: &str = "spark.dynamicAllocation.enabled";
    let block = spec.executor.dynamic_allocation.as_ref();
    let enabled = conf.flag(ENABLED)?;
    match (block, enabled) {
        (Some(_), Some(false)) => {
            let message =
                "contradicts spec.sparkConf[\"spark.dynamicAllocation.enabled\"] = false: give only one of them";
            return Err(Problem::invalid("spec.executor.dynamicAllocation", message));
        }
        (None, None | Some(false)) => return Ok(None),
        _ => {}
    }
    let typed = block.cloned().unwrap_or_default();
    let bound = |field: &str, typed: Option<i32>, key: &str, least: u32| -> Result<Option<u32>, Problem> {
        let typed = typed.and_then(|n| u32::try_from(n).ok());
        agreed(field, typed, key, conf.count(key, least)?)
    };
    let min = bound("minInstances", typed.min_instances, "spark.dynamicAllocation.minExecutors", 0)?.unwrap_or(0);
    let max = bound("maxInstances", typed.max_instances, "spark.dynamicAllocation.maxExecutors", 1)?;
    let max = max.unwrap_or(MOST_EXECUTORS).min(MOST_EXECUTORS);
    if min > max {
        let message = format!("{min} is more than the {max} of maxInstances (spark.dynamicAllocation.maxExecutors)");
        return Err(Problem::invalid("spec.executor.dynamicAllocation.minInstances", message));
    }
    let ratio = conf.ratio("spark.dynamicAllocation.executorAllocationRatio")?.unwrap_or(1.0);
    let backlog = conf.positive("spark.dynamicAllocation.schedulerBacklogTimeout")?.unwrap_or(Duration::from_secs(1));
    let sustained = conf.positive("spark.dynamicAllocation.sustainedSchedulerBacklogTimeout")?;
    const IDLE: &str = "spark.dynamicAllocation.executorIdleTimeout";
    let typed_idle = typed.idle_timeout_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
    let idle = match (typed_idle, conf.time(IDLE, SECONDS)?) {
        (Some(a), Some(b)) if a != b => {
            let message = format!("{} contradicts spec.sparkConf[\"{IDLE}\"]: give only one of them", a.as_secs());
            return Err(Problem::invalid("spec.executor.dynamicAllocation.idleTimeoutSeconds", message));
        }
        (a, b) => a.or(b).unwrap_or(Duration::from_secs(60)),
    };
    Ok(Some(Dynamic {
        min,
        max,
        ratio,
        backlog,
        sustained_backlog: sustained.unwrap_or(backlog),
        idle,
        cached_idle: conf.time("spark.dynamicAllocation.cachedExecutorIdleTimeout", SECONDS)?.unwrap_or(FOR_EVER),
        shuffle_idle: conf.time("spark.dynamicAllocation.shuffleTracking.timeout", MILLIS)?.unwrap_or(FOR_EVER),
        shuffle_tracking: conf.flag("spark.dynamicAllocation.shuffleTracking.enabled")?.unwrap_or(true),
    }))
}

/// As Spark: the largest of the three that speak of it.
fn initial(spec: &SparkJobSpec, conf: &Conf<'_>, dynamic: &Dynamic) -> Result<u32, Problem> {
    const KEY: &str = "spark.dynamicAllocation.initialExecutors";
    const FIELD: &str = "spec.executor.dynamicAllocation.initialInstances";
    let typed = spec.executor.dynamic_allocation.as_ref().and_then(|block| block.initial_instances);
    let typed = typed.and_then(|n| u32::try_from(n).ok());
    let initial = agreed("initialInstances", typed, KEY, conf.count(KEY, 0)?)?.unwrap_or(dynamic.min);
    let instances = conf.count("spark.executor.instances", 0)?.unwrap_or(0);
    let initial = initial.max(dynamic.min).max(instances);
    if initial > dynamic.max {
        return Err(Problem::invalid(FIELD, format!("{initial} is more than the {} of maxInstances", dynamic.max)));
    }
    Ok(initial)
}

fn grace(spec: &SparkJobSpec, conf: &Conf<'_>) -> Result<Grace, Problem> {
    const LEAVE: &str = "spark.executor.decommission.forceKillTimeout";
    const TERMINATION: &str = "spark.kubernetes.executor.terminationGracePeriodSeconds";
    let leave = conf.positive(LEAVE)?.map(|time| time.as_secs().max(1));
    let template = spec.executor.role.pod_template.as_ref();
    let template = template.and_then(|t| t.pointer("/spec/terminationGracePeriodSeconds")).and_then(|v| v.as_u64());
    let termination = conf.time(TERMINATION, SECONDS)?.map(|time| time.as_secs()).or(template);
    match (leave, termination) {
        (Some(leave), Some(termination)) if termination < leave => Err(Problem::invalid(
            format!("spec.sparkConf[\"{LEAVE}\"]"),
            format!(
                "{leave} s are more than the {termination} s after which the kubelet kills the pod ({TERMINATION})"
            ),
        )),
        (Some(leave), termination) => Ok(Grace { leave, termination: termination.unwrap_or(leave + LAST_SECS) }),
        (None, termination) => {
            let termination = termination.unwrap_or(DEFAULT_TERMINATION_SECS);
            Ok(Grace { leave: termination.saturating_sub(LAST_SECS).max(1), termination })
        }
    }
}

fn agreed(field: &str, typed: Option<u32>, key: &str, from_conf: Option<u32>) -> Result<Option<u32>, Problem> {
    match (typed, from_conf) {
        (Some(a), Some(b)) if a != b => Err(Problem::invalid(
            format!("spec.executor.dynamicAllocation.{field}"),
            format!("{a} contradicts spec.sparkConf[\"{key}\"] = {b}: give only one of them"),
        )),
        (a, b) => Ok(a.or(b)),
    }
}

/// Milliseconds in the unit of a bare number.
const MILLIS: u64 = 1;
const SECONDS: u64 = 1000;

struct Conf<'a>(&'a SparkJobSpec);

impl Conf<'_> {
    fn read<T>(&self, key: &str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.spark_conf.get(key) else { return Ok(None) };
        let problem = || Problem::invalid(format!("spec.sparkConf[\"{key}\"]"), format!("'{text}' is not {wanted}"));
        parse(text.trim()).map(Some).ok_or_else(problem)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Problem> {
        self.read(key, "true or false", |text| match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    fn count(&self, key: &str, least: u32) -> Result<Option<u32>, Problem> {
        let wanted = format!("a whole number of at least {least}");
        self.read(key, &wanted, |text| text.parse().ok().filter(|n| *n >= least))
    }

    fn ratio(&self, key: &str) -> Result<Option<f64>, Problem> {
        self.read(key, "a number above 0 and up to 1", |text| text.parse().ok().filter(|r| *r > 0.0 && *r <= 1.0))
    }

    fn time(&self, key: &str, unit: u64) -> Result<Option<Duration>, Problem> {
        self.read(key, "a time such as 100ms, 30s or 5min", |text| parse_time(text, unit))
    }

    /// In seconds where it has no unit; not zero.
    fn positive(&self, key: &str) -> Result<Option<Duration>, Problem> {
        self.read(key, "a time above zero", |text| parse_time(text, SECONDS).filter(|time| !time.is_zero()))
    }
}

/// Spark's time strings. `unit`: milliseconds of a bare number.
fn parse_time(text: &str, unit: u64) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let factor = match text.get(digits..)?.trim() {
        "" => unit,
        "us" => return Some(Duration::from_micros(number)),
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // What is longer than for ever is for ever.
    Some(Duration::from_millis(number.saturating_mul(factor)).min(FOR_EVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Scaling, Problem> {
        of_job(&serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn a_fixed_number_is_the_default() {
        let scaling = read("{}").unwrap();
        assert_eq!((scaling.initial, scaling.dynamic.clone(), scaling.most()), (2, None, 2));
        assert_eq!(scaling.creation, Creation::default());
        assert_eq!(scaling.grace, Grace { leave: 55, termination: 60 });
        assert_eq!(read("{sparkConf: {spark.dynamicAllocation.enabled: 'false'}}").unwrap().dynamic, None);
    }

    #[test]
    fn sparks_defaults_of_dynamic_allocation() {
        let scaling = read("{sparkConf: {spark.dynamicAllocation.enabled: 'true'}}").unwrap();
        let expected = Dynamic {
            min: 0,
            max: MOST_EXECUTORS,
            ratio: 1.0,
            backlog: Duration::from_secs(1),
            sustained_backlog: Duration::from_secs(1),
            idle: Duration::from_secs(60),
            cached_idle: FOR_EVER,
            shuffle_idle: FOR_EVER,
            shuffle_tracking: true,
        };
        assert_eq!((scaling.initial, scaling.dynamic), (0, Some(expected)));
    }

    #[test]
    fn fields_and_keys_are_one() {
        let typed = "{executor: {dynamicAllocation: {minInstances: 1, maxInstances: 8, initialInstances: 3, idleTimeoutSeconds: 20}}}";
        let keys = "{sparkConf: {spark.dynamicAllocation.enabled: 'true', spark.dynamicAllocation.minExecutors: '1', \
            spark.dynamicAllocation.maxExecutors: '8', spark.dynamicAllocation.initialExecutors: '3', \
            spark.dynamicAllocation.executorIdleTimeout: '20'}}";
        assert_eq!(read(typed).unwrap(), read(keys).unwrap());
        let many = "{sparkConf: {spark.dynamicAllocation.enabled: 'true', spark.executor.instances: '5', \
            spark.dynamicAllocation.minExecutors: '2', spark.dynamicAllocation.schedulerBacklogTimeout: 200ms}}";
        let many = read(many).unwrap();
        assert_eq!((many.initial, many.dynamic.unwrap().sustained_backlog), (5, Duration::from_millis(200)));
    }

    #[test]
    fn grace_follows_what_is_said_of_it() {
        let table = [
            ("{sparkConf: {spark.executor.decommission.forceKillTimeout: 2min}}", 120, 125),
            ("{sparkConf: {spark.kubernetes.executor.terminationGracePeriodSeconds: 90s}}", 85, 90),
            ("{executor: {podTemplate: {spec: {terminationGracePeriodSeconds: 7}}}}", 2, 7),
            ("{executor: {podTemplate: {spec: {terminationGracePeriodSeconds: 0}}}}", 1, 0),
        ];
        for (yaml, leave, termination) in table {
            assert_eq!(read(yaml).unwrap().grace, Grace { leave, termination }, "{yaml}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let block = "spec.executor.dynamicAllocation";
        let key = |name: &str| format!("spec.sparkConf[\"{name}\"]");
        let table = [
            ("{executor: {dynamicAllocation: {minInstances: 3, maxInstances: 2}}}", format!("{block}.minInstances")),
            (
                "{executor: {dynamicAllocation: {initialInstances: 3, maxInstances: 2}}}",
                format!("{block}.initialInstances"),
            ),
            (
                "{executor: {dynamicAllocation: {maxInstances: 2}}, sparkConf: {spark.dynamicAllocation.maxExecutors: '3'}}",
                format!("{block}.maxInstances"),
            ),
            (
                "{executor: {dynamicAllocation: {}}, sparkConf: {spark.dynamicAllocation.enabled: 'false'}}",
                block.to_owned(),
            ),
            (
                "{sparkConf: {spark.dynamicAllocation.enabled: 'true', spark.dynamicAllocation.executorAllocationRatio: '2'}}",
                key("spark.dynamicAllocation.executorAllocationRatio"),
            ),
            (
                "{sparkConf: {spark.dynamicAllocation.enabled: 'true', spark.dynamicAllocation.schedulerBacklogTimeout: '0'}}",
                key("spark.dynamicAllocation.schedulerBacklogTimeout"),
            ),
            (
                "{sparkConf: {spark.kubernetes.allocation.batch.size: '0'}}",
                key("spark.kubernetes.allocation.batch.size"),
            ),
            (
                "{sparkConf: {spark.executor.decommission.forceKillTimeout: 60s, \
                  spark.kubernetes.executor.terminationGracePeriodSeconds: '30'}}",
                key("spark.executor.decommission.forceKillTimeout"),
            ),
        ];
        for (yaml, field) in table {
            assert_eq!(read(yaml).unwrap_err().field, field, "{yaml}");
        }
    }
}
