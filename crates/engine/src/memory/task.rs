//! The memory of one task.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{DataFusionError, Result},
    execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
};

use super::ExecutorMemory;

/// One task's part of the executor's memory: the pool of its operators.
#[derive(Debug)]
pub struct TaskMemory {
    memory: ExecutorMemory,
    id: u64,
    name: String,
}

impl TaskMemory {
    pub(super) fn new(memory: ExecutorMemory, id: u64, name: String) -> Self {
        Self { memory, id, name }
    }

    /// The most that the task had at a time.
    pub fn peak(&self) -> usize {
        self.memory.task_peak(self.id)
    }

    pub fn executor(&self) -> &ExecutorMemory {
        &self.memory
    }

    /// As DataFusion takes it.
    pub fn pool(self: &Arc<Self>) -> Arc<dyn MemoryPool> {
        self.clone()
    }
}

impl Drop for TaskMemory {
    fn drop(&mut self) {
        self.memory.end_task(self.id);
    }
}

impl fmt::Display for TaskMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory of {}: {} of {}", self.name, self.reserved(), self.memory.total())
    }
}

impl MemoryPool for TaskMemory {
    fn name(&self) -> &str {
        &self.name
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.memory.register(self.id, consumer.id(), consumer.name(), consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.memory.unregister(self.id, consumer.id());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.memory.grow(self.id, reservation.consumer().id(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.memory.shrink(self.id, reservation.consumer().id(), shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.memory
            .try_grow(self.id, reservation.consumer().id(), reservation.size(), additional)
            .map_err(DataFusionError::ResourcesExhausted)
    }

    fn reserved(&self) -> usize {
        self.memory.task_used(self.id)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.memory.total())
    }
}
