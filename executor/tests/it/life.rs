//! How executors come, go and are spoken to.

use std::time::{Duration, Instant};

use datafusion::{
    functions_aggregate::expr_fn::count,
    logical_expr::{col, lit},
};
use firesteel_engine::shuffle::BlockClient;
use firesteel_executor::{ExecutorError, start_in_process};
use firesteel_protocol::{
    ShuffleId,
    proto::{self, FetchBlocksRequest, driver_message::Message as ToExecutor},
};
use futures::TryStreamExt;

use crate::{
    cluster::{Cluster, ClusterOptions, executor_options},
    data::{Tables, rows},
};

#[tokio::test(flavor = "multi_thread")]
async fn executors_beat_while_tasks_run_and_report_what_operators_did() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions { executors: 1, cores: 1, ..Default::default() }).await;
    let ctx = tables.cluster(&[]).await;
    let df = ctx.table("fact").await.unwrap().aggregate(vec![col("k")], vec![count(lit(1))]).unwrap();
    let graph = cluster.cut(df.create_physical_plan().await.unwrap());
    let map = cluster.run_stage(&graph.stages[0]).await.unwrap();
    let reduce = cluster.run_stage(&graph.stages[1]).await.unwrap();
    let read: u64 = map.iter().map(|done| done.metrics.input_rows).sum();
    assert_eq!(read, crate::data::FACTS as u64);
    let written: u64 = map.iter().map(|done| done.metrics.shuffle_write_rows).sum();
    let fetched: u64 = reduce.iter().map(|done| done.metrics.shuffle_read_rows).sum();
    assert!(written > 0 && written == fetched, "{written} {fetched}");
    let bytes: u64 = map.iter().map(|done| done.metrics.shuffle_write_bytes).sum();
    assert_eq!(bytes, map.iter().flat_map(|done| &done.sizes).sum::<u64>());
    assert_eq!(bytes, reduce.iter().map(|done| done.metrics.shuffle_read_bytes).sum::<u64>());
    let names: Vec<_> = map[0].metrics.operators.iter().map(|op| op.name.as_str()).collect();
    assert!(names.starts_with(&["AggregateExec"]) && names.contains(&"DataSourceExec"), "{names:?}");
    assert!(map.iter().any(|done| done.metrics.operators[0].elapsed_nanos > 0));
    cluster.wait_for(|state| state.heartbeats.load(std::sync::atomic::Ordering::Relaxed) > 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_not_served_without_the_token() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions { executors: 1, ..Default::default() }).await;
    let df = tables.cluster(&[]).await.table("small").await.unwrap();
    let graph = cluster.cut(df.create_physical_plan().await.unwrap());
    let done = cluster.run_stage(&graph.stages[0]).await.unwrap();
    let executor = cluster.executor_address("exec-0");
    let request = FetchBlocksRequest {
        shuffle_id: graph.stages[0].shuffle.0,
        map_indexes: vec![0],
        attempts: vec![done[0].attempt],
        first_partition: 0,
        last_partition: 1,
    };
    for token in ["", "a wrong one", "a secret of the test", "a secret of the tests!"] {
        let client = BlockClient::new(token, Duration::from_secs(1)).unwrap();
        let status = client.fetch(&executor, request.clone()).await.err().unwrap();
        assert_eq!(status.code(), tonic::Code::Unauthenticated, "{token:?}");
    }
    let client = BlockClient::new(crate::cluster::TOKEN, Duration::from_secs(1)).unwrap();
    let mut blocks = client.fetch(&executor, request).await.unwrap();
    assert!(blocks.try_next().await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_with_a_wrong_token_ends() {
    let cluster = Cluster::start(ClusterOptions { executors: 0, ..Default::default() }).await;
    let dir = tempfile::TempDir::new().unwrap();
    let mut options = executor_options(cluster.address, "exec-9", &ClusterOptions::default(), dir.path().to_owned());
    options.auth_token = "wrong".to_owned();
    let executor = start_in_process(options).unwrap();
    let ended = tokio::task::spawn_blocking(move || executor.join()).await.unwrap();
    assert!(matches!(ended, Err(ExecutorError::Refused { .. })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_without_its_driver_ends_in_bounded_time() {
    let cluster = Cluster::start(ClusterOptions { executors: 1, ..Default::default() }).await;
    let executor = cluster.executors.lock().pop().unwrap();
    cluster.stop_driver();
    let start = Instant::now();
    let ended = tokio::task::spawn_blocking(move || executor.join()).await.unwrap();
    assert!(matches!(ended, Err(ExecutorError::DriverLost { .. })), "{ended:?}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_told_to_end_says_so_and_finishes_its_tasks() {
    let cluster = Cluster::start(ClusterOptions { executors: 2, ..Default::default() }).await;
    let leaver = cluster.executors.lock().remove(0);
    leaver.terminate();
    let ended = tokio::task::spawn_blocking(move || leaver.join()).await.unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(*cluster.state.leaving.lock(), ["exec-0"]);
    cluster.wait_for(|_| cluster.registered() == ["exec-1"]).await;
    // Its folders go with it.
    assert_eq!(std::fs::read_dir(cluster.dirs[0].path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn goodbye_ends_an_executor_well() {
    let cluster = Cluster::start(ClusterOptions { executors: 1, ..Default::default() }).await;
    cluster.tell("exec-0", ToExecutor::Shutdown(proto::Shutdown { reason: "done".to_owned() })).await;
    let executor = cluster.executors.lock().pop().unwrap();
    let ended = tokio::task::spawn_blocking(move || executor.join()).await.unwrap();
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shuffle_files_go_when_told() {
    let tables = Tables::new();
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let df = tables.cluster(&[]).await.table("fact").await.unwrap();
    let df = df.aggregate(vec![col("k")], vec![count(lit(1))]).unwrap();
    let graph = cluster.cut(df.create_physical_plan().await.unwrap());
    for stage in &graph.stages {
        cluster.run_stage(stage).await.unwrap();
    }
    let result = cluster.results(graph.result().unwrap()).await.unwrap();
    let keys = tables.alone().await.table("fact").await.unwrap().select_columns(&["k"]).unwrap();
    assert_eq!(rows(&result).len(), keys.distinct().unwrap().count().await.unwrap());
    let map = graph.stages[0].shuffle;
    assert_eq!(cluster.output_files(map).len(), 2 * graph.stages[0].num_tasks);
    for executor in cluster.registered() {
        let message = proto::RemoveShuffle { shuffle_ids: vec![map.0] };
        cluster.tell(&executor, ToExecutor::RemoveShuffle(message)).await;
    }
    cluster.wait_for(|_| cluster.output_files(map).is_empty()).await;
    assert!(!cluster.output_files(graph.stages[1].shuffle).is_empty());
    assert_eq!(cluster.output_files(ShuffleId(999)).len(), 0);
}
