//! Where the blocks of an application are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use firesteel_protocol::ExecutorId;
use parking_lot::{Mutex, RwLock};

use super::{BlockId, CacheStore, StorageLevel, batch::StoredBlock};

/// What an executor says of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockReport {
    pub id: BlockId,
    /// False: it is there no more.
    pub present: bool,
    pub rows: u64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

impl BlockReport {
    pub fn gone(id: BlockId) -> Self {
        Self { id, present: false, rows: 0, memory_bytes: 0, disk_bytes: 0 }
    }

    pub(super) fn of(block: &StoredBlock) -> Self {
        Self {
            id: block.id,
            present: true,
            rows: block.rows(),
            memory_bytes: block.memory_bytes as u64,
            disk_bytes: block.disk_bytes,
        }
    }
}

/// Those who hold blocks, as far as the master has something to tell them. Nothing here may wait.
pub trait CacheEndpoint: Send + Sync {
    fn remove_relations(&self, relations: &[u64]);
}

impl CacheEndpoint for CacheStore {
    fn remove_relations(&self, relations: &[u64]) {
        Self::remove_relations(self, relations);
    }
}

/// The driver's list of cached relations and of the executors that hold their blocks.
#[derive(Default)]
pub struct BlockMaster {
    next: AtomicU64,
    state: Mutex<State>,
    endpoint: RwLock<Option<Weak<dyn CacheEndpoint>>>,
}

#[derive(Default)]
struct State {
    relations: BTreeMap<u64, Relation>,
    by_executor: BTreeMap<ExecutorId, BTreeSet<BlockId>>,
    /// Executors that are about to go: their copies do not count.
    leaving: BTreeSet<ExecutorId>,
    /// Blocks of which there may be too few copies.
    short: BTreeSet<BlockId>,
}

struct Relation {
    name: String,
    level: StorageLevel,
    /// One entry a partition.
    blocks: Vec<Block>,
    /// Those of which there is a copy.
    cached: usize,
}

#[derive(Default, Clone)]
struct Block {
    /// Once it was computed. What is lost and made again has as many.
    rows: Option<u64>,
    bytes: u64,
    copies: BTreeMap<ExecutorId, Copy>,
    /// Executors that were asked to copy it.
    asked: BTreeSet<ExecutorId>,
    /// Those that could not.
    refused: BTreeSet<ExecutorId>,
}

#[derive(Clone)]
struct Copy {
    address: String,
    memory: u64,
    disk: u64,
}

/// A relation as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationSummary {
    pub id: u64,
    pub name: String,
    pub level: StorageLevel,
    pub partitions: usize,
    /// Partitions that are kept somewhere.
    pub cached: usize,
    /// When all partitions were computed.
    pub rows: Option<u64>,
    /// Of one copy of each partition.
    pub bytes: u64,
    /// Of all copies.
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

impl fmt::Debug for BlockMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockMaster").field("relations", &self.state.lock().relations.len()).finish_non_exhaustive()
    }
}

impl BlockMaster {
    pub fn set_endpoint(&self, endpoint: Weak<dyn CacheEndpoint>) {
        *self.endpoint.write() = Some(endpoint);
    }

