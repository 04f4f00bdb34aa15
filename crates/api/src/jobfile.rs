//! The job file: a SparkJob as YAML. The file a person applies with kubectl, the file `firesteel run` reads on a laptop and
//! the file an operator mounts into a driver pod are the same format; the operator's is resolved (SQL inlined, image filled
//! in) and carries the job's UID.

use crate::{
    job::{SparkJob, SqlSource},
    strict,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where a driver pod finds it.
pub const MOUNT_DIR: &str = "/etc/firesteel/job";
pub const FILE_NAME: &str = "job.yaml";
/// Largest job file in bytes; a Secret holds one MiB with its own overhead.
pub const MAX_BYTES: usize = 900 * 1024;

/// Annotation of a SparkJob: `key=value` lines that take the place of keys in `sparkConf` where the job runs without a
/// cluster, so that one file can name a bucket for the cluster and a folder for the laptop. A cluster does not look at it.
pub const LOCAL_CONF: &str = "firesteel.dev/local-conf";

/// Why a job file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobFileError {
    #[error("{0}")]
    Yaml(String),
    #[error("there is no SparkJob in the file")]
    NoJob,
    #[error("there are {0} SparkJobs in the file, and one can be run: split it")]
    SeveralJobs(usize),
    #[error("{0}")]
    Field(String),
    #[error(
        "ConfigMap '{name}' is not in the job file: put it there as a further document, or use sql.inline or sql.path"
    )]
    ConfigMapNotFound { name: String },
    #[error("ConfigMap '{name}' has no key '{key}'; it has: {has}")]
    ConfigMapKeyNotFound { name: String, key: String, has: String },
    #[error(
        "the job file would be {0} bytes long, more than {MAX_BYTES}: put the SQL text into object storage and name it in sql.path"
    )]
    TooLarge(usize),
}

/// What a file held: one job and the ConfigMaps beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobFile {
    pub job: SparkJob,
    /// name → key → text.
    pub config_maps: BTreeMap<String, BTreeMap<String, String>>,
}

impl JobFile {
    /// Reads a file of one or more YAML documents. Documents of other kinds than SparkJob and ConfigMap are passed over.
    ///
    /// # Errors
    /// YAML that does not parse (with line and column), a field that does not exist, none or several SparkJobs.
    pub fn parse(text: &str) -> Result<Self, JobFileError> {
        let mut jobs = Vec::new();
        let mut config_maps = BTreeMap::new();
        for document in serde_yaml::Deserializer::from_str(text) {
            let value = Value::deserialize(document).map_err(|error| JobFileError::Yaml(error.to_string()))?;
            match (value.get("kind").and_then(Value::as_str), value.get("apiVersion").and_then(Value::as_str)) {
                (Some("SparkJob"), Some("firesteel.dev/v1alpha1")) => jobs.push(read_job(&value)?),
                (Some("SparkJob"), version) => {
                    return Err(JobFileError::Field(format!(
                        "apiVersion: '{}' is not known, this version reads firesteel.dev/v1alpha1",
                        version.unwrap_or("")
                    )));
                }
                (Some("ConfigMap"), _) => {
                    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                    let data = value.get("data").and_then(Value::as_object).into_iter().flatten();
                    let data = data.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect();
                    config_maps.insert(name.to_owned(), data);
                }
                _ => {}
            }
        }
        match jobs.len() {
            0 => Err(JobFileError::NoJob),
            1 => Ok(Self { job: jobs.remove(0), config_maps }),
            several => Err(JobFileError::SeveralJobs(several)),
        }
    }

    /// Puts the text of a referenced ConfigMap in place of the reference, as the operator does on a cluster.
    ///
    /// # Errors
    /// The ConfigMap or its key is not in the file.
    pub fn inline_config_map(&mut self) -> Result<(), JobFileError> {
        let Some(reference) = self.job.spec.sql.as_ref().and_then(|sql| sql.config_map.clone()) else { return Ok(()) };
        let Some(data) = self.config_maps.get(&reference.name) else {
            return Err(JobFileError::ConfigMapNotFound { name: reference.name });
        };
        let Some(text) = data.get(&reference.key) else {
            let has = data.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(JobFileError::ConfigMapKeyNotFound { name: reference.name, key: reference.key, has });
        };
        self.job.spec.sql = Some(SqlSource { inline: Some(text.clone()), ..SqlSource::default() });
        Ok(())
    }

    /// Puts the keys of the annotation [`LOCAL_CONF`] in place of those in `sparkConf`: for a run without a cluster.
    ///
    /// # Errors
    /// A line that is not `key=value`.
    pub fn apply_local_conf(&mut self) -> Result<(), JobFileError> {
        let text =
            self.job.metadata.annotations.as_ref().and_then(|all| all.get(LOCAL_CONF)).cloned().unwrap_or_default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once('=').ok_or_else(|| {
                JobFileError::Field(format!(
                    "metadata.annotations[\"{LOCAL_CONF}\"]: '{line}' is not of the form key=value"
                ))
            })?;
            self.job.spec.spark_conf.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        Ok(())
    }
}

