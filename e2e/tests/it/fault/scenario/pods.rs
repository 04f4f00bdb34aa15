//! Pods that do not come, and a driver that goes.

use serde_json::json;

use super::{Backend, Conf, HELD_FACTS, by_outputs, ends_well, held, in_the_maps, lost, start, until};
use crate::fault::work::{self, DIMS, FACTS, NAMES, REDUCERS, SLOTS};

/// The job ends well with the executor that is left, and says why there is no other.
pub async fn images_missing(backend: &dyn Backend, conf: Conf) {
    no_replacement(backend, conf, Missing::Image).await;
}

/// The replacement comes as soon as there is room.
pub async fn quota_exhausted(backend: &dyn Backend, conf: Conf) {
    no_replacement(backend, conf, Missing::Quota).await;
}

enum Missing {
    Image,
    Quota,
}

async fn no_replacement(backend: &dyn Backend, conf: Conf, missing: Missing) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_FACTS);
    start(backend, conf, json!({})).await;
    let executors = in_the_maps(backend).await;
    let victim = by_outputs(&executors);
    let (what, reason) = match missing {
        Missing::Image => {
            backend.break_images().await;
            ("image missing for a replacement", "ExecutorImagePullFailed")
        }
        Missing::Quota => {
            backend.exhaust_quota().await;
            ("quota exhausted", "QuotaExceeded")
        }
    };
    backend.kill_executor(&victim.id).await;
    lost(backend, &victim.id).await;
    // The person is told while it is so.
    let began = std::time::Instant::now();
    loop {
        let status = backend.status().await;
        if status["executors"]["lastFailureReason"] == reason {
            break;
        }
        assert!(began.elapsed() < crate::fault::backend::WITHIN, "the status does not say {reason}: {status}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(backend.executors().await.len(), 1, "no replacement has come");
    if let Missing::Quota = missing {
        backend.lift_quota().await;
        until(backend, "a replacement", |_, executors| (executors.len() == 2).then_some(())).await;
    }
    drop(hold);
    ends_well(backend, what, conf, held(victim) + SLOTS).await;
}

/// Finished stages are not run again by the driver that takes over.
pub async fn driver_killed(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, &["names/part-1"]);
    start(backend, conf, json!({})).await;
    until(backend, "three of five stages done", |stages, executors| {
        let joined = stages.iter().filter(|s| s.tasks > 0 && s.done == s.tasks).count() >= 3;
        let maps = work::done(stages, FACTS) == FACTS && work::done(stages, DIMS) == DIMS;
        let still = executors.iter().map(|e| e.running).sum::<u64>() == 1 && work::done(stages, NAMES) == NAMES - 1;
        (joined && maps && still).then_some(())
    })
    .await;
    backend.kill_driver().await;
    drop(hold);
    let (end, _) = ends_well(backend, "driver killed in the third of five stages", conf, SLOTS).await;
    assert_eq!(end.attempts, 2);
    let last = end.log.iter().rev().find(|line| line["message"] == "task attempts of the application").unwrap();
    let launched = last["launched"].as_u64().unwrap();
    let bound = u64::from(NAMES + REDUCERS) + SLOTS;
    assert!(launched <= bound, "the second driver launched {launched} tasks, {bound} were left to do");
}
