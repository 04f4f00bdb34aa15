//! A writer of ORC files. The library's must stay on the thread that made it, so it has one of its own.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{common::exec_err, error::Result};
use orc_rust::{ArrowWriterBuilder, compression::CompressionType};

use super::encode::{Buffer, external};

pub struct OrcWriter {
    /// One batch waits at most. Without it the writer ends.
    batches: Option<SyncSender<RecordBatch>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl OrcWriter {
    pub fn new(out: Buffer, schema: SchemaRef, codec: Option<CompressionType>) -> Result<Self> {
        let (batches, received) = sync_channel::<RecordBatch>(1);
        let write = move || {
            let mut builder = ArrowWriterBuilder::new(out, schema);
            if let Some(codec) = codec {
                builder = builder.with_compression(codec);
            }
            let mut writer = builder.try_build().map_err(external)?;
            for batch in received {
                writer.write(&batch).map_err(external)?;
            }
            writer.close().map_err(external)
        };
        let thread = std::thread::Builder::new().name("orc-writer".to_owned()).spawn(write)?;
        Ok(Self { batches: Some(batches), thread: Some(thread) })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let sent = self.batches.as_ref().is_some_and(|batches| batches.send(batch.clone()).is_ok());
        // A thread that takes nothing has ended with an error.
        if sent { Ok(()) } else { self.finish() }
    }

    /// Waits for the end of the file.
    pub fn finish(&mut self) -> Result<()> {
        drop(self.batches.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => exec_err!("the writer of ORC has a defect"),
            None => exec_err!("an ORC file is written after its end"),
        }
    }
}
