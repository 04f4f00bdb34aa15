//! The memory of one executor.
//!
//! Every process has one budget, [`ExecutorMemory`]: `spark.memory.fraction` of the memory that its cgroup gives it. The
//! rest is for what no operator accounts: decoding, the network, plans, what the allocator keeps. The budget has two users:
//!
//! - **Execution**: what operators hold while they compute. Each task draws on a [`TaskMemory`] of its own, which is the
//!   `MemoryPool` of its operators.
//! - **Storage**: cached blocks. [`ExecutorMemory::acquire_storage`] answers a [`StorageGrant`], which gives its bytes back
//!   when it is dropped. Storage may take what execution leaves free. When execution needs it back, it asks the
//!   [`EvictStorage`] that was set with [`ExecutorMemory::set_evictor`] to drop grants, until storage is down to its
//!   protected share (`spark.memory.storageFraction`). Execution is never evicted.
//!
//! # Who gets how much
//! Spark's rule, at two levels. Among tasks: with N of S slots' tasks active, each may have up to 1/N of execution's
//! memory, and is sure of 1/2S. Spark lets a task wait until its half of a share is free; here nobody waits, instead the
//! others may not take what a task that has yet to begin is sure of. Within a task the same holds among the consumers that
//! can spill: operators of one task are no more equal than tasks, and none of them can be made to spill by another.
//! Consumers that cannot spill may have what their task may have.
//!
//! A refusal is `ResourcesExhausted`, which operators answer by spilling. So that none dies for want of the little that it
//! needs to spill, a small part of the budget is kept back for first grants ([`FIRST_GRANT`]).

mod budget;
mod compact;
mod plan;
mod prepaid;
pub(crate) mod spill_file;
mod storage;
mod task;

use std::sync::Arc;

use datafusion::{
    common::Result,
    execution::{
        TaskContext,
        memory_pool::MemoryPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
};

pub use budget::{ExecutorMemory, FIRST_GRANT, MemoryUse};
pub use compact::CompactExec;
pub use plan::{BoundedMemory, bounded};
pub(crate) use prepaid::PrepaidPool;
pub use storage::{EvictStorage, StorageGrant};
pub use task::TaskMemory;

/// `runtime` with another pool; all else is shared.
pub(crate) fn runtime_with_pool(runtime: &RuntimeEnv, pool: Arc<dyn MemoryPool>) -> Result<Arc<RuntimeEnv>> {
    RuntimeEnvBuilder::from_runtime_env(runtime).with_memory_pool(pool).build_arc()
}

/// `context` with another pool.
pub(crate) fn context_with_pool(context: &TaskContext, pool: Arc<dyn MemoryPool>) -> Result<Arc<TaskContext>> {
    let runtime = runtime_with_pool(&context.runtime_env(), pool)?;
    Ok(Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone(),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        runtime,
    )))
}

/// Bytes of memory that this process may use in all: its cgroup's limit, or the machine's memory.
pub fn process_memory() -> u64 {
    cgroup_memory_limit().into_iter().chain(machine_memory()).min().unwrap_or(1 << 30)
}

/// The cgroup's memory limit (v2, then v1), if one is set.
pub fn cgroup_memory_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
}

fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
