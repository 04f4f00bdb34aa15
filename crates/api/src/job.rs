//! The `SparkJob` spec. Field documentation here is what `kubectl explain sparkjob` prints and what docs/sparkjob.md holds.

#![allow(clippy::duplicated_attributes, reason = "each printer column repeats the same keys")]

use crate::status::SparkJobStatus;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

mod schema;

/// Most runs a job may ask for after failures of its own.
pub const MAX_ATTEMPTS: u32 = 20;
/// The key that turns recovery off.
pub const RECOVERY_ENABLED: &str = "firesteel.recovery.enabled";

/// One Spark program, run once to its end. Like a Kubernetes Job, what it runs cannot be changed after it is created:
/// delete the SparkJob and create it again.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "firesteel.dev",
    version = "v1alpha1",
    kind = "SparkJob",
    namespaced,
    status = "SparkJobStatus",
    shortname = "sj",
    category = "firesteel",
    derive = "PartialEq",
    doc = "A Spark program run once to its end by Firesteel.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.summary"),
    printcolumn(name = "Executors", type_ = "string", json_path = ".status.executors.summary"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt", priority = 1),
    printcolumn(name = "Driver", type_ = "string", json_path = ".status.driverPod", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "[has(self.sql), has(self.python), has(self.app)].filter(x, x).size() == 1",
        "message": "exactly one of sql, python and app must be set"
    },
    {
        "rule": "has(self.sql) == has(oldSelf.sql) && (!has(self.sql) || self.sql == oldSelf.sql) && \
                 has(self.python) == has(oldSelf.python) && (!has(self.python) || self.python == oldSelf.python) && \
                 has(self.app) == has(oldSelf.app) && (!has(self.app) || self.app == oldSelf.app)",
        "message": "the program (sql, python, app) cannot be changed after creation: delete the SparkJob and create it again"
    },
    {
        "rule": "has(self.driver) == has(oldSelf.driver) && (!has(self.driver) || self.driver == oldSelf.driver) && \
                 has(self.executor) == has(oldSelf.executor) && (!has(self.executor) || self.executor == oldSelf.executor)",
        "message": "driver and executor cannot be changed after creation: delete the SparkJob and create it again"
    },
    {
        "rule": "has(self.sparkConf) == has(oldSelf.sparkConf) && (!has(self.sparkConf) || self.sparkConf == oldSelf.sparkConf)",
        "message": "sparkConf cannot be changed after creation: delete the SparkJob and create it again"
    },
    {
        "rule": "has(self.image) == has(oldSelf.image) && (!has(self.image) || self.image == oldSelf.image)",
        "message": "image cannot be changed after creation: delete the SparkJob and create it again"
    }
]))]
pub struct SparkJobSpec {
    /// Run SQL statements. Exactly one of `sql`, `python` and `app` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlSource>,

    /// Run a PySpark program. Not supported in this version: answered by the condition `Accepted=False`, reason
    /// `NotYetSupported`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonSource>,

    /// Run a compiled application. Not supported in this version: answered by the condition `Accepted=False`, reason
    /// `NotYetSupported`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppSource>,

    /// Configuration under Spark's own keys, for instance `spark.sql.shuffle.partitions: "64"`. Credentials do not belong
    /// here: give them to the pods with `env` and a `secretKeyRef`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::spark_conf")]
    pub spark_conf: BTreeMap<String, String>,

    /// Image of driver and executors. Default: the one the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,

    /// `Always`, `IfNotPresent` or `Never`. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::image_pull_policy")]
    pub image_pull_policy: Option<String>,

    /// Secrets with which the image is pulled. Default: the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectRef>,

    /// The driver: one pod that plans the program and schedules its tasks.
    #[serde(default, skip_serializing_if = "RoleSpec::is_empty")]
    pub driver: RoleSpec,

    /// The executors: the pods that run the tasks.
    #[serde(default, skip_serializing_if = "ExecutorSpec::is_empty")]
    pub executor: ExecutorSpec,

    /// How often the program is run in all when it fails by itself (a crash, out of memory, a task that keeps failing).
    /// Errors that would only repeat, such as a syntax error, are never run again. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub max_attempts: Option<i32>,

