//! Decisions that depend on the clock, which is an input.

use firesteel_api::{SparkJob, SparkJobStatus};
use firesteel_operator::{
    config::Defaults,
    reconcile::{
        Next,
        build::{Action, Decision, build},
        dereference::{DriverPod, Observed, SqlText},
        validate::prepare,
    },
};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// Decides for a job with one attempt that began at 00:00:00, at the given time.
fn decide(spec: Value, status: Value, pod: Option<Value>, now: &str) -> Decision {
    let mut spec = spec;
    spec["sql"] = json!({"inline": "SELECT 1"});
    let job: SparkJob = serde_json::from_value(json!({
        "apiVersion": "firesteel.dev/v1alpha1", "kind": "SparkJob",
        "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec, "status": status
    }))
    .unwrap();
    let driver = match pod {
        Some(pod) => DriverPod::Ours(Box::new(serde_json::from_value::<Pod>(pod).unwrap())),
        None if status["attempts"].is_array() && status["attempts"][0]["outcome"].is_null() => DriverPod::Absent,
        None => DriverPod::NotNeeded,
    };
    let now: Timestamp = format!("2026-01-01T{now}Z").parse().unwrap();
    let observed = Observed { job, sql: SqlText::NotNeeded, driver, pod_warning: None, refusal: None, now };
    let defaults = Defaults {
        image: "i".into(),
        image_pull_policy: None,
        image_pull_secrets: Vec::new(),
        driver_service_account: "d".into(),
    };
    build(&observed, &prepare(&observed, &defaults))
}

fn begun() -> Value {
    json!({"phase": "Starting", "attempt": 1, "startTime": "2026-01-01T00:00:00Z",
        "attempts": [{"number": 1, "driverPod": "a-1-driver", "driverUid": "p", "startTime": "2026-01-01T00:00:00Z"}]})
}

fn pulling() -> Value {
    json!({"metadata": {"uid": "p"}, "status": {"phase": "Pending", "containerStatuses": [
        {"name": "driver", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}})
}

fn crashed() -> Value {
    json!({"metadata": {"uid": "p"}, "status": {"phase": "Failed", "containerStatuses": [
        {"name": "driver", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 1}}}]}})
}

fn phase(decision: &Decision) -> &'static str {
    status(decision).phase.unwrap().as_str()
}

fn reason(decision: &Decision) -> &'static str {
    status(decision).reason.unwrap().as_str()
}

fn status(decision: &Decision) -> &SparkJobStatus {
    &decision.status
}

#[test]
fn an_image_that_cannot_be_pulled_is_said_at_once_and_given_up_in_the_end() {
    let early = decide(json!({"startTimeoutSeconds": 60}), begun(), Some(pulling()), "00:00:01");
    assert_eq!((phase(&early), reason(&early)), ("Starting", "ImagePullFailed"));
    assert_eq!(early.next, Next::After(Duration::from_secs(59)));
    assert!(early.actions.is_empty());

    let late = decide(json!({"startTimeoutSeconds": 60}), begun(), Some(pulling()), "00:01:00");
    assert_eq!((phase(&late), reason(&late)), ("Failed", "ImagePullFailed"));
    assert!(late.status.message.as_ref().unwrap().starts_with("given up after 60 s (spec.startTimeoutSeconds)"));
    let uid = Some("p".to_owned());
    assert_eq!(late.actions, [Action::DeleteDriver { name: "a-1-driver".into(), uid }, Action::Sweep { attempt: 1 }]);
}

