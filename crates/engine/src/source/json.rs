//! JSON: one object a line.

use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use datafusion::{
    common::config::JsonOptions,
    datasource::{
        file_format::{FileFormat, json::JsonFormat},
        physical_plan::JsonSource,
    },
};
use firesteel_functions::types;
use firesteel_plan::SparkResult;
use object_store::ObjectMeta;

use super::{
    Source, SourceOptions, SourceSpec, arrow_schema, cannot_infer, data_fields,
    files::{FilesTableParts, compression_of},
    listing::Listing,
    partitions,
};
use crate::{EngineSession, error::from_datafusion};

pub async fn open(
    session: &EngineSession,
    spec: &SourceSpec,
    options: SourceOptions,
    listing: Listing,
) -> SparkResult<Source> {
    if options.bool("multiline", false)? {
        return Err(options.unsupported("multiline"));
    }
    if options.text("mode").is_some_and(|v| !v.eq_ignore_ascii_case("PERMISSIVE")) {
        return Err(options.unsupported("mode"));
    }
    let _ = options.text("compression");
    let compression = compression_of(&listing)?;
    options.finish()?;
    let partitions = partitions::discover(&listing, spec.schema.as_deref(), spec.partition_columns.as_deref())?;
    let file_schema = match &spec.schema {
        Some(fields) => arrow_schema(&data_fields(fields, &partitions.names()))?,
        None => {
            let metas: Vec<ObjectMeta> = listing.files.iter().map(|f| f.meta.clone()).collect();
            if metas.is_empty() {
                return Err(cannot_infer("json"));
            }
            let json = JsonOptions {
                compression: compression.into(),
                schema_infer_max_rec: Some(1_000_000),
                ..JsonOptions::default()
            };
            let format = JsonFormat::default().with_options(json);
            let found =
                format.infer_schema(&session.state(), &listing.store, &metas).await.map_err(|e| from_datafusion(&e))?;
            let mut fields: Vec<Field> = found.fields().iter().map(|f| inferred(f)).collect();
            // Spark orders inferred columns by name.
            fields.sort_by(|a, b| a.name().cmp(b.name()));
            Arc::new(Schema::new(fields))
        }
    };
    let schema = types::schema_from_arrow(&file_schema)?;
    let parts = FilesTableParts {
        listing,
        partitions,
        file_schema,
        compression,
        splittable: !compression.is_compressed(),
        format: None,
    };
    parts.into_source(session, schema, |s| Arc::new(JsonSource::new(s)))
}

/// A column as Spark would infer it: only nulls are a string; fields of objects are in the order of their names.
fn inferred(field: &Field) -> Field {
    let data_type = match field.data_type() {
        ArrowType::Null => ArrowType::Utf8,
        ArrowType::Struct(fields) => {
            let mut fields: Vec<Field> = fields.iter().map(|f| inferred(f)).collect();
            fields.sort_by(|a, b| a.name().cmp(b.name()));
            ArrowType::Struct(fields.into())
        }
        ArrowType::List(element) => ArrowType::List(Arc::new(inferred(element).with_name("element"))),
        other => other.clone(),
    };
    Field::new(field.name(), data_type, true)
}
