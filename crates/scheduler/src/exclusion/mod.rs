//! Executors and nodes on which tasks failed get no further ones: for a task, for a stage, for the application. As Spark's
//! `TaskSetExcludelist` and `HealthTracker`.

mod health;
mod stage;
mod unschedulable;

pub(crate) use health::Health;
pub(crate) use stage::{Blamed, StageFailures};
pub(crate) use unschedulable::Unschedulable;
