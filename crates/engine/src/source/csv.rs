//! CSV. Every column is read as text; the analyzer casts to the schema's types, malformed values to null.

use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use datafusion::{
    common::config::CsvOptions,
    datasource::{
        file_format::{FileFormat, csv::CsvFormat},
        physical_plan::CsvSource,
    },
};
use firesteel_plan::{DataType, SparkResult, types::StructField};
use object_store::ObjectMeta;

use super::{
    Source, SourceOptions, SourceSpec, cannot_infer, data_fields,
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
    let header = options.bool("header", false)?;
    let infer = options.bool("inferschema", false)?;
    let compression = compression_of(&listing)?;
    let csv = csv_options(&options, header)?;
    options.finish()?;
    let newlines = csv.newlines_in_values.unwrap_or(false);
    let partitions = partitions::discover(&listing, spec.schema.as_deref(), spec.partition_columns.as_deref())?;

    let fields = match &spec.schema {
        Some(fields) => data_fields(fields, &partitions.names()),
        None => {
            let Some(first) = listing.files.iter().find(|f| f.meta.size > 0) else { return Err(cannot_infer("csv")) };
            let metas: Vec<ObjectMeta> = std::iter::once(first.meta.clone()).collect();
            let mut inferring = csv.clone();
            inferring.compression = compression.into();
            // Without inference, only names and the number of columns are needed.
            inferring.schema_infer_max_rec = Some(if infer { 100_000 } else { 1 });
            let format = CsvFormat::default().with_options(inferring);
            let found =
                format.infer_schema(&session.state(), &listing.store, &metas).await.map_err(|e| from_datafusion(&e))?;
            found
                .fields()
                .iter()
                .enumerate()
                .map(|(i, f)| {
                    let name = if header { f.name().clone() } else { format!("_c{i}") };
                    StructField::new(name, if infer { inferred(f.data_type()) } else { DataType::String }, true)
                })
                .collect()
        }
    };
    let file_schema =
        Arc::new(Schema::new(fields.iter().map(|f| Field::new(&f.name, ArrowType::Utf8, true)).collect::<Vec<_>>()));
    let schema = fields.into_iter().map(|f| StructField { nullable: true, ..f }).collect();
    let parts = FilesTableParts {
        listing,
        partitions,
        file_schema,
        compression,
        splittable: !compression.is_compressed() && !newlines,
        format: None,
    };
    parts.into_source(session, schema, |s| Arc::new(CsvSource::new(s).with_csv_options(csv)))
}

fn csv_options(options: &SourceOptions, header: bool) -> SparkResult<CsvOptions> {
    let mut csv = CsvOptions { has_header: Some(header), ..CsvOptions::default() };
    if let Some(separator) = options.byte("sep")?.or(options.byte("delimiter")?) {
        csv.delimiter = separator;
    }
    if let Some(quote) = options.byte("quote")? {
        csv.quote = quote;
    }
    // Spark's default escape is a backslash within quotes; a doubled quote is read as one as well.
    csv.escape = options.byte("escape")?.filter(|e| *e != b'"');
    csv.comment = options.byte("comment")?;
    csv.newlines_in_values = Some(options.bool("multiline", false)?);
    // Short rows have nulls for what is missing.
    csv.truncated_rows = Some(true);
    for (name, meaningless) in
        [("nullvalue", ""), ("emptyvalue", ""), ("mode", "PERMISSIVE"), ("encoding", "UTF-8"), ("charset", "UTF-8")]
    {
        if options.text(name).is_some_and(|v| !v.eq_ignore_ascii_case(meaningless)) {
            return Err(options.unsupported(name));
        }
    }
    let _ = options.text("compression");
    Ok(csv)
}

fn inferred(arrow: &ArrowType) -> DataType {
    match arrow {
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Int64 => DataType::Integer,
        ArrowType::Float64 => DataType::Double,
        ArrowType::Date32 => DataType::Date,
        ArrowType::Timestamp(..) => DataType::Timestamp,
        _ => DataType::String,
    }
}
