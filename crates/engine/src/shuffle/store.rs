//! Map outputs on an executor's local disks; small ones in its memory.
//!
//! `<dir>/firesteel-<executor>/shuffle-<id>/<map>-<attempt>.data` and `.index`. Both are written under temporary names;
//! an output is there once its index has its own name.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::{self, File},
    io::{self, BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use firesteel_protocol::{Fingerprint, ShuffleId};
use parking_lot::Mutex;

use super::{
    held::{HELD_AT_MOST, Source},
    index::{self, BlockEntry, Part},
};

/// What one attempt of a map task wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapOutputId {
    pub shuffle: ShuffleId,
    pub map: u32,
    pub attempt: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no output of attempt {} of map {} of shuffle {} here", .0.attempt, .0.map, .0.shuffle)]
    Missing(MapOutputId),
    #[error("the output of map {} of shuffle {} is damaged: {message}", .id.map, .id.shuffle)]
    Damaged { id: MapOutputId, message: String },
    #[error("the disk of {} is full: {source}. Give spark.local.dir a larger volume", .dir.display())]
    DiskFull { dir: PathBuf, source: io::Error },
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("shuffle {0} was removed while it was written")]
    Removed(ShuffleId),
}

impl StoreError {
    pub(super) fn of(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { dir: path.parent().unwrap_or(path).to_owned(), source }
            }
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

/// The map outputs of one executor.
#[derive(Debug)]
pub struct BlockStore {
    pub(super) roots: Vec<PathBuf>,
    pub(super) state: Mutex<State>,
    used: AtomicU64,
    /// An output of at most so many bytes stays in memory.
    small: usize,
    /// Bytes of those that did.
    held: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub outputs: HashMap<ShuffleId, HashMap<(u32, u64), Output>>,
    /// What the stages that write these shuffles compute, where a later driver may want to know.
    pub fingerprints: HashMap<ShuffleId, Fingerprint>,
    /// The shuffles removed last: a task that still wrote one must not bring it back.
    removed: HashSet<ShuffleId>,
    removed_order: VecDeque<ShuffleId>,
}

#[derive(Debug, Clone)]
pub(super) struct Output {
    /// The folder of its files.
    pub root: usize,
    /// Of its files.
    pub bytes: u64,
    /// Its data and its index, where it has no files.
    pub held: Option<[Bytes; 2]>,
}

impl Output {
    fn held_bytes(&self) -> u64 {
        self.held.iter().flatten().map(|part| part.len() as u64).sum()
    }
}

const REMEMBERED_REMOVALS: usize = 10_000;

impl BlockStore {
    /// Makes this executor's folder in each of `dirs`, empty: what an earlier process of its name left is removed.
    pub fn open(dirs: &[PathBuf], executor: &str) -> Result<Self, StoreError> {
        let name: String =
            executor.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let mut roots = Vec::new();
        for dir in dirs {
            let root = dir.join(format!("firesteel-{name}"));
            match fs::remove_dir_all(&root) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(StoreError::of(&root, e)),
                _ => fs::create_dir_all(&root).map_err(|e| StoreError::of(&root, e))?,
            }
            roots.push(root);
        }
        if roots.is_empty() {
            let source = io::Error::new(io::ErrorKind::NotFound, "no local directory is configured");
            return Err(StoreError::Io { path: PathBuf::new(), source });
        }
        Ok(Self { roots, state: Mutex::default(), used: AtomicU64::new(0), small: 0, held: AtomicU64::new(0) })
    }

    /// Outputs of at most `bytes` stay in memory, up to 32 MiB of them.
    pub fn holding(self, bytes: usize) -> Self {
        Self { small: bytes, ..self }
    }

    /// Bytes of all outputs on disk.
    pub fn disk_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn path(&self, root: usize, id: MapOutputId, extension: &str) -> PathBuf {
        self.roots[root].join(format!("shuffle-{}", id.shuffle)).join(format!("{}-{}.{extension}", id.map, id.attempt))
    }

    /// Which folder a new output goes to.
    pub(super) fn root_of(&self, id: MapOutputId) -> usize {
        (id.shuffle.0 as usize).wrapping_add(id.map as usize).wrapping_add(id.attempt as usize) % self.roots.len()
    }

