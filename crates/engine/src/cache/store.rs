//! The blocks that this process keeps, in memory and on its disks.

mod evict;
mod put;
mod serve;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{BlockId, BlockMaster, BlockReport, batch::StoredBlock, relation::CacheSettings};
use crate::memory::{EvictStorage, ExecutorMemory};

pub use self::{
    put::{Put, renamed},
    serve::{ServedFrame, Serving},
};

/// Blocks of cached relations. Under memory pressure the blocks read least recently go: to disk where their level says so.
#[derive(Debug)]
pub struct CacheStore {
    memory: ExecutorMemory,
    /// Folders for blocks on disk, made when the first is written.
    dirs: Vec<PathBuf>,
    next_file: AtomicU64,
    next_dir: AtomicUsize,
    state: Mutex<State>,
    /// Learns of every change at once: in a process of its own.
    master: OnceLock<Weak<BlockMaster>>,
}

#[derive(Debug, Default)]
struct State {
    blocks: HashMap<BlockId, Kept>,
    /// Blocks that hold memory, by when they were last read.
    by_use: BTreeMap<u64, BlockId>,
    clock: u64,
    computing: HashMap<BlockId, watch::Receiver<()>>,
    /// Relations that are cached no more: what is computed of them still is not kept.
    removed: BTreeMap<u64, ()>,
    /// What the driver has not been told yet; the last word on each block.
    unreported: HashMap<BlockId, BlockReport>,
}

#[derive(Debug)]
struct Kept {
    block: Arc<StoredBlock>,
    /// Its place in `by_use`; 0 without memory.
    used: u64,
}

/// Relations remembered as removed; ids grow, so the oldest are those whose tasks are long over.
const REMEMBERED: usize = 10_000;

/// What a reader of a block does.
#[derive(Debug)]
pub enum Claim {
    /// Read it.
    Hit(Arc<StoredBlock>),
    /// Wait until somebody else has computed it, then claim again.
    Busy(watch::Receiver<()>),
    /// Compute it.
    Mine(Ticket),
}

/// The right to compute a block. Dropped: others may try.
#[derive(Debug)]
pub struct Ticket {
    store: Arc<CacheStore>,
    pub id: BlockId,
    _done: watch::Sender<()>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.store.state.lock().computing.remove(&self.id);
    }
}

impl CacheStore {
    /// Blocks on disk get a folder of their own in each of `local_dirs`.
    pub fn new(local_dirs: &[PathBuf], memory: ExecutorMemory) -> Self {
        let folder = format!("firesteel-cache-{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
        Self {
            memory,
            dirs: local_dirs.iter().map(|dir| dir.join(&folder)).collect(),
            next_file: AtomicU64::new(0),
            next_dir: AtomicUsize::new(0),
            state: Mutex::default(),
            master: OnceLock::new(),
        }
    }

    /// Tells `master` of every change from now on.
    pub fn report_to(&self, master: &Arc<BlockMaster>) {
        let _ = self.master.set(Arc::downgrade(master));
    }

    pub fn claim(self: &Arc<Self>, id: BlockId) -> Claim {
        let mut state = self.state.lock();
        if let Some(block) = state.touch(id) {
            return Claim::Hit(block);
        }
        if let Some(done) = state.computing.get(&id) {
            return Claim::Busy(done.clone());
        }
        let (sender, receiver) = watch::channel(());
        state.computing.insert(id, receiver);
        Claim::Mine(Ticket { store: self.clone(), id, _done: sender })
    }

    pub fn get(&self, id: BlockId) -> Option<Arc<StoredBlock>> {
        self.state.lock().touch(id)
    }

    pub fn contains(&self, id: BlockId) -> bool {
        self.state.lock().blocks.contains_key(&id)
    }

    /// Bytes in memory and on disk.
    pub fn used(&self) -> (u64, u64) {
        let state = self.state.lock();
        let sizes = state.blocks.values().map(|kept| (kept.block.memory_bytes as u64, kept.block.disk_bytes));
        sizes.fold((0, 0), |(memory, disk), (m, d)| (memory + m, disk + d))
    }

    /// Forgets a block, because it cannot be read or is not wanted.
    pub fn remove(&self, id: BlockId) {
        let report = {
            let mut state = self.state.lock();
            state.forget(id).then(|| state.note(BlockReport::gone(id)))
        };
        self.tell(report);
    }

    /// Forgets the blocks of relations that are cached no more, and keeps none that is still computed.
    pub fn remove_relations(&self, relations: &[u64]) {
        let mut state = self.state.lock();
        for relation in relations {
            state.removed.insert(*relation, ());
        }
        while state.removed.len() > REMEMBERED {
            state.removed.pop_first();
        }
        let gone: Vec<BlockId> = state.blocks.keys().filter(|id| relations.contains(&id.relation)).copied().collect();
        for id in gone {
            state.forget(id);
        }
        // The driver knows.
        state.unreported.retain(|id, _| !relations.contains(&id.relation));
    }

    /// Forgets everything, what was removed too, and removes its folders.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.removed.clear();
        state.unreported.clear();
        let all: Vec<BlockId> = state.blocks.keys().copied().collect();
        for id in all {
            state.forget(id);
        }
        drop(state);
        for dir in &self.dirs {
            let _ = std::fs::remove_dir_all(dir);
        }
    }

