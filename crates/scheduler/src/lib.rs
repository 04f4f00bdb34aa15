//! The DAG and task scheduler as a pure state machine: events and time go in, actions come out. No I/O, no clock.
//!
//! The driver owns one [`Scheduler`], calls [`Scheduler::handle`] for everything that happens and carries out the
//! [`Action`]s in order. The rules are Spark's: a job is a graph of stages; a stage runs when all outputs that it reads
//! are there; only missing partitions run; a lost output is made again; one attempt of a task counts.
//!
//! ```
//! use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId};
//! use firesteel_scheduler::*;
//!
//! let mut scheduler = Scheduler::new(SchedulerConfig::default());
//! let mut actions = Vec::new();
//! let executor = ExecutorId::new("exec-1");
//! let registered = Event::ExecutorRegistered { executor: executor.clone(), node: "node-a".into(), slots: 2 };
//! scheduler.handle(0, registered, &mut actions);
//!
//! let stage = StageSpec {
//!     stage: StageId(0),
//!     parents: vec![],
//!     num_tasks: 1,
//!     output: StageOutput::Result { shuffle: ShuffleId(0) },
//!     preferences: vec![],
//!     indeterminate: false,
//!     lazy_parents: vec![],
//! };
//! let job = JobSpec {
//!     job: JobId(7),
//!     stages: vec![stage],
//!     result_stage: StageId(0),
//!     retain_shuffles: false,
//!     properties: JobProperties::default(),
//! };
//! scheduler.handle(1, Event::JobSubmitted(job), &mut actions);
//! let Some(Action::LaunchTask { attempt, .. }) = actions.pop() else { unreachable!() };
//!
//! // The executor has run it; its one block of 4,096 bytes waits there for the driver.
//! let output = TaskOutput::on_executor(vec![4096]);
//! scheduler.handle(2, Event::TaskFinished { attempt, executor, output }, &mut actions);
//! assert!(actions.iter().any(|action| matches!(action, Action::ResultReady { .. })));
//! scheduler.handle(3, Event::ResultFetched { attempt }, &mut actions);
//! assert_eq!(actions.last(), Some(&Action::JobSucceeded { job: JobId(7) }));
//! ```

mod actions;
mod attempts;
mod block_sizes;
mod cancel;
mod config;
mod dag;
mod events;
mod exclusion;
mod executors;
mod job;
mod launch;
mod locality;
mod map_outputs;
mod pool;
mod progress;
mod scheduler;
mod speculation;
mod stage;
mod task_set;

pub use actions::{Action, JobFailure, KillReason};
pub use config::{
    ApplicationExclusion, Efficiency, Exclusion, LocalityWaits, PoolsConfig, SchedulerConfig, SchedulingMode,
    Speculation, StageExclusion,
};
pub use events::{
    Event, ExecutorLossReason, FetchFailure, OutputHome, OutputRef, QueryError, RestoredOutput, TaskFailure,
    TaskOutput, TaskOutputHome,
};
pub use executors::Executors;
pub use job::{JobProperties, JobSelector, JobSpec, Preference, StageOutput, StageSpec};
pub use map_outputs::{MapOutput, MapOutputs, OutputLocation};
pub use pool::{DEFAULT_POOL, PoolSchedule};
pub use progress::{Demand, StageProgress, StageState};
pub use scheduler::{Held, Scheduler};
