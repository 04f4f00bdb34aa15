//! What an executor pod's status says. Pure: a pod and the time in, a state out.

use firesteel_api::{
    Reason,
    names::Role,
    status::{bounded, instant},
};
use firesteel_scheduler::ExecutorLossReason;
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus},
    jiff::{SignedDuration, Timestamp},
};

/// How long after the end of its grace period a pod that will not go is taken for lost with its node.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(30);
const MAX_MESSAGE: usize = 1024;

/// The state of an executor pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// Not running yet; what it waits for, if that is trouble.
    Waiting(Option<Trouble>),
    Running,
    /// Being deleted; its executor may still end its tasks.
    Leaving,
    Ended(Loss),
}

/// Why an executor does not come, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub reason: Reason,
    pub message: String,
}

/// How an executor ended: for the scheduler and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub why: ExecutorLossReason,
    pub trouble: Trouble,
}

impl Loss {
    pub fn new(why: ExecutorLossReason, reason: Reason, message: impl AsRef<str>) -> Self {
        Self { why, trouble: Trouble { reason, message: bounded(message.as_ref(), MAX_MESSAGE) } }
    }

    fn taken(reason: Reason, message: String) -> Self {
        Self::new(ExecutorLossReason::TakenByCluster { message: bounded(&message, MAX_MESSAGE) }, reason, message)
    }

    /// The pod is no longer there.
    pub fn deleted(pod: &str) -> Self {
        Self::taken(Reason::ExecutorsFailing, format!("executor pod {pod} was deleted"))
    }
}

impl PodState {
    pub fn of(pod: &Pod, now: Timestamp) -> Self {
        let empty = PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&empty);
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let container = status.container_statuses.iter().flatten().find(|c| c.name == Role::Executor.as_str());
        let state = container.and_then(|c| c.state.as_ref());
        let deleted = pod.metadata.deletion_timestamp.as_ref();

        if let Some(terminated) = state.and_then(|s| s.terminated.as_ref()) {
            return Self::Ended(ended(name, status, Some(terminated), deleted.is_some()));
        }
        if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
            // Evicted and garbage-collected pods may have no container status at all.
            return Self::Ended(ended(name, status, None, deleted.is_some()));
        }
        if let Some(deleted) = deleted {
            if now.duration_since(instant(deleted)) > STUCK_AFTER {
                let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or("unknown");
                let message =
                    format!("executor pod {name} was deleted and does not go: its node {node} no longer answers");
                return Self::Ended(Loss::taken(Reason::NodeLost, message));
            }
            return Self::Leaving;
        }
        if state.is_some_and(|s| s.running.is_some()) {
            return Self::Running;
        }
        Self::Waiting(waiting(name, status))
    }
}

fn waiting(name: &str, status: &PodStatus) -> Option<Trouble> {
    if let Some(scheduled) =
        status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False")
        && scheduled.reason.as_deref() == Some("Unschedulable")
    {
        let detail = scheduled.message.as_deref().unwrap_or("no node fits");
        let message = bounded(&format!("no node takes executor pod {name}: {detail}"), MAX_MESSAGE);
        return Some(Trouble { reason: Reason::ExecutorsUnschedulable, message });
    }
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).find_map(|c| container_trouble(name, c))
}

fn container_trouble(pod: &str, container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let why = waiting.reason.as_deref()?;
    let reason = match Reason::of_waiting_container(why)? {
        Reason::ImagePullFailed => Reason::ExecutorImagePullFailed,
        other => other,
    };
    let detail = waiting.message.as_deref().unwrap_or(why);
    let message = if reason == Reason::ExecutorImagePullFailed {
        format!("executor pod {pod} cannot pull image '{}' ({why}): {detail}", container.image)
    } else {
        format!("executor pod {pod} cannot start container '{}' ({why}): {detail}", container.name)
    };
    Some(Trouble { reason, message: bounded(&message, MAX_MESSAGE) })
}

