//! The headline example, applied as it is. Its pods ask for three whole cores, and its bucket is the one that job.yaml
//! names: each test has the nodes for itself.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use firesteel_api::SparkJob;
use tokio::process::Command;

use crate::harness::{Namespace, SECRET_KEY, bin_dir, cache, oracle, prepare, root, succeed, with_nodes_alone};

/// The bucket that job.yaml names.
const BUCKET: &str = "server-health";

/// What was seen of a job while it ran.
#[derive(Default, Debug)]
struct Seen {
    summaries: BTreeSet<String>,
    /// Executor pod and its node.
    executors: BTreeSet<(String, String)>,
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_server_health_answers_as_recorded_from_spark() {
    with_nodes_alone("e2e_server_health_recorded", Duration::from_secs(300), async |namespace| {
        let input = root().join("examples/server-health/data");
        let (job, _) = run_example(namespace, &input, Duration::from_secs(180)).await;
        oracle::compare_with_recorded(&root().join("oracle/expected/server-health"), &output(namespace)).await;

        let status = job.status.unwrap();
        assert_eq!(status.attempts.len(), 1);
        let log = succeed(&mut namespace.kubectl(&["logs", "server-health-1-driver"])).await;
        assert!(log.contains("worst window"), "the report is in the driver's log: {log}");
    });
}

/// Logs of `FIRESTEEL_E2E_LOGS` bytes (`1G` for the full size), compared with real Spark on the same logs.
#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_server_health_on_generated_logs_equals_spark() {
    let size = std::env::var("FIRESTEEL_E2E_LOGS").unwrap_or_else(|_| "32M".into());
    let (input, spark) = prepare(logs(&size));
    with_nodes_alone("e2e_server_health", Duration::from_secs(1800), async |namespace| {
        let (job, seen) = run_example(namespace, &input, Duration::from_secs(1200)).await;
        oracle::compare_with_tables(&spark, &output(namespace)).await;

        println!("{seen:?}");
        println!("{:?}", job.status.as_ref().and_then(|status| status.progress.as_ref()));
        let nodes: BTreeSet<&String> = seen.executors.iter().map(|(_, node)| node).collect();
        assert_eq!((seen.executors.len(), nodes.len()), (2, 2), "two executors on two nodes: {seen:?}");
        assert!(seen.summaries.len() >= 3, "progress moves while the job runs: {seen:?}");
        let progress = job.status.and_then(|status| status.progress).expect("progress");
        assert!(progress.stages_total >= 3, "{progress:?}");
        assert!(progress.shuffle_bytes > 0, "{progress:?}");
        assert!(progress.rows_read > 0 && progress.rows_written > 0, "{progress:?}");
        let logs = std::fs::read_dir(input.join("logs")).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
        let bytes = i64::try_from(logs.sum::<u64>()).unwrap();
        assert!(progress.bytes_read > bytes, "of {bytes} bytes of logs: {progress:?}");
        assert_eq!(progress.tasks_done, progress.tasks_total, "{progress:?}");
    });
}

/// Puts the input into the bucket, applies job.yaml as it is, watches it and waits for its condition.
async fn run_example(namespace: &Namespace, input: &Path, limit: Duration) -> (SparkJob, Seen) {
    let _ = std::fs::remove_dir_all(namespace.installation.s3.root().join(BUCKET));
    namespace.upload_to(BUCKET, &input.join("logs"), "input/logs").await;
    namespace.upload_file_to(BUCKET, &input.join("servers.csv"), "input/servers.csv").await;
    namespace.create_secret("server-health-s3", SECRET_KEY).await;

    let file = root().join("examples/server-health/job.yaml");
    succeed(namespace.kubectl(&["apply", "-f"]).arg(file)).await;
    let timeout = format!("--timeout={}s", limit.as_secs());
    let mut wait = namespace.kubectl(&["wait", "--for=condition=Complete", "sparkjob/server-health", &timeout]);
    let waited = async {
        let failed = namespace.until("server-health", limit, "ended", |job| {
            job.status.as_ref().and_then(|s| s.phase).is_some_and(|phase| phase.is_terminal())
        });
        let (waited, _) = tokio::join!(wait.stdout(Stdio::null()).status(), failed);
        waited.unwrap()
    };
    let mut seen = Seen::default();
    tokio::pin!(waited);
    let status = loop {
        tokio::select! {
            status = &mut waited => break status,
            () = tokio::time::sleep(Duration::from_millis(300)) => look(namespace, &mut seen).await,
        }
    };
    assert!(status.success(), "kubectl wait: {status}");
    (namespace.jobs().get("server-health").await.unwrap(), seen)
}

async fn look(namespace: &Namespace, seen: &mut Seen) {
    // What a person sees: the printer column.
    let columns =
        ["get", "sparkjob", "server-health", "--no-headers", "-o", "custom-columns=P:.status.progress.summary"];
    let summary = crate::harness::said(&namespace.kubectl(&columns).output().await.unwrap());
    if !summary.contains("<none>") {
        seen.summaries.insert(summary.trim().to_owned());
    }
    for pod in namespace.pods_of("executor").await {
        if let (Some(name), Some(node)) = (pod.metadata.name, pod.spec.and_then(|spec| spec.node_name)) {
            seen.executors.insert((name, node));
        }
    }
}

fn output(namespace: &Namespace) -> PathBuf {
    namespace.installation.s3.root().join(BUCKET).join("output")
}

/// Generated logs and what real Spark makes of them; both are kept in the cache for the next run.
async fn logs(size: &str) -> (PathBuf, PathBuf) {
    let base = cache().join("server-health");
    let (input, spark) = (base.join(format!("{size}-logs")), base.join(format!("{size}-logs-spark")));
    if !input.join("servers.csv").exists() {
        let mut generate = Command::new(bin_dir().join("firesteel"));
        succeed(generate.args(["loggen", "--size", size, "--files", "8", "--days", "2"]).arg(&input)).await;
    }
    if !spark.join("complete").exists() {
        let _ = std::fs::remove_dir_all(&spark);
        std::fs::create_dir_all(&spark).unwrap();
        succeed(Command::new(root().join("oracle/server-health-record")).arg(&input).arg(&spark)).await;
        std::fs::write(spark.join("complete"), "").unwrap();
    }
    (input, spark.join("tables"))
}
