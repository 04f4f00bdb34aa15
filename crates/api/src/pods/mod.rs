//! Rendering of what a job consists of on a cluster: driver pod, executor pods and the Secret of an attempt. Pure functions;
//! the operator uses them for the driver, the driver for its executors.
//!
//! A pod is made of three layers, each over the one before: safe defaults (a pod that passes the `restricted` standard),
//! the person's `podTemplate`, and what must hold (names, labels, command, the typed fields).

mod merge;
pub mod warnings;

use crate::{
    VERSION,
    job::{RoleSpec, SparkJob},
    jobfile, memory,
    names::{self, Role},
    validate::{self, JobPlan, Problem, Problems, RolePlan, Target},
};
use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
pub use merge::merge;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Port on which a driver listens for its executors.
pub const DRIVER_RPC_PORT: u16 = 7077;
/// Port of a driver's `/healthz` and `/metrics`.
pub const DRIVER_HTTP_PORT: u16 = 4040;
/// Port on which an executor serves shuffle blocks.
pub const EXECUTOR_SHUFFLE_PORT: u16 = 7078;
/// Local disk of a pod: shuffle files and spill.
pub const LOCAL_DIR: &str = "/var/lib/firesteel";
/// The program of the runtime image.
pub const BINARY: &str = "/usr/local/bin/firesteel";
/// User and group that pods run as.
pub const USER: i64 = 65532;
/// Key of the attempt's Secret that holds the token.
pub const TOKEN_KEY: &str = "token";

/// Environment variables that pods find. What a program reads and what a pod sets are the same constants.
pub mod env {
    pub const POD_NAME: &str = "FIRESTEEL_POD_NAME";
    pub const POD_NAMESPACE: &str = "FIRESTEEL_POD_NAMESPACE";
    pub const POD_IP: &str = "FIRESTEEL_POD_IP";
    pub const POD_UID: &str = "FIRESTEEL_POD_UID";
    pub const NODE_NAME: &str = "FIRESTEEL_NODE_NAME";
    pub const JOB_NAME: &str = "FIRESTEEL_JOB_NAME";
    pub const JOB_UID: &str = "FIRESTEEL_JOB_UID";
    pub const ATTEMPT: &str = "FIRESTEEL_ATTEMPT";
    /// The first of the attempts whose work a driver goes on with: its own number when it begins anew.
    pub const FIRST_ATTEMPT: &str = "FIRESTEEL_FIRST_ATTEMPT";
    /// Image of the driver; its executors get the same.
    pub const IMAGE: &str = "FIRESTEEL_IMAGE";
    /// Token that every message between driver and executors carries.
    pub const AUTH_TOKEN: &str = "FIRESTEEL_AUTH_TOKEN";
    pub const LOCAL_DIRS: &str = "FIRESTEEL_LOCAL_DIRS";
    /// Task slots.
    pub const CORES: &str = "FIRESTEEL_CORES";
    /// Bytes for the program, without the overhead.
    pub const MEMORY_BYTES: &str = "FIRESTEEL_MEMORY_BYTES";
    pub const MEMORY_OVERHEAD_BYTES: &str = "FIRESTEEL_MEMORY_OVERHEAD_BYTES";
    /// Host and port of the driver. Executors only.
    pub const DRIVER_ADDRESS: &str = "FIRESTEEL_DRIVER_ADDRESS";
    /// Executors only: seconds that one which must leave has for its tasks and for handing over what it stores.
    pub const GRACE_SECONDS: &str = "FIRESTEEL_GRACE_SECONDS";
    /// Executors only.
    pub const EXECUTOR_ID: &str = "FIRESTEEL_EXECUTOR_ID";
    /// The one address to listen on, where pods are processes of one machine. Every address when not set.
    pub const BIND_ADDRESS: &str = "FIRESTEEL_BIND_ADDRESS";
    /// Where a driver writes its last word; [`crate::termination::PATH`] when not set.
    pub const TERMINATION_PATH: &str = "FIRESTEEL_TERMINATION_PATH";
}

/// One attempt of one job, with all that its pods are rendered from.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptContext {
    pub job: String,
    pub namespace: String,
    pub uid: String,
    /// From 1.
    pub attempt: u32,
    /// The attempt that the executors, their token and the job file were first made for: `attempt` itself unless it goes on
    /// with the work of an earlier one.
    pub first_attempt: u32,
    /// Executors outlive their driver for the one that may follow it.
    pub recovers: bool,
    pub image: String,
    pub image_pull_policy: Option<String>,
    pub image_pull_secrets: Vec<String>,
    pub plan: JobPlan,
}