    /// The `data` or the `index` of an output.
    pub(super) fn source(&self, id: MapOutputId, extension: &str) -> Result<Source, StoreError> {
        let output = {
            let state = self.state.lock();
            let output = state.outputs.get(&id.shuffle).and_then(|maps| maps.get(&(id.map, id.attempt)));
            output.cloned().ok_or(StoreError::Missing(id))?
        };
        if let Some([data, index]) = output.held {
            return Ok(Source::Memory(if extension == "data" { data } else { index }));
        }
        let path = self.path(output.root, id, extension);
        let file = File::open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(id),
            _ => StoreError::of(&path, e),
        })?;
        Ok(Source::File(Arc::new(file)))
    }

    /// Makes an output visible whose files, if it has any, have their names. Removes them again when the shuffle is not wanted
    /// any more.
    pub(super) fn publish(&self, id: MapOutputId, output: Output) -> Result<(), StoreError> {
        let (root, has_files) = (output.root, output.held.is_none());
        {
            let mut state = self.state.lock();
            if !state.removed.contains(&id.shuffle) {
                self.used.fetch_add(output.bytes, Ordering::Relaxed);
                self.held.fetch_add(output.held_bytes(), Ordering::Relaxed);
                let before = state.outputs.entry(id.shuffle).or_default().insert((id.map, id.attempt), output);
                before.iter().for_each(|output| self.uncount(output));
                return Ok(());
            }
        }
        if has_files {
            for extension in ["index", "data"] {
                remove(fs::remove_file(self.path(root, id, extension)));
            }
        }
        Err(StoreError::Removed(id.shuffle))
    }

    fn uncount(&self, output: &Output) {
        self.used.fetch_sub(output.bytes, Ordering::Relaxed);
        self.held.fetch_sub(output.held_bytes(), Ordering::Relaxed);
    }

    /// Whether nothing of this shuffle is to be kept any more.
    pub(super) fn is_removed(&self, shuffle: ShuffleId) -> bool {
        self.state.lock().removed.contains(&shuffle)
    }

    /// Begins an output. Nothing of it is seen before [`OutputFile::commit`]; dropping it removes it.
    pub(super) fn create(&self, id: MapOutputId, num_partitions: usize) -> Result<OutputFile<'_>, StoreError> {
        let root = self.root_of(id);
        let mut out = OutputFile {
            store: self,
            id,
            root,
            temporary: self.path(root, id, "data.tmp"),
            data: Data::Memory(Vec::new()),
            offset: 0,
            entries: vec![BlockEntry::default(); num_partitions],
            committed: false,
        };
        if self.small == 0 {
            out.write_to_file()?;
        }
        Ok(out)
    }

    /// The blocks of `partitions` of one output.
    pub fn blocks(&self, id: MapOutputId, partitions: Range<u32>) -> Result<Vec<StoredBlock>, StoreError> {
        let entries = index::read(&self.source(id, "index")?, partitions.clone()).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                StoreError::Damaged { id, message: e.to_string() }
            }
            _ => StoreError::of(&self.path(self.root_of(id), id, "index"), e),
        })?;
        let mut blocks = Vec::with_capacity(entries.len());
        let mut data = None;
        for (partition, entry) in partitions.zip(entries) {
            if entry.length() == 0 {
                continue;
            }
            let data: &Source = match &mut data {
                Some(data) => data,
                none => none.insert(self.source(id, "data")?),
            };
            blocks.push(StoredBlock { id, partition, data: data.clone(), entry, part: 0, within: 0 });
        }
        Ok(blocks)
    }

    pub fn remove_shuffle(&self, shuffle: ShuffleId) {
        let outputs = {
            let mut state = self.state.lock();
            if state.removed.insert(shuffle) {
                state.removed_order.push_back(shuffle);
                if state.removed_order.len() > REMEMBERED_REMOVALS
                    && let Some(oldest) = state.removed_order.pop_front()
                {
                    state.removed.remove(&oldest);
                }
            }
            state.fingerprints.remove(&shuffle);
            state.outputs.remove(&shuffle)
        };
        outputs.iter().flat_map(HashMap::values).for_each(|output| self.uncount(output));
        for root in &self.roots {
            remove(fs::remove_dir_all(root.join(format!("shuffle-{shuffle}"))));
        }
    }

    pub fn remove_output(&self, id: MapOutputId) {
        let output = self.state.lock().outputs.get_mut(&id.shuffle).and_then(|maps| maps.remove(&(id.map, id.attempt)));
        let Some(output) = output else { return };
        self.uncount(&output);
        if output.held.is_some() {
            return;
        }
        for extension in ["index", "data"] {
            remove(fs::remove_file(self.path(output.root, id, extension)));
        }
    }

    /// Removes everything. For the executor's end.
    pub fn clear(&self) {
        self.state.lock().outputs.clear();
        self.used.store(0, Ordering::Relaxed);
        self.held.store(0, Ordering::Relaxed);
        for root in &self.roots {
            remove(fs::remove_dir_all(root));
        }
    }
}

