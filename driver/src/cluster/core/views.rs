//! Stages and executors as people see them.

use std::collections::HashMap;

use firesteel_protocol::ExecutorId;
use firesteel_scheduler::{OutputLocation, StageState};
use serde::Serialize;

use super::{Core, StageView, State};

/// An executor that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorView {
    pub id: String,
    pub node: String,
    pub slots: u32,
    /// It takes no further tasks.
    pub leaving: bool,
    /// Task attempts that run there, and that have ended there.
    pub running: u64,
    pub done: u64,
    pub failed: u64,
    /// Map outputs of running jobs that it holds: what must be made again when it is lost.
    pub outputs: u64,
}

impl Core {
    /// In the order of their ids, as text.
    pub fn executors(&self) -> Vec<ExecutorView> {
        let state = self.state.lock();
        let outputs = state.outputs_by_executor();
        let there = state.executors.iter().filter(|(_, connection)| connection.ended.is_none());
        there
            .map(|(id, connection)| {
                let tasks = state.tally.executor(id);
                ExecutorView {
                    id: id.to_string(),
                    node: connection.node.clone(),
                    slots: connection.slots,
                    leaving: connection.leaving,
                    running: tasks.running,
                    done: tasks.done,
                    failed: tasks.failed,
                    outputs: outputs.get(id).copied().unwrap_or(0),
                }
            })
            .collect()
    }

    /// The last stages of ended jobs, then those of running ones.
    pub fn stages(&self) -> Vec<StageView> {
        let state = self.state.lock();
        let mut views: Vec<StageView> = state.tally.ended().cloned().collect();
        let mut jobs: Vec<_> = state.jobs.keys().copied().collect();
        jobs.sort_unstable();
        for job in jobs {
            for stage in state.scheduler.job_progress(job).unwrap_or_default() {
                views.push(StageView {
                    stage: stage.stage.0,
                    job: job.0,
                    state: match stage.state {
                        StageState::Idle => "idle",
                        StageState::Waiting => "waiting",
                        StageState::Running => "running",
                    },
                    stage_attempt: stage.stage_attempt,
                    tasks: stage.tasks,
                    running: stage.running,
                    done: stage.done,
                    attempts: state.tally.stage(stage.stage),
                });
            }
        }
        views
    }
}

impl State {
    /// Work for each output that there is: for questions of people and for losses, not for every event.
    pub fn outputs_by_executor(&self) -> HashMap<ExecutorId, u64> {
        let mut counts = HashMap::new();
        for stage in self.stages.values() {
            for output in self.scheduler.map_outputs(stage.shuffle).iter().flat_map(|outputs| outputs.iter()) {
                if let OutputLocation::Executor(id) = output.location {
                    *counts.entry(id).or_default() += 1;
                }
            }
        }
        counts
    }
}
