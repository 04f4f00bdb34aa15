//! Whatever breaks, and whenever: one attempt makes one driver pod.

use crate::fake_api::{Crash, FakeApi};
use firesteel_operator::reconcile::{Next, reconcile};
use serde_json::json;
use std::sync::Arc;

const SPEC: &str = "sql: {inline: SELECT 1}";

#[tokio::test]
async fn the_attempt_is_on_record_before_its_pod_and_the_uid_after() {
    let api = FakeApi::default();
    api.submit("a", SPEC);
    api.look("a").await.unwrap();
    let writes: Vec<String> =
        api.log().into_iter().filter(|line| !line.starts_with("GET") && !line.contains("events/")).collect();
    let writes: Vec<&str> = writes.iter().map(String::as_str).collect();
    assert_eq!(writes.len(), 4, "{writes:?}");
    assert_eq!(writes[0], "PATCH sparkjobs/n/a/status");
    assert!(writes[1].starts_with("POST secrets/n/a-1-"), "{writes:?}");
    assert_eq!(writes[2..], ["POST pods/n/a-1-driver", "PATCH sparkjobs/n/a/status"]);
    let uid = api.get("pods/n/a-1-driver").unwrap()["metadata"]["uid"].clone();
    assert_eq!(api.status("a", "/attempts/0/driverUid"), uid);
    assert_eq!(api.status("a", "/phase"), "Starting");
}

/// The operator dies at each of its requests, carried out or not; another takes over.
#[tokio::test]
async fn a_death_at_any_request_leaves_one_pod_and_one_attempt() {
    let calm = FakeApi::default();
    calm.submit("a", SPEC);
    calm.look("a").await.unwrap();
    let requests = calm.log().len();
    assert!(requests > 5);

    for at in 0..requests {
        for how in [Crash::Before, Crash::After] {
            let api = FakeApi::default();
            api.submit("a", SPEC);
            api.crash_at(at, how);
            let _ = api.look("a").await;
            api.heal();
            for _ in 0..3 {
                api.look("a").await.unwrap();
            }
            let place = format!("request {at} of {requests}, {how:?}: {:?}", api.log());
            assert_eq!(api.keys("pods/"), ["pods/n/a-1-driver"], "{place}");
            assert_eq!(api.keys("secrets/").len(), 1, "{place}");
            assert_eq!(api.status("a", "/attempts").as_array().unwrap().len(), 1, "{place}");
            let uid = api.get("pods/n/a-1-driver").unwrap()["metadata"]["uid"].clone();
            assert_eq!(api.status("a", "/attempts/0/driverUid"), uid, "{place}");
        }
    }
}

#[tokio::test]
async fn a_stale_copy_of_a_job_starts_nothing() {
    let api = FakeApi::default();
    api.submit("a", &format!("{SPEC}\nmaxInfrastructureRetries: 0"));
    let stale = Arc::new(serde_json::from_value(api.job("a")).unwrap());
    api.look("a").await.unwrap();
    // Its pod comes and goes: the stale copy knows of no attempt, and would make the first one again.
    api.remove("pods/n/a-1-driver");
    let created = api.count("POST pods/");
    let context = api.context();
    reconcile(stale, &context).await.unwrap();
    assert_eq!(api.count("POST pods/"), created);
    assert_eq!(api.status("a", "/attempts/0/reason"), "DriverLost", "decided from the server's copy");
    assert_eq!(api.status("a", "/attempts").as_array().unwrap().len(), 1);
    assert!(context.metrics.encode().contains("firesteel_operator_stale_decisions_total 1"));
}

/// The watch still shows the attempt without its pod's UID, the pod has been seen since, and is gone.
#[tokio::test]
async fn a_copy_from_before_the_uid_was_noted_makes_no_second_pod() {
    let api = FakeApi::default();
    api.submit("a", &format!("{SPEC}\nmaxInfrastructureRetries: 0"));
    api.look("a").await.unwrap();
    let mut stale = api.job("a");
    stale["status"]["attempts"][0].as_object_mut().unwrap().remove("driverUid");
    stale["metadata"]["resourceVersion"] = json!("1");
    api.remove("pods/n/a-1-driver");
    let stale = Arc::new(serde_json::from_value(stale).unwrap());
    reconcile(stale, &api.context()).await.unwrap();
    assert_eq!(api.count("POST pods/"), 1);
    assert_eq!(api.status("a", "/reason"), "DriverLost");
}

#[tokio::test]
async fn a_stale_copy_of_a_deleted_job_starts_nothing() {
    let api = FakeApi::default();
    api.submit("a", SPEC);
    let stale: firesteel_api::SparkJob = serde_json::from_value(api.job("a")).unwrap();
    // Deleted, and made again under the same name.
    api.remove("sparkjobs/n/a");
    api.submit("a", SPEC);
    assert_eq!(reconcile(Arc::new(stale), &api.context()).await.unwrap(), Next::OnChange);
    assert_eq!(api.count("POST pods/"), 0);
}

#[tokio::test]
async fn a_pod_that_has_been_seen_is_never_made_again() {
    let api = FakeApi::default();
    api.submit("a", &format!("{SPEC}\nmaxInfrastructureRetries: 0"));
    api.look("a").await.unwrap();
    api.remove("pods/n/a-1-driver");
    api.look("a").await.unwrap();
    assert_eq!(api.keys("pods/"), [""; 0]);
    assert_eq!(api.status("a", "/phase"), "Failed");
    assert_eq!(api.status("a", "/reason"), "DriverLost");
    assert_eq!(api.count("POST pods/"), 1);
}

/// The pod ran and vanished before the operator had noted its UID: the driver's own word tells.
#[tokio::test]
async fn a_driver_that_has_spoken_is_never_made_again() {
    let api = FakeApi::default();
    api.submit("a", &format!("{SPEC}\nmaxInfrastructureRetries: 0"));
    api.look("a").await.unwrap();
    api.edit("sparkjobs/n/a", |job| {
        job["status"]["attempts"][0].as_object_mut().unwrap().remove("driverUid");
        job["status"]["progress"] = json!({"attempt": 1, "summary": "stage 1/3"});
    });
    api.remove("pods/n/a-1-driver");
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/reason"), "DriverLost");
    assert_eq!(api.count("POST pods/"), 1);
}

#[tokio::test]
async fn a_pod_of_an_earlier_job_of_the_same_name_is_waited_for() {
    let api = FakeApi::default();
    api.put("pods/n/a-1-driver", json!({"metadata": {"name": "a-1-driver", "namespace": "n", "deletionTimestamp": "2026-01-01T00:00:00Z", "labels": {"firesteel.dev/job-uid": "old", "firesteel.dev/attempt": "1"}}}));
    api.submit("a", SPEC);
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/reason"), "PodRefused");
    assert!(api.status("a", "/message").as_str().unwrap().contains("of an earlier job"));
    api.remove("pods/n/a-1-driver");
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/reason"), "DriverStarting");
    assert_eq!(
        api.get("pods/n/a-1-driver").unwrap()["metadata"]["labels"]["firesteel.dev/job-uid"],
        api.job("a")["metadata"]["uid"]
    );
}
