//! Avro object container files.

use std::ops::Range;

use arrow_avro::{
    errors::AvroError,
    reader::{AsyncAvroFileReader, AsyncFileReader},
};
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use firesteel_plan::{SparkError, SparkResult, types::StructField};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, future::ready, stream};
use object_store::ObjectStoreExt;

use super::{
    Format, Reading, Source, SourceOptions, SourceSpec, UNREADABLE,
    adapt::{adapted, places, spark_fields},
    cannot_infer, data_fields,
    files::FilesTableParts,
    listing::Listing,
    partitions,
    read::{Batches, FileRead, caught},
};
use crate::{EngineSession, error::from_datafusion, error::to_datafusion};

pub async fn open(
    session: &EngineSession,
    spec: &SourceSpec,
    options: &SourceOptions,
    listing: Listing,
) -> SparkResult<Source> {
    let reading = Reading::new(session, Format::Avro, options)?;
    options.only("ignoreextension", "true")?;
    let partitions = partitions::discover(session, &listing, spec)?;
    let fields = match &spec.schema {
        Some(fields) => data_fields(fields, &partitions.names()),
        None => {
            let first = listing.reads(&reading, Vec::new()).find(|read| read.meta.size > 0);
            let Some(first) = first else { return Err(cannot_infer("avro")) };
            caught(fields_of(&first)).await.map_err(|e| from_datafusion(&first.named(e)))?
        }
    };
    let parts = FilesTableParts { listing, partitions, fields, splittable: true, format: None };
    parts.into_source(session, reading)
}

async fn fields_of(read: &FileRead) -> Result<Vec<StructField>> {
    let reader =
        AsyncAvroFileReader::builder(Bytewise::of(read), read.meta.size, 1).try_build().await.map_err(broken)?;
    spark_fields(&reader.schema()).map_err(to_datafusion)
}

/// The rows of a file.
pub async fn read(read: FileRead) -> Result<Batches> {
    if read.meta.size == 0 {
        return Ok(stream::empty().boxed());
    }
    let builder = || {
        let reader = AsyncAvroFileReader::builder(Bytewise::of(&read), read.meta.size, read.batch_size);
        if read.is_whole() { reader } else { reader.with_range(read.range.clone()) }
    };
    let case_sensitive = read.reading.case_sensitive;
    let whole = builder().try_build().await.map_err(broken)?;
    let mut wanted: Vec<usize> = places(&whole.schema(), &read.schema, case_sensitive).into_iter().flatten().collect();
    wanted.sort_unstable();
    wanted.dedup();
    // Rows are counted by a column.
    if wanted.is_empty() && !whole.schema().fields().is_empty() {
        wanted.push(0);
    }
    let batches = if wanted.len() < whole.schema().fields().len() {
        builder().with_projection(wanted).try_build().await.map_err(broken)?
    } else {
        whole
    };
    let schema = read.schema.clone();
    Ok(batches
        .map_err(|e| broken(e.into()))
        .and_then(move |batch| ready(adapted(&batch, &schema, case_sensitive)))
        .boxed())
}

fn broken(error: AvroError) -> DataFusionError {
    if let AvroError::External(inner) = error {
        return match inner.downcast::<object_store::Error>() {
            Ok(stored) => (*stored).into(),
            Err(other) => to_datafusion(SparkError::new(
                UNREADABLE,
                "KD001",
                format!("The file is no Avro file, or damaged: {other}."),
            )),
        };
    }
    to_datafusion(SparkError::new(UNREADABLE, "KD001", format!("The file is no Avro file, or damaged: {error}.")))
}

/// A file as the library reads it.
struct Bytewise(FileRead);

impl Bytewise {
    fn of(read: &FileRead) -> Self {
        Self(read.clone())
    }
}

impl AsyncFileReader for Bytewise {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, std::result::Result<Bytes, AvroError>> {
        async move {
            if range.start > range.end || range.end > self.0.meta.size {
                return Err(AvroError::EOF(format!("bytes {range:?} of a file of {} bytes", self.0.meta.size)));
            }
            let bytes = self.0.store.get_range(&self.0.meta.location, range).await;
            let bytes = bytes.map_err(|e| AvroError::External(Box::new(e)))?;
            self.0.bytes.add(bytes.len());
            Ok(bytes)
        }
        .boxed()
    }
}
