//! Keeping the rows of a partition as they come.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufWriter, Write},
    sync::Arc,
};

use arrow::{array::RecordBatch, compute::BatchCoalescer, datatypes::SchemaRef};
use bytes::Bytes;
use datafusion::{common::Result, error::DataFusionError, execution::SendableRecordBatchStream};
use firesteel_plan::SparkError;
use futures::StreamExt;

use super::{CacheStore, Ticket, shown};
use crate::{
    cache::{
        StorageLevel,
        batch::{BatchData, BlockFile, StoredBatch, StoredBlock, encode_column},
        column::BatchStatistics,
        relation::CacheSettings,
    },
    memory::StorageGrant,
    shuffle::{block::compact, block::row_bytes},
};

/// What became of a partition.
pub enum Put {
    Kept(Arc<StoredBlock>),
    /// It does not fit: the rows so far, and those to come.
    TooLarge(Leftover),
}

pub struct Leftover {
    pub first: VecDeque<RecordBatch>,
    pub rest: SendableRecordBatchStream,
    /// Memory of `first`.
    _held: Vec<StorageGrant>,
}

impl CacheStore {
    /// Reads `rows` to their end and keeps them as the ticket's block.
    pub async fn put(
        self: &Arc<Self>,
        ticket: &Ticket,
        level: StorageLevel,
        settings: CacheSettings,
        schema: SchemaRef,
        rows: SendableRecordBatchStream,
    ) -> Result<Put> {
        let mut put = Putting {
            store: self.clone(),
            level,
            settings,
            schema: schema.clone(),
            batches: Vec::new(),
            disk: None,
            ticket,
        };
        if !level.memory {
            put.disk = Some(DiskWriter::create(self, ticket.id)?);
        }
        let mut rows = rows;
        let mut coalescer: Option<BatchCoalescer> = None;
        let mut target = settings.batch_rows;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let coalescer = coalescer.get_or_insert_with(|| {
                target = settings.rows_for(row_bytes(&batch) / batch.num_rows());
                BatchCoalescer::new(batch.schema(), target)
            });
            if batch.num_columns() == 0 {
                // Nothing to put together but a number.
                if let Some(batch) = put.add(batch)? {
                    return put.too_large(batch, None, rows);
                }
                continue;
            }
            coalescer.push_batch(batch)?;
            while let Some(batch) = coalescer.next_completed_batch() {
                if let Some(batch) = put.add(batch)? {
                    return put.too_large(batch, Some(coalescer), rows);
                }
            }
        }
        if let Some(coalescer) = &mut coalescer {
            coalescer.finish_buffered_batch()?;
            while let Some(batch) = coalescer.next_completed_batch() {
                if let Some(batch) = put.add(batch)? {
                    return put.too_large(batch, Some(coalescer), rows);
                }
            }
        }
        put.finish().map(Put::Kept)
    }
}

struct Putting<'a> {
    store: Arc<CacheStore>,
    level: StorageLevel,
    settings: CacheSettings,
    schema: SchemaRef,
    batches: Vec<StoredBatch>,
    /// Set when the rows go to disk.
    disk: Option<DiskWriter>,
    ticket: &'a Ticket,
}

