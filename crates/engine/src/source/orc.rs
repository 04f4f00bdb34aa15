//! ORC.

use std::{fmt::Display, io};

use arrow::datatypes::Schema;
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, future::ready, stream};
use orc_rust::{
    ArrowReaderBuilder, error::OrcError, projection::ProjectionMask, reader::AsyncChunkReader,
    schema::TimestampPrecision,
};

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
    let reading = Reading::new(session, Format::Orc, options)?;
    let merge = options.bool("mergeschema", session.conf().bool(&firesteel_plan::conf::keys::ORC_MERGE_SCHEMA))?;
    let partitions = partitions::discover(session, &listing, spec)?;
    let fields = match &spec.schema {
        Some(fields) => data_fields(fields, &partitions.names()),
        None => {
            let mut merged: Vec<StructField> = Vec::new();
            for read in listing.reads(&reading, Vec::new()).filter(|read| read.meta.size > 0) {
                let found = caught(fields_of(&read)).await.map_err(|e| footer(&read, &e))?;
                super::merge_fields(&mut merged, found, reading.case_sensitive)?;
                if !merge && !merged.is_empty() {
                    break;
                }
            }
            if merged.is_empty() {
                return Err(cannot_infer("orc"));
            }
            merged
        }
    };
    let parts = FilesTableParts { listing, partitions, fields, splittable: true, format: None };
    parts.into_source(session, reading)
}

fn footer(read: &FileRead, error: &DataFusionError) -> SparkError {
    let known = from_datafusion(error);
    if known.class() != UNREADABLE || crate::error::find::<object_store::Error>(error).is_some() {
        return known;
    }
    SparkError::new(
        "FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER",
        "KD001",
        format!(
            "Encountered error while reading file {}. Could not read footer. Please ensure that the file is in ORC format: {}",
            read.url,
            known.message()
        ),
    )
    .param("path", read.url.clone())
}

async fn fields_of(read: &FileRead) -> Result<Vec<StructField>> {
    let builder = ArrowReaderBuilder::try_new_async(Bytewise(read.clone())).await.map_err(broken)?;
    let mut fields = spark_fields(&builder.schema()).map_err(to_datafusion)?;
    fields.iter_mut().for_each(|f| f.data_type = instants(f.data_type.clone()));
    Ok(fields)
}

/// ORC's timestamps are Spark's TIMESTAMP.
fn instants(data_type: DataType) -> DataType {
    match data_type {
        DataType::TimestampNtz => DataType::Timestamp,
        DataType::Array { element, .. } => DataType::array(instants(*element)),
        DataType::Map { key, value, .. } => DataType::map(instants(*key), instants(*value)),
        DataType::Struct(fields) => DataType::Struct(
            fields.into_iter().map(|f| StructField { data_type: instants(f.data_type.clone()), ..f }).collect(),
        ),
        other => other,
    }
}

/// The rows of a file.
pub async fn read(read: FileRead) -> Result<Batches> {
    if read.meta.size == 0 {
        return Ok(stream::empty().boxed());
    }
    let case_sensitive = read.reading.case_sensitive;
    let builder = ArrowReaderBuilder::try_new_async(Bytewise(read.clone())).await.map_err(broken)?;
    let file: &Schema = &builder.schema();
    let mut wanted: Vec<&str> = places(file, &read.schema, case_sensitive)
        .into_iter()
        .flatten()
        .map(|i| file.field(i).name().as_str())
        .collect();
    // Rows are counted by a column.
    if wanted.is_empty() {
        wanted.extend(file.fields().first().map(|f| f.name().as_str()));
    }
    let mask = ProjectionMask::named_roots(builder.file_metadata().root_data_type(), &wanted);
    let mut builder = builder
        .with_projection(mask)
        .with_batch_size(read.batch_size)
        .with_timestamp_precision(TimestampPrecision::Microsecond);
    if !read.is_whole() {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        builder = builder.with_file_byte_range(place(read.range.start)..place(read.range.end));
    }
    let schema = read.schema.clone();
    Ok(builder
        .build_async()
        .map_err(|e| match e {
            arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<OrcError>() {
                Ok(orc) => broken(*orc),
                Err(other) => unreadable(&other),
            },
            other => unreadable(&other),
        })
        .and_then(move |batch| ready(adapted(&batch, &schema, case_sensitive)))
        .boxed())
}

fn broken(error: OrcError) -> DataFusionError {
    match error {
        OrcError::IoError { source, .. } => stored_or(source, unreadable),
        other => unreadable(&other),
    }
}

fn unreadable(why: &dyn Display) -> DataFusionError {
    to_datafusion(SparkError::new(UNREADABLE, "KD001", format!("The file is no ORC file, or damaged: {why}.")))
}

impl AsyncChunkReader for Bytewise {
    fn len(&mut self) -> BoxFuture<'_, io::Result<u64>> {
        ready(Ok(self.0.meta.size)).boxed()
    }

    fn get_bytes(&mut self, offset: u64, length: u64) -> BoxFuture<'_, io::Result<Bytes>> {
        // No file is so large: a length that is added up beyond all numbers is beyond the file's end.
        self.at(offset..offset.saturating_add(length)).boxed()
    }
}
