//! The state machine's front: events in, actions out.

use firesteel_protocol::{JobId, ShuffleId};

use crate::{
    actions::Action,
    config::SchedulerConfig,
    events::Event,
    executors::Executors,
    map_outputs::{MapOutputTracker, MapOutputs},
    progress::{Demand, StageProgress},
};

/// The scheduler of one application. Owned and called by one thread; never blocks, never fails, never looks at a clock.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    executors: Executors,
    outputs: MapOutputTracker,
}

impl Scheduler {
    pub fn new(config: SchedulerConfig) -> Self {
        Self { config, executors: Executors::default(), outputs: MapOutputTracker::default() }
    }

    /// Takes in what happened at `now` (milliseconds of a clock that never goes back) and appends what to do about it
    /// to `actions`, in order.
    pub fn handle(&mut self, now: u64, event: Event, actions: &mut Vec<Action>) {
        let _ = (now, event, actions);
    }

    /// When [`Event::Tick`] should come at the latest, on the clock of [`Scheduler::handle`]; `None` while nothing
    /// depends on time.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Where the outputs of this shuffle (or result) are; `None` when no job uses it.
    pub fn map_outputs(&self, shuffle: ShuffleId) -> Option<MapOutputs<'_>> {
        Some(MapOutputs { outputs: self.outputs.get(shuffle)?, executors: &self.executors })
    }

    /// How far the stages of a running job are, in the order of its spec; `None` when it is not running.
    pub fn job_progress(&self, job: JobId) -> Option<Vec<StageProgress>> {
        let _ = job;
        None
    }

    /// What could be used and what there is.
    pub fn demand(&self) -> Demand {
        Demand::default()
    }

    pub fn executors(&self) -> &Executors {
        &self.executors
    }

    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }
}
