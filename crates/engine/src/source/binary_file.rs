//! Files as rows: their path, time, length and bytes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use datafusion::common::{Result, internal_err};
use firesteel_functions::types;
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};
use futures::{StreamExt, stream};
use object_store::ObjectStoreExt;

use super::{
    Format, Reading, Source, SourceOptions, SourceSpec, data_fields,
    files::FilesTableParts,
    listing::Listing,
    partitions,
    read::{Batches, FileRead, LARGEST_RECORD},
};
use crate::{EngineSession, error::to_datafusion};

fn columns() -> Vec<StructField> {
    vec![
        StructField::new("path", DataType::String, false),
        StructField::new("modificationTime", DataType::Timestamp, false),
        StructField::new("length", DataType::Long, false),
        StructField::new("content", DataType::Binary, true),
    ]
}

pub fn open(
    session: &EngineSession,
    spec: &SourceSpec,
    options: &SourceOptions,
    listing: Listing,
) -> SparkResult<Source> {
    let partitions = partitions::discover(session, &listing, spec)?;
    if let Some(given) = spec.schema.as_deref().map(|fields| data_fields(fields, &partitions.names())) {
        let same = |(a, b): (&StructField, &StructField)| a.name == b.name && a.data_type == b.data_type;
        let own = columns();
        if given.len() != own.len() || !given.iter().zip(&own).all(same) {
            return Err(SparkError::new(
                "_LEGACY_ERROR_TEMP_1139",
                "XXKCM",
                "The columns of binary files are path STRING, modificationTime TIMESTAMP, length BIGINT and content BINARY."
                    .to_owned(),
            ));
        }
    }
    let parts = FilesTableParts { listing, partitions, fields: columns(), splittable: false, format: None };
    parts.into_source(session, Reading::new(session, Format::BinaryFile, options)?)
}

/// The one row of a file.
pub async fn read(read: FileRead) -> Result<Batches> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(read.places.len());
    for place in &read.places {
        arrays.push(match place {
            0 => Arc::new(StringArray::from(vec![spark_url(&read.url)])),
            1 => Arc::new(
                TimestampMicrosecondArray::from(vec![read.meta.last_modified.timestamp_micros()])
                    .with_timezone_opt(types::utc()),
            ),
            2 => Arc::new(Int64Array::from(vec![i64::try_from(read.meta.size).unwrap_or(i64::MAX)])),
            3 => {
                if read.meta.size > LARGEST_RECORD {
                    return Err(to_datafusion(SparkError::new(
                        "_LEGACY_ERROR_TEMP_2200",
                        "XXKCM",
                        format!(
                            "The length of the file {} is {}, which exceeds the max length allowed: {LARGEST_RECORD}.",
                            read.url, read.meta.size
                        ),
                    )));
                }
                let bytes = read.store.get(&read.meta.location).await?.bytes().await?;
                read.bytes.add(bytes.len());
                Arc::new(BinaryArray::from_vec(vec![bytes.as_ref()]))
            }
            other => return internal_err!("binary files have no column {other}"),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(read.schema, arrays, &options)?;
    Ok(stream::iter([Ok(batch)]).boxed())
}

/// Spark writes paths of this machine with one slash, as Hadoop does.
fn spark_url(url: &str) -> String {
    url.strip_prefix("file:///").map_or_else(|| url.to_owned(), |path| format!("file:/{path}"))
}
