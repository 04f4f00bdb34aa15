//! Applications on executors of this process, and in it alone.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use arrow::util::display::array_value_to_string;
use firesteel_analyzer::Session;
use firesteel_driver::{
    Application, Outcome, PlanRunner, ProgressSender,
    cluster::{Cluster, ClusterOptions, Core},
    local::LocalRunner,
};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_executor::{ExecutorOptions, InProcessExecutor, start_in_process};
use firesteel_plan::{SparkConf, SparkResult};
use firesteel_protocol::ExecutorId;
use tempfile::TempDir;

/// An application that runs its plans in this process, uncut, with two slots.
pub fn in_process(scratch: &Path, conf: &[(&str, &str)]) -> Application {
    in_process_with(scratch, conf, None)
}

/// With so much memory.
pub fn in_process_with(scratch: &Path, conf: &[(&str, &str)], memory_bytes: Option<u64>) -> Application {
    let settings = settings(conf);
    let engine = EngineSession::new(EngineOptions {
        conf: settings.clone(),
        mode: ExecutionMode::InProcess,
        slots: 2,
        memory_bytes,
        local_dirs: vec![scratch.to_owned()],
    })
    .unwrap();
    let progress = ProgressSender::default();
    let runner = Arc::new(LocalRunner::new(engine.clone(), progress.clone()));
    Application::new(Session::new(engine, settings), runner, progress)
}

fn settings(conf: &[(&str, &str)]) -> SparkConf {
    let mut settings = SparkConf::new();
    for (key, value) in conf {
        settings.set(*key, *value).unwrap();
    }
    settings
}

const TOKEN: &str = "a secret of the tests";

pub struct OnExecutors {
    pub application: Application,
    pub executors: Vec<InProcessExecutor>,
    pub progress: ProgressSender,
    pub cluster: Cluster,
    dirs: Vec<TempDir>,
    memory_bytes: u64,
}

impl OnExecutors {
    /// With executors of one slot each.
    pub async fn start(executors: u32, conf: &[(&str, &str)]) -> Self {
        Self::start_with(executors, conf, 1 << 30).await
    }

    /// With executors of one slot and so much memory each.
    pub async fn start_with(executors: u32, conf: &[(&str, &str)], memory_bytes: u64) -> Self {
        let mut all = Self { memory_bytes, ..Self::driver(executors, conf, None).await };
        for _ in 0..executors {
            all.add_executor();
        }
        all
    }

    /// Without executors.
    pub async fn driver(executors: u32, conf: &[(&str, &str)], life: Option<u64>) -> Self {
        let settings = settings(conf);
        let driver_dir = TempDir::new().unwrap();
        let engine = EngineSession::new(EngineOptions {
            conf: settings.clone(),
            mode: ExecutionMode::Cluster,
            slots: executors as usize,
            memory_bytes: Some(1 << 30),
            local_dirs: vec![driver_dir.path().to_owned()],
        })
        .unwrap();
        let progress = ProgressSender::default();
        let options = ClusterOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            token: TOKEN.to_owned(),
            executors,
            dynamic_allocation: false,
            life,
        };
        let cluster = Cluster::start(engine.clone(), progress.clone(), options).await.unwrap();
        let application =
            Application::new(Session::new(engine, settings), Arc::new(cluster.runner()), progress.clone());
        let dirs = vec![driver_dir];
        Self { application, executors: Vec::new(), progress, cluster, dirs, memory_bytes: 1 << 30 }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Another session on the same executors.
    pub fn another(&self, conf: &[(&str, &str)]) -> Application {
        let settings = settings(conf);
        let engine = EngineSession::new(EngineOptions {
            conf: settings.clone(),
            mode: ExecutionMode::Cluster,
            slots: self.executors.len(),
            memory_bytes: Some(1 << 30),
            local_dirs: vec![self.dirs[0].path().to_owned()],
        })
        .unwrap();
        let runner = Arc::new(self.cluster.runner_of(engine.clone()));
        Application::new(Session::new(engine, settings), runner, ProgressSender::default())
    }

    pub fn core(&self) -> &Core {
        self.cluster.core()
    }

    pub fn add_executor(&mut self) {
        self.add_executor_through(self.cluster.address());
    }

    /// One that finds the driver at this address.
    pub fn add_executor_through(&mut self, driver_address: SocketAddr) {
        let dir = TempDir::new().unwrap();
        let options = ExecutorOptions {
            memory_bytes: Some(self.memory_bytes),
            ..Self::executor_options(driver_address, self.dirs.len(), dir.path())
        };
        self.dirs.push(dir);
        self.executors.push(start_in_process(options).unwrap());
    }

    pub fn executor_options(driver_address: SocketAddr, id: usize, dir: &Path) -> ExecutorOptions {
        ExecutorOptions {
            driver_address: driver_address.to_string(),
            executor_id: ExecutorId::new(id.to_string()),
            auth_token: TOKEN.to_owned(),
            cores: 1,
            memory_bytes: Some(1 << 30),
            host: "127.0.0.1".to_owned(),
            bind: None,
            port: 0,
            node: "here".to_owned(),
            local_dirs: vec![dir.to_owned()],
            reconnect_for: Duration::from_secs(20),
            grace: Duration::from_secs(20),
        }
    }

    /// How the last query ran, if its plan could change.
    pub fn executed_plan(&self) -> Option<String> {
        self.cluster.runner().executed_plan()
    }

    /// Where executors keep their files.
    pub fn executor_dirs(&self) -> Vec<std::path::PathBuf> {
        self.dirs.iter().skip(1).map(|dir| dir.path().to_owned()).collect()
    }

    /// The first value of the last statement's result.
    pub async fn value(&self, sql: &str) -> String {
        row(&self.application, sql).await.unwrap().swap_remove(0)
    }
}

/// The first row of the last statement's result.
pub async fn row(application: &Application, sql: &str) -> SparkResult<Vec<String>> {
    let mut last = None;
    application
        .run_script(sql, |result| {
            if let Outcome::Rows(rows) = result.outcome {
                last = Some(rows);
            }
            true
        })
        .await?;
    let rows = last.expect("a statement with rows");
    let batch = rows.batches.iter().find(|b| b.num_rows() > 0).expect("a row");
    Ok(batch.columns().iter().map(|column| array_value_to_string(column, 0).unwrap()).collect())
}