fn read_job(value: &Value) -> Result<SparkJob, JobFileError> {
    strict::from_value(value, "SparkJob")
        .map_err(|text| JobFileError::Field(text.trim_start_matches("SparkJob.").to_owned()))
}

/// The file an operator mounts into the driver pod of one attempt: `job` with name, namespace and UID, no status, no managed
/// fields.
///
/// # Errors
/// Larger than [`MAX_BYTES`].
pub fn render(job: &SparkJob) -> Result<String, JobFileError> {
    let mut slim = SparkJob::new(job.metadata.name.as_deref().unwrap_or_default(), job.spec.clone());
    slim.metadata.namespace = job.metadata.namespace.clone();
    slim.metadata.uid = job.metadata.uid.clone();
    slim.metadata.generation = job.metadata.generation;
    slim.metadata.labels = job.metadata.labels.clone();
    let text = serde_yaml::to_string(&slim).map_err(|error| JobFileError::Yaml(error.to_string()))?;
    if text.len() > MAX_BYTES { Err(JobFileError::TooLarge(text.len())) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: queries}
data:
  main.sql: SELECT 1
---
apiVersion: firesteel.dev/v1alpha1
kind: SparkJob
metadata: {name: a}
spec:
  sql:
    configMap: {name: queries, key: main.sql}
  executor: {instances: 2, memory: 2g, env: [{name: A, value: b}]}
";

    #[test]
    fn a_config_map_beside_the_job_is_used() {
        let mut file = JobFile::parse(FILE).unwrap();
        file.inline_config_map().unwrap();
        assert_eq!(file.job.spec.sql.unwrap().inline.as_deref(), Some("SELECT 1"));
        assert_eq!(file.job.spec.executor.role.memory.as_deref(), Some("2g"));
    }

    #[test]
    fn local_conf_takes_the_place_of_keys() {
        let with = |lines: &str| {
            let metadata = format!("metadata: {{name: a, annotations: {{{LOCAL_CONF}: \"{lines}\"}}}}");
            let text = FILE
                .replace("metadata: {name: a}", &metadata)
                .replace("spec:\n", "spec:\n  sparkConf: {a: bucket, b: kept}\n");
            let mut file = JobFile::parse(&text).unwrap();
            file.apply_local_conf().map(|()| file.job.spec.spark_conf)
        };
        let conf = with(r"\n# folders\n a = folder=1 \nc=new").unwrap();
        assert_eq!(
            conf,
            [("a", "folder=1"), ("b", "kept"), ("c", "new")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        );
        assert!(with("just words").unwrap_err().to_string().contains("'just words' is not of the form key=value"));
    }

    #[test]
    fn the_example_runs_in_both_places() {
        let text = include_str!("../../../examples/server-health/job.yaml");
        let mut file = JobFile::parse(text).unwrap();
        crate::validate::validate(&file.job, crate::validate::Target::Cluster).unwrap();
        assert!(file.job.spec.spark_conf["spark.firesteel.example.input"].starts_with("s3a://"));
        file.apply_local_conf().unwrap();
        crate::validate::validate(&file.job, crate::validate::Target::Local).unwrap();
        assert_eq!(file.job.spec.spark_conf["spark.firesteel.example.input"], "examples/server-health/data");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            (FILE.replace("instances: 2", "instnces: 2"), "spec.executor.instnces: there is no such field"),
            (FILE.replace("key: main.sql", "key: other"), "ConfigMap 'queries' has no key 'other'; it has: main.sql"),
            (FILE.replace("name: queries, key", "name: q, key"), "ConfigMap 'q' is not in the job file"),
            (FILE.replace("v1alpha1", "v9"), "apiVersion: 'firesteel.dev/v9' is not known"),
            (FILE.replace("SparkJob", "Deployment"), "there is no SparkJob"),
            (format!("{FILE}---{}", FILE.split("---").nth(1).unwrap()), "there are 2 SparkJobs"),
            ("a: [".into(), "at line 2 column 1"),
        ];
        for (text, expected) in table {
            let error = JobFile::parse(&text).and_then(|mut file| file.inline_config_map()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn rendered_files_read_back() {
        let mut file = JobFile::parse(FILE).unwrap();
        file.inline_config_map().unwrap();
        file.job.metadata.uid = Some("u-1".into());
        file.job.status = Some(Default::default());
        let text = render(&file.job).unwrap();
        let back = JobFile::parse(&text).unwrap().job;
        assert_eq!((back.spec, back.metadata.uid, back.status), (file.job.spec, Some("u-1".into()), None));
    }

    #[test]
    fn a_file_too_large_for_a_secret_is_refused() {
        let mut job = JobFile::parse(FILE).unwrap().job;
        job.spec.sql = Some(SqlSource { inline: Some("x".repeat(MAX_BYTES)), ..SqlSource::default() });
        assert!(matches!(render(&job), Err(JobFileError::TooLarge(_))));
    }
}
