//! In which order stages get free slots.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
};

use firesteel_protocol::{JobId, StageId};

/// The place of a stage in the order: jobs first come, first served; within a job the earlier stage first.
pub(crate) type Turn = (JobId, StageId);

/// The stages that have a task to launch, in the order of their turns (Spark's FIFO). A fair order needs nothing else of
/// the scheduler than what this offers.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    stages: BTreeSet<Turn>,
}

impl Pool {
    pub fn insert(&mut self, turn: Turn) {
        self.stages.insert(turn);
    }

    pub fn remove(&mut self, turn: Turn) {
        self.stages.remove(&turn);
    }

    /// The stage to serve after `last`, or the first one.
    pub fn next(&self, last: Option<Turn>) -> Option<Turn> {
        match last {
            None => self.stages.first().copied(),
            Some(last) => self.stages.range((Excluded(last), Unbounded)).next().copied(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Turn> {
        self.stages.iter().copied()
    }
}