fn ended(name: &str, status: &PodStatus, terminated: Option<&ContainerStateTerminated>, deleted: bool) -> Loss {
    if terminated.and_then(|t| t.reason.as_deref()) == Some("OOMKilled") {
        let message = format!(
            "executor pod {name} exceeded its memory limit: raise spec.executor.memory or spec.executor.memoryOverhead"
        );
        return Loss::new(ExecutorLossReason::OutOfMemory, Reason::OutOfMemory, message);
    }
    if let Some((reason, message)) = disruption(name, status) {
        return Loss::taken(reason, message);
    }
    if deleted {
        return Loss::deleted(name);
    }
    let Some(terminated) = terminated else {
        let detail = status.message.as_deref().or(status.reason.as_deref()).unwrap_or("no container status is left");
        let message = format!("executor pod {name} failed without a trace of its container: {detail}");
        return Loss::taken(Reason::ExecutorsFailing, message);
    };
    let code = terminated.exit_code;
    let why = ExecutorLossReason::Crashed { exit_code: Some(code) };
    let said = terminated.message.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let tail = said.map_or_else(|| "; see its log".to_owned(), |text| format!("; its last lines: {text}"));
    match terminated.reason.as_deref() {
        Some("StartError" | "ContainerCannotRun") => {
            let message = format!("executor pod {name} could not be started (exit code {code}){tail}");
            Loss::new(why, Reason::ContainerStartFailed, message)
        }
        _ => {
            let killed = if code == 137 { ", killed by the node" } else { "" };
            let message = format!("executor pod {name} ended with exit code {code}{killed}{tail}");
            Loss::new(why, Reason::ExecutorsFailing, message)
        }
    }
}

