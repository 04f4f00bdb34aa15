//! An application in this process.

use std::{num::NonZeroUsize, sync::Arc};

use firesteel_analyzer::Session;
use firesteel_driver::{Application, ProgressSender, local::LocalRunner};
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

pub fn application(conf: SparkConf) -> SparkResult<Application> {
    let engine = EngineSession::new(EngineOptions {
        conf: conf.clone(),
        mode: ExecutionMode::InProcess,
        slots: slots(),
        memory_bytes: None,
        local_dirs: Vec::new(),
    })?;
    let progress = ProgressSender::default();
    let runner = Arc::new(LocalRunner::new(engine.clone(), progress.clone()));
    Ok(Application::new(Session::new(engine, conf), runner, progress))
}
