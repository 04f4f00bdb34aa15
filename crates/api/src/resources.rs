//! How many cores and how much memory a pod gets: the typed fields and Spark's own configuration keys, read as one. Where
//! both are given they must agree; silently preferring one would make the other a lie.

use crate::{
    job::{RoleSpec, SparkJobSpec},
    memory::{self, GIB, MIB},
    names::Role,
    validate::Problem,
};

/// Spark's defaults.
const DEFAULT_MEMORY: u64 = GIB;
const DEFAULT_INSTANCES: u32 = 2;
const DEFAULT_OVERHEAD_FACTOR: f64 = 0.10;
const DEFAULT_MIN_OVERHEAD: u64 = 384 * MIB;

/// What one pod of a role gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// Task slots.
    pub cores: u32,
    /// Kubernetes quantity.
    pub cpu_request: String,
    /// Kubernetes quantity; none means unlimited.
    pub cpu_limit: Option<String>,
    /// Bytes for the program.
    pub memory: u64,
    /// Bytes on top of it.
    pub overhead: u64,
    /// Upper bound of the local disk, in bytes.
    pub local_disk: Option<u64>,
}

impl Resources {
    /// Request and limit of the container, in bytes.
    pub fn container_memory(&self) -> u64 {
        self.memory.saturating_add(self.overhead)
    }
}

/// Resources of a role.
///
/// # Errors
/// A field or key that cannot be read, or a field and its key that disagree.
pub fn of_role(spec: &SparkJobSpec, role: Role) -> Result<Resources, Problem> {
    let typed: &RoleSpec = match role {
        Role::Driver => &spec.driver,
        Role::Executor => &spec.executor.role,
    };
    let reader = Reader { spec, role: role.as_str() };

    let cores = reader
        .agreed("cores", typed.cores.map(i64::from), &format!("spark.{}.cores", reader.role), parse_count)?
        .unwrap_or(1);
    let cores = u32::try_from(cores).map_err(|_| reader.problem("cores", "too many".into()))?;
    let cpu_request = reader
        .agreed(
            "coreRequest",
            typed.core_request.clone(),
            &format!("spark.kubernetes.{}.request.cores", reader.role),
            parse_cpu,
        )?
        .unwrap_or_else(|| cores.to_string());
    let cpu_limit = reader.agreed(
        "coreLimit",
        typed.core_limit.clone(),
        &format!("spark.kubernetes.{}.limit.cores", reader.role),
        parse_cpu,
    )?;
    for (field, value) in [("coreRequest", Some(&cpu_request)), ("coreLimit", cpu_limit.as_ref())] {
        if let Some(value) = value {
            parse_cpu(value).map_err(|why| reader.problem(field, why))?;
        }
    }
    if let Some(limit) = &cpu_limit
        && milli_cpu(limit) < milli_cpu(&cpu_request)
    {
        return Err(reader.problem("coreLimit", format!("{limit} is less than the request of {cpu_request}")));
    }

    let memory = reader.memory("memory", typed.memory.as_deref(), "memory")?.unwrap_or(DEFAULT_MEMORY);
    let overhead = match reader.memory("memoryOverhead", typed.memory_overhead.as_deref(), "memoryOverhead")? {
        Some(overhead) => overhead,
        None => {
            let factor = reader.factor()?;
            let minimum = reader.memory("", None, "minMemoryOverhead")?.unwrap_or(DEFAULT_MIN_OVERHEAD);
            ((memory as f64 * factor) as u64).max(minimum)
        }
    };
    let local_disk = match typed.local_disk.as_deref() {
        Some(text) => Some(memory::parse(text).map_err(|e| reader.problem("localDisk", e.to_string()))?),
        None => None,
    };
    Ok(Resources { cores, cpu_request, cpu_limit, memory, overhead, local_disk })
}

/// Executor pods wanted.
///
/// # Errors
/// As [`of_role`].
pub fn executor_instances(spec: &SparkJobSpec) -> Result<u32, Problem> {
    let reader = Reader { spec, role: "executor" };
    let instances = reader
        .agreed("instances", spec.executor.instances.map(i64::from), "spark.executor.instances", parse_count)?
        .unwrap_or(i64::from(DEFAULT_INSTANCES));
    match u32::try_from(instances) {
        Ok(n) if (1..=10_000).contains(&n) => Ok(n),
        _ => Err(reader.problem("instances", format!("{instances} is not between 1 and 10000"))),
    }
}

/// Configuration keys this module reads, beside those it forms per role.
pub(crate) fn handles_kubernetes_key(key: &str) -> bool {
    matches!(
        key,
        "spark.kubernetes.driver.request.cores"
            | "spark.kubernetes.driver.limit.cores"
            | "spark.kubernetes.executor.request.cores"
            | "spark.kubernetes.executor.limit.cores"
            | "spark.kubernetes.memoryOverheadFactor"
    )
}

struct Reader<'a> {
    spec: &'a SparkJobSpec,
    role: &'static str,
}

