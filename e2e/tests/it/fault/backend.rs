//! What a scenario may do, wherever it runs.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use firesteel_e2e::s3::S3Server;
use serde::Deserialize;
use serde_json::Value;

/// Longest wait for anything that must happen.
pub const WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(30);

/// A stage, as the driver tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageView {
    pub stage: u32,
    pub tasks: u32,
    pub done: u32,
    pub speculative_won: u64,
}

/// An executor, as the driver tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorView {
    pub id: String,
    pub node: String,
    pub running: u64,
    pub outputs: u64,
}

/// How an application ended.
#[derive(Debug, Clone)]
pub struct End {
    pub succeeded: bool,
    /// What its drivers logged, one line of JSON each.
    pub log: Vec<Value>,
    /// Attempts to run the job, that is drivers.
    pub attempts: usize,
}

/// One job on executors of two slots on two nodes, and the harm that can be done to them.
#[async_trait]
pub trait Backend: Send + Sync {
    fn s3(&self) -> &S3Server;
    /// The test's own.
    fn bucket(&self) -> &str;

    async fn submit(&self, job: Value);
    /// Of the driver that runs now; empty while none answers.
    async fn stages(&self) -> Vec<StageView>;
    async fn executors(&self) -> Vec<ExecutorView>;
    /// `status` of the SparkJob, as far as the driver writes it.
    async fn status(&self) -> Value;
    /// What the drivers have logged so far.
    async fn log(&self) -> Vec<Value>;
    /// None as long as the job runs.
    async fn ended(&self) -> Option<End>;

    /// At once, without a goodbye.
    async fn kill_executor(&self, id: &str);
    async fn kill_driver(&self);
    /// Its executors and all else on it stop at one moment, and nothing says so.
    async fn lose_node(&self, node: &str);
    async fn restore_node(&self, node: &str);
    /// How long a cut lasts.
    fn cut_lasts(&self) -> Duration;
    /// Nothing gets from the node to others or back, until it is healed.
    async fn cut_network(&self, node: &str);
    async fn heal_network(&self, node: &str);
    /// Its processor time is taken away, nearly or all of it, until it is given back.
    async fn slow_down(&self, executor: &str);
    async fn speed_up(&self, executor: &str);
    /// Nothing more fits on the executor's local disk.
    async fn fill_disk(&self, executor: &str);
    /// Its pods are asked to leave, and no more come.
    async fn drain(&self, node: &str);
    async fn uncordon(&self, node: &str);
    /// Pods that are made from now on cannot have their image.
    async fn break_images(&self);
    /// From now on no further pod is admitted, until there is room again.
    async fn exhaust_quota(&self);
    async fn lift_quota(&self);
}

/// Polls until `ready` answers something. Panics with what was last seen when the job ends before, or never gets there.
pub async fn until<T>(
    backend: &dyn Backend,
    what: &str,
    mut ready: impl FnMut(&[StageView], &[ExecutorView]) -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        let (stages, executors) = (backend.stages().await, backend.executors().await);
        if let Some(found) = ready(&stages, &executors) {
            return found;
        }
        if began.elapsed() > WITHIN {
            panic!("not within {WITHIN:?}: {what}\n{stages:#?}\n{executors:#?}");
        }
        if let Some(end) = backend.ended().await {
            panic!("the job ended before: {what}\n{stages:#?}\n{}", lines(&end.log));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for a line of the drivers' logs.
pub async fn until_logged(backend: &dyn Backend, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let log = backend.log().await;
        if let Some(line) = log.iter().find(|line| wanted(line)) {
            return line.clone();
        }
        assert!(began.elapsed() < WITHIN, "not logged within {WITHIN:?}: {what}\n{}", lines(&log));
        tokio::time::sleep(PAUSE * 5).await;
    }
}

/// Waits for the end of the job.
pub async fn end(backend: &dyn Backend) -> End {
    let began = Instant::now();
    loop {
        if let Some(end) = backend.ended().await {
            return end;
        }
        assert!(began.elapsed() < WITHIN, "not ended within {WITHIN:?}: {:#?}", backend.stages().await);
        tokio::time::sleep(PAUSE * 2).await;
    }
}

pub fn lines(log: &[Value]) -> String {
    log.iter().map(|line| format!("{line}\n")).collect()
}

/// JSON lines of a program's log; others are kept as text.
pub fn parse_log(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()))).collect()
}
