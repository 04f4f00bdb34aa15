//! The index file of a map output.
//!
//! `magic, version, partitions, runs` as four u32, then one record for each partition, all of one size: the record's
//! CRC32C (of the rest of the record), the block's CRC32C, the block's rows (u64), and for each run the offset and length
//! (u64 each) of its part of the block in the data file. Little endian. A reader reads only the records that it needs.

use std::io::{self, Write};

use super::held::Source;

const MAGIC: u32 = 0x4653_4958;
const VERSION: u32 = 1;
const HEADER: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    pub offset: u64,
    pub length: u64,
}

/// Where one block is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockEntry {
    pub checksum: u32,
    pub rows: u64,
    /// One a run; empty ones have length 0.
    pub parts: Vec<Part>,
}

impl BlockEntry {
    pub fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.length).sum()
    }
}

pub fn write(out: &mut impl Write, entries: &[BlockEntry]) -> io::Result<()> {
    let runs = entries.first().map_or(0, |entry| entry.parts.len());
    let too_many = |_| io::Error::other("too many parts for an index");
    let partitions = u32::try_from(entries.len()).map_err(too_many)?;
    for word in [MAGIC, VERSION, partitions, u32::try_from(runs).map_err(too_many)?] {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut record = Vec::with_capacity(record_size(runs));
    for entry in entries {
        record.clear();
        record.extend_from_slice(&entry.checksum.to_le_bytes());
        record.extend_from_slice(&entry.rows.to_le_bytes());
        for part in &entry.parts {
            record.extend_from_slice(&part.offset.to_le_bytes());
            record.extend_from_slice(&part.length.to_le_bytes());
        }
        out.write_all(&crc32c::crc32c(&record).to_le_bytes())?;
        out.write_all(&record)?;
    }
    Ok(())
}

/// Bytes that [`write`] makes of these.
pub fn length(entries: &[BlockEntry]) -> usize {
    HEADER + entries.len() * record_size(entries.first().map_or(0, |entry| entry.parts.len()))
}

fn record_size(runs: usize) -> usize {
    4 + 4 + 8 + 16 * runs
}

/// Bytes of an index before its records.
pub const HEADER_BYTES: usize = HEADER;

/// Where the records of some partitions are in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    runs: usize,
    /// In the index file.
    pub bytes: std::ops::Range<u64>,
    /// Length of the whole index.
    pub index_bytes: u64,
}

impl Records {
    /// From an index's first [`HEADER_BYTES`]. `InvalidData` when they are damaged.
    pub fn locate(header: &[u8], partitions: &std::ops::Range<u32>) -> io::Result<Self> {
        let Some(header) = header.first_chunk::<HEADER>() else { return Err(damaged("no header")) };
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(0) != MAGIC || word(4) != VERSION {
            return Err(damaged("not an index of this version"));
        }
        let (count, runs) = (word(8), word(12) as usize);
        if partitions.end > count || partitions.start > partitions.end {
            return Err(damaged(&format!("partitions {partitions:?} of {count}")));
        }
        let size = record_size(runs) as u64;
        let at = |partition: u32| u64::from(partition).saturating_mul(size).saturating_add(HEADER as u64);
        Ok(Self { runs, bytes: at(partitions.start)..at(partitions.end), index_bytes: at(count) })
    }

    /// The entries that these bytes of the index hold. `InvalidData` when they are damaged.
    pub fn decode(&self, bytes: &[u8]) -> io::Result<Vec<BlockEntry>> {
        bytes
            .chunks_exact(record_size(self.runs))
            .map(|record| {
                let (crc, record) = record.split_at(4);
                if crc32c::crc32c(record).to_le_bytes() != crc {
                    return Err(damaged("a record's checksum"));
                }
                let u64_at = |at: usize| {
                    let mut word = [0; 8];
                    word.copy_from_slice(&record[at..at + 8]);
                    u64::from_le_bytes(word)
                };
                let part = |run| Part { offset: u64_at(12 + 16 * run), length: u64_at(20 + 16 * run) };
                Ok(BlockEntry {
                    checksum: u32::from_le_bytes([record[0], record[1], record[2], record[3]]),
                    rows: u64_at(4),
                    parts: (0..self.runs).map(part).collect(),
                })
            })
            .collect()
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged index: {what}"))
}

/// Reads the entries of all partitions.
pub fn read_all(index: &Source) -> io::Result<Vec<BlockEntry>> {
    let count = index.read(8, 4)?;
    read(index, 0..u32::from_le_bytes([count[0], count[1], count[2], count[3]]))
}

/// Reads the entries of `partitions`. `InvalidData` when the index is damaged.
pub fn read(index: &Source, partitions: std::ops::Range<u32>) -> io::Result<Vec<BlockEntry>> {
    let header = index.read(0, HEADER).map_err(|_| damaged("no header"))?;
    let records = Records::locate(&header, &partitions)?;
    if index.length()? != records.index_bytes {
        return Err(damaged("its length"));
    }
    let length = records.bytes.end - records.bytes.start;
    let bytes = index.read(records.bytes.start, usize::try_from(length).map_err(|_| damaged("its length"))?)?;
    records.decode(&bytes)
}
