//! What a driver pod's status says, in the terms of a job. Pure: a pod and the time in, a state out.

use firesteel_api::{Outcome, Reason, TerminationMessage, status::bounded};
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus},
    jiff::{SignedDuration, Timestamp},
};

/// How long after the end of its grace period a pod that will not go is taken for lost with its node.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// How long a pod may start before Events are asked what holds it.
pub const SILENT_FOR: SignedDuration = SignedDuration::from_secs(5);
const CONTAINER: &str = "driver";

/// The state of a driver pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverState {
    /// Not running yet, and why.
    Waiting { reason: Reason, message: String },
    /// The container runs; `ready` once it answers its readiness probe.
    Running { ready: bool, node: String },
    /// Being deleted while it still runs.
    Leaving,
    /// Ended. `died`: before the program did, which another driver could go on with. `pod_ended` is false while other
    /// containers of the pod go on and must be stopped.
    Ended { outcome: Outcome, reason: Reason, message: String, died: bool, pod_ended: bool },
}

impl DriverState {
    pub fn of(pod: &Pod, now: Timestamp) -> Self {
        let empty = PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&empty);
        let phase = status.phase.as_deref().unwrap_or("Pending");
        let container = status.container_statuses.iter().flatten().find(|c| c.name == CONTAINER);
        let terminated = container.and_then(|c| c.state.as_ref()).and_then(|s| s.terminated.as_ref());

        if let Some(terminated) = terminated {
            return ended(status, phase, Some(terminated));
        }
        if phase == "Failed" || phase == "Succeeded" {
            // Evicted and garbage-collected pods may have no container status at all.
            return ended(status, phase, None);
        }
        if let Some(deleted) = &pod.metadata.deletion_timestamp {
            if now.duration_since(firesteel_api::status::instant(deleted)) > STUCK_AFTER {
                let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or("unknown");
                return Self::Ended {
                    outcome: Outcome::Failed,
                    reason: Reason::NodeLost,
                    message: format!("the driver pod was deleted and does not go: its node {node} no longer answers"),
                    died: true,
                    pod_ended: true,
                };
            }
            return Self::Leaving;
        }
        if container.and_then(|c| c.state.as_ref()).is_some_and(|s| s.running.is_some()) {
            let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
            let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
            return Self::Running { ready, node };
        }
        waiting(pod, status)
    }

    /// Whether the pod has had a node for a while, does not run, and its status does not say why.
    pub fn starts_silently(&self, pod: &Pod, now: Timestamp) -> bool {
        let placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let created = pod.metadata.creation_timestamp.as_ref().map_or(now, firesteel_api::status::instant);
        let silent = matches!(self, Self::Waiting { reason: Reason::DriverStarting, .. });
        silent && placed && now.duration_since(created) >= SILENT_FOR
    }

    /// With what Events say, where the pod's status says nothing.
    pub fn explained(self, warning: Option<&(Reason, String)>) -> Self {
        match (self, warning) {
            (Self::Waiting { reason: Reason::DriverStarting, message }, Some((reason, detail))) => {
                Self::Waiting { reason: *reason, message: format!("{message}: {detail}") }
            }
            (state, _) => state,
        }
    }
}

fn waiting(pod: &Pod, status: &PodStatus) -> DriverState {
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref());
    if let Some(scheduled) =
        status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False")
        && scheduled.reason.as_deref() == Some("Unschedulable")
    {
        let detail = scheduled.message.as_deref().unwrap_or("no node fits");
        return DriverState::Waiting {
            reason: Reason::DriverUnschedulable,
            message: format!("no node takes the driver pod: {detail}"),
        };
    }
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    for container in containers {
        if let Some((reason, message)) = container_trouble(container) {
            return DriverState::Waiting { reason, message };
        }
    }
    let message = match node {
        Some(node) => format!("the driver pod is being started on {node}"),
        None => "the driver pod waits for a node".to_owned(),
    };
    DriverState::Waiting { reason: Reason::DriverStarting, message }
}

fn container_trouble(container: &ContainerStatus) -> Option<(Reason, String)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let why = waiting.reason.as_deref()?;
    let reason = Reason::of_waiting_container(why)?;
    let detail = waiting.message.as_deref().unwrap_or(why);
    let message = match reason {
        Reason::ImagePullFailed => format!("cannot pull image '{}' ({why}): {detail}", container.image),
        _ => format!("cannot start container '{}' ({why}): {detail}", container.name),
    };
    Some((reason, bounded(&message, 1024)))
}

