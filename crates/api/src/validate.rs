//! Whether a job can be carried out, beyond what the API server has checked: pure, shared by the operator, the driver and
//! `firesteel run`. The result holds everything in the form that pods are rendered from.

use crate::{
    job::{RoleSpec, SparkJob, SqlSource},
    names::{RESERVED_PREFIX, Role},
    reason::Reason,
    resources::{self, Resources},
    scaling::{self, Scaling},
    strict,
};
use k8s_openapi::api::core::v1::{Affinity, EnvFromSource, EnvVar, PodTemplateSpec, Toleration, Volume, VolumeMount};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::fmt;

/// One thing that is wrong with a job, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `InvalidSpec` or `NotYetSupported`.
    pub reason: Reason,
    /// Path of the field, from `spec`.
    pub field: String,
    pub message: String,
}

impl Problem {
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: Reason::InvalidSpec, field: field.into(), message: message.into() }
    }

    pub fn not_yet(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: Reason::NotYetSupported, field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// All that is wrong with a job; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The reason to report: `InvalidSpec` as soon as anything is invalid.
    pub fn reason(&self) -> Reason {
        if self.0.iter().all(|p| p.reason == Reason::NotYetSupported) {
            Reason::NotYetSupported
        } else {
            Reason::InvalidSpec
        }
    }
}

/// Where the job is to run. A laptop may use relative paths and ignores pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Local,
    Cluster,
}

/// A job that can be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPlan {
    pub sql: SqlSource,
    pub driver: RolePlan,
    pub executor: RolePlan,
    pub scaling: Scaling,
}

/// What a role's pods are rendered from: the loose fields in their Kubernetes types.
#[derive(Debug, Clone, PartialEq)]
pub struct RolePlan {
    pub role: Role,
    pub resources: Resources,
    pub env: Vec<EnvVar>,
    pub env_from: Vec<EnvFromSource>,
    pub volumes: Vec<Volume>,
    pub volume_mounts: Vec<VolumeMount>,
    pub tolerations: Vec<Toleration>,
    pub affinity: Option<Affinity>,
    /// Checked to be a `PodTemplateSpec`, kept as JSON because it is merged as JSON.
    pub template: Option<Value>,
    /// The rest: labels, annotations, service account, node selector, priority class.
    pub spec: RoleSpec,
}

/// Checks the whole job and reports everything that is wrong at once.
///
/// # Errors
/// At least one [`Problem`].
pub fn validate(job: &SparkJob, target: Target) -> Result<JobPlan, Problems> {
    let spec = &job.spec;
    let mut problems = Vec::new();

    let sql = program(job, target, &mut problems);
    configuration(job, &mut problems);
    let driver = role_plan(job, Role::Driver, &mut problems);
    let executor = role_plan(job, Role::Executor, &mut problems);
    let scaling = scaling::of_job(spec).map_err(|p| problems.push(p)).ok();
    if let Some(image) = &spec.image
        && (image.trim() != image || image.contains(char::is_whitespace))
    {
        problems.push(Problem::invalid("spec.image", format!("'{image}' is not an image reference")));
    }

    match (sql, driver, executor, scaling) {
        (Some(sql), Some(driver), Some(executor), Some(scaling)) if problems.is_empty() => {
            Ok(JobPlan { sql, driver, executor, scaling })
        }
        _ => Err(Problems(problems)),
    }
}

fn program(job: &SparkJob, target: Target, problems: &mut Vec<Problem>) -> Option<SqlSource> {
    let spec = &job.spec;
    let given = usize::from(spec.sql.is_some()) + usize::from(spec.python.is_some()) + usize::from(spec.app.is_some());
    if given != 1 {
        problems.push(Problem::invalid("spec", "exactly one of sql, python and app must be set"));
        return None;
    }
    if spec.python.is_some() {
        problems
            .push(Problem::not_yet("spec.python", "PySpark programs are not supported in this version: use spec.sql"));
    }
    if spec.app.is_some() {
        problems.push(Problem::not_yet(
            "spec.app",
            "compiled applications are not supported in this version: use spec.sql",
        ));
    }
    let sql = spec.sql.as_ref()?;
    let given =
        usize::from(sql.inline.is_some()) + usize::from(sql.config_map.is_some()) + usize::from(sql.path.is_some());
    if given != 1 {
        problems.push(Problem::invalid("spec.sql", "exactly one of inline, configMap and path must be set"));
        return None;
    }
    if sql.inline.as_ref().is_some_and(|text| text.trim().is_empty()) {
        problems.push(Problem::invalid("spec.sql.inline", "there is no statement in it"));
    }
    if let Some(path) = &sql.path {
        let remote = path.starts_with("s3://") || path.starts_with("s3a://");
        let scheme = path.split_once("://").map(|(scheme, _)| scheme);
        if !remote && scheme.is_some_and(|scheme| scheme != "file") {
            problems.push(Problem::not_yet(
                "spec.sql.path",
                format!("'{path}': only s3://, s3a:// and file paths can be read"),
            ));
        } else if target == Target::Cluster && !remote && !path.starts_with('/') && !path.starts_with("file:/") {
            problems.push(Problem::invalid(
                "spec.sql.path",
                format!("'{path}' is relative: in a pod a path is absolute, or s3:// or s3a://; or put the text into sql.inline or sql.configMap"),
            ));
        }
    }
    Some(sql.clone())
}

