//! Avro object container files.

use std::{fmt::Display, io, ops::Range};

use arrow_avro::{
    errors::AvroError,
    reader::{AsyncAvroFileReader, AsyncFileReader},
};
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use firesteel_plan::{SparkError, SparkResult, types::StructField};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, future::BoxFuture, future::ready, stream};

use super::{
    Format, Reading, Source, SourceOptions, SourceSpec, UNREADABLE,
    adapt::{adapted, places, spark_fields},
    cannot_infer, data_fields,
    files::FilesTableParts,
    listing::Listing,
    partitions,
    read::{Batches, Bytewise, FileRead, caught, stored_or},
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
        AsyncAvroFileReader::builder(Bytewise(read.clone()), read.meta.size, 1).try_build().await.map_err(broken)?;
    spark_fields(&reader.schema()).map_err(to_datafusion)
}

/// The rows of a file.
pub async fn read(read: FileRead) -> Result<Batches> {
    if read.meta.size == 0 {
        return Ok(stream::empty().boxed());
    }
    let builder = || {
        let reader = AsyncAvroFileReader::builder(Bytewise(read.clone()), read.meta.size, read.batch_size);
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
    match error {
        AvroError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => stored_or(*error, unreadable),
            Err(other) => unreadable(&other),
        },
        other => unreadable(&other),
    }
}

fn unreadable(why: &dyn Display) -> DataFusionError {
    to_datafusion(SparkError::new(UNREADABLE, "KD001", format!("The file is no Avro file, or damaged: {why}.")))
}

impl AsyncFileReader for Bytewise {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, std::result::Result<Bytes, AvroError>> {
        self.at(range).map_err(AvroError::from).boxed()
    }
}
