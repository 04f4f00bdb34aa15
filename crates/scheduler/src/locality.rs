//! Delay scheduling: a task waits a while for the place that it prefers, as in Spark's `TaskSetManager` (3.1 and later).

use crate::{config::LocalityWaits, executors::Executors, task_set::TaskSet};

/// How near a task is to its input. The order is from near to far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Locality {
    /// On the executor that holds it.
    ProcessLocal,
    /// On another executor of that node.
    NodeLocal,
    /// The task has no preference.
    NoPref,
    /// Elsewhere.
    Any,
}

/// How far from their places the tasks of a stage may be launched by now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delay {
    level: Locality,
    since: u64,
    /// Since the wait began last, no free slot was left unused for the sake of locality.
    nothing_refused: bool,
}

impl Delay {
    pub fn new(now: u64) -> Self {
        Self { level: Locality::ProcessLocal, since: now, nothing_refused: true }
    }

    /// The farthest level that is allowed. Levels at which no task waits for an executor that is there are skipped.
    pub fn allowed(&mut self, now: u64, waits: &LocalityWaits, tasks: &mut TaskSet, executors: &Executors) -> Locality {
        loop {
            let Some((wait, next)) = self.step(waits) else { return Locality::Any };
            if !tasks.has_at(self.level, executors) {
                (self.since, self.level) = (now, next);
            } else if now.saturating_sub(self.since) >= wait {
                (self.since, self.level) = (self.since.saturating_add(wait), next);
            } else {
                return self.level;
            }
        }
    }

    fn step(&self, waits: &LocalityWaits) -> Option<(u64, Locality)> {
        match self.level {
            Locality::ProcessLocal => Some((waits.process_ms, Locality::NodeLocal)),
            Locality::NodeLocal => Some((waits.node_ms, Locality::Any)),
            Locality::NoPref | Locality::Any => None,
        }
    }

    /// When the next level is allowed.
    pub fn next_end(&self, waits: &LocalityWaits) -> Option<u64> {
        self.step(waits).map(|(wait, _)| self.since.saturating_add(wait))
    }

    /// Free slots were offered: all there are, or those of one executor. `nearest` is the nearest level of the tasks that
    /// were launched; `refused` when slots were left although tasks wait. The wait begins again only when locality
    /// costs no slot.
    pub fn offered(
        &mut self,
        now: u64,
        waits: &LocalityWaits,
        nearest: Option<Locality>,
        refused: bool,
        all_slots: bool,
    ) {
        if waits.reset_on_launch {
            if let Some(level) = nearest.filter(|level| *level != Locality::NoPref) {
                (self.since, self.level) = (now, level);
            }
            return;
        }
        if refused {
            self.nothing_refused = false;
            return;
        }
        let Some(nearest) = nearest else { return };
        if all_slots || self.nothing_refused {
            self.since = now;
            self.nothing_refused = true;
            if nearest != Locality::NoPref {
                self.level = nearest;
            }
        }
    }

    /// An executor came that tasks wait for, at a level at which there was none before.
    pub fn nearer(&mut self, level: Locality) {
        self.level = self.level.min(level);
    }
}
