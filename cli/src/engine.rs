//! An application on this machine.

use std::{num::NonZeroUsize, sync::Arc};

use firesteel_analyzer::Session;
use firesteel_driver::{
    Application, Master, PlanRunner, ProgressSender,
    local::LocalRunner,
    processes::{ExecutorProcesses, ProcessOptions},
};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_plan::{SparkConf, SparkError, SparkResult};

/// Operators of one plan nest as deep as the plan.
const STACK_BYTES: usize = 16 << 20;

pub fn slots() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

pub fn runtime() -> SparkResult<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(slots())
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|e| SparkError::internal(format!("cannot start threads: {e}")))
}

/// `key=value` pairs, later ones over earlier ones.
pub fn conf(pairs: &[String]) -> SparkResult<SparkConf> {
    let mut conf = SparkConf::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(SparkError::new(
                "INVALID_CONF_VALUE.REQUIREMENT",
                "22022",
                format!("'{pair}' is not of the form key=value."),
            ));
        };
        conf.set(key.trim(), value)?;
    }
    Ok(conf)
}

/// An application of this process and the executors that are processes of their own, if it has such.
pub struct Running {
    pub application: Application,
    executors: Option<ExecutorProcesses>,
}

impl Running {
    /// By `master`, else the configuration's `spark.master`, else threads of this process.
    pub async fn start(conf: SparkConf, master: Option<Master>, log: &str) -> SparkResult<Self> {
        let master = match (master, conf.get_raw("spark.master")) {
            (Some(master), _) => master,
            (None, Some(text)) => text.parse()?,
            (None, None) => Master::default(),
        };
        let progress = ProgressSender::default();
        let (mode, slots) = match master {
            Master::Local { slots } => (ExecutionMode::InProcess, slots.map_or_else(self::slots, NonZeroUsize::get)),
            Master::LocalCluster { executors, cores, .. } => {
                (ExecutionMode::Cluster, executors as usize * cores as usize)
            }
        };
        let engine = EngineSession::new(EngineOptions {
            conf: conf.clone(),
            mode,
            slots,
            memory_bytes: None,
            local_dirs: Vec::new(),
        })?;
        let (runner, executors): (Arc<dyn PlanRunner>, _) = match master {
            Master::Local { .. } => (Arc::new(LocalRunner::new(engine.clone(), progress.clone())), None),
            Master::LocalCluster { executors, cores, memory_mib } => {
                let program = std::env::current_exe()
                    .map_err(|e| SparkError::internal(format!("cannot find this program for its executors: {e}")))?;
                let options = ProcessOptions { program, executors, cores, memory_mib, log: log.to_owned() };
                let processes = ExecutorProcesses::start(engine.clone(), progress.clone(), options).await?;
                (Arc::new(processes.runner()), Some(processes))
            }
        };
        Ok(Self { application: Application::new(Session::new(engine, conf), runner, progress), executors })
    }

    pub async fn end(self) {
        end(self.executors).await;
    }

    /// The application, and what is to be ended after it.
    pub fn split(self) -> (Application, Option<ExecutorProcesses>) {
        (self.application, self.executors)
    }
}

pub async fn end(executors: Option<ExecutorProcesses>) {
    if let Some(executors) = executors {
        executors.shutdown("the application has ended").await;
    }
}
