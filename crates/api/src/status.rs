//! The `SparkJob` status. Two writers, by server-side apply: the driver owns `progress`, `executors` and `recovery`, the
//! operator the rest. Everything is bounded: counts and the last attempts, never a map of pods.

use crate::reason::Reason;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Attempts kept in `status.attempts`; older ones are dropped, the counters stay.
pub const MAX_ATTEMPTS_KEPT: usize = 10;
/// Longest message kept in status, in bytes.
pub const MAX_MESSAGE: usize = 4096;

/// Condition types of a SparkJob.
pub mod condition {
    /// The spec can be carried out.
    pub const ACCEPTED: &str = "Accepted";
    /// The driver of the current attempt runs.
    pub const DRIVER_READY: &str = "DriverReady";
    /// As many executors run as were asked for.
    pub const EXECUTORS_READY: &str = "ExecutorsReady";
    /// Work is under way, or will be without a person's help.
    pub const PROGRESSING: &str = "Progressing";
    /// The job has succeeded.
    pub const COMPLETE: &str = "Complete";
    /// The job has failed and will not be tried again.
    pub const FAILED: &str = "Failed";
}

/// Where a job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// No driver yet: waiting for something the spec refers to, or for the next attempt.
    #[default]
    Pending,
    /// A driver pod is requested and does not run yet.
    Starting,
    /// The driver runs.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly, no attempts left.
    Failed,
    /// Written by another version.
    #[serde(other)]
    Unknown,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Starting => "Starting",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
            Phase::Unknown => "Unknown",
        }
    }

    /// True when nothing more will happen to the job.
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Succeeded,
    Failed,
    /// Written by another version.
    #[serde(other)]
    Unknown,
}

/// What is known about a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkJobStatus {
    /// `Pending`, `Starting`, `Running`, `Succeeded` or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub phase: Option<Phase>,

    /// Why it is in that phase, in one word; the same list serves conditions, Events and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub reason: Option<Reason>,

    /// The same for people, with the place and the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Accepted`, `DriverReady`, `ExecutorsReady`, `Progressing`, `Complete`, `Failed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// Number of the current or last attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,

    /// The last attempts, oldest first, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "attempts")]
    pub attempts: Vec<Attempt>,

    /// Failures so far that count against `spec.maxAttempts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_failures: Option<i32>,

    /// Failures so far that count against `spec.maxInfrastructureRetries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_failures: Option<i32>,

    /// Failures so far that count against `spec.maxDriverRestarts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_restarts: Option<i32>,

    /// The next attempt goes on with what the attempts from this one on have finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovering: Option<i32>,

    /// Pod of the current or last attempt's driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_pod: Option<String>,

    /// When the first attempt was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the job ended, well or badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// When the next attempt is due, while one is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,

    /// How far the program is. Written by the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,

    /// Its executor pods, counted. Written by the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executors: Option<ExecutorStatus>,

    /// What is done for good, for a driver that takes the place of one that died. Written by the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// A driver's journal: what cannot be had from the executors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// The attempt that wrote it. No earlier one may write any more.
    pub attempt: i32,
    /// Statements from the first on whose effects are complete.
    #[serde(default)]
    pub statements: i64,
    /// Rows that they have written.
    #[serde(default)]
    pub rows: i64,
    /// Fingerprint of their text: a program that has changed is not gone on with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// How the program ended, once it has: it is not run again, whatever becomes of the driver's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<ProgramEnd>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgramEnd {
    #[schemars(schema_with = "word")]
    pub outcome: Outcome,
    #[schemars(schema_with = "word")]
    pub reason: Reason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    #[serde(default)]
    pub message: String,
}

impl ProgramEnd {
    /// The message with its error class.
    pub fn text(&self) -> String {
        match &self.error_class {
            Some(class) if !self.message.contains(class.as_str()) => format!("[{class}] {}", self.message),
            _ => self.message.clone(),
        }
    }
}

/// One run of the program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// The first of the attempts whose work this one goes on with; absent when it began anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<i32>,
    /// Its driver pod.
    pub driver_pod: String,
    /// UID of that pod, once it is known to exist. From then on no other pod is taken for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// `Succeeded` or `Failed`; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How far an attempt is. Counts cover all its queries so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The attempt these numbers belong to.
    pub attempt: i32,
    /// One line for `kubectl get`, for instance `stage 2/4 · 37/128 tasks`.
    pub summary: String,
    #[serde(default)]
    pub stages_total: i64,
    #[serde(default)]
    pub stages_done: i64,
    #[serde(default)]
    pub tasks_total: i64,
    #[serde(default)]
    pub tasks_done: i64,
    #[serde(default)]
    pub tasks_running: i64,
    /// Failed task attempts, retried ones included.
    #[serde(default)]
    pub tasks_failed: i64,
    /// Task attempts that were launched because an earlier one failed or what it had made was lost.
    #[serde(default)]
    pub tasks_rerun: i64,
    #[serde(default)]
    pub rows_read: i64,
    #[serde(default)]
    pub bytes_read: i64,
    #[serde(default)]
    pub rows_written: i64,
    /// Bytes written to shuffle files.
    #[serde(default)]
    pub shuffle_bytes: i64,
    /// Bytes spilled to disk for want of memory.
    #[serde(default)]
    pub spilled_bytes: i64,
    /// What the stage that is running does, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_stage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
}

/// The executor pods of an attempt, counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorStatus {
    /// The attempt these numbers belong to.
    pub attempt: i32,
    /// One word for `kubectl get`: running/desired, for instance `2/2`.
    pub summary: String,
    #[serde(default)]
    pub desired: i32,
    #[serde(default)]
    pub pending: i32,
    #[serde(default)]
    pub running: i32,
    /// Executors that ended unexpectedly, since the attempt began.
    #[serde(default)]
    pub failed: i32,
    /// Why an executor is waiting, or why the last one failed: `ExecutorsUnschedulable`, `ExecutorImagePullFailed`,
    /// `OutOfMemory`, `Evicted` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub last_failure_reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_message: Option<String>,
}

impl ExecutorStatus {
    /// `running/desired`, for the printer column.
    pub fn summary_of(running: i32, desired: i32) -> String {
        format!("{running}/{desired}")
    }
}

/// Reasons and phases are open words in the schema, so that an older CRD does not refuse a newer operator's.
fn word(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 64 })
}

fn conditions(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": generator.subschema_for::<Condition>()
    })
}

fn attempts(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "atomic",
        "items": generator.subschema_for::<Attempt>()
    })
}

/// The instant a Kubernetes `Time` or `MicroTime` holds; the generated types can be written and not read.
pub fn instant(time: &impl Serialize) -> Timestamp {
    serde_json::to_value(time).ok().and_then(|text| text.as_str()?.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `text`, cut to `limit` bytes at a character boundary, with an ellipsis when cut.
pub fn bounded(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_to_the_second() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(instant(&Time::from(now)), now);
    }

    #[test]
    fn messages_are_cut_at_characters() {
        assert_eq!(bounded("short", 10), "short");
        let cut = bounded(&"ä".repeat(100), 20);
        assert!(cut.len() <= 20 && cut.ends_with('…'), "{cut}");
    }
}