/// Keys that would be dropped are refused with the field that takes their place.
fn configuration(job: &SparkJob, problems: &mut Vec<Problem>) {
    for key in job.spec.spark_conf.keys() {
        let place = || format!("spec.sparkConf[\"{key}\"]");
        let instead = match key.as_str() {
            "spark.master" | "spark.submit.deployMode" => Some("it follows from where the job runs"),
            "spark.kubernetes.namespace" => Some("set metadata.namespace"),
            "spark.kubernetes.container.image" => Some("set spec.image"),
            "spark.kubernetes.container.image.pullPolicy" => Some("set spec.imagePullPolicy"),
            "spark.kubernetes.container.image.pullSecrets" => Some("set spec.imagePullSecrets"),
            _ if resources::handles_kubernetes_key(key) || scaling::handles_kubernetes_key(key) => None,
            _ if key.starts_with("spark.kubernetes.") => {
                Some("use the fields of spec.driver and spec.executor, or their podTemplate")
            }
            _ => None,
        };
        if let Some(instead) = instead {
            problems.push(Problem::invalid(place(), format!("this key is not read: {instead}")));
        }
    }
}

fn role_plan(job: &SparkJob, role: Role, problems: &mut Vec<Problem>) -> Option<RolePlan> {
    let before = problems.len();
    let spec = match role {
        Role::Driver => &job.spec.driver,
        Role::Executor => &job.spec.executor.role,
    };
    let at = format!("spec.{}", role.as_str());
    let resources = resources::of_role(&job.spec, role).map_err(|p| problems.push(p)).ok();
    let env: Vec<EnvVar> = typed_list(&spec.env, &format!("{at}.env"), problems);
    for var in &env {
        if var.name.starts_with("FIRESTEEL_") {
            problems.push(Problem::invalid(
                format!("{at}.env"),
                format!("'{}': names that begin with FIRESTEEL_ are taken", var.name),
            ));
        }
    }
    let env_from = typed_list(&spec.env_from, &format!("{at}.envFrom"), problems);
    let volumes: Vec<Volume> = typed_list(&spec.volumes, &format!("{at}.volumes"), problems);
    let volume_mounts: Vec<VolumeMount> = typed_list(&spec.volume_mounts, &format!("{at}.volumeMounts"), problems);
    let template_volumes: Vec<&str> = spec
        .pod_template
        .as_ref()
        .and_then(|t| t.pointer("/spec/volumes"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|volume| volume.get("name").and_then(Value::as_str))
        .collect();
    for mount in &volume_mounts {
        if !volumes.iter().any(|v| v.name == mount.name) && !template_volumes.contains(&mount.name.as_str()) {
            problems.push(Problem::invalid(
                format!("{at}.volumeMounts"),
                format!("'{}' is not one of {at}.volumes", mount.name),
            ));
        }
    }
    let tolerations = typed_list(&spec.tolerations, &format!("{at}.tolerations"), problems);
    let affinity = spec.affinity.as_ref().and_then(|v| typed(v, &format!("{at}.affinity"), problems));
    if let Some(template) = &spec.pod_template {
        check_template(template, &format!("{at}.podTemplate"), problems);
    }
    for (field, map) in [("labels", &spec.labels), ("annotations", &spec.annotations)] {
        if let Some(key) = map.keys().find(|key| key.starts_with(RESERVED_PREFIX)) {
            problems.push(Problem::invalid(
                format!("{at}.{field}"),
                format!("'{key}': keys under {RESERVED_PREFIX} are taken"),
            ));
        }
    }
    if problems.len() > before {
        return None;
    }
    Some(RolePlan {
        role,
        resources: resources?,
        env,
        env_from,
        volumes,
        volume_mounts,
        tolerations,
        affinity,
        template: spec.pod_template.clone(),
        spec: spec.clone(),
    })
}

/// A template may leave out what the operator fills in, so required lists are put there before it is read strictly.
fn check_template(template: &Value, place: &str, problems: &mut Vec<Problem>) {
    let mut template = template.clone();
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        spec.entry("containers").or_insert_with(|| Value::Array(Vec::new()));
    }
    if let Some(parsed) = typed::<PodTemplateSpec>(&template, place, problems) {
        let labels = parsed.metadata.as_ref().and_then(|m| m.labels.as_ref());
        if let Some(key) = labels.and_then(|labels| labels.keys().find(|key| key.starts_with(RESERVED_PREFIX))) {
            problems.push(Problem::invalid(
                format!("{place}.metadata.labels"),
                format!("'{key}': keys under {RESERVED_PREFIX} are taken"),
            ));
        }
    }
}

fn typed<T: DeserializeOwned + Serialize>(value: &Value, place: &str, problems: &mut Vec<Problem>) -> Option<T> {
    match strict::from_value(value, place) {
        Ok(typed) => Some(typed),
        Err(text) => {
            // The text begins with the path of the offending field, which is the better place.
            let (field, message) = text.split_once(": ").unwrap_or((place, &text));
            problems.push(Problem::invalid(field, message));
            None
        }
    }
}

fn typed_list<T: DeserializeOwned + Serialize>(values: &[Value], place: &str, problems: &mut Vec<Problem>) -> Vec<T> {
    values.iter().enumerate().filter_map(|(i, value)| typed(value, &format!("{place}[{i}]"), problems)).collect()
}
