//! Storage's side of the budget.

use std::fmt;

use super::ExecutorMemory;

/// Memory of cached blocks; its bytes are free again when it is dropped.
#[derive(Debug)]
pub struct StorageGrant {
    memory: ExecutorMemory,
    bytes: usize,
}

impl StorageGrant {
    pub(super) fn new(memory: ExecutorMemory, bytes: usize) -> Self {
        Self { memory, bytes }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for StorageGrant {
    fn drop(&mut self) {
        self.memory.release_storage(self.bytes);
    }
}

/// Frees storage that execution needs.
pub trait EvictStorage: fmt::Debug + Send + Sync {
    /// Drops grants of at least `bytes`, if there are any that can go, before it returns. Called by the thread that
    /// computes, with no lock of the budget held.
    fn evict(&self, bytes: usize);
}
