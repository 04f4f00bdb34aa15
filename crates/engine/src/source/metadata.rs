//! The hidden column that tells of each row's file.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, StringArray, StructArray, TimestampMicrosecondArray},
    datatypes::{DataType as ArrowType, Field},
};
use datafusion::{
    common::Result,
    datasource::{listing::PartitionedFile, object_store::ObjectStoreUrl, physical_plan::FileGroup},
    scalar::ScalarValue,
};
use firesteel_functions::types;
use firesteel_plan::{DataType, SparkResult, types::StructField};

use super::format::file_url;
use crate::error::to_datafusion;

/// Its name.
pub const METADATA: &str = "_metadata";

fn fields() -> Vec<StructField> {
    vec![
        StructField::new("file_path", DataType::String, false),
        StructField::new("file_name", DataType::String, false),
        StructField::new("file_size", DataType::Long, false),
        StructField::new("file_block_start", DataType::Long, false),
        StructField::new("file_block_length", DataType::Long, false),
        StructField::new("file_modification_time", DataType::Timestamp, false),
    ]
}

pub fn field() -> SparkResult<Field> {
    Ok(Field::new(METADATA, ArrowType::Struct(types::fields_to_arrow(&fields())?), false))
}

/// The files with what is told of them, as one more partition value.
pub fn told(groups: Vec<FileGroup>, store: &ObjectStoreUrl) -> Result<Vec<FileGroup>> {
    groups
        .into_iter()
        .map(|group| {
            let files = group.into_inner().into_iter().map(|mut file| {
                file.partition_values.push(value(&file, store)?);
                Ok(file)
            });
            Ok(FileGroup::new(files.collect::<Result<_>>()?))
        })
        .collect()
}

fn value(file: &PartitionedFile, store: &ObjectStoreUrl) -> Result<ScalarValue> {
    let meta = &file.object_meta;
    let size = i64::try_from(meta.size).unwrap_or(i64::MAX);
    let (start, end) = file.range.as_ref().map_or((0, size), |r| (r.start, r.end));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![file_url(store, &meta.location)])),
        Arc::new(StringArray::from(vec![meta.location.filename().unwrap_or_default()])),
        Arc::new(Int64Array::from(vec![size])),
        Arc::new(Int64Array::from(vec![start])),
        Arc::new(Int64Array::from(vec![end - start])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![meta.last_modified.timestamp_micros()])
                .with_timezone_opt(types::utc()),
        ),
    ];
    let names = types::fields_to_arrow(&fields()).map_err(to_datafusion)?;
    Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(names, columns, None)?)))
}