impl AttemptContext {
    /// From a job that exists on a cluster (it has name, namespace and UID) and names its image: in the operator the job
    /// with its defaults filled in, in the driver the job file.
    ///
    /// # Errors
    /// The job is not valid, or one of those four is missing.
    pub fn new(job: &SparkJob, attempt: u32) -> Result<Self, Problems> {
        let plan = validate::validate(job, Target::Cluster)?;
        let required = |value: Option<&String>, field: &str| {
            value
                .filter(|text| !text.is_empty())
                .cloned()
                .ok_or_else(|| Problems(vec![Problem::invalid(field, "is missing")]))
        };
        Ok(Self {
            job: required(job.metadata.name.as_ref(), "metadata.name")?,
            namespace: required(job.metadata.namespace.as_ref(), "metadata.namespace")?,
            uid: required(job.metadata.uid.as_ref(), "metadata.uid")?,
            attempt,
            first_attempt: attempt,
            recovers: job.spec.recovers(),
            image: required(job.spec.image.as_ref(), "spec.image")?,
            image_pull_policy: job.spec.image_pull_policy.clone(),
            image_pull_secrets: job.spec.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
            plan,
        })
    }

    /// Going on with the work of the attempts from `first` on.
    pub fn continuing(self, first: Option<u32>) -> Self {
        Self { first_attempt: first.unwrap_or(self.first_attempt).min(self.attempt), ..self }
    }

    /// The attempt that is told by names and labels: of executors that of their set.
    fn labelled(&self, role: Role) -> u32 {
        match role {
            Role::Driver => self.attempt,
            Role::Executor => self.first_attempt,
        }
    }

    /// The name of an executor's pod.
    pub fn executor_pod_name(&self, id: u64) -> String {
        names::executor_pod(&self.job, self.first_attempt, id)
    }

    /// Labels of the executors that a driver of this attempt makes and takes over.
    pub fn executor_selector(&self) -> String {
        format!(
            "{},{}={},{}={}",
            names::job_selector(&self.uid),
            names::LABEL_ATTEMPT,
            self.first_attempt,
            names::LABEL_ROLE,
            Role::Executor.as_str()
        )
    }

    /// The owner of an executor: the job where it outlives its driver, else the driver's pod.
    fn executor_owner(&self, args: &ExecutorArgs<'_>) -> Value {
        // Nothing waits for executors to go, and a driver has no right to have it wait.
        let (api_version, kind, name, uid) = if self.recovers {
            (format!("{}/{VERSION}", crate::GROUP), "SparkJob", self.job.as_str(), self.uid.as_str())
        } else {
            ("v1".to_owned(), "Pod", args.driver_pod_name, args.driver_pod_uid)
        };
        json!({
            "apiVersion": api_version, "kind": kind, "name": name, "uid": uid,
            "controller": true, "blockOwnerDeletion": false
        })
    }

    /// The reference by which everything of the job goes when the job goes.
    pub fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: format!("{}/{VERSION}", crate::GROUP),
            kind: "SparkJob".into(),
            name: self.job.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// What the driver knows of an executor it is about to create.
#[derive(Debug, Clone, Copy)]
pub struct ExecutorArgs<'a> {
    /// Unique within the attempt, never used again.
    pub executor_id: u64,
    /// Host and port at which the driver listens.
    pub driver_address: &'a str,
    /// The owner where no other driver may follow: executors go when their driver's pod goes.
    pub driver_pod_name: &'a str,
    pub driver_pod_uid: &'a str,
}

