//! `/healthz` and `/metrics`; `/stages` and `/executors` for a closer look, as JSON; `/plan`, as text.

use std::{fmt, future::Future, sync::Arc};

use axum::{Json, Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use firesteel_api::ExecutorStatus;
use parking_lot::RwLock;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    cluster::{Core, ExecutorView, StageView},
    progress::ProgressSender,
};

/// What the counts are read from when somebody asks.
#[derive(Debug, Clone)]
struct Source {
    progress: ProgressSender,
    /// None until executors are asked for.
    executors: Arc<RwLock<Option<watch::Receiver<ExecutorStatus>>>>,
}

/// The driver's metrics.
#[derive(Clone)]
pub struct Metrics {
    source: Source,
    /// None until the driver takes executors.
    core: Arc<RwLock<Option<Arc<Core>>>>,
    registry: Arc<Registry>,
}

impl Metrics {
    pub fn new(progress: ProgressSender) -> Self {
        let source = Source { progress, executors: Arc::default() };
        let mut registry = Registry::with_prefix("firesteel_driver");
        registry.register_collector(Box::new(source.clone()));
        Self { source, core: Arc::default(), registry: Arc::new(registry) }
    }

    pub fn count_executors(&self, executors: watch::Receiver<ExecutorStatus>) {
        *self.source.executors.write() = Some(executors);
    }

    pub fn look_into(&self, core: Arc<Core>) {
        *self.core.write() = Some(core);
    }

    fn stages(&self) -> Vec<StageView> {
        self.core.read().as_ref().map(|core| core.stages()).unwrap_or_default()
    }

    fn executors(&self) -> Vec<ExecutorView> {
        self.core.read().as_ref().map(|core| core.executors()).unwrap_or_default()
    }

    /// Of the last query that has chosen its final plan.
    fn plan(&self) -> String {
        let plan = self.core.read().as_ref().and_then(|core| core.kept_plan());
        plan.unwrap_or_else(|| "no query has got its final plan yet".to_owned())
    }

    /// The exposition text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Collector for Source {
    fn encode(&self, mut out: DescriptorEncoder) -> Result<(), fmt::Error> {
        let p = self.progress.get();
        for (name, help, value) in [
            ("stages_planned", "Stages of all queries so far", p.stages_total),
            ("stages_done", "Stages that ended well", p.stages_done),
            ("tasks_planned", "Tasks of all stages so far", p.tasks_total),
            ("tasks_done", "Tasks that ended well", p.tasks_done),
            ("tasks_running", "Tasks that run now", p.tasks_running),
        ] {
            gauge(&mut out, name, help, value)?;
        }
        for (name, help, value) in [
            ("task_attempts", "Task attempts that were launched", p.attempts),
            ("task_failures", "Failed task attempts, retried ones included", p.tasks_failed),
            ("task_reruns", "Attempts launched because an earlier one failed or its output was lost", p.tasks_rerun),
            ("speculative_attempts", "Copies of slow tasks", p.speculative),
            ("speculative_attempts_won", "Copies that were faster than what they are a copy of", p.speculative_won),
            ("rows_read", "Rows read from sources", p.rows_read),
            ("bytes_read", "Bytes read from sources", p.bytes_read),
            ("rows_written", "Rows written to sinks", p.rows_written),
            ("shuffle_bytes_written", "Bytes written to shuffle files", p.shuffle_bytes),
            ("spilled_bytes", "Bytes spilled to disk for want of memory", p.spilled_bytes),
        ] {
            counter(&mut out, name, help, value)?;
        }
        if let Some(executors) = self.executors.read().as_ref() {
            let e = executors.borrow();
            let number = |n: i32| u64::try_from(n).unwrap_or(0);
            gauge(&mut out, "executors_desired", "Executors asked for", number(e.desired))?;
            gauge(&mut out, "executors_pending", "Executors that do not run yet", number(e.pending))?;
            gauge(&mut out, "executors_running", "Executors that run", number(e.running))?;
            counter(&mut out, "executors_lost", "Executors that ended unexpectedly", number(e.failed))?;
        }
        Ok(())
    }
}

fn gauge(out: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(out.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn counter(out: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    let metric = ConstCounter::new(value);
    metric.encode(out.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// Serves until `stop` is done.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/metrics", get(exposition))
        .route("/stages", get(|State(metrics): State<Metrics>| async move { Json(metrics.stages()) }))
        .route("/executors", get(|State(metrics): State<Metrics>| async move { Json(metrics.executors()) }))
        .route("/plan", get(|State(metrics): State<Metrics>| async move { metrics.plan() }))
        .with_state(metrics);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn exposition(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_moment() {
        let progress = ProgressSender::default();
        let metrics = Metrics::new(progress.clone());
        assert!(!metrics.encode().contains("executors_running"));
        let (executors, receiver) = watch::channel(ExecutorStatus::default());
        metrics.count_executors(receiver);
        progress.update(|p| (p.tasks_running, p.rows_read, p.attempts, p.tasks_rerun) = (7, 1 << 40, 9, 2));
        executors.send_modify(|e| (e.running, e.failed) = (2, 3));
        let text = metrics.encode();
        for line in [
            "firesteel_driver_tasks_running 7",
            "firesteel_driver_task_attempts_total 9",
            "firesteel_driver_task_reruns_total 2",
            "firesteel_driver_rows_read_total 1099511627776",
            "firesteel_driver_executors_running 2",
            "firesteel_driver_executors_lost_total 3",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
