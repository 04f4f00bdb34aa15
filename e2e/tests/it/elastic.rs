//! A number of executors that follows the work.

use std::time::Duration;

use firesteel_api::{ExecutorStatus, SparkJob};
use kube::ResourceExt;
use serde_json::json;

use crate::harness::{merge, sql_job, succeed, with_temp_namespace};

const WITHIN: Duration = Duration::from_secs(120);

fn executors(job: &SparkJob) -> ExecutorStatus {
    job.status.as_ref().and_then(|status| status.executors.clone()).unwrap_or_default()
}

/// From none to three and back to one that still works, without a task that runs twice.
#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_dynamic_allocation_grows_and_shrinks() {
    with_temp_namespace("e2e_elastic", async |namespace| {
        // Sixteen tasks of some seconds, then one of more.
        let work = "length(sha2(repeat(CAST(id AS STRING), 100), 512))";
        let many = format!("SELECT sum({work}) AS many FROM range(0, 4000000, 1, 16)");
        let one = format!("SELECT sum({work}) AS one FROM range(0, 4000000, 1, 1)");
        let mut job = sql_job("elastic", &format!("{many}; {one}"));
        let dynamic = json!({ "minInstances": 0, "maxInstances": 3, "idleTimeoutSeconds": 2 });
        merge(&mut job, json!({ "spec": { "executor": { "instances": null, "dynamicAllocation": dynamic } } }));
        namespace.submit(&job).await;
        namespace.until("elastic", WITHIN, "on three executors", |job| executors(job).running == 3).await;
        namespace
            .until("elastic", WITHIN, "on one executor", |job| {
                let executors = executors(job);
                executors.desired == 1 && executors.running == 1
            })
            .await;
        let job = namespace.succeeded("elastic", WITHIN).await;
        let progress = job.status.as_ref().and_then(|status| status.progress.clone()).unwrap();
        assert_eq!((progress.rows_read, progress.tasks_failed), (8_000_000, 0), "{progress:?}");
        assert_eq!(executors(&job).failed, 0, "those that were let go are no losses");
        let log = succeed(&mut namespace.kubectl(&["logs", "elastic-1-driver"])).await;
        assert!(log.matches("512000000").count() >= 2, "both answers are in the log: {log}");
        let left: Vec<String> = namespace.pods_of("executor").await.iter().map(ResourceExt::name_any).collect();
        assert!(left.len() <= 1, "pods of executors that were let go are deleted: {left:?}");
    });
}
