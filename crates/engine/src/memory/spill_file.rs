//! Batches in a temporary file: frames as those of shuffle blocks, with their checksums.

use std::{io::Write, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, config::SpillCompression},
    execution::{SendableRecordBatchStream, TaskContext, spill_file::SpillFile},
    physical_plan::{metrics::SpillMetrics, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::shuffle::block::{BlockCompression, BlockDecoder, BlockEncoder};

/// A file that is being written. Dropped, it is removed.
pub(crate) struct SpillWriter {
    file: Arc<dyn SpillFile>,
    out: Box<dyn datafusion::execution::spill_file::SpillWriter>,
    encoder: BlockEncoder,
    encoded: Vec<u8>,
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    metrics: SpillMetrics,
}

/// A file that was written. Removed when it and all streams of it are dropped.
pub(crate) struct Spilled {
    file: Arc<dyn SpillFile>,
    schema: SchemaRef,
    pub rows: usize,
}

impl SpillWriter {
    /// `name`: what the file is called for, for people.
    pub fn create(context: &TaskContext, name: &str, schema: SchemaRef, metrics: SpillMetrics) -> Result<Self> {
        let file = context.runtime_env().disk_manager.create_tmp_file(name)?;
        let compression = match context.session_config().spill_compression() {
            SpillCompression::Zstd => BlockCompression::Zstd,
            SpillCompression::Lz4Frame => BlockCompression::Lz4,
            SpillCompression::Uncompressed => BlockCompression::None,
        };
        metrics.spill_file_count.add(1);
        Ok(Self {
            out: file.open_writer()?,
            file,
            encoder: BlockEncoder::new(schema.clone(), compression)?,
            encoded: Vec::new(),
            schema,
            rows: 0,
            bytes: 0,
            metrics,
        })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoded.clear();
        self.encoder.encode(batch, &mut self.encoded)?;
        self.out.write_all(&self.encoded)?;
        self.rows += batch.num_rows();
        self.bytes += self.encoded.len();
        self.metrics.spilled_bytes.add(self.encoded.len());
        self.metrics.spilled_rows.add(batch.num_rows());
        Ok(())
    }

    pub fn finish(mut self) -> Result<Spilled> {
        self.out.flush()?;
        self.out.finish()?;
        Ok(Spilled { file: self.file, schema: self.schema, rows: self.rows })
    }
}

impl Spilled {
    /// Its batches, read as they are asked for.
    pub fn read(&self) -> Result<SendableRecordBatchStream> {
        let bytes = self.file.read_stream()?;
        let decoder = BlockDecoder::new(self.schema.clone())?;
        // The file lives as long as its reader.
        let start = (bytes, decoder, self.file.clone());
        let batches = stream::try_unfold(start, |(mut bytes, mut decoder, file)| async move {
            loop {
                if let Some(batch) = decoder.take() {
                    return Ok(Some((batch, (bytes, decoder, file))));
                }
                match bytes.try_next().await? {
                    Some(next) => decoder.push(next)?,
                    None => {
                        decoder.end_of_block()?;
                        return Ok(None);
                    }
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches.boxed())))
    }
}
