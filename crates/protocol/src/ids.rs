//! Identifiers shared by driver, executors and scheduler. Plain numbers wherever a list of them may be long.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// One query of an application: what one action asks for. Unique within an application attempt.
    JobId,
    u64
);
number_id!(
    /// A stage: the tasks between two exchanges. Unique within an application attempt.
    StageId,
    u32
);
number_id!(
    /// The output of a map stage, named for its readers.
    ShuffleId,
    u32
);

/// What a stage computes: equal for stages whose tasks write the same rows to the same blocks, in every life of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// `None` when they are not 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An executor's name, unique within an application attempt (`exec-7`). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ExecutorId(Arc<str>);

impl From<String> for ExecutorId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<ExecutorId> for String {
    fn from(id: ExecutorId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl ExecutorId {
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecutorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One task of a stage: the work on one partition, whichever attempt does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    pub stage: StageId,
    /// Index of the partition within the stage, which is also the map index of its output.
    pub partition: u32,
}

/// One attempt at a task. A late message of an attempt that the driver no longer waits for is known by this and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskAttemptId {
    pub task: TaskId,
    /// How many times the stage has been submitted before (0 the first time).
    pub stage_attempt: u32,
    /// Unique within the application attempt: numbers every task attempt ever launched.
    pub attempt: u64,
}

impl fmt::Display for TaskAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}#{}", self.task.stage, self.stage_attempt, self.task.partition, self.attempt)
    }
}
