//! Whole map outputs on their way from an executor that leaves to one that stays.
//!
//! Data file and index travel as they are, one after the other, under one checksum. What arrives is seen by readers once it
//! is complete and the checksum fits; until then it has other names.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{
    held::Source,
    store::{BlockStore, MapOutputId, Output, StoreError, remove},
};

/// The data and the index of an output, to be read from first to last. They stay readable when the output is removed.
#[derive(Debug)]
pub struct OutputReader {
    id: MapOutputId,
    /// Data and index, with their lengths.
    files: [(Source, u64); 2],
    file: usize,
    offset: u64,
}

impl BlockStore {
    /// Opens an output as a whole. Reads from disk.
    ///
    /// # Errors
    /// It is not here, or cannot be opened.
    pub fn output(&self, id: MapOutputId) -> Result<OutputReader, StoreError> {
        let open = |extension: &str| {
            let source = self.source(id, extension)?;
            let length = source.length().map_err(|e| StoreError::Damaged { id, message: e.to_string() })?;
            Ok((source, length))
        };
        Ok(OutputReader { id, files: [open("data")?, open("index")?], file: 0, offset: 0 })
    }

    /// Begins to take over an output of another executor.
    ///
    /// # Errors
    /// Its shuffle was removed, or its files cannot be made.
    pub fn receive(
        self: &Arc<Self>,
        id: MapOutputId,
        data_bytes: u64,
        index_bytes: u64,
    ) -> Result<IncomingOutput, StoreError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if self.is_removed(id.shuffle) {
            return Err(StoreError::Removed(id.shuffle));
        }
        let root = self.root_of(id);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let make = |extension: &str| {
            let path = self.path(root, id, &format!("{extension}.{number}.tmp"));
            let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&path));
            made.map(|file| (path.clone(), file)).map_err(|e| StoreError::of(&path, e))
        };
        let files = [make("data")?, make("index")?];
        let left = [data_bytes, index_bytes];
        Ok(IncomingOutput { store: self.clone(), id, root, files, left, bytes: data_bytes + index_bytes, checksum: 0 })
    }
}

impl OutputReader {
    pub fn id(&self) -> MapOutputId {
        self.id
    }

    pub fn data_bytes(&self) -> u64 {
        self.files[0].1
    }

    pub fn index_bytes(&self) -> u64 {
        self.files[1].1
    }

    /// The next piece, of at most `most` bytes and of one file; `None` after the last one. Reads from disk.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, most: usize) -> Result<Option<Bytes>, StoreError> {
        while let Some((file, length)) = self.files.get(self.file) {
            let left = length.saturating_sub(self.offset);
            if left == 0 {
                (self.file, self.offset) = (self.file + 1, 0);
                continue;
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(most.max(1));
            let bytes = file
                .read(self.offset, take)
                .map_err(|e| StoreError::Damaged { id: self.id, message: format!("cannot read its files: {e}") })?;
            self.offset += take as u64;
            return Ok(Some(bytes));
        }
        Ok(None)
    }
}

/// An output that is arriving. Dropped before [`Self::commit`], it leaves nothing.
#[derive(Debug)]
pub struct IncomingOutput {
    store: Arc<BlockStore>,
    id: MapOutputId,
    root: usize,
    files: [(PathBuf, File); 2],
    /// Bytes that each file still waits for.
    left: [u64; 2],
    bytes: u64,
    checksum: u32,
}

impl IncomingOutput {
    /// Takes the next bytes. Writes to disk.
    ///
    /// # Errors
    /// There are more than announced, or the disk does not take them.
    pub fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes);
        for ((path, file), left) in self.files.iter_mut().zip(&mut self.left) {
            let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            file.write_all(&bytes.split_to(take)).map_err(|e| StoreError::of(path, e))?;
            *left -= take as u64;
        }
        if bytes.is_empty() { Ok(()) } else { Err(self.damaged("more bytes came than were announced")) }
    }

    /// Makes it visible, if it is complete and has this checksum. Writes to disk.
    ///
    /// # Errors
    /// It is not what was sent, its shuffle was removed meanwhile, or the disk fails.
    pub fn commit(self, checksum: u32) -> Result<(), StoreError> {
        if self.left != [0, 0] {
            return Err(self.damaged("it ended before its time"));
        }
        if self.checksum != checksum {
            return Err(self.damaged("its checksum does not match"));
        }
        for ((path, _), extension) in self.files.iter().zip(["data", "index"]) {
            let renamed = fs::rename(path, self.store.path(self.root, self.id, extension));
            renamed.map_err(|e| match self.store.is_removed(self.id.shuffle) {
                true => StoreError::Removed(self.id.shuffle),
                false => StoreError::of(path, e),
            })?;
        }
        self.store.publish(self.id, Output { root: self.root, bytes: self.bytes, held: None })
    }

    fn damaged(&self, message: &str) -> StoreError {
        StoreError::Damaged { id: self.id, message: message.to_owned() }
    }
}

impl Drop for IncomingOutput {
    fn drop(&mut self) {
        for (path, _) in &self.files {
            remove(fs::remove_file(path));
        }
    }
}
