//! Few partitions: each has a buffer of rows, which is encoded when it is full. Rows are moved while their batch is in the processor's
//! cache, and what is held is encoded, a fraction of the rows' size.

use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::{BatchCoalescer, take_record_batch},
    datatypes::SchemaRef,
};
use datafusion::common::Result;

use super::{Sink, route::Routed};

/// Of all buffers of rows together.
const BUFFERS_BYTES: usize = 32 << 20;
/// Rows of a buffer, at least.
const LEAST_ROWS: usize = 512;

pub struct Buffered {
    partitions: Vec<Partition>,
    /// Of the rows in buffers and of what is encoded.
    bytes: usize,
    /// Bytes of a row, and rows, so far.
    seen: (usize, usize),
    order: Vec<u32>,
    starts: Vec<u32>,
}

struct Partition {
    rows: BatchCoalescer,
    /// Whole frames, and their rows.
    encoded: Vec<(Box<[u8]>, u64)>,
}

impl Buffered {
    /// For rows of about so many bytes. `None`: there are too many partitions for buffers of a useful size.
    pub fn new(schema: &SchemaRef, partitions: usize, row_bytes: usize, most_rows: usize) -> Option<Self> {
        let rows = BUFFERS_BYTES / partitions.max(1) / row_bytes.max(1);
        if rows < LEAST_ROWS {
            return None;
        }
        let rows = rows.min(most_rows);
        let partition = || Partition { rows: BatchCoalescer::new(schema.clone(), rows), encoded: Vec::new() };
        Some(Self {
            partitions: std::iter::repeat_with(partition).take(partitions).collect(),
            bytes: 0,
            seen: (0, 0),
            order: Vec::new(),
            starts: Vec::new(),
        })
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// `bytes`: what the rows take.
    pub fn add(&mut self, routed: Routed, bytes: usize, of_rows: &[u32], sink: &mut Sink<'_>) -> Result<()> {
        self.bytes += bytes;
        match routed {
            Routed::Rows(batch) => {
                self.seen = (self.seen.0 + bytes, self.seen.1 + batch.num_rows());
                let sorted = self.by_partition(&batch, of_rows)?;
                for partition in 0..self.partitions.len() {
                    let (start, end) = (self.starts[partition] as usize, self.starts[partition + 1] as usize);
                    if start < end {
                        self.push(partition, sorted.slice(start, end - start), sink)?;
                    }
                }
            }
            Routed::Pieces(pieces) => {
                let rows: usize = pieces.iter().map(|(_, piece)| piece.num_rows()).sum();
                self.seen = (self.seen.0 + bytes, self.seen.1 + rows);
                for (partition, piece) in pieces {
                    self.push(partition, piece, sink)?;
                }
            }
        }
        Ok(())
    }

    /// The rows of `batch` in the order of their partitions; `self.starts` says where each one's begin.
    fn by_partition(&mut self, batch: &RecordBatch, of_rows: &[u32]) -> Result<RecordBatch> {
        self.starts.clear();
        self.starts.resize(self.partitions.len() + 1, 0);
        for partition in of_rows {
            self.starts[*partition as usize + 1] += 1;
        }
        for partition in 0..self.partitions.len() {
            self.starts[partition + 1] += self.starts[partition];
        }
        self.order.clear();
        self.order.resize(of_rows.len(), 0);
        let mut next = self.starts.clone();
        for (row, partition) in of_rows.iter().enumerate() {
            let place = &mut next[*partition as usize];
            self.order[*place as usize] = row as u32;
            *place += 1;
        }
        let order = UInt32Array::from(std::mem::take(&mut self.order));
        let sorted = take_record_batch(batch, &order)?;
        // The vector is used again.
        self.order = order.into_parts().1.into_inner().into_vec().unwrap_or_default();
        Ok(sorted)
    }

    fn push(&mut self, partition: usize, rows: RecordBatch, sink: &mut Sink<'_>) -> Result<()> {
        let row_bytes = self.seen.0 / self.seen.1.max(1);
        let Some(to) = self.partitions.get_mut(partition) else { return Ok(()) };
        to.rows.push_batch(rows)?;
        while let Some(batch) = to.rows.next_completed_batch() {
            self.bytes = self.bytes.saturating_sub(batch.num_rows() * row_bytes);
            for frame in sink.frames(&batch)? {
                self.bytes += frame.0.len();
                to.encoded.push(frame);
            }
        }
        Ok(())
    }

    /// Writes all that is held as one run.
    pub fn write_run(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        if self.seen.1 == 0 {
            return Ok(());
        }
        sink.out.start_run();
        for (number, partition) in self.partitions.iter_mut().enumerate() {
            for (frame, rows) in partition.encoded.drain(..) {
                sink.append_frame(number, &frame, rows)?;
            }
            partition.rows.finish_buffered_batch()?;
            while let Some(batch) = partition.rows.next_completed_batch() {
                sink.append(number, &batch)?;
            }
        }
        self.bytes = 0;
        self.seen = (0, 0);
        Ok(())
    }
}
