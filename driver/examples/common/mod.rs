//! A driver and its executors in one process: stages, shuffles and cached blocks are those of a cluster.

use std::{path::PathBuf, sync::Arc, time::Duration};

use firesteel_analyzer::Session;
use firesteel_driver::{
    Application, ProgressSender,
    cluster::{Cluster, ClusterOptions},
};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_executor::{ExecutorOptions, InProcessExecutor, start_in_process};
use firesteel_plan::{SparkConf, SparkError, SparkResult};
use firesteel_protocol::ExecutorId;

const TOKEN: &str = "one process";

pub struct Executors {
    pub cluster: Cluster,
    pub progress: ProgressSender,
    running: Vec<InProcessExecutor>,
    scratch: PathBuf,
}

/// The argument at `index`, or the default.
pub fn argument(index: usize, default: u64) -> SparkResult<u64> {
    std::env::args().nth(index).map_or(Ok(default), |text| text.parse().map_err(SparkError::internal))
}

impl Executors {
    /// With one slot and a GiB each.
    pub async fn start(executors: u32, conf: &[(&str, &str)]) -> SparkResult<Self> {
        let scratch = std::env::temp_dir().join(format!("firesteel-example-{}", std::process::id()));
        for folder in std::iter::once("driver".to_owned()).chain((0..executors).map(|number| number.to_string())) {
            std::fs::create_dir_all(scratch.join(folder)).map_err(SparkError::internal)?;
        }
        let progress = ProgressSender::default();
        let options = ClusterOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            token: TOKEN.to_owned(),
            executors,
            dynamic_allocation: false,
            life: None,
        };
        let engine = engine(conf, executors as usize, scratch.join("driver"))?;
        let cluster = Cluster::start(engine, progress.clone(), options).await?;
        let mut running = Vec::new();
        for number in 0..executors {
            let options = ExecutorOptions {
                driver_address: cluster.address().to_string(),
                executor_id: ExecutorId::new(number.to_string()),
                auth_token: TOKEN.to_owned(),
                cores: 1,
                memory_bytes: Some(1 << 30),
                host: "127.0.0.1".to_owned(),
                port: 0,
                bind: None,
                node: "here".to_owned(),
                local_dirs: vec![scratch.join(number.to_string())],
                reconnect_for: Duration::from_secs(2),
                grace: Duration::from_secs(5),
            };
            running.push(start_in_process(options).map_err(SparkError::internal)?);
        }
        Ok(Self { cluster, progress, running, scratch })
    }

    /// Of the engine that the driver was started with.
    pub fn application(&self) -> Application {
        let session = Session::new(self.cluster.core().engine().clone(), SparkConf::new());
        Application::new(session, Arc::new(self.cluster.runner()), self.progress.clone())
    }

    /// Another user of the same executors.
    pub fn another(&self, conf: &[(&str, &str)]) -> SparkResult<Application> {
        let engine = engine(conf, self.running.len(), self.scratch.join("driver"))?;
        let runner = Arc::new(self.cluster.runner_of(engine.clone()));
        Ok(Application::new(Session::new(engine, SparkConf::new()), runner, ProgressSender::default()))
    }
}

impl Drop for Executors {
    fn drop(&mut self) {
        self.running.clear();
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

fn engine(conf: &[(&str, &str)], slots: usize, dir: PathBuf) -> SparkResult<EngineSession> {
    EngineSession::new(EngineOptions {
        conf: conf.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        mode: ExecutionMode::Cluster,
        slots,
        memory_bytes: None,
        local_dirs: vec![dir],
    })
}
