//! A task that may run nowhere must not wait for ever.

use std::collections::{BTreeMap, BTreeSet};

use firesteel_protocol::StageId;

use crate::{
    actions::{Action, JobFailure},
    events::ExecutorLossReason,
    executors::Executors,
    scheduler::Scheduler,
    stage::Stage,
};

/// Retries that are looked at for one that may run nowhere.
const MAX_SCANNED: usize = 64;

/// The stages with a task that may run nowhere, and until when they wait for another executor.
#[derive(Debug, Default)]
pub(crate) struct Unschedulable {
    until: BTreeMap<StageId, u64>,
}

impl Unschedulable {
    pub fn next_end(&self) -> Option<u64> {
        self.until.values().copied().min()
    }

    pub fn len(&self) -> u32 {
        self.until.len() as u32
    }

    pub fn remove(&mut self, stage: StageId) {
        self.until.remove(&stage);
    }
}

impl Scheduler {
    /// After free slots were given out: `launched` tells which stages got some. As Spark, it asks for room first, by giving
    /// up an idle executor that others can take the place of, or by dynamic allocation, and fails the job when none comes.
    /// True when outputs may have been lost by that.
    pub(crate) fn watch_unschedulable(&mut self, launched: &BTreeSet<StageId>, actions: &mut Vec<Action>) -> bool {
        if self.config.exclusion.stage.is_none() && self.config.exclusion.application.is_none() {
            return false;
        }
        if !launched.is_empty() {
            // As long as anything runs the application goes on.
            self.unschedulable.until.clear();
        }
        if self.executors.is_empty() {
            // That there is none at all is another matter, with a time of its own.
            self.unschedulable.until.clear();
            return false;
        }
        let stuck: Vec<(StageId, u32)> = self
            .pools
            .iter()
            .filter(|turn| !launched.contains(&turn.stage))
            .filter_map(|turn| {
                let stage = self.stages.get_mut(&turn.stage)?;
                if stage.failures.is_empty() && self.health.is_empty() {
                    return None;
                }
                let rules = self.config.exclusion.stage.as_ref();
                Some((turn.stage, excluded_everywhere(stage, rules, &self.executors)?))
            })
            .collect();
        self.unschedulable.until.retain(|stage, _| stuck.iter().any(|(stuck, _)| stuck == stage));
        let mut gave_up = false;
        for (id, task) in stuck {
            match self.unschedulable.until.get(&id) {
                Some(until) if *until > self.now => {}
                Some(_) => self.abort_unschedulable(id, task, actions),
                None => {
                    let until = self.now.saturating_add(self.config.exclusion.unschedulable_timeout_ms);
                    if let Some(idle) = self.executors.idle() {
                        self.unschedulable.until.insert(id, until);
                        let reason =
                            format!("task {task} of stage {id} may not run on any executor: another one may come");
                        self.end_executor(idle, reason, ExecutorLossReason::Released, actions);
                        gave_up = true;
                    } else if self.config.dynamic_allocation {
                        self.unschedulable.until.insert(id, until);
                    } else {
                        self.abort_unschedulable(id, task, actions);
                    }
                }
            }
        }
        gave_up
    }

    fn abort_unschedulable(&mut self, id: StageId, task: u32, actions: &mut Vec<Action>) {
        self.unschedulable.remove(id);
        let Some(stage) = self.stages.get(&id) else { return };
        let failure = JobFailure::ExcludedEverywhere { stage: id, task, last: stage.failures.last_reason().to_owned() };
        self.fail_jobs(stage.jobs.clone(), &failure, actions);
    }
}

/// A pending task of the stage that may run on none of the executors that are there.
fn excluded_everywhere(
    stage: &mut Stage,
    rules: Option<&crate::config::StageExclusion>,
    executors: &Executors,
) -> Option<u32> {
    if stage.tasks.pending() == 0 {
        return None;
    }
    // One that is leaving is not excluded, and another one comes for it: that is waited for.
    let may_run = |stage: &Stage, task| {
        let open = |index: u32| !executors.is_excluded(index);
        executors.indexes().any(|index| open(index) && stage.may_run(rules, task, index, executors.node(index)))
    };
    let mut at = 0;
    while at < stage.tasks.retries().min(MAX_SCANNED) {
        let Some((task, _)) = stage.tasks.retry(at) else { continue };
        if !may_run(stage, task) {
            return Some(task);
        }
        at += 1;
    }
    let open = |index: u32| !executors.is_excluded(index) && !stage.failures.excludes(index, executors.node(index));
    if executors.indexes().any(open) { None } else { stage.tasks.any_pending() }
}