/// The driver pod of an attempt.
///
/// # Errors
/// A `podTemplate` that makes the sum no pod.
pub fn driver_pod(context: &AttemptContext) -> Result<Pod, Problem> {
    let plan = &context.plan.driver;
    let secret = names::attempt_secret(&context.job, &context.uid, context.first_attempt);
    let mut fixed = fixed_layer(context, plan, names::driver_pod(&context.job, context.attempt));
    fixed = merge(
        fixed,
        json!({
            "metadata": { "ownerReferences": [context.owner()] },
            "spec": {
                "containers": [{
                    "name": "driver",
                    "command": [BINARY, "driver", "--job", format!("{}/{}", jobfile::MOUNT_DIR, jobfile::FILE_NAME)],
                    "ports": [
                        { "name": "rpc", "containerPort": DRIVER_RPC_PORT, "protocol": "TCP" },
                        { "name": "http", "containerPort": DRIVER_HTTP_PORT, "protocol": "TCP" }
                    ],
                    "env": [
                        { "name": env::IMAGE, "value": context.image },
                        { "name": env::FIRST_ATTEMPT, "value": context.first_attempt.to_string() }
                    ],
                    "volumeMounts": [{ "name": "firesteel-job", "mountPath": jobfile::MOUNT_DIR, "readOnly": true }]
                }],
                "volumes": [{
                    "name": "firesteel-job",
                    "secret": {
                        "secretName": secret,
                        "defaultMode": 0o440,
                        "items": [{ "key": jobfile::FILE_NAME, "path": jobfile::FILE_NAME }]
                    }
                }]
            }
        }),
    );
    let mut defaults = default_layer(context, plan);
    defaults = merge(
        defaults,
        json!({ "spec": { "containers": [{
            "name": "driver",
            "readinessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 2, "failureThreshold": 3 }
        }] } }),
    );
    assemble(defaults, plan, fixed)
}

/// An executor pod of an attempt.
///
/// # Errors
/// As [`driver_pod`].
pub fn executor_pod(context: &AttemptContext, args: &ExecutorArgs<'_>) -> Result<Pod, Problem> {
    let plan = &context.plan.executor;
    let fixed = merge(
        fixed_layer(context, plan, context.executor_pod_name(args.executor_id)),
        json!({
            "metadata": {
                "labels": { names::LABEL_EXECUTOR: args.executor_id.to_string() },
                "ownerReferences": [context.executor_owner(args)]
            },
            "spec": {
                "terminationGracePeriodSeconds": context.plan.scaling.grace.termination,
                "containers": [{
                    "name": "executor",
                    "command": [BINARY, "executor"],
                    "ports": [{ "name": "shuffle", "containerPort": EXECUTOR_SHUFFLE_PORT, "protocol": "TCP" }],
                    "env": [
                        { "name": env::DRIVER_ADDRESS, "value": args.driver_address },
                        { "name": env::EXECUTOR_ID, "value": args.executor_id.to_string() },
                        { "name": env::GRACE_SECONDS, "value": context.plan.scaling.grace.leave.to_string() }
                    ]
                }]
            }
        }),
    );
    // Executors never speak to the API server.
    let defaults = merge(default_layer(context, plan), json!({ "spec": { "automountServiceAccountToken": false } }));
    assemble(defaults, plan, fixed)
}

/// The Secret of an attempt: job file and token. A Secret, because the job file may hold credentials in `sparkConf`.
pub fn attempt_secret(context: &AttemptContext, job_file: &str, token: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(names::attempt_secret(&context.job, &context.uid, context.first_attempt)),
            namespace: Some(context.namespace.clone()),
            labels: Some(names::attempt_labels(&context.job, &context.uid, context.first_attempt)),
            owner_references: Some(vec![context.owner()]),
            ..ObjectMeta::default()
        },
        type_: Some("firesteel.dev/attempt".into()),
        immutable: Some(true),
        data: Some(BTreeMap::from([
            (jobfile::FILE_NAME.to_owned(), ByteString(job_file.as_bytes().to_vec())),
            (TOKEN_KEY.to_owned(), ByteString(token.as_bytes().to_vec())),
        ])),
        ..Secret::default()
    }
}

/// What a template may change: the shape of a pod that needs no privilege.
fn default_layer(context: &AttemptContext, plan: &RolePlan) -> Value {
    let mut local = json!({});
    if let Some(bytes) = plan.resources.local_disk {
        local["sizeLimit"] = json!(memory::quantity(bytes));
    }
    json!({
        "spec": {
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 30,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": { "type": "RuntimeDefault" }
            },
            // One node should not hold all of a job while others are free; a preference, never a reason to wait.
            "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": {
                    names::LABEL_JOB_UID: context.uid,
                    names::LABEL_ATTEMPT: context.labelled(plan.role).to_string(),
                    names::LABEL_ROLE: plan.role.as_str()
                } }
            }],
            "containers": [{
                "name": plan.role.as_str(),
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                    "capabilities": { "drop": ["ALL"] }
                },
                "terminationMessagePath": crate::termination::PATH,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [
                    { "name": "firesteel-tmp", "mountPath": "/tmp" },
                    { "name": "firesteel-local", "mountPath": LOCAL_DIR }
                ]
            }],
            "volumes": [
                { "name": "firesteel-tmp", "emptyDir": {} },
                { "name": "firesteel-local", "emptyDir": local }
            ]
        }
    })
}

