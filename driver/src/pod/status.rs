//! The driver's part of the SparkJob's status: progress and executors, by server-side apply, not too often.

use std::time::{Duration, Instant};

use firesteel_api::{
    DRIVER_FIELD_MANAGER, ExecutorStatus, GROUP, Progress as ProgressStatus, SparkJob, VERSION, pods::AttemptContext,
    status::bounded,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::progress::{Progress, ProgressSender};

/// How often it is looked at whether there is something to write.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time between writes, unless something happened that people wait for.
const WRITE_EVERY: Duration = Duration::from_secs(2);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_TEXT: usize = 1024;

pub struct StatusWriter {
    api: Api<SparkJob>,
    context: AttemptContext,
    progress: ProgressSender,
    executors: watch::Receiver<ExecutorStatus>,
}

/// What is written, without the time of writing.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub progress: ProgressStatus,
    pub executors: ExecutorStatus,
}

impl StatusWriter {
    pub fn new(
        client: &Client,
        context: AttemptContext,
        progress: ProgressSender,
        executors: watch::Receiver<ExecutorStatus>,
    ) -> Self {
        Self { api: Api::namespaced(client.clone(), &context.namespace), context, progress, executors }
    }

    /// Writes until `stop`, and a last time then.
    pub async fn run(self, stop: CancellationToken) {
        let mut last: Option<(Written, Instant)> = None;
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let now = self.now();
            let since = last.as_ref().map(|(_, at)| at.elapsed());
            if stopping || due(last.as_ref().map(|(written, _)| written), &now, since.unwrap_or(WRITE_EVERY)) {
                self.write(&now).await;
                last = Some((now, Instant::now()));
            }
            if stopping {
                return;
            }
        }
    }

    fn now(&self) -> Written {
        Written {
            progress: of_progress(&self.progress.get(), self.context.attempt),
            executors: self.executors.borrow().clone(),
        }
    }

    /// Progress that cannot be written is no reason to stop.
    async fn write(&self, what: &Written) {
        let mut progress = what.progress.clone();
        progress.updated_at = Some(Time::from(Timestamp::now()));
        let patch = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "SparkJob",
            // With its UID, lest a job of the same name made since gets the numbers of this one.
            "metadata": { "name": self.context.job, "uid": self.context.uid },
            "status": { "progress": progress, "executors": what.executors },
        });
        let params = PatchParams::apply(DRIVER_FIELD_MANAGER).force();
        let patch = Patch::Apply(&patch);
        let writing = self.api.patch_status(&self.context.job, &params, &patch);
        match tokio::time::timeout(WRITE_TIMEOUT, writing).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot write the job's progress"),
            Err(_) => tracing::warn!("the API server does not take the job's progress in time"),
        }
    }
}

/// Whether to write now: at once when a stage has ended or executors came or went, else from time to time.
fn due(last: Option<&Written>, now: &Written, since: Duration) -> bool {
    let Some(last) = last else { return true };
    if last == now {
        return false;
    }
    let edge = last.executors != now.executors || last.progress.stages_done != now.progress.stages_done;
    edge || since >= WRITE_EVERY
}

pub fn of_progress(p: &Progress, attempt: u32) -> ProgressStatus {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    ProgressStatus {
        attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
        summary: bounded(&p.summary(), MAX_TEXT),
        stages_total: number(p.stages_total),
        stages_done: number(p.stages_done),
        tasks_total: number(p.tasks_total),
        tasks_done: number(p.tasks_done),
        tasks_running: number(p.tasks_running),
        tasks_failed: number(p.tasks_failed),
        tasks_rerun: number(p.tasks_rerun),
        rows_read: number(p.rows_read),
        bytes_read: number(p.bytes_read),
        rows_written: number(p.rows_written),
        shuffle_bytes: number(p.shuffle_bytes),
        spilled_bytes: number(p.spilled_bytes),
        current_stage: Some(bounded(&p.activity, MAX_TEXT)).filter(|text| !text.is_empty()),
        updated_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(change: impl FnOnce(&mut Progress), running: i32) -> Written {
        let mut progress =
            Progress { stages_total: 3, stages_done: 1, tasks_total: 9, tasks_done: 4, ..Progress::default() };
        change(&mut progress);
        Written {
            progress: of_progress(&progress, 2),
            executors: ExecutorStatus { running, ..ExecutorStatus::default() },
        }
    }

    #[test]
    fn writes_are_rare_but_for_edges() {
        let last = written(|_| {}, 2);
        let soon = Duration::from_millis(500);
        let table = [
            (written(|_| {}, 2), WRITE_EVERY * 5, false),
            (written(|p| p.tasks_done = 5, 2), soon, false),
            (written(|p| p.tasks_done = 5, 2), WRITE_EVERY, true),
            (written(|p| p.stages_done = 2, 2), soon, true),
            (written(|_| {}, 1), soon, true),
        ];
        for (now, since, expected) in table {
            assert_eq!(due(Some(&last), &now, since), expected, "{now:?} after {since:?}");
        }
        assert!(due(None, &last, Duration::ZERO));
    }

    #[test]
    fn counts_reach_the_status() {
        let status = written(|p| (p.spilled_bytes, p.activity) = (u64::MAX, "stage 2 is running".into()), 0).progress;
        assert_eq!((status.attempt, status.stages_total, status.tasks_done, status.spilled_bytes), (2, 3, 4, i64::MAX));
        assert_eq!(status.summary, "stage 2/3 · 4/9 tasks");
        assert_eq!(status.current_stage.as_deref(), Some("stage 2 is running"));
    }
}
