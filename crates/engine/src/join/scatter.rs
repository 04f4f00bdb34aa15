//! Rows to buckets.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{concat_batches, take_record_batch},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Result, hash_utils::create_hashes},
    execution::TaskContext,
    physical_expr::PhysicalExpr,
    physical_plan::{joins::SeededRandomState, metrics::SpillMetrics},
};

use crate::memory::spill_file::{SpillWriter, Spilled};
use crate::shuffle::block::{compact, row_bytes};

/// Buckets that one level splits its rows into.
pub(super) const BUCKETS: usize = 16;

/// Splits batches by a hash of their keys. Each level has a hash of its own: rows that share a bucket on one level part on
/// the next.
pub(super) struct Scatter {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    state: SeededRandomState,
    hashes: Vec<u64>,
    rows: [Vec<u32>; BUCKETS],
}

impl Scatter {
    pub fn new(keys: &[Arc<dyn PhysicalExpr>], level: usize) -> Self {
        // Any numbers that no other hash of the engine is seeded with.
        let state = SeededRandomState::with_seed(0x6a6f_696e_0000 + level as u64);
        Self { keys: keys.to_vec(), state, hashes: Vec::new(), rows: Default::default() }
    }

    /// Finds the rows of each bucket.
    pub fn route(&mut self, batch: &RecordBatch) -> Result<&[Vec<u32>; BUCKETS]> {
        let arrays = self
            .keys
            .iter()
            .map(|key| key.evaluate(batch)?.into_array(batch.num_rows()))
            .collect::<Result<Vec<ArrayRef>>>()?;
        self.hashes.clear();
        self.hashes.resize(batch.num_rows(), 0);
        create_hashes(&arrays, self.state.random_state(), &mut self.hashes)?;
        self.rows.iter_mut().for_each(Vec::clear);
        for (row, hash) in self.hashes.iter().enumerate() {
            // The upper bits: hash tables use the lower ones.
            self.rows[(hash >> 40) as usize % BUCKETS].push(row as u32);
        }
        Ok(&self.rows)
    }
}

/// These rows of `batch`, in buffers of their own.
pub(super) fn pick(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch> {
    if rows.len() == batch.num_rows() {
        return Ok(batch.clone());
    }
    if batch.num_columns() == 0 {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        return Ok(RecordBatch::try_new_with_options(batch.schema(), vec![], &options)?);
    }
    let indices = UInt32Array::from_iter_values(rows.iter().copied());
    Ok(compact(take_record_batch(batch, &indices)?))
}

/// Gathers small batches and writes them as larger ones.
pub(super) struct BufferedSpill {
    writer: SpillWriter,
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    bytes: usize,
    most: usize,
}

impl BufferedSpill {
    /// Holds at most `most` bytes.
    pub fn create(context: &TaskContext, schema: SchemaRef, metrics: SpillMetrics, most: usize) -> Result<Self> {
        let writer = SpillWriter::create(context, "join", schema.clone(), metrics)?;
        Ok(Self { writer, schema, held: Vec::new(), bytes: 0, most })
    }

    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += row_bytes(&batch);
        self.held.push(batch);
        if self.bytes >= self.most { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = concat_batches(&self.schema, &self.held)?;
        self.held.clear();
        self.bytes = 0;
        self.writer.write(&batch)
    }

    pub fn finish(mut self) -> Result<Spilled> {
        if !self.held.is_empty() {
            self.flush()?;
        }
        self.writer.finish()
    }
}

impl Scatter {
    /// Whether a key of `batch` is null.
    pub fn has_null(&self, batch: &RecordBatch) -> Result<bool> {
        for key in &self.keys {
            if key.evaluate(batch)?.into_array(batch.num_rows())?.logical_null_count() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
