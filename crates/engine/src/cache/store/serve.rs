//! Blocks as peers get them.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion_proto::protobuf;
use prost::Message;

use super::CacheStore;
use crate::cache::{BlockId, batch::StoredBlock};

/// A block on its way to a peer, frame by frame.
#[derive(Debug)]
pub struct Serving {
    block: Arc<StoredBlock>,
    columns: Vec<usize>,
    batch: usize,
    column: usize,
}

/// One column of one batch, in the order asked for; of a batch without columns only the number of its rows.
#[derive(Debug)]
pub struct ServedFrame {
    /// Of the batch.
    pub rows: usize,
    pub frame: Bytes,
}

impl CacheStore {
    /// The columns of a block that are asked for, all where `columns` is `None`; nothing where the block is not here.
    pub fn serve(&self, id: BlockId, columns: Option<Vec<usize>>) -> Option<Serving> {
        let block = self.get(id)?;
        let width = block.schema.fields().len();
        let columns = columns.unwrap_or_else(|| (0..width).collect());
        columns.iter().all(|c| *c < width).then_some(Serving { block, columns, batch: 0, column: 0 })
    }
}

impl Serving {
    /// The schema of all columns of the block, which comes first.
    pub fn header(&self) -> Result<Bytes> {
        Ok(protobuf::Schema::try_from(self.block.schema.as_ref())?.encode_to_vec().into())
    }

    pub fn next_frame(&mut self) -> Result<Option<ServedFrame>> {
        let Some(batch) = self.block.batches.get(self.batch) else { return Ok(None) };
        let frame = match self.columns.get(self.column) {
            Some(column) => self.block.frame(self.batch, *column)?,
            None => Bytes::new(),
        };
        self.column += 1;
        if self.column >= self.columns.len() {
            (self.batch, self.column) = (self.batch + 1, 0);
        }
        Ok(Some(ServedFrame { rows: batch.rows, frame }))
    }
}