impl Reader<'_> {
    fn problem(&self, field: &str, message: String) -> Problem {
        Problem::invalid(format!("spec.{}.{field}", self.role), message)
    }

    fn conf(&self, key: &str) -> Option<&str> {
        self.spec.spark_conf.get(key).map(String::as_str)
    }

    /// The typed value or the key's, when they do not contradict each other.
    fn agreed<T: PartialEq + std::fmt::Display>(
        &self,
        field: &str,
        typed: Option<T>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let from_conf = match self.conf(key) {
            Some(text) => Some(parse(text).map_err(|why| Problem::invalid(format!("spec.sparkConf[\"{key}\"]"), why))?),
            None => None,
        };
        match (typed, from_conf) {
            (Some(a), Some(b)) if a != b => {
                Err(self
                    .problem(field, format!("{a} contradicts spec.sparkConf[\"{key}\"] = {b}: give only one of them")))
            }
            (a, b) => Ok(a.or(b)),
        }
    }

    fn memory(&self, field: &str, typed: Option<&str>, key: &str) -> Result<Option<u64>, Problem> {
        let typed = match typed {
            Some(text) => Some(memory::parse(text).map_err(|e| self.problem(field, e.to_string()))?),
            None => None,
        };
        self.agreed(field, typed, &format!("spark.{}.{key}", self.role), |text| {
            memory::parse_spark_mib(text).map_err(|e| e.to_string())
        })
    }

    fn factor(&self) -> Result<f64, Problem> {
        let own = format!("spark.{}.memoryOverheadFactor", self.role);
        for key in [own.as_str(), "spark.kubernetes.memoryOverheadFactor"] {
            if let Some(text) = self.conf(key) {
                return match text.trim().parse::<f64>() {
                    Ok(factor) if factor > 0.0 && factor < 100.0 => Ok(factor),
                    _ => Err(Problem::invalid(
                        format!("spec.sparkConf[\"{key}\"]"),
                        format!("'{text}' is not a number above 0"),
                    )),
                };
            }
        }
        Ok(DEFAULT_OVERHEAD_FACTOR)
    }
}

fn parse_count(text: &str) -> Result<i64, String> {
    match text.trim().parse::<i64>() {
        Ok(n) if (1..=1_000_000).contains(&n) => Ok(n),
        _ => Err(format!("'{text}' is not a whole number above 0")),
    }
}

fn parse_cpu(text: &str) -> Result<String, String> {
    match milli_cpu(text) {
        Some(milli) if milli > 0 => Ok(text.trim().to_owned()),
        _ => Err(format!("'{text}' is not a CPU quantity: write cores as 2 or 0.5, or thousandths as 500m")),
    }
}

/// Thousandths of a core.
fn milli_cpu(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(milli) = text.strip_suffix('m') {
        return milli.parse().ok();
    }
    let cores: f64 = text.parse().ok()?;
    (cores.is_finite() && (0.0..=1e6).contains(&cores)).then_some((cores * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: &str) -> SparkJobSpec {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn sparks_defaults() {
        let spec = spec("{}");
        let driver = of_role(&spec, Role::Driver).unwrap();
        assert_eq!((driver.cores, driver.memory, driver.overhead), (1, GIB, 384 * MIB));
        assert_eq!((driver.cpu_request.as_str(), driver.cpu_limit), ("1", None));
        assert_eq!(executor_instances(&spec).unwrap(), 2);
    }

    #[test]
    fn overhead_is_a_tenth_and_at_least_384m() {
        let table = [
            ("{executor: {memory: 8g}}", (8 * GIB) / 10),
            ("{executor: {memory: 2g}}", 384 * MIB),
            ("{executor: {memory: 2g, memoryOverhead: 1Gi}}", GIB),
            ("{executor: {memory: 2g}, sparkConf: {spark.executor.memoryOverhead: '700'}}", 700 * MIB),
            ("{executor: {memory: 10g}, sparkConf: {spark.executor.memoryOverheadFactor: '0.4'}}", 4 * GIB),
            ("{executor: {memory: 10g}, sparkConf: {spark.kubernetes.memoryOverheadFactor: '0.2'}}", 2 * GIB),
            ("{executor: {memory: 1g}, sparkConf: {spark.executor.minMemoryOverhead: 64m}}", (GIB as f64 * 0.1) as u64),
        ];
        for (yaml, overhead) in table {
            assert_eq!(of_role(&spec(yaml), Role::Executor).unwrap().overhead, overhead, "{yaml}");
        }
    }

    #[test]
    fn typed_fields_and_keys_are_one() {
        let both = spec(
            "{executor: {instances: 3, cores: 2, memory: 4Gi}, sparkConf: {spark.executor.memory: '4096', spark.executor.instances: '3'}}",
        );
        assert_eq!(of_role(&both, Role::Executor).unwrap().memory, 4 * GIB);
        assert_eq!(executor_instances(&both).unwrap(), 3);

        let table = [
            ("{executor: {memory: 4g}, sparkConf: {spark.executor.memory: 5g}}", "spec.executor.memory"),
            ("{driver: {cores: 1}, sparkConf: {spark.driver.cores: '2'}}", "spec.driver.cores"),
            ("{sparkConf: {spark.driver.memory: lots}}", "spec.sparkConf[\"spark.driver.memory\"]"),
            ("{executor: {coreRequest: '2', coreLimit: '1'}}", "spec.executor.coreLimit"),
            ("{executor: {coreRequest: 0m}}", "spec.executor.coreRequest"),
            (
                "{sparkConf: {spark.executor.memoryOverheadFactor: '-1'}}",
                "spec.sparkConf[\"spark.executor.memoryOverheadFactor\"]",
            ),
        ];
        for (yaml, field) in table {
            let spec = spec(yaml);
            let problem = of_role(&spec, Role::Driver).and(of_role(&spec, Role::Executor)).unwrap_err();
            assert_eq!(problem.field, field, "{yaml}");
        }
    }
}
