//! Plans run in this process, uncut: DataFusion's own exchanges serve.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::physical_plan::{ExecutionPlan, execute_stream, metrics::MetricsSet};
use firesteel_engine::{
    EngineSession,
    cache::{self, InMemoryTableScanExec},
    error::from_datafusion,
    optimize,
    reuse::ReusedExec,
    source::naming_file,
    task::{scan_size, scanned_bytes},
};
use firesteel_plan::SparkResult;
use futures::{StreamExt, stream::BoxStream};

use crate::{PlanRunner, progress::ProgressSender};

const PROGRESS_EVERY: Duration = Duration::from_millis(100);

pub struct LocalRunner {
    engine: EngineSession,
    progress: ProgressSender,
}

impl LocalRunner {
    pub fn new(engine: EngineSession, progress: ProgressSender) -> Self {
        Self { engine, progress }
    }
}

#[async_trait]
impl PlanRunner for LocalRunner {
    async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<BoxStream<'static, SparkResult<RecordBatch>>> {
        let context = self.engine.task_context_of(widest(&plan))?;
        let stream = execute_stream(plan.clone(), context.clone()).map_err(|e| from_datafusion(&e))?;
        let watcher = Arc::new(Watcher::start(plan.clone(), self.progress.clone()));
        Ok(stream
            .then(move |batch| {
                // Held as long as rows come.
                let (watching, plan, context) = (watcher.clone(), plan.clone(), context.clone());
                async move {
                    let _watching = watching;
                    match batch {
                        Ok(batch) => Ok(batch),
                        Err(error) => Err(naming_file(from_datafusion(&error), &plan, &context).await),
                    }
                }
            })
            .boxed())
    }

    fn describe(&self, plan: &Arc<dyn ExecutionPlan>) -> SparkResult<String> {
        Ok(cache::explain(plan))
    }
}

/// The most columns that a node of the plan has.
fn widest(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below = plan.children().into_iter().map(widest).max().unwrap_or(0);
    below.max(plan.schema().fields().len())
}

/// Reads a running plan's metrics from time to time, until dropped.
struct Watcher {
    task: tokio::task::JoinHandle<()>,
    watched: Arc<Watched>,
    progress: ProgressSender,
    before: Counts,
}

struct Watched {
    plan: Arc<dyn ExecutionPlan>,
    scans: Vec<Scan>,
}

/// A leaf of the plan, with what is known of it before it runs.
struct Scan {
    node: Arc<dyn ExecutionPlan>,
    /// 0 where that is not known.
    rows: f64,
    /// Of the files that it is given to read, in bytes.
    size: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    rows_read: u64,
    bytes_read: u64,
    spilled: u64,
    /// Weights of the scans whose progress is known, and how much of them is done.
    expected: f64,
    done: f64,
}

impl Watcher {
    fn start(plan: Arc<dyn ExecutionPlan>, progress: ProgressSender) -> Self {
        let before = {
            let p = progress.get();
            Counts { rows_read: p.rows_read, bytes_read: p.bytes_read, spilled: p.spilled_bytes, ..Counts::default() }
        };
        progress.update(|p| {
            p.activity = "running".to_owned();
            p.stages_total += 1;
            p.tasks_total += 1;
            p.tasks_running = 1;
            p.share = None;
            p.query_started = Some(Instant::now());
        });
        let mut scans = Vec::new();
        leaves(&plan, &mut scans);
        let all = Arc::new(Watched { plan, scans });
        let (watched, sender) = (all.clone(), progress.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PROGRESS_EVERY);
            loop {
                ticks.tick().await;
                publish(&watched, &sender, before);
            }
        });
        Self { task, watched: all, progress, before }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
        publish(&self.watched, &self.progress, self.before);
        self.progress.update(|p| {
            p.stages_done += 1;
            p.tasks_done += 1;
            p.tasks_running = 0;
        });
    }
}

fn leaves(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Scan>) {
    let elsewhere = plan.downcast_ref::<ReusedExec>().is_some_and(ReusedExec::is_hidden);
    if plan.is::<InMemoryTableScanExec>() || elsewhere {
        return;
    }
    if plan.children().is_empty() {
        let rows = optimize::rows(plan).unwrap_or(0) as f64;
        found.push(Scan { node: plan.clone(), rows, size: scan_size(plan) as f64 });
    }
    plan.children().into_iter().for_each(|child| leaves(child, found));
}

/// The leaves of what is run for cached relations that miss blocks.
fn computed_leaves(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Scan>) {
    if let Some(scan) = plan.downcast_ref::<InMemoryTableScanExec>() {
        for ran in scan.ran() {
            leaves(&ran, found);
            computed_leaves(&ran, found);
        }
    }
    plan.children().into_iter().for_each(|child| computed_leaves(child, found));
}

fn publish(watched: &Watched, progress: &ProgressSender, before: Counts) {
    let mut counts = Counts { spilled: spilled(&watched.plan), ..Counts::default() };
    watched.scans.iter().for_each(|scan| count(scan, &mut counts));
    let mut computed = Vec::new();
    computed_leaves(&watched.plan, &mut computed);
    computed.iter().for_each(|scan| count(scan, &mut counts));
    progress.update(|p| {
        p.share = (counts.expected > 0.0).then(|| (counts.done / counts.expected).clamp(0.0, 1.0));
        p.rows_read = before.rows_read + counts.rows_read;
        p.bytes_read = before.bytes_read + counts.bytes_read;
        p.spilled_bytes = before.spilled + counts.spilled;
    });
}

fn spilled(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or(0) as u64;
    own + plan.children().into_iter().map(spilled).sum::<u64>()
}

fn count(scan: &Scan, counts: &mut Counts) {
    let Some(metrics) = scan.node.metrics() else { return };
    let rows = metrics.output_rows().unwrap_or(0) as u64;
    counts.rows_read += rows;
    counts.bytes_read += scanned_bytes(&scan.node, &metrics);
    if let Some((done, weight)) = share_read(scan, rows, &metrics) {
        counts.done += done.clamp(0.0, 1.0) * weight;
        counts.expected += weight;
    }
}

/// How much of a scan is done, by rows or by bytes, and its weight among the scans of a plan: its size in bytes, more or
/// less. `None` where neither tells.
fn share_read(scan: &Scan, rows: u64, metrics: &MetricsSet) -> Option<(f64, f64)> {
    const BYTES_OF_A_ROW: f64 = 8.0;
    if scan.rows > 0.0 {
        return Some((rows as f64 / scan.rows, scan.size.max(scan.rows * BYTES_OF_A_ROW)));
    }
    let bytes = metrics.sum_by_name("bytes_scanned")?.as_usize() as f64;
    (scan.size > 0.0).then_some((bytes / scan.size, scan.size))
}
