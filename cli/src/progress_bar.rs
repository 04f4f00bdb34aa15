//! Progress on a terminal: what is done, how much of it, how long it will take.

use std::{io::IsTerminal, time::Duration};

use firesteel_driver::{Progress, ProgressSender};
use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

/// Shows progress while it lives. On something other than a terminal it shows nothing.
pub struct Bar {
    bar: Option<ProgressBar>,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// Work that is over before this is not announced.
const DELAY: Duration = Duration::from_millis(700);
const EVERY: Duration = Duration::from_millis(150);

impl Bar {
    /// Call within the runtime.
    pub fn start(progress: &ProgressSender, wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self { bar: None, task: None };
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} [{elapsed_precise}] {wide_bar:.cyan/blue} {percent:>3}% {msg}")
        {
            bar.set_style(style);
        }
        let (shown, source) = (bar.clone(), progress.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                show(&shown, &source.get());
            }
        });
        Self { bar: Some(bar), task: Some(task) }
    }

    /// Prints above the bar.
    pub fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(f),
            None => f(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn show(bar: &ProgressBar, p: &Progress) {
    let (done, all) = if p.rows_expected > 0 {
        (p.rows_current.min(p.rows_expected), p.rows_expected)
    } else {
        (p.tasks_done, p.tasks_total.max(1))
    };
    bar.set_length(all);
    bar.set_position(done);
    let mut text = format!(
        "statement {}/{} · {} · {} rows read ({})",
        p.statement,
        p.statements,
        p.summary(),
        HumanCount(p.rows_read),
        HumanBytes(p.bytes_read)
    );
    if p.spilled_bytes > 0 {
        text.push_str(&format!(" · {} spilled", HumanBytes(p.spilled_bytes)));
    }
    if let Some(left) = time_left(p) {
        text.push_str(&format!(" · about {} left", HumanDuration(left)));
    }
    bar.set_message(text);
}

/// From the rows read so far of those expected.
fn time_left(p: &Progress) -> Option<Duration> {
    let elapsed = p.query_started?.elapsed().as_secs_f64();
    if p.rows_expected == 0 || p.rows_current == 0 || p.rows_current >= p.rows_expected {
        return None;
    }
    let share = p.rows_current as f64 / p.rows_expected as f64;
    Duration::try_from_secs_f64(elapsed / share * (1.0 - share)).ok()
}
