//! How far things are: what the driver shows and by what it asks for executors.

use firesteel_protocol::StageId;

/// How far one stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageProgress {
    pub stage: StageId,
    pub state: StageState,
    /// How many times the stage was submitted before (0 the first time).
    pub stage_attempt: u32,
    pub tasks: u32,
    pub running: u32,
    /// Tasks whose output is there.
    pub done: u32,
    /// Attempts that failed, whatever the reason.
    pub failed_attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageState {
    /// Nothing to do: all outputs are there, or nobody asks for them now.
    Idle,
    /// Waits for outputs that it reads.
    Waiting,
    /// Its tasks may run.
    Running,
}

/// What could be used, to size the set of executors by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Tasks that could run now if there were slots.
    pub pending_tasks: u64,
    /// Attempts that hold a slot.
    pub running_attempts: u64,
    /// Task slots of all executors that take tasks: neither leaving nor excluded.
    pub slots: u64,
    /// Stages with a task that may run on none of the executors, for its failures there: each needs another one.
    pub unschedulable_stages: u32,
}