pub(super) fn remove(result: io::Result<()>) {
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => tracing::warn!(error = %e, "cannot remove shuffle files"),
        _ => {}
    }
}

/// An output that is being written.
pub(super) struct OutputFile<'a> {
    store: &'a BlockStore,
    id: MapOutputId,
    root: usize,
    temporary: PathBuf,
    data: Data,
    offset: u64,
    entries: Vec<BlockEntry>,
    committed: bool,
}

/// What was appended so far.
enum Data {
    /// While it is small.
    Memory(Vec<u8>),
    File(BufWriter<File>),
}

impl OutputFile<'_> {
    /// What was held so far goes to a file, and what follows.
    fn write_to_file(&mut self) -> Result<(), StoreError> {
        let Data::Memory(held) = &self.data else { return Ok(()) };
        let of = |e| StoreError::of(&self.temporary, e);
        if let Some(dir) = self.temporary.parent() {
            fs::create_dir_all(dir).map_err(of)?;
        }
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&self.temporary).map_err(of)?);
        file.write_all(held).map_err(of)?;
        self.data = Data::File(file);
        Ok(())
    }

    /// Begins a run. Within one, partitions are written in order.
    pub fn start_run(&mut self) {
        let offset = self.offset;
        for entry in &mut self.entries {
            entry.parts.push(Part { offset, length: 0 });
        }
    }

    /// Appends to the block of `partition` in this run.
    pub fn append(&mut self, partition: usize, bytes: &[u8], rows: u64) -> Result<(), StoreError> {
        if let Data::Memory(held) = &self.data
            && held.len() + bytes.len() > self.store.small
        {
            self.write_to_file()?;
        }
        match &mut self.data {
            Data::Memory(held) => held.extend_from_slice(bytes),
            Data::File(file) => file.write_all(bytes).map_err(|e| StoreError::of(&self.temporary, e))?,
        }
        let entry = &mut self.entries[partition];
        if let Some(part) = entry.parts.last_mut() {
            if part.length == 0 {
                part.offset = self.offset;
            }
            part.length += bytes.len() as u64;
        }
        entry.rows += rows;
        entry.checksum = crc32c::crc32c_append(entry.checksum, bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// Makes the output visible and says how long each block is and how many rows it has.
    pub fn commit(mut self) -> Result<Vec<(u64, u64)>, StoreError> {
        let (store, id) = (self.store, self.id);
        if let Some(held) = self.held() {
            self.committed = true;
            store.publish(id, Output { root: self.root, bytes: 0, held: Some(held) })?;
            return Ok(self.entries.iter().map(|entry| (entry.length(), entry.rows)).collect());
        }
        self.write_to_file()?;
        if let Data::File(file) = &mut self.data {
            file.flush().map_err(|e| StoreError::of(&self.temporary, e))?;
        }
        let index_temporary = store.path(self.root, id, "index.tmp");
        let write_index = || -> io::Result<u64> {
            let mut file = BufWriter::new(File::create(&index_temporary)?);
            index::write(&mut file, &self.entries)?;
            file.flush()?;
            file.get_ref().metadata().map(|m| m.len())
        };
        let finish = || -> io::Result<u64> {
            let index_bytes = write_index()?;
            fs::rename(&self.temporary, store.path(self.root, id, "data"))?;
            fs::rename(&index_temporary, store.path(self.root, id, "index"))?;
            Ok(index_bytes)
        };
        let index_bytes = match finish() {
            Ok(bytes) => bytes,
            Err(_) if store.is_removed(id.shuffle) => return Err(StoreError::Removed(id.shuffle)),
            Err(e) => {
                remove(fs::remove_file(&index_temporary));
                remove(fs::remove_file(store.path(self.root, id, "data")));
                return Err(StoreError::of(&index_temporary, e));
            }
        };
        self.committed = true;
        store.publish(id, Output { root: self.root, bytes: self.offset + index_bytes, held: None })?;
        Ok(self.entries.iter().map(|entry| (entry.length(), entry.rows)).collect())
    }
}

impl OutputFile<'_> {
    /// Data and index, where they may stay in memory.
    fn held(&mut self) -> Option<[Bytes; 2]> {
        let Data::Memory(data) = &mut self.data else { return None };
        let bytes = data.len() + index::length(&self.entries);
        if bytes > self.store.small || self.store.held.load(Ordering::Relaxed) + bytes as u64 > HELD_AT_MOST {
            return None;
        }
        let mut index = Vec::new();
        index::write(&mut index, &self.entries).ok()?;
        Some([std::mem::take(data).into(), index.into()])
    }
}