#[test]
fn backoff_doubles_and_is_waited_for() {
    for (failures, seconds) in [(0, 10), (1, 20), (3, 80), (9, 600)] {
        let mut status = begun();
        status["applicationFailures"] = json!(failures);
        let spec = json!({"maxAttempts": 20, "sparkConf": {"firesteel.recovery.enabled": "false"}});
        let decision = decide(spec, status, Some(crashed()), "00:10:00");
        assert_eq!((phase(&decision), reason(&decision)), ("Pending", "RetryBackoff"));
        let message = decision.status.message.as_ref().unwrap();
        assert!(message.contains(&format!("the next follows in {seconds} s")), "{message}");
        assert_eq!(decision.status.attempts[0].reason.unwrap().as_str(), "DriverCrashed");
    }
    let mut waiting = begun();
    waiting["attempts"][0]["outcome"] = json!("Failed");
    waiting["nextAttemptTime"] = json!("2026-01-01T00:00:30Z");
    let early = decide(json!({}), waiting.clone(), None, "00:00:10");
    assert_eq!((early.next, early.again), (Next::After(Duration::from_secs(20)), false));
    let due = decide(json!({}), waiting, None, "00:00:30");
    assert!(due.again);
    assert_eq!(due.status.attempt, Some(2));
    assert_eq!(due.status.attempts[1].driver_pod, "a-2-driver");
    assert_eq!(due.status.next_attempt_time, None);
}

#[test]
fn the_deadline_counts_over_all_attempts() {
    let mut waiting = begun();
    waiting["attempts"][0]["outcome"] = json!("Failed");
    waiting["nextAttemptTime"] = json!("2026-01-01T00:02:00Z");
    let early = decide(json!({"activeDeadlineSeconds": 60}), waiting.clone(), None, "00:00:50");
    assert_eq!(early.next, Next::After(Duration::from_secs(10)));
    let over = decide(json!({"activeDeadlineSeconds": 60}), waiting, None, "00:01:00");
    assert_eq!((phase(&over), reason(&over)), ("Failed", "DeadlineExceeded"));
}

#[test]
fn attempts_kept_are_bounded() {
    let mut status = begun();
    let ended = |number: i32| json!({"number": number, "driverPod": format!("a-{number}-driver"), "outcome": "Failed"});
    status["attempts"] = json!((1..=10).map(ended).collect::<Vec<_>>());
    status["attempt"] = json!(10);
    let decision = decide(json!({"maxAttempts": 20}), status, None, "00:10:00");
    let numbers: Vec<i32> = decision.status.attempts.iter().map(|a| a.number).collect();
    assert_eq!(numbers, (2..=11).collect::<Vec<_>>());
}

#[test]
fn executors_in_trouble_are_the_jobs_reason() {
    let running = json!({"metadata": {"uid": "p"}, "spec": {"containers": [], "nodeName": "node-1"}, "status": {"phase": "Running", "containerStatuses": [
        {"name": "driver", "image": "x", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}]}});
    let mut status = begun();
    status["executors"] = json!({"attempt": 1, "summary": "0/2", "desired": 2, "pending": 2, "running": 0, "failed": 0,
        "lastFailureReason": "ExecutorsUnschedulable", "lastFailureMessage": "0/2 nodes are available: 2 Insufficient memory."});
    let decision = decide(json!({}), status.clone(), Some(running.clone()), "00:00:10");
    assert_eq!((phase(&decision), reason(&decision)), ("Running", "ExecutorsUnschedulable"));
    assert!(decision.status.message.as_ref().unwrap().contains("Insufficient memory"));

    // Numbers of an earlier attempt say nothing about this one.
    status["executors"]["attempt"] = json!(7);
    let decision = decide(json!({}), status, Some(running), "00:00:10");
    assert_eq!(reason(&decision), "DriverRunning");
}

#[test]
fn a_condition_keeps_its_transition_time_until_it_changes() {
    let first = decide(json!({}), begun(), Some(pulling()), "00:00:01");
    let mut status = serde_json::to_value(&first.status).unwrap();
    status["attempts"] = begun()["attempts"].clone();
    let second = decide(json!({}), status, Some(pulling()), "00:00:09");
    assert_eq!(
        serde_json::to_value(&first.status.conditions).unwrap(),
        serde_json::to_value(&second.status.conditions).unwrap()
    );
}
