//! One application: its session, its statements in order, and what runs their plans: this process, or the executors that
//! Kubernetes gives it.

pub mod application;
mod cache;
pub mod cluster;
pub mod display;
pub mod hive;
pub mod journal;
pub mod local;
pub mod master;
pub mod planning;
pub mod pod;
pub mod processes;
pub mod progress;
mod script;
pub mod sql;
pub mod traces;

pub use application::{Application, Outcome, PlanRunner, QueryResult, StatementResult};
pub use master::Master;
pub use progress::{Progress, ProgressSender};
