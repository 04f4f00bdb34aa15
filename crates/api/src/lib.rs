//! The Kubernetes face of Firesteel, free of any client: the `SparkJob` type with its rules, the names and labels of what
//! a job owns, the one `Reason` enum, the job file, the termination message, and the rendering of driver and executor pods.
//!
//! Operator, driver and command line all use these, so that a file that runs on a laptop means the same on a cluster.

pub mod crd;
pub mod job;
pub mod jobfile;
pub mod memory;
pub mod names;
pub mod pods;
pub mod reason;
pub mod resources;
pub mod scaling;
pub mod secrets;
pub mod status;
pub mod strict;
pub mod termination;
pub mod validate;

pub use job::{
    AppSource, ConfigMapKeyRef, DynamicAllocation, ExecutorSpec, PythonSource, RoleSpec, SparkJob, SparkJobSpec,
    SqlSource,
};
pub use reason::{FailureClass, Reason};
pub use status::{Attempt, ExecutorStatus, Outcome, Phase, ProgramEnd, Progress, Recovery, SparkJobStatus};
pub use termination::TerminationMessage;

/// API group of all custom resources.
pub const GROUP: &str = "firesteel.dev";
/// Version of the custom resources this build reads and writes.
pub const VERSION: &str = "v1alpha1";
/// Field manager under which the operator applies objects and its part of the status.
pub const OPERATOR_FIELD_MANAGER: &str = "firesteel-operator";
/// Field manager under which a driver applies `status.progress` and `status.executors`, and nothing else.
pub const DRIVER_FIELD_MANAGER: &str = "firesteel-driver";
/// Field manager under which a driver applies `status.recovery`, and nothing else.
pub const JOURNAL_FIELD_MANAGER: &str = "firesteel-driver-journal";