/// Whether the cluster, not the program, ended the pod.
fn disruption(name: &str, status: &PodStatus) -> Option<(Reason, String)> {
    let detail = status.message.as_deref().unwrap_or("no reason given");
    match status.reason.as_deref() {
        Some("Evicted") => {
            return Some((Reason::Evicted, format!("the node evicted executor pod {name}: {detail}")));
        }
        Some("Preempting" | "Preempted") => {
            return Some((
                Reason::Preempted,
                format!("executor pod {name} made room for one of higher priority: {detail}"),
            ));
        }
        Some(why @ ("NodeLost" | "NodeShutdown" | "Shutdown" | "Terminated" | "NodeAffinity")) => {
            return Some((Reason::NodeLost, format!("the node of executor pod {name} went away ({why}): {detail}")));
        }
        Some(why) if why.starts_with("OutOf") || why == "UnexpectedAdmissionError" => {
            return Some((Reason::Evicted, format!("the node turned executor pod {name} away ({why}): {detail}")));
        }
        _ => {}
    }
    let target = status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    let detail = target.message.as_deref().unwrap_or("no reason given");
    Some(match target.reason.as_deref() {
        Some("PreemptionByScheduler") => {
            (Reason::Preempted, format!("executor pod {name} made room for one of higher priority: {detail}"))
        }
        Some("DeletionByTaintManager" | "DeletionByPodGC" | "TerminationByKubelet") => {
            (Reason::NodeLost, format!("the node of executor pod {name} went away: {detail}"))
        }
        _ => (Reason::Evicted, format!("executor pod {name} was evicted: {detail}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: &str = "2026-01-01T00:10:00Z";

    fn state(deleted: Option<&str>, status: Value) -> PodState {
        let mut metadata = json!({ "name": "a-1-exec-3" });
        if let Some(at) = deleted {
            metadata["deletionTimestamp"] = json!(at);
        }
        let pod: Pod =
            serde_json::from_value(json!({ "metadata": metadata, "spec": { "containers": [] }, "status": status }))
                .unwrap();
        PodState::of(&pod, NOW.parse().unwrap())
    }

    fn container(state: Value) -> Value {
        json!({ "phase": "Running", "containerStatuses": [
            { "name": "sidecar", "image": "s", "imageID": "", "ready": true, "restartCount": 0, "state": { "running": {} } },
            { "name": "executor", "image": "r:1", "imageID": "", "ready": false, "restartCount": 0, "state": state }
        ] })
    }

    #[test]
    fn pods_that_are_not_there_yet() {
        assert_eq!(state(None, json!({})), PodState::Waiting(None));
        assert_eq!(
            state(None, container(json!({ "waiting": { "reason": "ContainerCreating" } }))),
            PodState::Waiting(None)
        );
        assert_eq!(state(None, container(json!({ "running": {} }))), PodState::Running);
        let unschedulable = json!({ "phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available: 2 Insufficient memory."
        }] });
        let table = [
            (unschedulable, Reason::ExecutorsUnschedulable, "2 Insufficient memory"),
            (
                container(json!({ "waiting": { "reason": "ErrImagePull", "message": "not found" } })),
                Reason::ExecutorImagePullFailed,
                "cannot pull image 'r:1' (ErrImagePull): not found",
            ),
            (
                container(json!({ "waiting": { "reason": "ImagePullBackOff" } })),
                Reason::ExecutorImagePullFailed,
                "ImagePullBackOff",
            ),
            (
                container(
                    json!({ "waiting": { "reason": "CreateContainerConfigError", "message": "secret \"x\" not found" } }),
                ),
                Reason::ContainerConfigError,
                "secret \"x\" not found",
            ),
        ];
        for (status, reason, text) in table {
            let PodState::Waiting(Some(trouble)) = state(None, status.clone()) else { panic!("{status}") };
            assert_eq!(trouble.reason, reason);
            assert!(trouble.message.contains(text) && trouble.message.contains("a-1-exec-3"), "{}", trouble.message);
        }
    }

    #[test]
    fn pods_that_ended() {
        let terminated =
            |reason: &str, code: i32| container(json!({ "terminated": { "reason": reason, "exitCode": code } }));
        let with = |mut status: Value, more: Value| {
            status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            status
        };
        let disrupted = |why: &str| {
            json!({ "conditions": [
            { "type": "DisruptionTarget", "status": "True", "reason": why, "message": "m" }
        ] })
        };
        // status, blames tasks, reason, part of the message
        let table = [
            (terminated("OOMKilled", 137), true, Reason::OutOfMemory, "spec.executor.memory"),
            (terminated("Error", 1), true, Reason::ExecutorsFailing, "exit code 1; see its log"),
            (terminated("Error", 137), true, Reason::ExecutorsFailing, "killed by the node"),
            (terminated("StartError", 128), true, Reason::ContainerStartFailed, "exit code 128"),
            (
                json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage." }),
                false,
                Reason::Evicted,
                "ephemeral-storage",
            ),
            (json!({ "phase": "Failed" }), false, Reason::ExecutorsFailing, "no container status is left"),
            (json!({ "phase": "Failed", "reason": "OutOfcpu", "message": "m" }), false, Reason::Evicted, "OutOfcpu"),
            (
                with(terminated("Error", 137), json!({ "reason": "NodeShutdown" })),
                false,
                Reason::NodeLost,
                "NodeShutdown",
            ),
            (with(terminated("Error", 143), disrupted("PreemptionByScheduler")), false, Reason::Preempted, "priority"),
            (with(terminated("Error", 143), disrupted("DeletionByTaintManager")), false, Reason::NodeLost, "went away"),
            (with(terminated("Error", 143), disrupted("EvictionByEvictionAPI")), false, Reason::Evicted, "evicted"),
        ];
        for (status, blames, reason, text) in table {
            let PodState::Ended(loss) = state(None, status.clone()) else { panic!("{status}") };
            assert_eq!((loss.why.blames_tasks(), loss.trouble.reason), (blames, reason), "{status}");
            assert!(loss.trouble.message.contains(text), "{}", loss.trouble.message);
        }
    }

    #[test]
    fn pods_that_are_deleted() {
        let running = container(json!({ "running": {} }));
        assert_eq!(state(Some("2026-01-01T00:10:20Z"), running.clone()), PodState::Leaving);
        let PodState::Ended(loss) = state(Some("2026-01-01T00:09:00Z"), running) else { panic!("not lost") };
        assert_eq!(loss.trouble.reason, Reason::NodeLost);
        let ended = container(json!({ "terminated": { "reason": "Completed", "exitCode": 0 } }));
        let PodState::Ended(loss) = state(Some("2026-01-01T00:10:20Z"), ended) else { panic!("not ended") };
        assert_eq!(loss, Loss::deleted("a-1-exec-3"));
    }
}