impl Putting<'_> {
    /// Keeps a batch, or gives it back when there is no room and no disk.
    fn add(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        let batch = renamed(compact(batch), &self.schema)?;
        let rows = batch.num_rows();
        let statistics = Arc::new(BatchStatistics::of(&batch)?);
        if self.disk.is_none() {
            let data = if self.level.deserialized {
                BatchData::Arrow(batch.clone())
            } else {
                BatchData::Encoded(self.encoded(&batch)?)
            };
            let bytes = data.memory_bytes();
            if let Some(grant) = self.store.reserve(bytes, self.ticket.id.relation) {
                self.batches.push(StoredBatch { rows, statistics, data, grant: Some(grant) });
                return Ok(None);
            }
            if !self.level.disk {
                return Ok(Some(batch));
            }
            self.move_to_disk()?;
        }
        let frames = self.encoded(&batch)?;
        let Some(disk) = &mut self.disk else { return Ok(Some(batch)) };
        let places = frames.iter().map(|frame| disk.append(frame)).collect::<Result<Vec<_>, _>>()?;
        self.batches.push(StoredBatch { rows, statistics, data: BatchData::Disk(places), grant: None });
        Ok(None)
    }

    fn encoded(&self, batch: &RecordBatch) -> Result<Vec<Bytes>> {
        let columns = 0..self.schema.fields().len();
        columns.map(|column| encode_column(&self.schema, column, batch, self.settings.compression)).collect()
    }

    /// What is in memory goes to a file, where the rest will follow.
    fn move_to_disk(&mut self) -> Result<()> {
        let mut disk = DiskWriter::create(&self.store, self.ticket.id)?;
        for batch in &mut self.batches {
            let frames = match &batch.data {
                BatchData::Arrow(rows) => {
                    let columns = 0..self.schema.fields().len();
                    let encode = |column| encode_column(&self.schema, column, rows, self.settings.compression);
                    columns.map(encode).collect::<Result<Vec<_>>>()?
                }
                BatchData::Encoded(frames) => frames.clone(),
                BatchData::Disk(_) => continue,
            };
            let places = frames.iter().map(|frame| disk.append(frame)).collect::<Result<Vec<_>, _>>()?;
            batch.data = BatchData::Disk(places);
            batch.grant = None;
        }
        self.disk = Some(disk);
        Ok(())
    }

    fn finish(mut self) -> Result<Arc<StoredBlock>> {
        let (file, disk_bytes) = match self.disk.take() {
            Some(disk) => {
                disk.finish().map(|(file, bytes)| (Some(file), bytes)).map_err(crate::error::to_datafusion)?
            }
            None => (None, 0),
        };
        let block = Arc::new(StoredBlock {
            id: self.ticket.id,
            level: self.level,
            schema: self.schema.clone(),
            memory_bytes: self.batches.iter().filter_map(|batch| batch.grant.as_ref()).map(StorageGrant::bytes).sum(),
            disk_bytes,
            file,
            batches: std::mem::take(&mut self.batches),
        });
        self.store.insert(block.clone());
        Ok(block)
    }

    fn too_large(
        mut self,
        batch: RecordBatch,
        coalescer: Option<&mut BatchCoalescer>,
        rest: SendableRecordBatchStream,
    ) -> Result<Put> {
        tracing::info!(block = %self.ticket.id, "a partition does not fit into memory and is not cached");
        let held = self.batches.iter_mut().filter_map(|batch| batch.grant.take()).collect();
        let whole = Arc::new(StoredBlock {
            id: self.ticket.id,
            level: self.level,
            schema: self.schema.clone(),
            batches: std::mem::take(&mut self.batches),
            memory_bytes: 0,
            disk_bytes: 0,
            file: None,
        });
        let kept = (0..whole.batches.len()).map(|index| whole.read(index, None, &self.schema));
        let mut first = kept.collect::<Result<VecDeque<RecordBatch>>>()?;
        first.push_back(batch);
        if let Some(coalescer) = coalescer {
            coalescer.finish_buffered_batch()?;
            while let Some(batch) = coalescer.next_completed_batch() {
                first.push_back(renamed(batch, &self.schema)?);
            }
        }
        Ok(Put::TooLarge(Leftover { first, rest, _held: held }))
    }
}

/// The batch with the relation's names and types.
pub fn renamed(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?)
}

/// Frames one after the other in a new file, which goes if it is not finished.
pub(super) struct DiskWriter {
    file: BufWriter<File>,
    path: Arc<BlockFile>,
    written: u64,
}

impl DiskWriter {
    pub fn create(store: &CacheStore, id: crate::cache::BlockId) -> Result<Self> {
        let path = store.new_file(id).map_err(DataFusionError::IoError)?;
        let file = File::create(&path).map_err(DataFusionError::IoError)?;
        Ok(Self { file: BufWriter::new(file), path: Arc::new(BlockFile(path)), written: 0 })
    }

    /// Answers the frame's place.
    pub fn append(&mut self, frame: &[u8]) -> Result<(u64, u32)> {
        let start = self.written;
        self.file.write_all(frame).map_err(DataFusionError::IoError)?;
        self.written += frame.len() as u64;
        // A frame is below a gigabyte.
        Ok((start, u32::try_from(frame.len()).unwrap_or(u32::MAX)))
    }

    pub fn finish(mut self) -> Result<(Arc<BlockFile>, u64), SparkError> {
        self.file.flush().map_err(|e| {
            let folder = shown(&self.path.0);
            SparkError::new("TASK_WRITE_FAILED", "58030", format!("A cached block cannot be written to {folder}: {e}."))
        })?;
        Ok((self.path, self.written))
    }
}
