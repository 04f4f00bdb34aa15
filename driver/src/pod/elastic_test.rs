//! Dynamic allocation against an API server in memory whose pods are real executors, on threads of this process.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use firesteel_analyzer::Session;
use firesteel_api::ExecutorStatus;
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_executor::{ExecutorOptions, start_in_process};
use firesteel_protocol::ExecutorId;
use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    allocation::Allocation,
    allocation_test::{FakeApi, container, settings},
};
use crate::{
    Application, Outcome, ProgressSender,
    cluster::{Cluster, ClusterOptions},
};

const WITHIN: Duration = Duration::from_secs(60);
const TOKEN: &str = "1";

struct Elastic {
    api: FakeApi,
    cluster: Cluster,
    application: Application,
    progress: ProgressSender,
    status: watch::Receiver<ExecutorStatus>,
    stop: CancellationToken,
    kubelet: JoinHandle<()>,
    dirs: Arc<TempDir>,
}

impl Elastic {
    async fn start(executor: &str, conf: &str) -> Self {
        let api = FakeApi::default();
        let settings = settings(executor, conf);
        let dirs = Arc::new(TempDir::new().unwrap());
        let engine = EngineSession::new(EngineOptions {
            conf: settings.conf.clone(),
            mode: ExecutionMode::Cluster,
            slots: 2,
            memory_bytes: Some(256 << 20),
            local_dirs: vec![dirs.path().to_owned()],
        })
        .unwrap();
        let progress = ProgressSender::default();
        let options = ClusterOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            token: TOKEN.to_owned(),
            executors: 8,
            dynamic_allocation: true,
            life: None,
        };
        let cluster = Cluster::start(engine.clone(), progress.clone(), options).await.unwrap();
        let (allocation, status) = Allocation::new(&api.client(), cluster.core().clone(), &settings);
        let stop = CancellationToken::new();
        tokio::spawn(allocation.run(stop.clone()));
        let session = Session::new(engine, settings.conf.clone());
        let application = Application::new(session, Arc::new(cluster.runner()), progress.clone());
        let kubelet = tokio::spawn(kubelet(api.clone(), cluster.address().to_string(), dirs.clone()));
        Self { api, cluster, application, progress, status, stop, kubelet, dirs }
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(WITHIN, async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "not in time: {what}; pods {:?}, {:?}", self.api.pods(), self.status.borrow());
    }

    async fn rows(&self, sql: &str) -> usize {
        let mut rows = 0;
        let each = |result: crate::StatementResult| {
            if let Outcome::Rows(result) = result.outcome {
                rows = result.num_rows();
            }
            true
        };
        self.application.run_script(sql, each).await.unwrap();
        rows
    }

    async fn end(self) {
        self.stop.cancel();
        self.cluster.shutdown("done").await;
        self.kubelet.abort();
        drop(self.dirs);
    }
}

/// Starts an executor for each new pod, and says how it ended.
async fn kubelet(api: FakeApi, driver: String, dirs: Arc<TempDir>) {
    let mut started = BTreeSet::new();
    loop {
        for pod in api.pods() {
            if !started.insert(pod.clone()) {
                continue;
            }
            let id = pod.rsplit('-').next().unwrap().to_owned();
            let options = ExecutorOptions {
                driver_address: driver.clone(),
                executor_id: ExecutorId::new(id),
                auth_token: TOKEN.to_owned(),
                cores: 1,
                memory_bytes: Some(256 << 20),
                host: "127.0.0.1".to_owned(),
                port: 0,
                bind: None,
                node: "here".to_owned(),
                local_dirs: vec![dirs.path().to_owned()],
                reconnect_for: Duration::from_secs(2),
                grace: Duration::from_secs(20),
            };
            let executor = start_in_process(options).unwrap();
            api.set_status(&pod, container(json!({ "running": {} })));
            let api = api.clone();
            tokio::spawn(async move {
                tokio::task::spawn_blocking(move || executor.join()).await.unwrap().unwrap();
                if api.pods().contains(&pod) {
                    let terminated = json!({ "terminated": { "exitCode": 0, "reason": "Completed" } });
                    api.set_status(&pod, container(terminated));
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_come_with_the_work_and_go_without_it() {
    let app = Elastic::start(
        "{dynamicAllocation: {maxInstances: 3, idleTimeoutSeconds: 1}}",
        "{spark.dynamicAllocation.schedulerBacklogTimeout: 100ms, spark.kubernetes.allocation.batch.delay: '0', \
          spark.sql.shuffle.partitions: '100'}",
    )
    .await;
    assert_eq!(app.status.borrow().summary, "0/0");
    // More work than one executor does before the others are there.
    let sql = "SELECT id % 5000 k, count(*) FROM range(0, 160000000, 1, 64) GROUP BY 1";
    for round in 1..=2 {
        let all = async {
            app.until("all that there may be", |a| a.status.borrow().desired == 3).await;
        };
        let (rows, ()) = tokio::join!(app.rows(sql), all);
        assert_eq!(rows, 5000, "round {round}");
        app.until("none is left", |a| a.status.borrow().summary == "0/0" && a.api.pods().is_empty()).await;
    }
    let progress = app.progress.get();
    assert_eq!((progress.rows_read, progress.tasks_failed), (320_000_000, 0), "nothing was made twice: {progress:?}");
    assert_eq!((app.status.borrow().failed, app.api.announced()), (0, vec![]), "nobody was lost");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_number_stays() {
    let app = Elastic::start(
        "{dynamicAllocation: {minInstances: 1, initialInstances: 2, maxInstances: 2, idleTimeoutSeconds: 1}}",
        "{spark.sql.shuffle.partitions: '4'}",
    )
    .await;
    app.until("those at the start", |a| a.status.borrow().summary == "2/2").await;
    assert_eq!(app.rows("SELECT id % 10 k, count(*) FROM range(0, 1000, 1, 4) GROUP BY 1").await, 10);
    app.until("one is let go", |a| a.status.borrow().summary == "1/1" && a.api.pods().len() == 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(app.status.borrow().summary, "1/1");
    app.end().await;
}
