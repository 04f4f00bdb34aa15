//! How far an application is: one value that the progress bar, the job's status and the log all read.

use std::time::Instant;

use tokio::sync::watch;

/// Counts cover all queries of the application so far.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    pub statement: usize,
    pub statements: usize,
    pub stages_total: u64,
    pub stages_done: u64,
    pub tasks_total: u64,
    pub tasks_done: u64,
    pub tasks_running: u64,
    /// Task attempts that ended without a result. Not those that were told to end.
    pub tasks_failed: u64,
    /// Attempts that were launched because an earlier one failed or what it had made was lost.
    pub tasks_rerun: u64,
    /// All task attempts that were launched.
    pub attempts: u64,
    /// Copies of slow tasks, and those of them that were faster.
    pub speculative: u64,
    pub speculative_won: u64,
    pub rows_read: u64,
    /// How much of its input the running query has read, from 0 to 1, where the sizes of its scans tell.
    pub share: Option<f64>,
    pub bytes_read: u64,
    pub rows_written: u64,
    pub shuffle_bytes: u64,
    pub spilled_bytes: u64,
    /// What is being done, in words.
    pub activity: String,
    pub query_started: Option<Instant>,
}

impl Progress {
    /// `stage 2/4 · 37/128 tasks`, for one line.
    pub fn summary(&self) -> String {
        if self.tasks_total == 0 {
            return self.activity.clone();
        }
        let stage = (self.stages_done + 1).min(self.stages_total);
        format!("stage {stage}/{} · {}/{} tasks", self.stages_total, self.tasks_done, self.tasks_total)
    }
}

/// Writes progress; readers subscribe. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProgressSender(std::sync::Arc<watch::Sender<Progress>>);

impl Default for ProgressSender {
    fn default() -> Self {
        Self(std::sync::Arc::new(watch::Sender::new(Progress::default())))
    }
}

impl ProgressSender {
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.0.send_modify(change);
    }

    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    pub fn get(&self) -> Progress {
        self.0.borrow().clone()
    }
}
