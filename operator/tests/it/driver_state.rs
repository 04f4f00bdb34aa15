//! Table of pod statuses as kubelets, schedulers and controllers write them, and what is made of them.

use firesteel_api::{Outcome, Reason, TerminationMessage};
use firesteel_operator::reconcile::driver_state::DriverState;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use serde_json::{Value, json};

fn state(pod: Value) -> DriverState {
    let pod: Pod = serde_json::from_value(pod).unwrap();
    DriverState::of(&pod, "2026-01-01T01:00:00Z".parse::<Timestamp>().unwrap())
}

fn container(state: Value) -> Value {
    json!([{"name": "driver", "image": "repo/x:1", "imageID": "", "ready": false, "restartCount": 0, "state": state}])
}

fn waiting(pod: Value) -> (Reason, String) {
    match state(pod.clone()) {
        DriverState::Waiting { reason, message } => (reason, message),
        other => panic!("{pod}: {other:?}"),
    }
}

fn failed(status: Value) -> (Reason, String) {
    match state(json!({"status": status})) {
        DriverState::Ended { outcome: Outcome::Failed, reason, message, .. } => (reason, message),
        other => panic!("{status}: {other:?}"),
    }
}

#[test]
fn why_a_driver_waits() {
    let unschedulable = json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available: 2 Insufficient memory."}]}});
    let (reason, message) = waiting(unschedulable);
    assert_eq!(reason, Reason::DriverUnschedulable);
    assert!(message.contains("2 Insufficient memory"));

    for (why, expected) in [
        ("ErrImagePull", Reason::ImagePullFailed),
        ("ImagePullBackOff", Reason::ImagePullFailed),
        ("InvalidImageName", Reason::ImagePullFailed),
        ("ErrImageNeverPull", Reason::ImagePullFailed),
        ("CreateContainerConfigError", Reason::ContainerConfigError),
        ("CreateContainerError", Reason::ContainerStartFailed),
        ("ContainerCreating", Reason::DriverStarting),
        ("PodInitializing", Reason::DriverStarting),
    ] {
        let pod = json!({"spec": {"containers": [], "nodeName": "node-1"}, "status": {"phase": "Pending", "containerStatuses": container(json!({"waiting": {"reason": why, "message": "because"}}))}});
        let (reason, message) = waiting(pod);
        assert_eq!(reason, expected, "{why}");
        if reason == Reason::ImagePullFailed {
            assert!(message.contains("repo/x:1") && message.contains("because"), "{message}");
        }
    }
    assert_eq!(waiting(json!({})).0, Reason::DriverStarting);

    let init = json!({"status": {"phase": "Pending", "initContainerStatuses": [{"name": "warm", "image": "y", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull"}}}]}});
    assert_eq!(waiting(init).0, Reason::ImagePullFailed);
}

#[test]
fn why_a_driver_failed() {
    let said = |reason| TerminationMessage::failed(reason, None, "told").to_json();
    let terminated = |code: i32, reason: Value, message: Value| {
        container(json!({"terminated": {"exitCode": code, "reason": reason, "message": message}}))
    };
    let table = [
        (
            "its own word",
            json!({"phase": "Failed", "containerStatuses": terminated(1, json!("Error"), json!(said(Reason::TaskFailed)))}),
            Reason::TaskFailed,
        ),
        (
            "its own word though the exit code is 0",
            json!({"phase": "Succeeded", "containerStatuses": terminated(0, json!("Completed"), json!(said(Reason::StorageError)))}),
            Reason::StorageError,
        ),
        (
            "out of memory",
            json!({"phase": "Failed", "containerStatuses": terminated(137, json!("OOMKilled"), Value::Null)}),
            Reason::OutOfMemory,
        ),
        (
            "exit without a word",
            json!({"phase": "Failed", "containerStatuses": terminated(101, json!("Error"), json!("thread main panicked"))}),
            Reason::DriverCrashed,
        ),
        (
            "said well, ended badly",
            json!({"phase": "Failed", "containerStatuses": terminated(139, json!("Error"), json!(TerminationMessage::succeeded("").to_json()))}),
            Reason::DriverCrashed,
        ),
        (
            "stopped",
            json!({"phase": "Failed", "containerStatuses": terminated(143, json!("Error"), Value::Null)}),
            Reason::Stopped,
        ),
        (
            "stopped, as it says itself",
            json!({"phase": "Failed", "containerStatuses": terminated(1, json!("Error"), json!(said(Reason::Stopped)))}),
            Reason::Stopped,
        ),
        (
            "stopped by a preemption",
            json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m"}], "containerStatuses": terminated(1, json!("Error"), json!(said(Reason::Stopped)))}),
            Reason::Preempted,
        ),
        ("evicted", json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}), Reason::Evicted),
        (
            "evicted by the API",
            json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}], "containerStatuses": terminated(143, json!("Error"), Value::Null)}),
            Reason::Evicted,
        ),
        (
            "node shut down",
            json!({"phase": "Failed", "reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."}),
            Reason::NodeLost,
        ),
        (
            "node gone",
            json!({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": "node not found"}]}),
            Reason::NodeLost,
        ),
        (
            "turned away",
            json!({"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource"}),
            Reason::Evicted,
        ),
        ("no trace", json!({"phase": "Failed"}), Reason::DriverLost),
        (
            "cannot run",
            json!({"phase": "Failed", "containerStatuses": terminated(128, json!("StartError"), json!("exec: no such file"))}),
            Reason::ContainerStartFailed,
        ),
    ];
    for (what, status, expected) in table {
        let (reason, message) = failed(status);
        assert_eq!(reason, expected, "{what}: {message}");
        assert!(!message.is_empty(), "{what}");
    }
}

/// Only a container that goes on is a reason to stop the pod, whose log would go with it: the kubelet reports the end of
/// the container before that of the pod.
#[test]
fn a_driver_beside_a_sidecar_has_ended_before_its_pod() {
    let driver = container(json!({"terminated": {"exitCode": 0}}));
    let alone = json!({"status": {"phase": "Running", "containerStatuses": driver}});
    assert!(matches!(state(alone), DriverState::Ended { outcome: Outcome::Succeeded, pod_ended: true, .. }));

    let mut both = driver.as_array().unwrap().clone();
    both.push(json!({"name": "proxy", "image": "y", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}));
    let beside = json!({"status": {"phase": "Running", "containerStatuses": both}});
    assert!(matches!(state(beside), DriverState::Ended { outcome: Outcome::Succeeded, pod_ended: false, .. }));
}

#[test]
fn a_pod_that_does_not_go_is_lost_with_its_node() {
    let pod = |deleted: &str| json!({"metadata": {"deletionTimestamp": deleted}, "spec": {"containers": [], "nodeName": "node-2"}, "status": {"phase": "Running", "containerStatuses": container(json!({"running": {}}))}});
    assert_eq!(state(pod("2026-01-01T00:59:30Z")), DriverState::Leaving);
    match state(pod("2026-01-01T00:58:00Z")) {
        DriverState::Ended { reason: Reason::NodeLost, message, .. } => assert!(message.contains("node-2")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_finished_pod_that_is_deleted_has_still_finished() {
    let pod = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Succeeded", "containerStatuses": container(json!({"terminated": {"exitCode": 0}}))}});
    assert!(matches!(state(pod), DriverState::Ended { outcome: Outcome::Succeeded, .. }));
}
