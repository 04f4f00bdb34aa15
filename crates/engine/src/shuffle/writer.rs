//! The writing side: the rows of one map task, split over reduce partitions.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::{BatchCoalescer, interleave_record_batch},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{DataFusionError, Result, hash_utils::create_hashes, internal_err},
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    physical_plan::{
        Partitioning, PhysicalExpr,
        metrics::Time,
        repartition::{BatchPartitioner, REPARTITION_RANDOM_STATE},
    },
};

use super::{
    block::{BlockCompression, BlockEncoder, compact, row_bytes},
    store::{BlockStore, MapOutputId, OutputFile, StoreError},
};

#[derive(Debug, Clone, Copy)]
pub struct ShuffleWriterOptions {
    pub compression: BlockCompression,
    /// Rows of a batch in a block, at most.
    pub batch_rows: usize,
    /// Bytes of a batch in a block, about.
    pub batch_bytes: usize,
    /// Rows are written out when so many bytes of them are held, whatever the memory pool would still give.
    pub buffer_bytes: usize,
}

impl Default for ShuffleWriterOptions {
    fn default() -> Self {
        Self {
            compression: BlockCompression::default(),
            batch_rows: 16_384,
            batch_bytes: 4 << 20,
            buffer_bytes: 256 << 20,
        }
    }
}

/// What a finished writer left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenOutput {
    /// Encoded bytes of each block.
    pub sizes: Vec<u64>,
    pub rows: u64,
    /// Bytes that were written before the input's end because memory was refused or the buffer was full.
    pub spilled_bytes: u64,
    pub peak_memory_bytes: u64,
}

/// Writes one map output. Dropped before [`Self::finish`], it leaves nothing.
pub struct ShuffleWriter<'a> {
    out: OutputFile<'a>,
    encoder: BlockEncoder,
    schema: SchemaRef,
    options: ShuffleWriterOptions,
    split: Split,
    reservation: MemoryReservation,
    encoded: Vec<u8>,
    rows: u64,
    spilled_bytes: u64,
    peak: usize,
}

/// How rows find their block.
enum Split {
    /// One block: batches are put together and written as they come.
    Single(BatchCoalescer),
    Many {
        route: Route,
        held: Held,
    },
}

enum Route {
    Hash {
        keys: Vec<Arc<dyn PhysicalExpr>>,
        hashes: Vec<u64>,
    },
    RoundRobin {
        next: usize,
    },
    /// Anything else that DataFusion can split batches by.
    Batches(Box<BatchPartitioner>),
}

/// Rows held until they are written: whole input batches, and for each partition which rows of them are its own.
struct Held {
    batches: Vec<RecordBatch>,
    /// Batch and row.
    rows: Vec<Vec<(u32, u32)>>,
    bytes: usize,
    count: usize,
}

impl<'a> ShuffleWriter<'a> {
    pub fn new(
        store: &'a BlockStore,
        id: MapOutputId,
        schema: SchemaRef,
        partitioning: &Partitioning,
        options: ShuffleWriterOptions,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Self> {
        let partitions = partitioning.partition_count();
        if partitions == 0 {
            return internal_err!("a shuffle without partitions");
        }
        let split = if partitions == 1 {
            Split::Single(BatchCoalescer::new(schema.clone(), options.batch_rows))
        } else {
            let route = match partitioning {
                Partitioning::Hash(keys, _) => Route::Hash { keys: keys.clone(), hashes: Vec::new() },
                // Tasks start at different blocks, so that few rows of many tasks do not all go to the first ones.
                Partitioning::RoundRobinBatch(_) => Route::RoundRobin { next: id.map as usize % partitions },
                Partitioning::Range(range) => {
                    Route::Batches(Box::new(BatchPartitioner::new_range_partitioner(range, Time::new())))
                }
                Partitioning::UnknownPartitioning(n) => return internal_err!("rows for {n} unknown partitions"),
            };
            let rows = vec![Vec::new(); partitions];
            Split::Many { route, held: Held { batches: Vec::new(), rows, bytes: 0, count: 0 } }
        };
        let mut out = store.create(id, partitions).map_err(external)?;
        if partitions == 1 {
            out.start_run();
        }
        Ok(Self {
            out,
            encoder: BlockEncoder::new(schema.clone(), options.compression)?,
            schema,
            options,
            split,
            reservation: MemoryConsumer::new("ShuffleWriter").with_can_spill(true).register(pool),
            encoded: Vec::new(),
            rows: 0,
            spilled_bytes: 0,
            peak: 0,
        })
    }

    pub fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.check(&batch)?;
        self.rows += batch.num_rows() as u64;
        if let Split::Single(coalescer) = &mut self.split {
            coalescer.push_batch(batch)?;
            return self.write_complete();
        }
        let batch = compact(batch);
        let bytes = row_bytes(&batch) + batch.num_rows() * size_of::<(u32, u32)>();
        let granted = self.reserve(bytes)?;
        let Split::Many { route, held } = &mut self.split else { return Ok(()) };
        held.add(batch, bytes, route)?;
        self.peak = self.peak.max(held.bytes);
        if !granted || held.bytes >= self.options.buffer_bytes || held.count >= MAX_HELD_ROWS {
            self.spilled_bytes += self.write_run()?;
        }
        Ok(())
    }

