//! Iterative work on persisted data.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use firesteel_engine::cache::StorageLevel;
use tempfile::TempDir;

use crate::application::OnExecutors;

#[path = "../../examples/iterations/components.rs"]
mod components;

const VERTICES: u64 = 400;

/// The labels that the iterations must end with.
fn expected() -> BTreeMap<i64, i64> {
    let mut labels: Vec<u64> = (0..VERTICES).collect();
    loop {
        let mut changed = false;
        for a in 0..VERTICES {
            let b = (a * 16807 + 11) % VERTICES;
            let least = labels[a as usize].min(labels[b as usize]);
            for vertex in [a, b] {
                changed |= labels[vertex as usize] != least;
                labels[vertex as usize] = least;
            }
        }
        if !changed {
            return labels.iter().enumerate().map(|(vertex, label)| (vertex as i64, *label as i64)).collect();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_iterations_do_not_grow_their_plan() {
    let conf = [("spark.sql.shuffle.partitions", "2")];
    let cluster = OnExecutors::start(2, &conf).await;
    let app = &cluster.application;
    let dir = TempDir::new().unwrap();
    app.set_checkpoint_dir(&dir.path().to_string_lossy()).unwrap();
    let edges = components::analyzed(app, &components::edges_sql(VERTICES)).await.unwrap();
    let mut labels = components::analyzed(app, &components::labels_sql(VERTICES)).await.unwrap();
    app.persist(&edges, StorageLevel::MEMORY_AND_DISK).unwrap();
    app.compute(&edges).await.unwrap();
    let mut costs = Vec::new();
    for iteration in 1..=30 {
        let before = cluster.progress.get();
        let next = components::step(&edges, &labels, iteration).unwrap();
        let plan_lines = next.display_indent().to_string().lines().count();
        // Both kinds cut the plan.
        labels = if iteration % 10 == 0 {
            app.checkpoint(&next).await.unwrap()
        } else {
            app.local_checkpoint(&next, true, StorageLevel::MEMORY_AND_DISK).await.unwrap()
        };
        // It holds the labels before.
        drop(next);
        let after = cluster.progress.get();
        costs.push((iteration, plan_lines, after.stages_total - before.stages_total));
        assert!(app.cached_relations().len() <= 2, "the edges, and the labels of one iteration");
    }
    let local: Vec<_> = costs.iter().filter(|(i, ..)| i % 10 > 1).map(|(_, lines, stages)| (lines, stages)).collect();
    assert!(local.iter().all(|cost| *cost == local[0]), "{costs:?}");
    assert!(costs.iter().all(|(_, lines, _)| *lines <= costs[0].1), "{costs:?}");
    let mut found = BTreeMap::new();
    for batch in app.rows_of(&labels).await.unwrap() {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let labels = batch.column(1).as_primitive::<Int64Type>();
        found.extend(ids.values().iter().copied().zip(labels.values().iter().copied()));
    }
    assert_eq!(found, expected());
}
