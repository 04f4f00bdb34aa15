//! Nodes, networks and disks fail.

use std::time::Instant;

use serde_json::json;

use super::{
    Backend, Conf, HELD_DIMS, HELD_FACTS, after_the_maps, all_tasks, ends_well, held, in_the_maps, lost,
    short_timeouts, start, until, until_logged,
};
use crate::{
    fault::{
        backend::ExecutorView,
        work::{self, REDUCERS, SLOTS},
    },
    harness::merge,
};

/// The node that is harmed; the driver is on another.
const NODE: &str = "node2";

pub async fn node_lost(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_DIMS);
    start(backend, conf, away_from_the_driver()).await;
    let executors = after_the_maps(backend).await;
    let victim = on_the_node(&executors);
    backend.lose_node(NODE).await;
    lost(backend, &victim.id).await;
    drop(hold);
    // Not before its work is done elsewhere.
    program_ended(backend).await;
    backend.restore_node(NODE).await;
    let (_, counts) = ends_well(backend, "node lost", conf, held(victim) + SLOTS).await;
    assert!(counts.rerun >= held(victim), "all that was on it is made again");
}

/// The executor behind the cut goes on working and comes back; what it did in the meantime does not count twice.
pub async fn network_cut(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_DIMS);
    let writes = work::hold_writes(backend, 0);
    start(backend, conf, away_from_the_driver()).await;
    let executors = after_the_maps(backend).await;
    let victim = on_the_node(&executors);
    backend.cut_network(NODE).await;
    let cut = Instant::now();
    lost(backend, &victim.id).await;
    drop(hold);
    until(backend, "at the writers", |_, _| (writes.waiting() > 0).then_some(())).await;
    // As long as such a cut is meant to last, which is what is tested.
    tokio::time::sleep(backend.cut_lasts().saturating_sub(cut.elapsed())).await;
    backend.heal_network(NODE).await;
    drop(writes);
    let (_, counts) = ends_well(backend, "network cut", conf, held(victim) + SLOTS).await;
    assert!(counts.rerun >= held(victim), "all that was behind the cut is made again");
}

/// The tasks that find no room are run elsewhere.
pub async fn disk_filled(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_FACTS);
    let small_disk = json!({
        "executor": {
            "volumes": [{ "name": "small", "emptyDir": { "medium": "Memory", "sizeLimit": "32Mi" } }],
            "volumeMounts": [{ "name": "small", "mountPath": "/var/lib/firesteel" }],
        },
    });
    start(backend, conf, small_disk).await;
    let executors = in_the_maps(backend).await;
    let victim = executors.iter().max_by_key(|e| e.running).unwrap();
    backend.fill_disk(&victim.id).await;
    drop(hold);
    let full = until_logged(backend, "a full disk", |line| {
        line["message"] == "task attempt failed" && line["failure"].as_str().is_some_and(|f| f.contains("disk full"))
    })
    .await;
    assert_eq!(full["executor"], victim.id.as_str(), "{full}");
    let stages = backend.stages().await;
    let (_, counts) = ends_well(backend, "disk filled", conf, all_tasks(&stages) + u64::from(REDUCERS)).await;
    assert!(counts.failed >= 1 && counts.rerun >= 1, "{counts:?}");
}

/// What executors of a node hold that is emptied is handed over: nothing runs again.
pub async fn node_drained(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    let hold = work::hold_reads(backend, HELD_DIMS);
    let writes = work::hold_writes(backend, 0);
    start(backend, conf, away_from_the_driver()).await;
    let executors = after_the_maps(backend).await;
    let victim = on_the_node(&executors);
    assert!(victim.outputs > 0, "it has something to hand over: {victim:?}");
    backend.drain(NODE).await;
    // From here on it is given no task that it would turn away.
    until_logged(backend, "its leaving", |line| {
        line["message"] == "executor is leaving" && line["executor"] == victim.id.as_str()
    })
    .await;
    drop(hold);
    until(backend, "without the drained executor", |_, executors| {
        executors.iter().all(|e| e.id != victim.id).then_some(())
    })
    .await;
    backend.uncordon(NODE).await;
    drop(writes);
    ends_well(backend, "node drained", conf, 0).await;
}

fn on_the_node(executors: &[ExecutorView]) -> &ExecutorView {
    executors.iter().find(|e| e.node == NODE).expect("an executor on the node")
}

fn away_from_the_driver() -> serde_json::Value {
    let mut changes = short_timeouts();
    merge(&mut changes, json!({ "driver": { "nodeSelector": { "kubernetes.io/hostname": "node1" } } }));
    changes
}

async fn program_ended(backend: &dyn Backend) {
    until_logged(backend, "the program's end", |line| {
        line["message"].as_str().is_some_and(|m| m == "the program ended well" || m == "the program failed")
    })
    .await;
}
