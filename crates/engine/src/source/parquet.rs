//! Parquet.

use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use datafusion::{
    common::DataFusionError,
    datasource::{
        file_format::{FileFormat, parquet::ParquetFormat},
        physical_plan::ParquetSource,
    },
};
use firesteel_functions::types;
use firesteel_plan::{SparkError, SparkResult, conf::keys};
use object_store::ObjectMeta;

use super::{
    Source, SourceOptions, SourceSpec, arrow_schema, cannot_infer, data_fields, files::FilesTableParts,
    listing::Listing, partitions,
};
use crate::{EngineSession, error::to_datafusion};

pub async fn open(
    session: &EngineSession,
    spec: &SourceSpec,
    options: &SourceOptions,
    listing: Listing,
) -> SparkResult<Source> {
    let merge = options.bool("mergeschema", session.conf().bool(&keys::PARQUET_MERGE_SCHEMA))?;
    for ignores in ["ignorecorruptfiles", "ignoremissingfiles"] {
        options.only(ignores, "false")?;
    }
    let state = session.state();
    let format = ParquetFormat::new().with_options(state.default_table_options().parquet);
    let partitions = partitions::discover(session, &listing, spec)?;
    let file_schema = match &spec.schema {
        Some(fields) => as_views(&arrow_schema(&data_fields(fields, &partitions.names()))?),
        None => {
            let sample = if merge { listing.files.len() } else { 1 };
            let metas = listing.files.iter().filter(|f| f.meta.size > 0).take(sample).map(|f| f.meta.clone());
            let metas: Vec<ObjectMeta> = metas.collect();
            let Some(first) = metas.first() else { return Err(cannot_infer("parquet")) };
            let found = format
                .infer_schema(&state, &listing.store, &metas)
                .await
                .map_err(|e| crate::error::from_datafusion(&unreadable(&listing, first, &e)))?;
            // Where a partition column is in the files as well, the folders' value counts.
            let names = partitions.names();
            let fields: Vec<Field> = found
                .fields()
                .iter()
                .filter(|f| !names.iter().any(|n| n.eq_ignore_ascii_case(f.name())))
                .map(|f| canonical(f))
                .collect::<SparkResult<_>>()?;
            Arc::new(Schema::new(fields))
        }
    };
    let schema = types::schema_from_arrow(&file_schema)?;
    let parts =
        FilesTableParts { listing, partitions, fields: schema, splittable: true, format: Some(Arc::new(format)) };
    parts.with_file_schema(session, file_schema, None, |s| Arc::new(ParquetSource::new(s)))
}

/// A Parquet column as Spark types it: what Spark has no type for is read as the type that holds it.
fn canonical(field: &Field) -> SparkResult<Field> {
    let data_type = canonical_type(field.data_type())?;
    Ok(Field::new(field.name(), data_type, true))
}

fn canonical_type(data_type: &ArrowType) -> SparkResult<ArrowType> {
    Ok(match data_type {
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => ArrowType::Utf8View,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            ArrowType::Binary
        }
        ArrowType::Dictionary(_, values) => canonical_type(values)?,
        // Everything else has one Arrow type for its Spark type.
        other => types::to_arrow(&types::from_arrow(other)?)?,
    })
}

/// Strings of Parquet files are read as views, which filters and keys handle without copying.
fn as_views(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| match f.data_type() {
        ArrowType::Utf8 => f.as_ref().clone().with_data_type(ArrowType::Utf8View),
        _ => f.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The error of a file that is no Parquet file, or a damaged one, with its path.
pub fn unreadable(listing: &Listing, file: &ObjectMeta, error: &DataFusionError) -> DataFusionError {
    if crate::error::find::<object_store::Error>(error).is_some() {
        return to_datafusion(crate::error::from_datafusion(error));
    }
    let path = super::format::file_url(&listing.store_url, &file.location);
    to_datafusion(
        SparkError::new(
            "FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER",
            "KD001",
            format!(
                "Encountered error while reading file {path}. Could not read footer. Please ensure that the file is in Parquet format: {}.",
                error.find_root()
            ),
        )
        .param("path", path),
    )
}