    /// Writes what is held and makes the output visible.
    pub fn finish(mut self) -> Result<WrittenOutput> {
        if let Split::Single(coalescer) = &mut self.split {
            coalescer.finish_buffered_batch()?;
            self.write_complete()?;
        } else {
            self.write_run()?;
        }
        let blocks = self.out.commit().map_err(external)?;
        Ok(WrittenOutput {
            sizes: blocks.iter().map(|(bytes, _)| *bytes).collect(),
            rows: self.rows,
            spilled_bytes: self.spilled_bytes,
            peak_memory_bytes: self.peak as u64,
        })
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Encoded bytes so far.
    pub fn bytes(&self) -> u64 {
        self.out.bytes()
    }

    /// Readers decode by the plan's schema, so what an operator really put out must be of its types.
    fn check(&self, batch: &RecordBatch) -> Result<()> {
        let fields = self.schema.fields();
        let fits = fields.len() == batch.num_columns()
            && fields.iter().zip(batch.columns()).all(|(field, column)| field.data_type() == column.data_type());
        if fits {
            return Ok(());
        }
        internal_err!("an operator declared the columns {:?} and put out {:?}", self.schema, batch.schema())
    }

    /// Asks for memory; writes what is held when it is refused. False: go on without it, but hold nothing.
    fn reserve(&mut self, bytes: usize) -> Result<bool> {
        if self.reservation.try_grow(bytes).is_ok() {
            return Ok(true);
        }
        self.spilled_bytes += self.write_run()?;
        Ok(self.reservation.try_grow(bytes).is_ok())
    }

    fn write_complete(&mut self) -> Result<()> {
        let Split::Single(coalescer) = &mut self.split else { return Ok(()) };
        while let Some(batch) = coalescer.next_completed_batch() {
            append(&mut self.encoder, &mut self.encoded, &mut self.out, 0, &compact(batch), self.options.batch_bytes)?;
        }
        Ok(())
    }

    /// Writes all rows held as one run and gives their memory back. Answers how many bytes that made.
    fn write_run(&mut self) -> Result<u64> {
        let Split::Many { held, .. } = &mut self.split else { return Ok(0) };
        if held.count == 0 {
            return Ok(0);
        }
        let before = self.out.bytes();
        self.out.start_run();
        let batches: Vec<&RecordBatch> = held.batches.iter().collect();
        let row_bytes = (held.bytes / held.count).max(1);
        let chunk_rows = (self.options.batch_bytes / row_bytes).clamp(1, self.options.batch_rows);
        let mut picks = Vec::with_capacity(chunk_rows);
        for (partition, rows) in held.rows.iter_mut().enumerate() {
            for chunk in rows.chunks(chunk_rows) {
                picks.clear();
                picks.extend(chunk.iter().map(|(batch, row)| (*batch as usize, *row as usize)));
                let batch = if self.schema.fields().is_empty() {
                    let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
                    RecordBatch::try_new_with_options(self.schema.clone(), vec![], &options)?
                } else {
                    compact(interleave_record_batch(&batches, &picks)?)
                };
                let most = self.options.batch_bytes;
                append(&mut self.encoder, &mut self.encoded, &mut self.out, partition, &batch, most)?;
            }
            rows.clear();
        }
        held.batches.clear();
        held.bytes = 0;
        held.count = 0;
        self.reservation.free();
        Ok(self.out.bytes() - before)
    }
}

/// Row numbers of batches fit in 32 bits with much room.
const MAX_HELD_ROWS: usize = 1 << 30;

impl Held {
    fn add(&mut self, batch: RecordBatch, bytes: usize, route: &mut Route) -> Result<()> {
        let partitions = self.rows.len();
        self.bytes += bytes;
        self.count += batch.num_rows();
        match route {
            Route::Hash { keys, hashes } => {
                let index = self.batches.len() as u32;
                let arrays = keys
                    .iter()
                    .map(|key| key.evaluate(&batch)?.into_array(batch.num_rows()))
                    .collect::<Result<Vec<ArrayRef>>>()?;
                hashes.clear();
                hashes.resize(batch.num_rows(), 0);
                create_hashes(&arrays, REPARTITION_RANDOM_STATE.random_state(), hashes)?;
                for (row, hash) in hashes.iter().enumerate() {
                    self.rows[(hash % partitions as u64) as usize].push((index, row as u32));
                }
                self.batches.push(batch);
            }
            Route::RoundRobin { next } => {
                let index = self.batches.len() as u32;
                for row in 0..batch.num_rows() as u32 {
                    self.rows[*next].push((index, row));
                    *next = (*next + 1) % partitions;
                }
                self.batches.push(batch);
            }
            Route::Batches(partitioner) => {
                for piece in partitioner.partition_iter(batch)? {
                    let (partition, piece) = piece?;
                    let index = self.batches.len() as u32;
                    self.rows[partition].extend((0..piece.num_rows() as u32).map(|row| (index, row)));
                    self.batches.push(piece);
                }
            }
        }
        Ok(())
    }
}

/// Writes `batch` in frames of about `most` bytes.
fn append(
    encoder: &mut BlockEncoder,
    encoded: &mut Vec<u8>,
    out: &mut OutputFile<'_>,
    partition: usize,
    batch: &RecordBatch,
    most: usize,
) -> Result<()> {
    for rows in frames(batch, most) {
        encoded.clear();
        // A slice of a view array brings all of its buffers along.
        let piece =
            if rows.len() < batch.num_rows() { compact(batch.slice(rows.start, rows.len())) } else { batch.clone() };
        encoder.encode(&piece, encoded)?;
        out.append(partition, encoded, piece.num_rows() as u64).map_err(external)?;
    }
    Ok(())
}

fn frames(batch: &RecordBatch, most: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = batch.num_rows();
    let pieces = row_bytes(batch).div_ceil(most.max(1) * 2).clamp(1, rows.max(1));
    let step = rows.div_ceil(pieces).max(1);
    (0..rows).step_by(step).map(move |start| start..(start + step).min(rows))
}

fn external(error: StoreError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