    /// What changed since it was last asked, for the driver.
    pub fn take_reports(&self) -> Vec<BlockReport> {
        self.state.lock().unreported.drain().map(|(_, report)| report).collect()
    }

    /// Puts a finished block in. False: its relation is cached no more.
    fn insert(&self, block: Arc<StoredBlock>) -> bool {
        let report = {
            let mut state = self.state.lock();
            if state.removed.contains_key(&block.id.relation) {
                return false;
            }
            state.forget(block.id);
            let used = if block.memory_bytes > 0 { state.next_use(block.id) } else { 0 };
            let report = BlockReport::of(&block);
            state.blocks.insert(block.id, Kept { block, used });
            state.note(report)
        };
        self.tell(Some(report));
        true
    }

    fn tell(&self, report: Option<BlockReport>) {
        if let (Some(report), Some(master)) = (report, self.master.get().and_then(Weak::upgrade)) {
            self.state.lock().unreported.clear();
            master.reported(&firesteel_protocol::ExecutorId::new("driver"), "", vec![report]);
        }
    }

    fn new_file(&self, id: BlockId) -> std::io::Result<PathBuf> {
        let at = self.next_dir.fetch_add(1, Ordering::Relaxed);
        let Some(dir) = self.dirs.get(at % self.dirs.len().max(1)) else {
            return Err(std::io::Error::other("there is no local directory"));
        };
        std::fs::create_dir_all(dir)?;
        Ok(dir.join(format!("{id}.{}", self.next_file.fetch_add(1, Ordering::Relaxed))))
    }

    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }
}

impl EvictStorage for CacheStore {
    fn evict(&self, bytes: usize) {
        self.free(bytes);
    }
}

impl Drop for CacheStore {
    fn drop(&mut self) {
        self.clear();
    }
}

impl State {
    /// True: it was there. Its memory is free when nobody reads it any more.
    fn forget(&mut self, id: BlockId) -> bool {
        let Some(kept) = self.blocks.remove(&id) else { return false };
        self.by_use.remove(&kept.used);
        true
    }

    fn touch(&mut self, id: BlockId) -> Option<Arc<StoredBlock>> {
        let kept = self.blocks.get(&id)?;
        let (block, used) = (kept.block.clone(), kept.used);
        if used > 0 {
            self.by_use.remove(&used);
            let now = self.next_use(id);
            if let Some(kept) = self.blocks.get_mut(&id) {
                kept.used = now;
            }
        }
        Some(block)
    }

    fn next_use(&mut self, id: BlockId) -> u64 {
        self.clock += 1;
        self.by_use.insert(self.clock, id);
        self.clock
    }

    fn note(&mut self, report: BlockReport) -> BlockReport {
        self.unreported.insert(report.id, report);
        report
    }
}

/// The folder of a block's file, for messages.
fn shown(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

impl CacheSettings {
    /// Rows of a kept batch, for rows of so many bytes.
    fn rows_for(&self, row_bytes: usize) -> usize {
        (super::relation::MAX_BATCH_BYTES / row_bytes.max(1)).clamp(1, self.batch_rows.max(1))
    }
}