impl Drop for OutputFile<'_> {
    fn drop(&mut self) {
        if !self.committed && matches!(self.data, Data::File(_)) {
            remove(fs::remove_file(&self.temporary));
        }
    }
}

/// One block that is not empty, to be read piece by piece. Open files stay readable when the output is removed.
#[derive(Debug)]
pub struct StoredBlock {
    id: MapOutputId,
    partition: u32,
    data: Source,
    entry: BlockEntry,
    part: usize,
    within: u64,
}

impl StoredBlock {
    pub fn id(&self) -> MapOutputId {
        self.id
    }

    pub fn partition(&self) -> u32 {
        self.partition
    }

    pub fn length(&self) -> u64 {
        self.entry.length()
    }

    /// CRC32C of the whole block.
    pub fn checksum(&self) -> u32 {
        self.entry.checksum
    }

    /// Whether all of the block can be there.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let damaged = |message| StoreError::Damaged { id: self.id, message };
        let length = self.data.length().map_err(|e| damaged(format!("its data file: {e}")))?;
        let end = self.entry.parts.iter().map(|part| part.offset.saturating_add(part.length)).max().unwrap_or(0);
        if end > length {
            return Err(damaged(format!("its data file has {length} bytes and its index knows of {end}")));
        }
        Ok(())
    }

    /// Where the next piece is, of at most `most` bytes: source, offset and length; `None` after the last one.
    pub(super) fn next_range(&mut self, most: u64) -> Option<(Source, u64, u64)> {
        while let Some(part) = self.entry.parts.get(self.part) {
            let left = part.length.saturating_sub(self.within);
            if left == 0 {
                self.part += 1;
                self.within = 0;
                continue;
            }
            let (offset, take) = (part.offset + self.within, left.min(most.max(1)));
            self.within += take;
            return Some((self.data.clone(), offset, take));
        }
        None
    }

    /// Whether there is no further piece.
    pub(super) fn is_done(&self) -> bool {
        let mut rest = self.entry.parts.iter().skip(self.part);
        let under_way = rest.next().map_or(0, |part| part.length.saturating_sub(self.within));
        under_way == 0 && rest.all(|part| part.length == 0)
    }

    /// The next piece, of at most `most` bytes; `None` after the last one. Reads from disk.
    pub fn read(&mut self, most: usize) -> Result<Option<Bytes>, StoreError> {
        let Some((source, offset, length)) = self.next_range(most as u64) else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let read = source.read(offset, length).map_err(|e| StoreError::Damaged {
            id: self.id,
            message: format!("cannot read {length} bytes of its data file: {e}"),
        });
        read.map(Some)
    }
}
