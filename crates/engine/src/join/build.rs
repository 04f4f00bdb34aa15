//! Collecting the build side, as far as memory goes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::{
    common::Result,
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_plan::{metrics::SpillMetrics, spill::get_record_batch_memory_size},
};

use crate::memory::spill_file::Spilled;

use super::{
    scatter::{BUCKETS, BufferedSpill, Scatter, pick},
    shape::Shape,
};

/// Memory that a hash join needs for these rows: the batches, the copy that puts them together, and the table.
pub(super) fn memory_needed(bytes: usize, rows: usize) -> usize {
    // Buckets of the table are a power of two, of hash, row number and control byte; and each row has a place in a chain.
    let buckets = (rows * 8 / 7).next_power_of_two();
    let table = (buckets * 17 + rows * 4).max(rows * 32);
    2 * bytes + table
}

/// The build side while it comes in.
pub(super) struct Build {
    shape: Arc<Shape>,
    context: Arc<TaskContext>,
    metrics: SpillMetrics,
    level: usize,
    reservation: MemoryReservation,
    held: Held,
}

enum Held {
    /// All of it so far.
    Whole {
        batches: Vec<RecordBatch>,
        bytes: usize,
        rows: usize,
    },
    Split(Box<Split>),
}

struct Split {
    scatter: Scatter,
    buckets: Vec<Bucket>,
    /// Bytes that a bucket on disk gathers before it writes.
    write_bytes: usize,
}

#[derive(Default)]
struct Bucket {
    batches: Vec<RecordBatch>,
    bytes: usize,
    /// Of the whole bucket, wherever they are.
    rows: usize,
    spill: Option<BufferedSpill>,
}

/// The build side when it is all there.
pub(super) struct Built {
    pub memory: Vec<RecordBatch>,
    pub reservation: MemoryReservation,
    /// What went to disk, by bucket; empty if nothing did.
    pub spilled: Vec<Option<SpilledBucket>>,
    pub write_bytes: usize,
}

pub(super) struct SpilledBucket {
    pub file: Spilled,
    /// Splitting did not make it smaller.
    pub stuck: bool,
}

impl Build {
    pub fn new(shape: Arc<Shape>, context: Arc<TaskContext>, metrics: SpillMetrics, level: usize) -> Self {
        let reservation = MemoryConsumer::new(format!("HybridHashJoin[level {level}]"))
            .with_can_spill(true)
            .register(context.memory_pool());
        let held = Held::Whole { batches: Vec::new(), bytes: 0, rows: 0 };
        Self { shape, context, metrics, level, reservation, held }
    }

    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let Held::Whole { batches, bytes, rows } = &mut self.held else { return self.push_split(&batch) };
        *bytes += get_record_batch_memory_size(&batch);
        *rows += batch.num_rows();
        batches.push(batch);
        if self.reservation.try_resize(memory_needed(*bytes, *rows)).is_ok() {
            return Ok(());
        }
        let batches = std::mem::take(batches);
        let scatter = Scatter::new(&self.shape.left_keys, self.level);
        let share = self.reservation.size() / (4 * BUCKETS);
        let write_bytes = share.clamp(LEAST_WRITE, MOST_WRITE);
        let buckets = (0..BUCKETS).map(|_| Bucket::default()).collect();
        self.held = Held::Split(Box::new(Split { scatter, buckets, write_bytes }));
        self.reservation.free();
        if self.shape.join.null_aware {
            // Nothing comes out before the other side has been seen whole.
            (0..BUCKETS).try_for_each(|bucket| self.spill(bucket))?;
        }
        batches.iter().try_for_each(|batch| self.push_split(batch))
    }

    fn push_split(&mut self, batch: &RecordBatch) -> Result<()> {
        let Held::Split(split) = &mut self.held else { return Ok(()) };
        let routed = split.scatter.route(batch)?;
        for (bucket, rows) in split.buckets.iter_mut().zip(routed) {
            if rows.is_empty() {
                continue;
            }
            let piece = pick(batch, rows)?;
            bucket.rows += piece.num_rows();
            match &mut bucket.spill {
                Some(spill) => spill.push(piece)?,
                None => {
                    bucket.bytes += get_record_batch_memory_size(&piece);
                    bucket.batches.push(piece);
                }
            }
        }
        self.fit()
    }

    /// Spills buckets, the largest first, until what is held has its memory.
    fn fit(&mut self) -> Result<()> {
        loop {
            let Held::Split(split) = &self.held else { return Ok(()) };
            let in_memory = || split.buckets.iter().filter(|b| b.spill.is_none());
            let on_disk = BUCKETS - in_memory().count();
            let (bytes, rows) = in_memory().fold((0, 0), |(bytes, rows), b| (bytes + b.bytes, rows + b.rows));
            let needed = memory_needed(bytes, rows) + on_disk * split.write_bytes;
            if self.reservation.try_resize(needed).is_ok() {
                return Ok(());
            }
            let held = split.buckets.iter().enumerate().filter(|(_, b)| b.spill.is_none() && b.bytes > 0);
            match held.max_by_key(|(_, b)| b.bytes).map(|(index, _)| index) {
                Some(largest) => self.spill(largest)?,
                None => {
                    // Only what is about to be written is held. There is no less.
                    self.reservation.resize(needed);
                    return Ok(());
                }
            }
        }
    }

    fn spill(&mut self, bucket: usize) -> Result<()> {
        let Held::Split(split) = &mut self.held else { return Ok(()) };
        let schema = self.shape.left_schema();
        let mut spill = BufferedSpill::create(&self.context, schema, self.metrics.clone(), split.write_bytes)?;
        let bucket = &mut split.buckets[bucket];
        bucket.bytes = 0;
        std::mem::take(&mut bucket.batches).into_iter().try_for_each(|batch| spill.push(batch))?;
        bucket.spill = Some(spill);
        Ok(())
    }

    pub fn finish(self) -> Result<Built> {
        let Self { reservation, held, .. } = self;
        let split = match held {
            Held::Whole { batches, .. } => {
                return Ok(Built { memory: batches, reservation, spilled: Vec::new(), write_bytes: 0 });
            }
            Held::Split(split) => split,
        };
        let all: usize = split.buckets.iter().map(|b| b.rows).sum();
        let mut memory = Vec::new();
        let mut spilled = Vec::new();
        for mut bucket in split.buckets {
            memory.append(&mut bucket.batches);
            let stuck = bucket.rows > all / 10 * 9;
            spilled.push(match bucket.spill {
                Some(spill) => Some(SpilledBucket { file: spill.finish()?, stuck }),
                None => None,
            });
        }
        Ok(Built { memory, reservation, spilled, write_bytes: split.write_bytes })
    }
}

const LEAST_WRITE: usize = 4 << 10;
const MOST_WRITE: usize = 512 << 10;
