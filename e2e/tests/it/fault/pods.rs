//! Pods are deleted in the middle of a run.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use firesteel_api::{Phase, SparkJob};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
    runtime::watcher,
};

use serde_json::{Value, json};

use crate::{
    harness::{Namespace, SYSTEM_NAMESPACE, merge, sql_job, succeed, with_temp_namespace},
    tpch,
};

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(240);

fn running(job: &SparkJob) -> i32 {
    job.status.as_ref().and_then(|status| status.executors.as_ref()).map_or(0, |executors| executors.running)
}

fn stages_done(job: &SparkJob) -> i64 {
    job.status.as_ref().and_then(|status| status.progress.as_ref()).map_or(0, |progress| progress.stages_done)
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn fault_executor_deleted_changes_no_row() {
    with_temp_namespace("fault_executor", async |namespace| {
        namespace.submit(&tpch::job(namespace, tpch::RECORDED).await).await;
        namespace.until("tpch", ENDS_WITHIN, "in the middle", |job| running(job) == 2 && stages_done(job) >= 8).await;
        let executors = namespace.pods_of("executor").await;
        let victim = executors.first().expect("an executor").name_any();
        // As a node that dies: without time to hand anything over.
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        namespace.pods().delete(&victim, &now).await.unwrap();

        let job = namespace.succeeded("tpch", ENDS_WITHIN).await;
        tpch::compare(namespace, tpch::RECORDED).await;
        let status = job.status.unwrap();
        assert_eq!(status.attempts.len(), 1, "the job went on, it did not begin again");
        let executors = status.executors.expect("counts of executors");
        assert!(executors.failed >= 1, "the loss is counted: {executors:?}");
    });
}

/// The map stage is over when an executor dies: its map outputs are lost, those of the other one are not.
#[test]
#[ignore = "needs a cluster: make cluster"]
fn fault_executor_deleted_repeats_only_what_it_held() {
    const MAPS: i64 = 8;
    with_temp_namespace("fault_maps", async |namespace| {
        // Both stages are slow: the maps, so that both executors take part; the reducers, so that there is a middle.
        let groups = format!(
            "SELECT id % 1000000 k, sum(length(sha2(repeat(CAST(id AS STRING), 100), 512))) h FROM range(0, 8000000, 1, {MAPS}) GROUP BY 1"
        );
        let sql = format!("SELECT sum(h / length(sha2(repeat(CAST(k AS STRING), 600), 512))) AS total FROM ({groups})");
        let mut job = sql_job("maps", &sql);
        let conf =
            json!({ "spark.sql.shuffle.partitions": "64", "spark.sql.adaptive.coalescePartitions.enabled": "false" });
        merge(&mut job, json!({ "spec": { "sparkConf": conf } }));
        namespace.submit(&job).await;
        let tasks_done =
            |job: &SparkJob| job.status.as_ref().and_then(|s| s.progress.as_ref()).map_or(0, |p| p.tasks_done);
        namespace
            .until("maps", ENDS_WITHIN, "past its maps", |job| stages_done(job) == 1 && tasks_done(job) > MAPS)
            .await;
        let victim = namespace.pods_of("executor").await.first().expect("an executor").name_any();
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        namespace.pods().delete(&victim, &now).await.unwrap();

        let job = namespace.succeeded("maps", ENDS_WITHIN).await;
        assert_eq!(job.status.unwrap().attempts.len(), 1);
        let log = succeed(&mut namespace.kubectl(&["logs", "maps-1-driver"])).await;
        assert!(log.contains("8000000.0"), "the answer is in the log: {log}");
        let starts = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let starts = starts.filter(|line| line["message"] == "stage started" && line["stage"] == 0);
        let tasks: Vec<i64> = starts.filter_map(|line| line["tasks"].as_i64()).collect();
        assert_eq!(tasks.first(), Some(&MAPS), "{log}");
        let again: i64 = tasks.iter().skip(1).sum();
        assert!((1..MAPS).contains(&again), "maps of {MAPS} that ran again: {again}\n{log}");
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn fault_operator_deleted_submits_nothing_twice() {
    with_temp_namespace("fault_operator", async |namespace| {
        let drivers = watch_drivers(namespace);
        namespace.submit(&tpch::job(namespace, tpch::RECORDED).await).await;
        // Once while the driver is being submitted, once while it runs.
        let submitted = |job: &SparkJob| job.status.as_ref().is_some_and(|status| status.attempt.is_some());
        namespace.until("tpch", STARTS_WITHIN, "submitted", submitted).await;
        delete_operator(namespace).await;
        namespace.until("tpch", STARTS_WITHIN, "running", |job| stages_done(job) > 0).await;
        delete_operator(namespace).await;

        let job = namespace.succeeded("tpch", ENDS_WITHIN).await;
        tpch::compare(namespace, tpch::RECORDED).await;
        let status = job.status.unwrap();
        assert_eq!(status.attempts.len(), 1, "{:?}", status.attempts);
        assert_eq!(status.attempt, Some(1));
        let drivers = drivers.lock().unwrap().clone();
        assert_eq!(drivers.len(), 1, "one driver pod was ever made: {drivers:?}");
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn fault_job_deleted_leaves_nothing() {
    with_temp_namespace("fault_job", async |namespace| {
        // The namespace's own config map comes a moment after the namespace.
        while !namespace.objects().await.contains("config map kube-root-ca.crt") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let before = namespace.objects().await;
        let sql = "SELECT count(DISTINCT sha2(CAST(id % 1000000 AS STRING), 512)) FROM range(0, 1000000000000, 1, 64)";
        namespace.submit(&sql_job("endless", sql)).await;
        namespace.until("endless", STARTS_WITHIN, "running on two executors", |job| running(job) == 2).await;
        let with_job = namespace.objects().await;
        assert!(with_job.iter().filter(|object| object.starts_with("pod ")).count() >= 3, "{with_job:?}");
        assert!(with_job.iter().any(|object| object.starts_with("secret endless")), "{with_job:?}");

        let began = Instant::now();
        namespace.jobs().delete("endless", &DeleteParams::background()).await.unwrap();
        loop {
            let left: BTreeSet<String> = namespace.objects().await.difference(&before).cloned().collect();
            if left.is_empty() {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "left after 30 s: {left:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!("nothing was left after {:.1} s", began.elapsed().as_secs_f64());
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn fault_driver_deleted_runs_again_and_answers_the_same() {
    with_temp_namespace("fault_driver", async |namespace| {
        namespace.submit(&tpch::job(namespace, tpch::RECORDED).await).await;
        namespace.until("tpch", ENDS_WITHIN, "in the middle", |job| stages_done(job) >= 3).await;
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        namespace.pods().delete("tpch-1-driver", &now).await.unwrap();
        let job = namespace
            .until("tpch", ENDS_WITHIN, "Succeeded", |job| {
                job.status.as_ref().is_some_and(|status| status.phase == Some(Phase::Succeeded))
            })
            .await;
        tpch::compare(namespace, tpch::RECORDED).await;
        let status = job.status.unwrap();
        assert_eq!(status.attempts.len(), 2, "{:?}", status.attempts);
        assert_eq!(status.infrastructure_failures, Some(1));
        // They have their time to end; then none of the lost driver's executors is left.
        let began = Instant::now();
        loop {
            let executors: Vec<String> =
                namespace.pods_of("executor").await.iter().map(ResourceExt::name_any).collect();
            if !executors.iter().any(|pod| pod.starts_with("tpch-1-")) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "left of the lost driver: {executors:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

/// UIDs of all driver pods that ever were in the namespace, from now on.
fn watch_drivers(namespace: &Namespace) -> Arc<Mutex<BTreeSet<String>>> {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (api, kept) = (namespace.pods(), Arc::clone(&seen));
    let config = watcher::Config::default().labels(&format!("{}=driver", firesteel_api::names::LABEL_ROLE));
    tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher(api, config));
        while let Some(event) = events.next().await {
            if let Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) | watcher::Event::Delete(pod)) = event
            {
                kept.lock().unwrap().extend(pod.metadata.uid);
            }
        }
    });
    seen
}

/// Without grace: as a process that is killed.
async fn delete_operator(namespace: &Namespace) {
    let pods: Api<Pod> = Api::namespaced(namespace.installation.client.clone(), SYSTEM_NAMESPACE);
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let operators = ListParams::default().labels("app.kubernetes.io/component=operator");
    for pod in pods.list(&operators).await.unwrap() {
        let _ = pods.delete(&pod.name_any(), &now).await;
    }
}