    /// How often the program is started again because the cluster took its driver away (node lost, evicted, preempted).
    /// Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub max_infrastructure_retries: Option<i32>,

    /// How often a driver that died by itself (a crash, killed for memory) is started again to go on from the statements and
    /// stages that are finished; the cluster's own doing is charged to `maxInfrastructureRetries`. Further deaths count as
    /// failures of the program. With `firesteel.recovery.enabled: "false"` in `sparkConf` every attempt begins anew.
    /// Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub max_driver_restarts: Option<i32>,

    /// Seconds to wait before the second attempt; doubled before each further one, at most ten minutes. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 600))]
    pub retry_backoff_seconds: Option<i32>,

    /// Seconds a driver pod may take from its creation until it runs (waiting for a node, pulling the image).
    /// After that the attempt fails with reason `DriverStartTimeout`. Default 900.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 604800))]
    pub start_timeout_seconds: Option<i32>,

    /// Seconds the job may take in all, counted from its first attempt, retries included. After that it is stopped and
    /// fails with reason `DeadlineExceeded`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31536000))]
    pub active_deadline_seconds: Option<i64>,

    /// Seconds after its end at which the SparkJob is deleted, with all it owns. Default: kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315360000))]
    pub time_to_live_seconds_after_finished: Option<i64>,
}

/// Where the SQL text is. Exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.inline), has(self.configMap), has(self.path)].filter(x, x).size() == 1",
    "message": "exactly one of sql.inline, sql.configMap and sql.path must be set"
}]))]
pub struct SqlSource {
    /// The statements, separated by `;`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262144))]
    pub inline: Option<String>,

    /// A key of a ConfigMap in the job's namespace, read when an attempt starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKeyRef>,

    /// A file the driver reads: an absolute path in its pod, or an object as `s3://bucket/key` or `s3a://bucket/key`.
    /// On a laptop (`firesteel run`) a relative path counts from the folder of the job file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub path: Option<String>,
}

/// A key of a ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap, in the job's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A PySpark program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PythonSource {
    /// The program's file: an absolute path in the driver pod, or an object as `s3://…` or `s3a://…`.
    #[schemars(length(min = 1, max = 2048))]
    pub path: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 4096)))]
    pub args: Vec<String>,
}

/// A compiled application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppSource {
    /// The application's file: an absolute path in the driver pod, or an object as `s3://…` or `s3a://…`.
    #[schemars(length(min = 1, max = 2048))]
    pub path: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 4096)))]
    pub args: Vec<String>,
}

/// The name of an object in the job's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalObjectRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The executors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.instances) || !has(self.dynamicAllocation)",
    "message": "executor.instances is a fixed number: with executor.dynamicAllocation, set its initialInstances instead"
}]))]
pub struct ExecutorSpec {
    /// How many executor pods. Default: `spark.executor.instances`, else 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub instances: Option<i32>,

    /// Let the number of executors follow the work, as with `spark.dynamicAllocation.enabled`. Not together with
    /// `instances`. What it does not say, the keys under `spark.dynamicAllocation.` do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_allocation: Option<DynamicAllocation>,

    #[serde(flatten)]
    pub role: RoleSpec,
}

/// Between which numbers executors come and go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.minInstances) || !has(self.maxInstances) || self.minInstances <= self.maxInstances",
        "message": "minInstances must not be more than maxInstances"
    },
    {
        "rule": "!has(self.initialInstances) || !has(self.maxInstances) || self.initialInstances <= self.maxInstances",
        "message": "initialInstances must not be more than maxInstances"
    },
    {
        "rule": "!has(self.initialInstances) || !has(self.minInstances) || self.initialInstances >= self.minInstances",
        "message": "initialInstances must not be less than minInstances"
    }
]))]
pub struct DynamicAllocation {
    /// Never fewer. Default: `spark.dynamicAllocation.minExecutors`, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub min_instances: Option<i32>,

    /// Never more. Default: `spark.dynamicAllocation.maxExecutors`, else 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_instances: Option<i32>,

    /// At the start. Default: `spark.dynamicAllocation.initialExecutors`, else `minInstances`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub initial_instances: Option<i32>,