fn ended(status: &PodStatus, phase: &str, terminated: Option<&ContainerStateTerminated>) -> DriverState {
    // The kubelet reports the container's end a moment before the pod's: only another container that runs makes a difference.
    let others_run = status
        .container_statuses
        .iter()
        .flatten()
        .any(|c| c.name != CONTAINER && c.state.as_ref().is_some_and(|s| s.running.is_some()));
    let pod_ended = phase == "Failed" || phase == "Succeeded" || !others_run;
    let said = terminated.and_then(|t| t.message.as_deref()).and_then(TerminationMessage::parse);
    let exit_code = terminated.map(|t| t.exit_code);
    let well = exit_code.unwrap_or(if phase == "Succeeded" { 0 } else { 1 }) == 0;

    // A container that ended well and does not say otherwise has succeeded.
    if well && said.as_ref().is_none_or(|s| s.outcome == Outcome::Succeeded) {
        let message = said.map(|s| s.message).unwrap_or_default();
        let (outcome, reason) = (Outcome::Succeeded, Reason::Succeeded);
        return DriverState::Ended { outcome, reason, message, died: false, pod_ended };
    }
    // One that could say why it failed has failed by its program, unless it was only told to stop.
    let program = said.as_ref().is_some_and(|s| s.outcome == Outcome::Failed && s.reason != Reason::Stopped);
    let (reason, message) = failure(status, terminated, said);
    let died = !program && reason != Reason::ContainerStartFailed;
    DriverState::Ended { outcome: Outcome::Failed, reason, message, died, pod_ended }
}

fn failure(
    status: &PodStatus,
    terminated: Option<&ContainerStateTerminated>,
    said: Option<TerminationMessage>,
) -> (Reason, String) {
    // The driver's own word first, unless all it knows is that it was told to stop: the pod may know by whom.
    let (stopped, said) = match said.filter(|s| s.outcome == Outcome::Failed) {
        Some(said) if said.reason == Reason::Stopped => (Some(said), None),
        said => (None, said),
    };
    if let Some(said) = said {
        let message = match &said.error_class {
            Some(class) if !said.message.contains(class.as_str()) => format!("[{class}] {}", said.message),
            _ => said.message,
        };
        return (said.reason, message);
    }
    if terminated.and_then(|t| t.reason.as_deref()) == Some("OOMKilled") {
        return (
            Reason::OutOfMemory,
            "the driver exceeded its memory limit: raise spec.driver.memory or spec.driver.memoryOverhead".to_owned(),
        );
    }
    if let Some(found) = disruption(status) {
        return found;
    }
    if let Some(stopped) = stopped {
        return (Reason::Stopped, stopped.message);
    }
    let Some(terminated) = terminated else {
        let detail = status.message.as_deref().or(status.reason.as_deref()).unwrap_or("no container status is left");
        return (Reason::DriverLost, format!("the driver pod failed without a trace of its container: {detail}"));
    };
    match (terminated.reason.as_deref(), terminated.exit_code) {
        (Some(why @ ("StartError" | "ContainerCannotRun")), code) => {
            let detail = terminated.message.as_deref().unwrap_or(why);
            (
                Reason::ContainerStartFailed,
                bounded(&format!("the driver container could not be started (exit code {code}): {detail}"), 2048),
            )
        }
        (_, 143) => {
            (Reason::Stopped, "the driver pod was told to stop before the program ended (exit code 143)".to_owned())
        }
        (_, code) => {
            let tail = terminated.message.as_deref().map(str::trim).filter(|text| !text.is_empty());
            let killed = if code == 137 { ", killed by the node" } else { "" };
            let message = match tail {
                Some(tail) => format!("the driver ended with exit code {code}{killed}; its last lines: {tail}"),
                None => format!("the driver ended with exit code {code}{killed} and no message; see its log"),
            };
            (Reason::DriverCrashed, bounded(&message, 2048))
        }
    }
}

/// Whether the cluster, not the program, ended the pod.
fn disruption(status: &PodStatus) -> Option<(Reason, String)> {
    let detail = |fallback: &str| status.message.clone().unwrap_or_else(|| fallback.to_owned());
    match status.reason.as_deref() {
        Some("Evicted") => {
            return Some((Reason::Evicted, format!("the node evicted the driver pod: {}", detail("no reason given"))));
        }
        Some("Preempting" | "Preempted") => {
            return Some((
                Reason::Preempted,
                format!("the driver pod made room for one of higher priority: {}", detail("")),
            ));
        }
        Some(why @ ("NodeLost" | "NodeShutdown" | "Shutdown" | "Terminated" | "NodeAffinity")) => {
            return Some((
                Reason::NodeLost,
                format!("the driver's node went away ({why}): {}", detail("no reason given")),
            ));
        }
        Some(why) if why.starts_with("OutOf") || why == "UnexpectedAdmissionError" => {
            return Some((
                Reason::Evicted,
                format!("the node turned the driver pod away ({why}): {}", detail("no reason given")),
            ));
        }
        _ => {}
    }
    let target = status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    let message = target.message.clone().unwrap_or_default();
    Some(match target.reason.as_deref() {
        Some("PreemptionByScheduler") => {
            (Reason::Preempted, format!("the driver pod made room for one of higher priority: {message}"))
        }
        Some("DeletionByTaintManager" | "DeletionByPodGC") => {
            (Reason::NodeLost, format!("the driver's node went away: {message}"))
        }
        Some("TerminationByKubelet") => (Reason::NodeLost, format!("the node ended the driver pod: {message}")),
        _ => (Reason::Evicted, format!("the driver pod was evicted: {message}")),
    })
}
