//! What the driver of a pod is told: the mounted job file and its environment.

use std::{
    collections::BTreeMap,
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use firesteel_api::{
    Reason,
    jobfile::JobFile,
    pods::{AttemptContext, DRIVER_RPC_PORT, env as names},
    secrets, termination,
};
use firesteel_plan::{SparkConf, SparkError};

use super::outcome::Failure;

pub struct Settings {
    pub context: AttemptContext,
    pub conf: SparkConf,
    pub token: String,
    pub pod_name: String,
    pub pod_uid: String,
    /// Where executors find the driver.
    pub driver_address: SocketAddr,
    /// Every address of the pod, of the family that the cluster uses, unless the environment names one.
    pub listen: IpAddr,
    pub memory_bytes: Option<u64>,
    pub local_dirs: Vec<PathBuf>,
    /// Where the last word goes.
    pub termination_path: PathBuf,
    /// Values that no log, status or message may hold, by the key they come from.
    pub secrets: BTreeMap<String, String>,
}

impl Settings {
    pub fn read(job: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(job).map_err(|e| {
            Failure::new(Reason::InternalError, format!("cannot read the job file {}: {e}", job.display()))
        })?;
        Self::from_parts(&text, |name| env::var(name).ok(), env::vars_os().filter_map(utf8))
    }

    pub fn from_parts(
        job_file: &str,
        var: impl Fn(&str) -> Option<String>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Failure> {
        let var = |name: &str| var(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let need = |name: &str| {
            var(name).ok_or_else(|| {
                Failure::new(Reason::InternalError, format!("{name} is not set: a driver is started by the operator"))
            })
        };
        let job = JobFile::parse(job_file).map_err(|e| Failure::new(Reason::InvalidSpec, e.to_string()))?.job;
        let attempt = number(names::ATTEMPT, &need(names::ATTEMPT)?)?;
        let ip: IpAddr = number(names::POD_IP, &need(names::POD_IP)?)?;
        let first = var(names::FIRST_ATTEMPT).map(|text| number(names::FIRST_ATTEMPT, &text)).transpose()?;
        let context = AttemptContext::new(&job, attempt)
            .map_err(|problems| Failure::new(problems.reason(), problems.to_string()))?
            .continuing(first);
        let mut conf = SparkConf::new();
        for (key, value) in &job.spec.spark_conf {
            conf.set(key, value).map_err(|e: SparkError| Failure {
                reason: Reason::InvalidSpec,
                error_class: Some(e.class().to_owned()),
                message: format!("spec.sparkConf[\"{key}\"]: {e}"),
            })?;
        }
        // Names what the application leaves in a store that others use too, in all lives of its driver.
        let application = format!("{}-{}-{}", context.job, context.uid, context.first_attempt);
        conf.set("spark.app.id", application).map_err(|e| Failure::new(Reason::InternalError, e.to_string()))?;
        let memory_bytes = var(names::MEMORY_BYTES).map(|text| number(names::MEMORY_BYTES, &text)).transpose()?;
        let token = need(names::AUTH_TOKEN)?;
        let every = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let bind = var(names::BIND_ADDRESS).map(|text| number(names::BIND_ADDRESS, &text)).transpose()?;
        let mut hidden: BTreeMap<String, String> =
            environment.filter(|(name, _)| secrets::is_secret_key(name)).collect();
        hidden.extend(job.spec.spark_conf.clone());
        hidden.insert(names::AUTH_TOKEN.to_owned(), token.clone());
        Ok(Self {
            context,
            conf,
            token,
            pod_name: need(names::POD_NAME)?,
            pod_uid: need(names::POD_UID)?,
            driver_address: SocketAddr::new(ip, DRIVER_RPC_PORT),
            listen: bind.unwrap_or(every),
            termination_path: var(names::TERMINATION_PATH).map_or_else(|| termination::PATH.into(), PathBuf::from),
            memory_bytes,
            local_dirs: var(names::LOCAL_DIRS)
                .map(|v| v.split(',').map(str::trim).filter(|d| !d.is_empty()).map(PathBuf::from).collect())
                .unwrap_or_default(),
            secrets: hidden,
        })
    }
}

/// Of a variable whose value the operator or the kubelet makes.
fn number<T: FromStr>(name: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::new(Reason::InternalError, format!("{name}: '{text}' cannot be read")))
}

fn utf8((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "
apiVersion: firesteel.dev/v1alpha1
kind: SparkJob
metadata: {name: a, namespace: team, uid: u-1}
spec:
  image: runtime:1
  sql: {inline: SELECT 1}
  sparkConf: {spark.hadoop.fs.s3a.secret.key: hunter22}
  executor: {instances: 3, cores: 2}
";

    fn read(job: &str, without: &str) -> Result<Settings, Failure> {
        let vars = BTreeMap::from([
            (names::ATTEMPT, "2"),
            (names::AUTH_TOKEN, "the-token"),
            (names::POD_NAME, "a-2-driver"),
            (names::POD_UID, "p-1"),
            (names::POD_IP, "fd00::5"),
            (names::MEMORY_BYTES, "1073741824"),
            (names::LOCAL_DIRS, "/a, /b,"),
        ]);
        let environment = [("AWS_SECRET_ACCESS_KEY", "from-a-secret"), ("HOME", "/tmp")];
        Settings::from_parts(
            job,
            |name| vars.get(name).filter(|_| name != without).map(|v| (*v).to_owned()),
            environment.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())),
        )
    }

    #[test]
    fn all_is_read() {
        let s = read(JOB, "").unwrap_or_else(|f| panic!("{}", f.message));
        assert_eq!((s.context.attempt, s.context.plan.scaling.initial), (2, 3));
        assert_eq!((s.driver_address.to_string().as_str(), s.listen.to_string().as_str()), ("[fd00::5]:7077", "::"));
        assert_eq!(s.local_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        let said = secrets::scrub("hunter22 from-a-secret the-token /tmp", &s.secrets);
        assert_eq!(said, format!("{0} {0} {0} /tmp", secrets::REDACTED));
    }

    #[test]
    fn what_is_missing_is_named() {
        let table = [
            (JOB.to_owned(), names::POD_UID, Reason::InternalError, "FIRESTEEL_POD_UID is not set"),
            (JOB.replace("instances", "instnces"), "", Reason::InvalidSpec, "spec.executor.instnces"),
            (
                JOB.replace("sql: {inline: SELECT 1}", "python: {path: /a.py}"),
                "",
                Reason::NotYetSupported,
                "spec.python",
            ),
            (JOB.replace(", uid: u-1", ""), "", Reason::InvalidSpec, "metadata.uid: is missing"),
            (
                JOB.replace("sparkConf: {", "sparkConf: {spark.sql.ansi.enabled: perhaps, "),
                "",
                Reason::InvalidSpec,
                "spec.sparkConf[\"spark.sql.ansi.enabled\"]",
            ),
        ];
        for (job, without, reason, expected) in table {
            let Err(failure) = read(&job, without) else { panic!("{expected}: no failure") };
            assert_eq!(failure.reason, reason, "{}", failure.message);
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
    }
}
