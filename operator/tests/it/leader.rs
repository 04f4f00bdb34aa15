//! Leader election among candidates that share one API server.

use crate::fake_api::FakeApi;
use firesteel_operator::lease::{Elector, Timing};
use serde_json::json;
use std::time::Duration;

fn candidate(api: &FakeApi, identity: &str) -> Elector {
    let timing = Timing {
        duration: Duration::from_secs(1),
        renew_deadline: Duration::from_millis(400),
        retry: Duration::from_millis(50),
    };
    Elector::new(api.client(), "operators", "lease", identity, timing)
}

#[tokio::test]
async fn one_leads_and_the_other_waits_until_the_lease_is_given_back() {
    let api = FakeApi::default();
    let (mut a, mut b) = (candidate(&api, "a"), candidate(&api, "b"));
    assert!(a.try_once().await.unwrap());
    assert!(!b.try_once().await.unwrap());
    assert!(a.try_once().await.unwrap(), "renewed");
    assert_eq!(api.get("leases/operators/lease").unwrap()["spec"]["holderIdentity"], "a");
    a.release().await;
    assert!(b.try_once().await.unwrap(), "given back");
    assert!(!a.try_once().await.unwrap());
    assert_eq!(api.get("leases/operators/lease").unwrap()["spec"]["leaseTransitions"], 1);
}

#[tokio::test]
async fn a_silent_leader_is_followed_after_the_lease_and_not_before() {
    let api = FakeApi::default();
    let (mut a, mut b) = (candidate(&api, "a"), candidate(&api, "b"));
    assert!(a.try_once().await.unwrap());
    assert!(!b.try_once().await.unwrap());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!b.try_once().await.unwrap(), "too early");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(b.try_once().await.unwrap());
    assert!(!a.try_once().await.unwrap(), "the old leader finds another in its place");
}

/// A renewal time far in the past, as of a machine with a wrong clock, does not make the lease free.
#[tokio::test]
async fn clocks_are_not_compared() {
    let api = FakeApi::default();
    api.put("leases/operators/lease", json!({"metadata": {"name": "lease"}, "spec": {"holderIdentity": "x", "leaseDurationSeconds": 1, "renewTime": "2001-01-01T00:00:00.000000Z"}}));
    assert!(!candidate(&api, "a").try_once().await.unwrap());
}

#[tokio::test]
async fn of_two_at_once_one_is_told_of_the_conflict() {
    let api = FakeApi::default();
    let (mut a, mut b) = (candidate(&api, "a"), candidate(&api, "b"));
    let (first, second) = tokio::join!(a.try_once(), b.try_once());
    assert!(first.unwrap() ^ second.unwrap());
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_before_others_may_begin() {
    let api = FakeApi::default();
    let mut a = candidate(&api, "a");
    assert!(a.try_once().await.unwrap());
    api.refuse("GET leases/", 500, "down");
    let began = std::time::Instant::now();
    tokio::time::timeout(Duration::from_secs(5), a.hold()).await.expect("leadership is given up");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
