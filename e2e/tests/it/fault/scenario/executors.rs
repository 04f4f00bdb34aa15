//! Executors die, or are slow.

use serde_json::json;

use super::{
    Backend, Conf, HELD_DIMS, HELD_FACTS, after_the_maps, by_outputs, ends_well, held, in_the_maps, in_the_reducers,
    lost, start, until,
};
use crate::fault::work::{self, FACTS, SLOTS};

pub async fn killed_while_mapping(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_FACTS);
    start(backend, conf, json!({})).await;
    let executors = in_the_maps(backend).await;
    let victim = by_outputs(&executors);
    backend.kill_executor(&victim.id).await;
    lost(backend, &victim.id).await;
    drop(hold);
    let (_, counts) = ends_well(backend, "executor killed while mapping", conf, held(victim) + SLOTS).await;
    assert!(counts.rerun >= held(victim), "all that it held is made again");
}

pub async fn killed_after_mapping(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_DIMS);
    start(backend, conf, json!({})).await;
    let executors = after_the_maps(backend).await;
    let victim = by_outputs(&executors);
    backend.kill_executor(&victim.id).await;
    lost(backend, &victim.id).await;
    drop(hold);
    let (_, counts) = ends_well(backend, "executor killed after mapping", conf, held(victim) + SLOTS).await;
    assert!(counts.rerun >= held(victim), "all that it held is made again");
}

pub async fn killed_while_reducing(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_writes(backend, 1);
    start(backend, conf, json!({})).await;
    let executors = in_the_reducers(backend, &hold).await;
    let victim = by_outputs(&executors);
    backend.kill_executor(&victim.id).await;
    lost(backend, &victim.id).await;
    drop(hold);
    // Its result rows that the driver has need not be made again; what the others wait for is.
    let (_, counts) = ends_well(backend, "executor killed while reducing", conf, held(victim) + SLOTS).await;
    assert!(counts.rerun >= victim.running, "what it ran runs again");
}

/// The one that takes the place of the first dies too.
pub async fn killed_twice(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_FACTS);
    start(backend, conf, json!({})).await;
    let executors = in_the_maps(backend).await;
    let first = by_outputs(&executors);
    backend.kill_executor(&first.id).await;
    lost(backend, &first.id).await;
    let there: Vec<String> = executors.iter().map(|e| e.id.clone()).collect();
    let second = until(backend, "another one in its place, at work", |_, executors| {
        executors.iter().find(|e| !there.contains(&e.id) && held(e) > 0).cloned()
    })
    .await;
    backend.kill_executor(&second.id).await;
    lost(backend, &second.id).await;
    drop(hold);
    // What the second held may have grown since it was asked, to no more than the first one's.
    let bound = 2 * held(first) + 2 * SLOTS;
    let (end, _) = ends_well(backend, "executors killed twice in a row", conf, bound).await;
    let losses = end.log.iter().filter(|line| line["message"] == "executor lost").count();
    assert_eq!(losses, 2, "two executors were lost");
}

/// Copies of its tasks on the other node are faster.
pub async fn slow(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_FACTS);
    let writes = work::hold_writes(backend, 0);
    let speculation = json!({ "sparkConf": {
        "spark.speculation": "true",
        "spark.speculation.quantile": "0.5",
        "spark.speculation.multiplier": "1.5",
    } });
    start(backend, conf, speculation).await;
    // Its tasks are held, and slow from now on.
    let executors = until(backend, "in the maps", |stages, executors| {
        let running = executors.len() == 2 && executors.iter().all(|e| e.running > 0);
        (work::done(stages, FACTS) == FACTS - 3 && running).then(|| executors.to_vec())
    })
    .await;
    let victim = by_outputs(&executors);
    backend.slow_down(&victim.id).await;
    drop(hold);
    until(backend, "a copy that was faster", |stages, _| {
        // In whichever stage the slow ones were still at work when it was looked for them.
        stages.iter().any(|stage| stage.speculative_won > 0 && stage.done == stage.tasks).then_some(())
    })
    .await;
    backend.speed_up(&victim.id).await;
    drop(writes);
    let (_, counts) = ends_well(backend, "slow executor", conf, 0).await;
    assert!(counts.speculative_won > 0, "{counts:?}");
}
