//! Counts for people, from the scheduler's and the executors' numbers.

use firesteel_protocol::proto::TaskMetrics;
use firesteel_scheduler::StageState;

use super::{Core, State};

impl Core {
    pub(super) fn publish(&self, state: &State) {
        let mut counts = state.ended;
        let mut running = 0;
        let mut active = None;
        for job in state.jobs.keys() {
            for stage in state.scheduler.job_progress(*job).unwrap_or_default() {
                counts.stages += 1;
                counts.tasks += u64::from(stage.tasks);
                counts.tasks_done += u64::from(stage.done);
                counts.stages_done += u64::from(stage.done == stage.tasks);
                running += u64::from(stage.running);
                if stage.state == StageState::Running {
                    active = Some(stage.stage);
                }
            }
        }
        let attempts = state.tally.total();
        let slots = state.scheduler.demand().slots;
        self.progress.update(|p| {
            p.stages_total = counts.stages;
            p.stages_done = counts.stages_done;
            p.tasks_total = counts.tasks;
            p.tasks_done = counts.tasks_done;
            p.tasks_running = running;
            p.tasks_failed = attempts.failed;
            p.tasks_rerun = attempts.rerun;
            p.attempts = attempts.launched;
            p.speculative = attempts.speculative;
            p.speculative_won = attempts.speculative_won;
            if let Some(stage) = active {
                p.activity = if slots == 0 {
                    format!("stage {stage} waits for executors")
                } else {
                    format!("stage {stage} is running")
                };
            }
        });
    }

    pub(super) fn count(&self, metrics: Option<&TaskMetrics>) {
        let Some(m) = metrics else { return };
        self.progress.update(|p| {
            p.rows_read += m.input_rows;
            p.bytes_read += m.input_bytes;
            p.shuffle_bytes += m.shuffle_write_bytes;
            p.spilled_bytes += m.spilled_bytes;
        });
    }
}
