//! How long it took from a statement's text to its plan.

use std::time::{Duration, Instant};

/// Of one statement. The parts are sums: a statement may have several plans.
#[derive(Debug, Clone, Copy)]
pub struct PlanningTimes {
    pub parse: Duration,
    pub analysis: Duration,
    /// Rules on the logical plan, with the statistics that they read.
    pub optimizer: Duration,
    /// From the optimized plan to the physical one.
    pub physical: Duration,
    began: Instant,
    ready: Option<Instant>,
}

impl PlanningTimes {
    pub(crate) fn begin() -> Self {
        let none = Duration::ZERO;
        Self { parse: none, analysis: none, optimizer: none, physical: none, began: Instant::now(), ready: None }
    }

    /// The plan is there.
    pub(crate) fn is_ready(&mut self) {
        self.ready = Some(Instant::now());
    }

    /// From the text to the physical plan, if there is one.
    pub fn whole(&self) -> Option<Duration> {
        self.ready.map(|ready| ready.duration_since(self.began))
    }
}