    /// Seconds after which an executor without work is let go. Default: `spark.dynamicAllocation.executorIdleTimeout`,
    /// else 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2147483647))]
    pub idle_timeout_seconds: Option<i32>,
}

/// What driver and executor pods have in common. Lists and objects marked loose hold the Kubernetes type of the same name;
/// the API server does not look inside them, the operator does, and answers with the condition `Accepted=False`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleSpec {
    /// Cores: tasks that run at the same time, and the CPU request unless `coreRequest` says otherwise.
    /// Default: `spark.driver.cores` or `spark.executor.cores`, else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub cores: Option<i32>,

    /// CPU request of the container as a Kubernetes quantity, for instance `500m`. Default: `cores`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?m?$"))]
    pub core_request: Option<String>,

    /// CPU limit of the container as a Kubernetes quantity. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?m?$"))]
    pub core_limit: Option<String>,

    /// Memory the program may use, as `4g` (Spark) or `4Gi` (Kubernetes).
    /// Default: `spark.driver.memory` or `spark.executor.memory`, else 1g.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::memory")]
    pub memory: Option<String>,

    /// Memory on top of it for the process itself; the container's request and limit is the sum.
    /// Default: Spark's rule, a tenth of `memory` and at least 384m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::memory")]
    pub memory_overhead: Option<String>,

    /// Upper bound of the local disk for shuffle and spill (an emptyDir). The pod is evicted when it uses more. Default:
    /// the node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::memory")]
    pub local_disk: Option<String>,

    /// Environment variables: Kubernetes `EnvVar` (loose), so credentials can come from a `secretKeyRef`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_objects")]
    pub env: Vec<Value>,

    /// Sources of environment variables: Kubernetes `EnvFromSource` (loose).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::objects")]
    pub env_from: Vec<Value>,

    /// Volumes of the pod: Kubernetes `Volume` (loose).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_objects")]
    pub volumes: Vec<Value>,

    /// Where the volumes appear in the container: Kubernetes `VolumeMount` (loose). A mount at `/var/lib/firesteel` takes
    /// the place of the emptyDir for shuffle and spill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_objects")]
    pub volume_mounts: Vec<Value>,

    /// Service account of the pod. Default: the operator's for drivers; `default` without a token for executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account: Option<String>,

    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints the pod tolerates: Kubernetes `Toleration` (loose).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::objects")]
    pub tolerations: Vec<Value>,

    /// Kubernetes `Affinity` (loose).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::object")]
    pub affinity: Option<Value>,

    /// Priority class of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,

    /// Labels put on the pod. Keys under `firesteel.dev/` are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub labels: BTreeMap<String, String>,

    /// Annotations put on the pod. Keys under `firesteel.dev/` are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,

    /// A Kubernetes `PodTemplateSpec` (loose) merged under the fields above: it may add what they do not cover (init
    /// containers, sidecars, DNS, security settings). The main container is called `driver` or `executor`. Lists merge
    /// by name; where both say something, the fields above win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::object")]
    pub pod_template: Option<Value>,
}

impl RoleSpec {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ExecutorSpec {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl SparkJobSpec {
    /// Runs in all when the program fails by itself.
    pub fn attempts_allowed(&self) -> u32 {
        self.max_attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).clamp(1, MAX_ATTEMPTS)
    }

    /// Whether a driver goes on with what one before it has finished.
    pub fn recovers(&self) -> bool {
        let off = |value: &String| value.trim().eq_ignore_ascii_case("false");
        self.sql.is_some() && !self.spark_conf.get(RECOVERY_ENABLED).is_some_and(off)
    }

    /// Restarts of a driver that died by itself.
    pub fn driver_restarts_allowed(&self) -> u32 {
        self.max_driver_restarts.and_then(|n| u32::try_from(n).ok()).unwrap_or(3).min(MAX_ATTEMPTS)
    }

    /// Restarts after the cluster took the driver away.
    pub fn infrastructure_retries_allowed(&self) -> u32 {
        self.max_infrastructure_retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(3).min(MAX_ATTEMPTS)
    }
}
