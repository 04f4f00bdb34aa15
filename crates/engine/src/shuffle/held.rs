//! Where the bytes of a stored output are: in its files, or in memory where they are few. Making a file costs more than a small task does.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;

/// All small outputs of one store, at most. What comes after goes to files.
pub const HELD_AT_MOST: u64 = 32 << 20;

/// The data or the index of one output. Stays readable when the output is removed.
#[derive(Debug, Clone)]
pub enum Source {
    File(Arc<File>),
    Memory(Bytes),
}

impl Source {
    pub fn length(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.metadata().map(|metadata| metadata.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Exactly `take` bytes from `offset` on. `UnexpectedEof`: there are fewer.
    pub fn read(&self, offset: u64, take: usize) -> io::Result<Bytes> {
        match self {
            Self::File(file) => {
                let mut bytes = vec![0; take];
                file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes.into())
            }
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.checked_add(take).filter(|end| *end <= bytes.len());
                end.map(|end| bytes.slice(start..end)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}
