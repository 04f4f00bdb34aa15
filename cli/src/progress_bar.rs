//! Progress on a terminal: what is done, how much of it, how long it will take.

use std::{io::IsTerminal, time::Duration};

use firesteel_driver::{Progress, ProgressSender};
use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows progress while it lives. On something other than a terminal it shows nothing.
pub struct Bar {
    bar: Option<ProgressBar>,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// Work that is over before this is not announced.
const DELAY: Duration = Duration::from_millis(700);
const EVERY: Duration = Duration::from_millis(150);
const STEPS: u64 = 1000;

impl Bar {
    /// Call within the runtime.
    pub fn start(progress: &ProgressSender, wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self { bar: None, task: None };
        }
        // Hidden at first: a hidden bar is not drawn again after other output either.
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} [{elapsed_precise}] {wide_bar:.cyan/blue} {percent:>3}% {msg}")
        {
            bar.set_style(style);
        }
        let (shown, source) = (bar.clone(), progress.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            shown.set_draw_target(ProgressDrawTarget::stderr());
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
    let (done, all) = match p.share {
        Some(share) => ((share * STEPS as f64) as u64, STEPS),
        None => (p.tasks_done, p.tasks_total.max(1)),
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

/// From the share of the input that is read.
fn time_left(p: &Progress) -> Option<Duration> {
    let elapsed = p.query_started?.elapsed().as_secs_f64();
    let share = p.share.filter(|share| *share > 0.0 && *share < 1.0)?;
    Duration::try_from_secs_f64(elapsed / share * (1.0 - share)).ok()
}