/// What holds whatever the template says.
fn fixed_layer(context: &AttemptContext, plan: &RolePlan, name: String) -> Value {
    let role: &RoleSpec = &plan.spec;
    let resources = &plan.resources;
    let mut labels = role.labels.clone();
    labels.extend(names::pod_labels(&context.job, &context.uid, context.labelled(plan.role), plan.role));
    labels.insert("app.kubernetes.io/name".into(), "firesteel".into());
    labels.insert("app.kubernetes.io/component".into(), plan.role.as_str().into());

    let memory = memory::quantity(resources.container_memory());
    let mut limits = json!({ "memory": memory });
    if let Some(cpu) = &resources.cpu_limit {
        limits["cpu"] = json!(cpu);
    }
    let mut container = json!({
        "name": plan.role.as_str(),
        "image": context.image,
        "resources": { "requests": { "cpu": resources.cpu_request, "memory": memory }, "limits": limits },
        "env": plan.env,
        "envFrom": plan.env_from,
        "volumeMounts": plan.volume_mounts,
    });
    if let Some(policy) = &context.image_pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    container = merge(container, json!({ "env": common_env(context, plan) }));
    let pull_secrets: Vec<Value> = context.image_pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    json!({
        "metadata": { "name": name, "namespace": context.namespace, "labels": labels, "annotations": role.annotations },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": role.service_account,
            "nodeSelector": role.node_selector,
            "tolerations": plan.tolerations,
            "affinity": plan.affinity,
            "priorityClassName": role.priority_class_name,
            "imagePullSecrets": pull_secrets,
            "containers": [container],
            "volumes": plan.volumes,
        }
    })
}

fn common_env(context: &AttemptContext, plan: &RolePlan) -> Value {
    let from_field =
        |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let value = |name: &str, text: String| json!({ "name": name, "value": text });
    json!([
        from_field(env::POD_NAME, "metadata.name"),
        from_field(env::POD_NAMESPACE, "metadata.namespace"),
        from_field(env::POD_IP, "status.podIP"),
        from_field(env::POD_UID, "metadata.uid"),
        from_field(env::NODE_NAME, "spec.nodeName"),
        value(env::JOB_NAME, context.job.clone()),
        value(env::JOB_UID, context.uid.clone()),
        value(env::ATTEMPT, context.labelled(plan.role).to_string()),
        value(env::CORES, plan.resources.cores.to_string()),
        value(env::MEMORY_BYTES, plan.resources.memory.to_string()),
        value(env::MEMORY_OVERHEAD_BYTES, plan.resources.overhead.to_string()),
        value(env::LOCAL_DIRS, LOCAL_DIR.to_owned()),
        { "name": env::AUTH_TOKEN, "valueFrom": { "secretKeyRef": {
            "name": names::attempt_secret(&context.job, &context.uid, context.first_attempt), "key": TOKEN_KEY
        } } }
    ])
}

fn assemble(defaults: Value, plan: &RolePlan, fixed: Value) -> Result<Pod, Problem> {
    let template = plan.template.clone().unwrap_or_else(|| json!({}));
    let mut pod = merge(merge(defaults, template), fixed);
    drop_empty(&mut pod);
    serde_json::from_value(pod).map_err(|error| {
        Problem::invalid(format!("spec.{}.podTemplate", plan.role.as_str()), format!("does not make a pod: {error}"))
    })
}

/// Fields that nobody set are left out of the pod. An empty object inside a list entry says something (`emptyDir: {}`) and
/// stays.
fn drop_empty(pod: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    for path in ["/metadata", "/spec"] {
        if let Some(fields) = pod.pointer_mut(path).and_then(Value::as_object_mut) {
            fields.retain(|_, value| !empty(value));
        }
    }
    for container in pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = container.as_object_mut() {
            fields.retain(|_, value| !empty(value));
        }
    }
}
