//! Counts for people, from the scheduler's and the executors' numbers.

use firesteel_protocol::{StageId, proto::TaskMetrics};
use firesteel_scheduler::StageState;

use super::{Core, State};

impl Core {
    /// Takes over from the scheduler how far the stages of running jobs are. Answers how many tasks run, and a stage that
    /// does.
    pub(super) fn see_progress(&self, state: &mut State) -> (u64, Option<StageId>) {
        let State { scheduler, jobs, stages, .. } = state;
        let (mut running, mut active) = (0, None);
        for job in jobs.keys() {
            for stage in scheduler.job_progress(*job).unwrap_or_default() {
                let Some(entry) = stages.get_mut(&stage.stage) else { continue };
                entry.tasks_done = stage.done;
                // Of jobs that share a stage the last one counts it.
                if entry.job == *job {
                    running += u64::from(stage.running);
                }
                if stage.state == StageState::Running {
                    active = Some(stage.stage);
                }
            }
        }
        (running, active)
    }

    pub(super) fn publish(&self, state: &mut State) {
        let (running, active) = self.see_progress(state);
        let mut counts = state.ended;
        state.stages.values().for_each(|stage| counts.add(stage));
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
