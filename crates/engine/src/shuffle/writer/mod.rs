//! The writing side: the rows of one map task, split over reduce partitions.

mod buffered;
mod route;
mod sorted;

use std::{ops::Range, sync::Arc};

use arrow::{array::RecordBatch, compute::BatchCoalescer, datatypes::SchemaRef};
use datafusion::{
    common::{DataFusionError, Result, internal_err},
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    physical_plan::Partitioning,
};

use self::{buffered::Buffered, route::Route, sorted::Sorted};
use super::{
    block::{BlockCompression, BlockEncoder, row_bytes},
    store::{BlockStore, MapOutputId, OutputFile, StoreError},
};

#[derive(Debug, Clone, Copy)]
pub struct ShuffleWriterOptions {
    pub compression: BlockCompression,
    /// Rows of a batch in a block, at most.
    pub batch_rows: usize,
    /// Bytes of a batch in a block, about.
    pub batch_bytes: usize,
    /// What is held is written out when it takes so many bytes, whatever the memory pool would still give.
    pub buffer_bytes: usize,
    /// Up to so many partitions have buffers of their own (`spark.shuffle.sort.bypassMergeThreshold`).
    pub most_buffers: usize,
}

impl Default for ShuffleWriterOptions {
    fn default() -> Self {
        Self {
            compression: BlockCompression::default(),
            batch_rows: 16_384,
            batch_bytes: 4 << 20,
            buffer_bytes: 256 << 20,
            most_buffers: 200,
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
    sink: Sink<'a>,
    split: Split,
    reservation: MemoryReservation,
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
        partitions: usize,
        of_rows: Vec<u32>,
        /// Chosen when the first rows are there.
        held: Option<Held>,
    },
}

enum Held {
    Buffered(Buffered),
    Sorted(Sorted),
}

impl Held {
    fn bytes(&self) -> usize {
        match self {
            Self::Buffered(held) => held.bytes(),
            Self::Sorted(held) => held.bytes(),
        }
    }
}

/// Encodes batches, and the file that they go to.
struct Sink<'a> {
    out: OutputFile<'a>,
    encoder: BlockEncoder,
    schema: SchemaRef,
    options: ShuffleWriterOptions,
    encoded: Vec<u8>,
}

impl Sink<'_> {
    /// Writes `batch` in frames of about `batch_bytes`.
    fn append(&mut self, partition: usize, batch: &RecordBatch) -> Result<()> {
        for rows in pieces(batch, self.options.batch_bytes) {
            let rows = self.encode(batch, rows)?;
            self.out.append(partition, &self.encoded, rows).map_err(external)?;
        }
        Ok(())
    }

    /// The frames of `batch`, and their rows.
    fn frames(&mut self, batch: &RecordBatch) -> Result<Vec<(Box<[u8]>, u64)>> {
        let mut frames = Vec::new();
        for rows in pieces(batch, self.options.batch_bytes) {
            let rows = self.encode(batch, rows)?;
            frames.push((self.encoded.as_slice().into(), rows));
        }
        Ok(frames)
    }

    fn append_frame(&mut self, partition: usize, frame: &[u8], rows: u64) -> Result<()> {
        self.out.append(partition, frame, rows).map_err(external)
    }

    /// Into `self.encoded`. Answers how many rows.
    fn encode(&mut self, batch: &RecordBatch, rows: Range<usize>) -> Result<u64> {
        self.encoded.clear();
        self.encoder.encode(&batch.slice(rows.start, rows.len()), &mut self.encoded)?;
        Ok(rows.len() as u64)
    }
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
            Split::Many { route: Route::new(partitioning, id.map)?, partitions, of_rows: Vec::new(), held: None }
        };
        let mut out = store.create(id, partitions).map_err(external)?;
        if partitions == 1 {
            out.start_run();
        }
        let encoder = BlockEncoder::new(schema.clone(), options.compression)?;
        Ok(Self {
            sink: Sink { out, encoder, schema, options, encoded: Vec::new() },
            split,
            reservation: MemoryConsumer::new("ShuffleWriter").with_can_spill(true).register(pool),
            rows: 0,
            spilled_bytes: 0,
            peak: 0,
        })
    }

    pub fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        self.check(&batch)?;
        self.rows += rows as u64;
        if let Split::Single(coalescer) = &mut self.split {
            coalescer.push_batch(batch)?;
            return self.write_complete();
        }
        let bytes = row_bytes(&batch) + rows * size_of::<(u32, u32)>();
        let granted = self.reserve(bytes)?;
        let Split::Many { route, partitions, of_rows, held } = &mut self.split else { return Ok(()) };
        let options = self.sink.options;
        let held = held.get_or_insert_with(|| {
            let buffers = || Buffered::new(&self.sink.schema, *partitions, bytes / rows, options.batch_rows);
            let may = *partitions <= options.most_buffers && !self.sink.schema.fields().is_empty();
            let buffered = may.then(buffers).flatten();
            buffered.map_or_else(|| Held::Sorted(Sorted::new(*partitions)), Held::Buffered)
        });
        let routed = route.split(batch, *partitions, of_rows)?;
        let full = match held {
            Held::Buffered(held) => {
                held.add(routed, bytes, of_rows, &mut self.sink)?;
                false
            }
            Held::Sorted(held) => {
                held.add(routed, bytes, of_rows);
                held.is_full()
            }
        };
        let now = held.bytes();
        self.peak = self.peak.max(now);
        if now < self.reservation.size() {
            self.reservation.shrink(self.reservation.size() - now);
        }
        if !granted || full || now >= options.buffer_bytes {
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
        let blocks = self.sink.out.commit().map_err(external)?;
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
        self.sink.out.bytes()
    }

    /// Readers decode by the plan's schema, so what an operator really put out must be of its types.
    fn check(&self, batch: &RecordBatch) -> Result<()> {
        let fields = self.sink.schema.fields();
        let fits = fields.len() == batch.num_columns()
            && fields.iter().zip(batch.columns()).all(|(field, column)| field.data_type() == column.data_type());
        if fits {
            return Ok(());
        }
        internal_err!("an operator declared the columns {:?} and put out {:?}", self.sink.schema, batch.schema())
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
            self.sink.append(0, &batch)?;
        }
        Ok(())
    }

    /// Writes all that is held as one run and gives its memory back. Answers how many bytes that made.
    fn write_run(&mut self) -> Result<u64> {
        let Split::Many { held: Some(held), .. } = &mut self.split else { return Ok(0) };
        let before = self.sink.out.bytes();
        match held {
            Held::Buffered(held) => held.write_run(&mut self.sink)?,
            Held::Sorted(held) => held.write_run(&mut self.sink)?,
        }
        self.reservation.free();
        Ok(self.sink.out.bytes() - before)
    }
}

fn pieces(batch: &RecordBatch, most: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = batch.num_rows();
    let pieces = row_bytes(batch).div_ceil(most.max(1) * 2).clamp(1, rows.max(1));
    let step = rows.div_ceil(pieces).max(1);
    (0..rows).step_by(step).map(move |start| start..(start + step).min(rows))
}

fn external(error: StoreError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
