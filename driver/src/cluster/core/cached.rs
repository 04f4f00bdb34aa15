//! Cached blocks on executors: what they report, where tasks find them, copies and removal.

use std::sync::Arc;

use firesteel_engine::cache::{BlockId, BlockMaster, BlockReport, CacheEndpoint};
use firesteel_protocol::{
    ExecutorId,
    proto::{CachedBlocks, CachedLocation, RemoveCached, ReplicateCached, driver_message::Message},
};
use prost::Message as _;

use super::{Core, StageEntry, State};

impl Core {
    fn blocks_master(&self) -> Arc<BlockMaster> {
        self.engine.cache().master().clone()
    }

    /// What an executor's cached blocks changed to.
    pub fn cached_blocks(&self, executor: &ExecutorId, message: CachedBlocks) {
        let address = {
            let state = self.state.lock();
            // One that was given up may still talk.
            let Some(connection) = state.executors.get(executor) else { return };
            connection.address.clone()
        };
        let reports = message.blocks.into_iter().map(|block| BlockReport {
            id: BlockId { relation: block.relation, partition: block.partition },
            present: block.present,
            rows: block.rows,
            memory_bytes: block.memory_bytes,
            disk_bytes: block.disk_bytes,
        });
        self.blocks_master().reported(executor, &address, reports.collect());
        self.replicate(&mut self.state.lock());
    }

    /// Has executors copy blocks of which there are fewer copies than their level says.
    pub(super) fn replicate(&self, state: &mut State) {
        let ready = |(_, c): &(&ExecutorId, &super::Connection)| c.ended.is_none() && !c.leaving;
        let executors: Vec<ExecutorId> = state.executors.iter().filter(ready).map(|(id, _)| id.clone()).collect();
        for (id, executor, from) in self.blocks_master().copies_wanted(&executors) {
            let level = self.blocks_master().level(id.relation).unwrap_or_default();
            let copy = ReplicateCached {
                relation: id.relation,
                partition: id.partition,
                from,
                level: level.encode_to_vec().into(),
            };
            if !self.send(state, &executor, Message::ReplicateCached(copy)) {
                tracing::warn!(%executor, block = %id, "an executor cannot be asked to copy a cached block");
            }
        }
    }

    /// Where the cached blocks are that a task reads.
    pub(super) fn locations(&self, stage: &StageEntry, partition: u32) -> Vec<CachedLocation> {
        let Some(blocks) = stage.cached.get(partition as usize) else { return Vec::new() };
        let located = blocks.iter().map(|id| CachedLocation {
            relation: id.relation,
            partition: id.partition,
            addresses: self.blocks_master().locations(*id).into_iter().map(|(_, address)| address).collect(),
        });
        located.filter(|location| !location.addresses.is_empty()).collect()
    }

    /// Its blocks are gone with it; where there are other copies, one more is made.
    pub(super) fn cached_blocks_lost(&self, state: &mut State, executor: &ExecutorId) {
        self.blocks_master().executor_lost(executor);
        self.replicate(state);
    }
}

impl CacheEndpoint for Core {
    fn remove_relations(&self, relations: &[u64]) {
        let mut state = self.state.lock();
        for connection in state.executors.values_mut() {
            let remove = RemoveCached { relations: relations.to_vec() };
            connection.session.say(Message::RemoveCached(remove));
        }
    }
}
