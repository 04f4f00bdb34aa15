//! A block: the batches of one partition, in memory, encoded or on disk.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{Schema, SchemaRef},
};
use bytes::Bytes;
use datafusion::common::{Result, exec_datafusion_err};

use super::{BlockId, StorageLevel, column::BatchStatistics};
use crate::{
    memory::StorageGrant,
    shuffle::{BlockCompression, BlockDecoder, BlockEncoder},
};

/// Some rows of a block.
#[derive(Debug)]
pub struct StoredBatch {
    pub rows: usize,
    pub statistics: Arc<BatchStatistics>,
    pub data: BatchData,
    /// The memory of `data`.
    pub grant: Option<StorageGrant>,
}

#[derive(Debug)]
pub enum BatchData {
    Arrow(RecordBatch),
    /// One frame a column: see [`crate::shuffle::BlockEncoder`].
    Encoded(Vec<Bytes>),
    /// Place and length of each column's frame in the block's file.
    Disk(Vec<(u64, u32)>),
}

impl BatchData {
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Arrow(batch) => batch.get_array_memory_size(),
            Self::Encoded(columns) => columns.iter().map(Bytes::len).sum(),
            Self::Disk(_) => 0,
        }
    }
}

/// A partition of a cached relation as it is kept.
#[derive(Debug)]
pub struct StoredBlock {
    pub id: BlockId,
    pub level: StorageLevel,
    pub schema: SchemaRef,
    pub batches: Vec<StoredBatch>,
    pub memory_bytes: usize,
    pub disk_bytes: u64,
    pub file: Option<Arc<BlockFile>>,
}

/// A file that goes when nobody reads it any more.
#[derive(Debug)]
pub struct BlockFile(pub PathBuf);

impl Drop for BlockFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "a block's file was not removed");
        }
    }
}

impl StoredBlock {
    pub fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.rows as u64).sum()
    }

    /// The columns `projection` of batch `index`; all where it is `None`. `schema` is that of these columns.
    pub fn read(&self, index: usize, projection: Option<&[usize]>, schema: &SchemaRef) -> Result<RecordBatch> {
        let Some(batch) = self.batches.get(index) else {
            return Err(exec_datafusion_err!("block {} has no batch {index}", self.id));
        };
        if let BatchData::Arrow(rows) = &batch.data {
            return match projection {
                Some(columns) => Ok(rows.project(columns)?),
                None => Ok(rows.clone()),
            };
        }
        let columns: Vec<usize> =
            projection.map_or_else(|| (0..self.schema.fields().len()).collect(), <[usize]>::to_vec);
        let mut arrays = Vec::with_capacity(columns.len());
        for column in columns {
            let frame = self.frame(index, column)?;
            arrays.push(decode_column(&self.schema, column, frame).map_err(|e| self.damaged(&e))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows));
        Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
    }

    /// One column of a batch as it travels.
    pub fn frame(&self, index: usize, column: usize) -> Result<Bytes> {
        let missing = || exec_datafusion_err!("block {} has no column {column} in batch {index}", self.id);
        let batch = self.batches.get(index).ok_or_else(missing)?;
        match &batch.data {
            BatchData::Arrow(rows) => encode_column(&self.schema, column, rows, BlockCompression::Lz4),
            BatchData::Encoded(columns) => columns.get(column).cloned().ok_or_else(missing),
            BatchData::Disk(places) => {
                let (start, length) = *places.get(column).ok_or_else(missing)?;
                let path = &self.file.as_ref().ok_or_else(missing)?.0;
                let read = || {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(start))?;
                    let mut bytes = vec![0; length as usize];
                    file.read_exact(&mut bytes)?;
                    Ok::<_, std::io::Error>(bytes)
                };
                read().map(Bytes::from).map_err(|e| self.damaged(&e))
            }
        }
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> datafusion::error::DataFusionError {
        datafusion::error::DataFusionError::External(Box::new(DamagedBlock { id: self.id, why: why.to_string() }))
    }
}

/// A kept block that cannot be read back. It is forgotten, and the next try makes it again.
#[derive(Debug, thiserror::Error)]
#[error("the cached block {id} is damaged: {why}")]
pub struct DamagedBlock {
    pub id: BlockId,
    why: String,
}

fn of_column(schema: &Schema, column: usize) -> Result<SchemaRef> {
    Ok(Arc::new(schema.project(&[column])?))
}

pub fn encode_column(
    schema: &Schema,
    column: usize,
    rows: &RecordBatch,
    compression: BlockCompression,
) -> Result<Bytes> {
    let one = of_column(schema, column)?;
    let batch = RecordBatch::try_new(one.clone(), vec![rows.column(column).clone()])?;
    let mut out = Vec::new();
    BlockEncoder::new(one, compression)?.encode(&batch, &mut out)?;
    Ok(out.into())
}

pub fn decode_column(schema: &Schema, column: usize, frame: Bytes) -> Result<ArrayRef> {
    let mut decoder = BlockDecoder::new(of_column(schema, column)?)?;
    decoder.push(frame)?;
    decoder.end_of_block()?;
    match decoder.take() {
        Some(batch) => Ok(batch.column(0).clone()),
        None => Err(exec_datafusion_err!("a frame without rows")),
    }
}