    pub(super) fn register(&self, name: &str, level: StorageLevel, partitions: usize) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let relation = Relation { name: name.to_owned(), level, blocks: vec![Block::default(); partitions], cached: 0 };
        self.state.lock().relations.insert(id, relation);
        id
    }

    pub fn knows(&self, relation: u64) -> bool {
        self.state.lock().relations.contains_key(&relation)
    }

    /// Forgets a relation and has its blocks removed.
    pub fn remove(&self, relation: u64) {
        {
            let mut state = self.state.lock();
            let Some(removed) = state.relations.remove(&relation) else { return };
            tracing::info!(relation, name = removed.name, "a cached relation is removed");
            for blocks in state.by_executor.values_mut() {
                blocks.retain(|id| id.relation != relation);
            }
            state.by_executor.retain(|_, blocks| !blocks.is_empty());
        }
        self.tell_removed(&[relation]);
    }

    fn tell_removed(&self, relations: &[u64]) {
        let endpoint = self.endpoint.read().as_ref().and_then(Weak::upgrade);
        if let Some(endpoint) = endpoint {
            endpoint.remove_relations(relations);
        }
    }

    /// What an executor says has changed. Blocks of relations that are cached no more are removed again.
    pub fn reported(&self, executor: &ExecutorId, address: &str, reports: Vec<BlockReport>) {
        let mut stale = Vec::new();
        {
            let mut state = self.state.lock();
            for report in reports {
                state.reported(executor, address, report, &mut stale);
            }
        }
        stale.sort_unstable();
        stale.dedup();
        if !stale.is_empty() {
            self.tell_removed(&stale);
        }
    }

    /// Everything that the executor held is gone.
    pub fn executor_lost(&self, executor: &ExecutorId) {
        let mut state = self.state.lock();
        state.leaving.remove(executor);
        let lost = state.by_executor.remove(executor).unwrap_or_default();
        state.short.extend(lost.iter().copied());
        if !lost.is_empty() {
            tracing::warn!(%executor, blocks = lost.len(), "cached blocks are lost with their executor");
        }
        for relation in state.relations.values_mut() {
            for block in &mut relation.blocks {
                block.asked.remove(executor);
                if block.copies.remove(executor).is_some() && block.copies.is_empty() {
                    relation.cached -= 1;
                }
            }
        }
    }

    /// Executors that hold a block, with their addresses.
    pub fn locations(&self, id: BlockId) -> Vec<(ExecutorId, String)> {
        let state = self.state.lock();
        let block = state.relations.get(&id.relation).and_then(|r| r.blocks.get(id.partition as usize));
        let copies = block.map(|b| b.copies.iter().map(|(e, c)| (e.clone(), c.address.clone())).collect());
        copies.unwrap_or_default()
    }

    pub fn is_complete(&self, relation: u64) -> bool {
        let state = self.state.lock();
        state.relations.get(&relation).is_some_and(|r| r.cached == r.blocks.len())
    }

    /// Whether the executor holds any block.
    pub fn holds_blocks(&self, executor: &ExecutorId) -> bool {
        self.state.lock().by_executor.contains_key(executor)
    }

    /// The executors that hold blocks.
    pub fn executors_with_blocks(&self) -> Vec<ExecutorId> {
        self.state.lock().by_executor.keys().cloned().collect()
    }

    /// The executor is about to go: its blocks are wanted elsewhere.
    pub fn leaving(&self, executor: &ExecutorId) {
        let mut state = self.state.lock();
        let held = state.by_executor.get(executor).cloned().unwrap_or_default();
        state.short.extend(held);
        state.leaving.insert(executor.clone());
    }

    /// Blocks of the executor that somebody else is fetching and nobody else has yet.
    pub fn waiting_for_copies(&self, executor: &ExecutorId) -> usize {
        let state = self.state.lock();
        let Some(held) = state.by_executor.get(executor) else { return 0 };
        let waits =
            |id: &&BlockId| state.block(**id).is_some_and(|block| !block.asked.is_empty() && state.staying(block) == 0);
        held.iter().filter(waits).count()
    }

    /// Copies to be made now: the block, who shall fetch it, and from where. Each is named once. `executors` are those that
    /// can take some.
    pub fn copies_wanted(&self, executors: &[ExecutorId]) -> Vec<(BlockId, ExecutorId, String)> {
        let mut state = self.state.lock();
        let mut wanted = Vec::new();
        let load = |state: &State, e: &ExecutorId| state.by_executor.get(e).map_or(0, BTreeSet::len);
        let mut by_load: Vec<(usize, &ExecutorId)> = executors.iter().map(|e| (load(&state, e), e)).collect();
        for id in std::mem::take(&mut state.short) {
            let Some(replicas) = state.relations.get(&id.relation).map(|r| r.level.replicas as usize) else { continue };
            let Some(block) = state.block(id) else { continue };
            let staying = state.staying(block);
            // Nothing to copy from: it is made again when it is wanted.
            let Some(from) = block.copies.values().next().map(|copy| copy.address.clone()) else { continue };
            let missing = replicas.saturating_sub(staying + block.asked.len());
            by_load.sort_unstable();
            let may = |e: &ExecutorId| {
                !block.copies.contains_key(e) && !block.asked.contains(e) && !block.refused.contains(e)
            };
            let chosen: Vec<ExecutorId> = by_load
                .iter_mut()
                .filter(|(_, e)| may(e))
                .take(missing)
                .map(|(load, e)| {
                    *load += 1;
                    (*e).clone()
                })
                .collect();
            if chosen.len() < missing {
                // Somebody may come who can.
                state.short.insert(id);
            }
            let Some(block) = state.block_mut(id) else { continue };
            for executor in chosen {
                block.asked.insert(executor.clone());
                wanted.push((id, executor, from.clone()));
            }
        }
        wanted
    }

    pub fn level(&self, relation: u64) -> Option<StorageLevel> {
        self.state.lock().relations.get(&relation).map(|r| r.level)
    }

    pub fn summary(&self, relation: u64) -> Option<RelationSummary> {
        self.state.lock().relations.get(&relation).map(|r| r.summary(relation))
    }

    /// All relations, oldest first.
    pub fn summaries(&self) -> Vec<RelationSummary> {
        self.state.lock().relations.iter().map(|(id, relation)| relation.summary(*id)).collect()
    }
}

