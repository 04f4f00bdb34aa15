//! Stages and executors as people see them.

use std::collections::{BTreeMap, HashMap};

use firesteel_protocol::{ExecutorId, StageId};
use firesteel_scheduler::{OutputLocation, StageState};
use serde::Serialize;

use super::{Core, StageEntry, StageView, State};

/// An executor that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorView {
    pub id: String,
    pub node: String,
    pub slots: u32,
    /// It takes no further tasks.
    pub leaving: bool,
    /// `host:port` of its service.
    pub address: String,
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
                    address: connection.address.clone(),
                    leaving: connection.leaving,
                    running: tasks.running,
                    done: tasks.done,
                    failed: tasks.failed,
                    outputs: outputs.get(id).copied().unwrap_or(0),
                }
            })
            .collect()
    }

    /// The last stages of ended queries, then those of running ones.
    pub fn stages(&self) -> Vec<StageView> {
        let state = self.state.lock();
        let mut views: Vec<StageView> = state.tally.ended().cloned().collect();
        // Those that no running job lists have their outputs ready for a later one.
        let between_jobs = |(id, entry): (&StageId, &StageEntry)| {
            let (tasks, done, attempts) = (entry.num_tasks, entry.tasks_done, state.tally.stage(*id));
            let (stage, job) = (id.0, entry.job.0);
            let view = StageView { stage, job, state: "idle", stage_attempt: 0, tasks, running: 0, done, attempts };
            (*id, view)
        };
        let mut running: BTreeMap<StageId, StageView> = state.stages.iter().map(between_jobs).collect();
        for stage in state.jobs.keys().flat_map(|job| state.scheduler.job_progress(*job).unwrap_or_default()) {
            let Some(view) = running.get_mut(&stage.stage) else { continue };
            view.state = match stage.state {
                StageState::Idle => "idle",
                StageState::Waiting => "waiting",
                StageState::Running => "running",
            };
            (view.stage_attempt, view.running, view.done) = (stage.stage_attempt, stage.running, stage.done);
        }
        views.extend(running.into_values());
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
