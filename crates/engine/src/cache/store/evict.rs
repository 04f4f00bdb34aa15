//! Making room in memory.

use std::sync::Arc;

use super::{CacheStore, Kept};
use crate::{
    cache::{
        BlockId, BlockReport,
        batch::{BatchData, StoredBatch, StoredBlock},
    },
    error::to_datafusion,
    memory::StorageGrant,
};

impl CacheStore {
    /// Takes memory for a block of `relation`, from blocks of other relations if it must be: a relation that does not fit
    /// would otherwise push out its own first blocks for its last. Nothing when there is not so much to be had.
    pub(super) fn reserve(&self, bytes: usize, relation: u64) -> Option<StorageGrant> {
        if bytes > self.memory.total() {
            return None;
        }
        // Bounded: every round evicts something or ends.
        loop {
            match self.memory.acquire_storage(bytes) {
                Ok(grant) => return Some(grant),
                Err(missing) => {
                    if self.evict_some(missing, |id| id.relation != relation) == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// Gives back so much memory, if blocks that nobody reads at the moment hold it. Answers how much it was.
    pub fn free(&self, bytes: usize) -> usize {
        self.evict_some(bytes, |_| true)
    }

    fn evict_some(&self, bytes: usize, may_go: impl Fn(BlockId) -> bool) -> usize {
        let mut freed = 0;
        while freed < bytes {
            let Some(block) = self.oldest(&may_go) else { break };
            freed += self.evict(block);
        }
        freed
    }

    /// The block in memory that was read least recently and may go. Blocks that somebody holds would not free anything.
    fn oldest(&self, may_go: &impl Fn(BlockId) -> bool) -> Option<Arc<StoredBlock>> {
        let state = self.state.lock();
        let free = |id: &&BlockId| {
            may_go(**id) && state.blocks.get(*id).is_some_and(|kept| Arc::strong_count(&kept.block) == 1)
        };
        let id = state.by_use.values().find(free)?;
        state.blocks.get(id).map(|kept| kept.block.clone())
    }

    /// Writes the block to disk if its level has disk, and takes it out of memory. Answers the bytes freed.
    fn evict(&self, block: Arc<StoredBlock>) -> usize {
        let id = block.id;
        let on_disk = if block.level.disk {
            match self.to_disk(&block) {
                Ok(on_disk) => Some(Arc::new(on_disk)),
                Err(error) => {
                    tracing::warn!(block = %id, %error, "a cached block cannot be written to disk and is dropped");
                    None
                }
            }
        } else {
            None
        };
        let report = {
            let mut state = self.state.lock();
            // It may have gone, or been made anew, while it was written.
            let same = state.blocks.get(&id).is_some_and(|kept| Arc::ptr_eq(&kept.block, &block));
            if !same {
                return 0;
            }
            state.forget(id);
            let report = match on_disk {
                Some(on_disk) => {
                    let report = BlockReport::of(&on_disk);
                    state.blocks.insert(id, Kept { block: on_disk, used: 0 });
                    report
                }
                None => BlockReport::gone(id),
            };
            state.note(report)
        };
        tracing::debug!(block = %id, bytes = block.memory_bytes, to_disk = block.level.disk, "evicted a cached block");
        self.tell(Some(report));
        block.memory_bytes
    }

    fn to_disk(&self, block: &StoredBlock) -> datafusion::common::Result<StoredBlock> {
        let mut writer = super::put::DiskWriter::create(self, block.id)?;
        let mut batches = Vec::with_capacity(block.batches.len());
        for (index, batch) in block.batches.iter().enumerate() {
            let frames = (0..block.schema.fields().len()).map(|column| block.frame(index, column));
            let places = frames.map(|frame| writer.append(&frame?)).collect::<Result<Vec<_>, _>>()?;
            batches.push(StoredBatch {
                rows: batch.rows,
                statistics: batch.statistics.clone(),
                data: BatchData::Disk(places),
                grant: None,
            });
        }
        let (file, disk_bytes) = writer.finish().map_err(to_datafusion)?;
        Ok(StoredBlock {
            id: block.id,
            level: block.level,
            schema: block.schema.clone(),
            batches,
            memory_bytes: 0,
            disk_bytes,
            file: Some(file),
        })
    }
}
