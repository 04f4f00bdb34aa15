//! The DAG and task scheduler as a pure state machine: events and time go in, actions come out. No I/O, no clock.
//!
//! The driver owns one [`Scheduler`], calls [`Scheduler::handle`] for everything that happens and carries out the
//! [`Action`]s in order. The rules are Spark's: a job is a graph of stages; a stage runs when all outputs that it reads
//! are there; only missing partitions run; a lost output is made again; one attempt of a task counts.

mod actions;
mod attempts;
mod block_sizes;
mod config;
mod dag;
mod events;
mod executors;
mod job;
mod launch;
mod map_outputs;
mod pool;
mod progress;
mod scheduler;
mod stage;
mod task_set;

pub use actions::{Action, JobFailure, KillReason};
pub use config::SchedulerConfig;
pub use events::{
    Event, ExecutorLossReason, FetchFailure, OutputHome, OutputRef, QueryError, TaskFailure, TaskOutput, TaskOutputHome,
};
pub use executors::Executors;
pub use job::{JobSpec, Preference, StageOutput, StageSpec};
pub use map_outputs::{MapOutput, MapOutputs, OutputLocation};
pub use progress::{Demand, StageProgress, StageState};
pub use scheduler::Scheduler;