impl State {
    fn block(&self, id: BlockId) -> Option<&Block> {
        self.relations.get(&id.relation)?.blocks.get(id.partition as usize)
    }

    fn block_mut(&mut self, id: BlockId) -> Option<&mut Block> {
        self.relations.get_mut(&id.relation)?.blocks.get_mut(id.partition as usize)
    }

    /// Copies on executors that stay.
    fn staying(&self, block: &Block) -> usize {
        block.copies.keys().filter(|executor| !self.leaving.contains(*executor)).count()
    }

    fn reported(&mut self, executor: &ExecutorId, address: &str, report: BlockReport, stale: &mut Vec<u64>) {
        let id = report.id;
        let Some(block) = self.block_mut(id) else {
            if report.present {
                stale.push(id.relation);
            }
            return;
        };
        let before = block.copies.len();
        let was_asked = block.asked.remove(executor);
        if report.present {
            block.rows = Some(report.rows);
            block.bytes = report.memory_bytes.max(report.disk_bytes);
            let copy = Copy { address: address.to_owned(), memory: report.memory_bytes, disk: report.disk_bytes };
            block.copies.insert(executor.clone(), copy);
        } else {
            block.copies.remove(executor);
            if was_asked {
                block.refused.insert(executor.clone());
            }
        }
        let copies = block.copies.len();
        let held = self.by_executor.entry(executor.clone()).or_default();
        if report.present {
            held.insert(id);
        } else {
            held.remove(&id);
        }
        if held.is_empty() {
            self.by_executor.remove(executor);
        }
        let Some(relation) = self.relations.get_mut(&id.relation) else { return };
        if copies < relation.level.replicas as usize || !self.leaving.is_empty() {
            self.short.insert(id);
        }
        match (before, copies) {
            (0, 1) => relation.cached += 1,
            (1, 0) => relation.cached -= 1,
            _ => return,
        }
        if report.present && relation.cached == relation.blocks.len() {
            let RelationSummary { name, rows, bytes, level, .. } = relation.summary(id.relation);
            tracing::info!(relation = id.relation, name, rows, bytes, %level, "a cached relation is complete");
        }
    }
}

impl Relation {
    fn summary(&self, id: u64) -> RelationSummary {
        let copies = || self.blocks.iter().flat_map(|block| block.copies.values());
        RelationSummary {
            id,
            name: self.name.clone(),
            level: self.level,
            partitions: self.blocks.len(),
            cached: self.cached,
            rows: self.blocks.iter().map(|block| block.rows).sum(),
            bytes: self.blocks.iter().map(|block| block.bytes).sum(),
            memory_bytes: copies().map(|copy| copy.memory).sum(),
            disk_bytes: copies().map(|copy| copy.disk).sum(),
        }
    }
}
