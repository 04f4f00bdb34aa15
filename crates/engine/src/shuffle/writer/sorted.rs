//! Many partitions: rows are held as they came, with a list of its rows for each partition, and gathered when they are written. What
//! it takes for a partition is the list alone.

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::interleave_record_batch,
};
use datafusion::common::Result;

use super::{Sink, route::Routed};
use crate::shuffle::block::compact;

/// Rows held until they are written: whole input batches, and for each partition which rows of them are its own.
pub struct Sorted {
    batches: Vec<RecordBatch>,
    /// Batch and row.
    rows: Vec<Vec<(u32, u32)>>,
    bytes: usize,
    count: usize,
}

/// Row numbers of batches fit in 32 bits with much room.
const MAX_HELD_ROWS: usize = 1 << 30;

impl Sorted {
    pub fn new(partitions: usize) -> Self {
        Self { batches: Vec::new(), rows: vec![Vec::new(); partitions], bytes: 0, count: 0 }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_full(&self) -> bool {
        self.count >= MAX_HELD_ROWS
    }

    /// `bytes`: what the rows take.
    pub fn add(&mut self, routed: Routed, bytes: usize, of_rows: &[u32]) {
        self.bytes += bytes;
        match routed {
            Routed::Rows(batch) => {
                let index = self.batches.len() as u32;
                for (row, partition) in of_rows.iter().enumerate() {
                    self.rows[*partition as usize].push((index, row as u32));
                }
                self.count += batch.num_rows();
                self.batches.push(compact(batch));
            }
            Routed::Pieces(pieces) => {
                for (partition, piece) in pieces {
                    let index = self.batches.len() as u32;
                    self.rows[partition].extend((0..piece.num_rows() as u32).map(|row| (index, row)));
                    self.count += piece.num_rows();
                    self.batches.push(compact(piece));
                }
            }
        }
    }

    /// Writes all rows held as one run.
    pub fn write_run(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        sink.out.start_run();
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let row_bytes = (self.bytes / self.count).max(1);
        let chunk_rows = (sink.options.batch_bytes / row_bytes).clamp(1, sink.options.batch_rows);
        let mut picks = Vec::with_capacity(chunk_rows);
        for (partition, rows) in self.rows.iter_mut().enumerate() {
            for chunk in rows.chunks(chunk_rows) {
                picks.clear();
                picks.extend(chunk.iter().map(|(batch, row)| (*batch as usize, *row as usize)));
                let batch = if sink.schema.fields().is_empty() {
                    let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
                    RecordBatch::try_new_with_options(sink.schema.clone(), vec![], &options)?
                } else {
                    interleave_record_batch(&batches, &picks)?
                };
                sink.append(partition, &batch)?;
            }
            rows.clear();
        }
        self.batches.clear();
        self.bytes = 0;
        self.count = 0;
        Ok(())
    }
}
