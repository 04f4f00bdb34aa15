//! File sources: from a format, options and paths to a table that DataFusion can scan.

mod adapt;
mod avro;
mod binary_file;
mod charset;
mod columns;
mod csv;
mod damage;
mod files;
mod format;
mod json;
mod lines;
mod listing;
mod metadata;
mod options;
mod orc;
mod parquet;
mod partitions;
mod range;
mod read;
mod sample;
mod splits;
mod text;
mod xml;

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider};
use firesteel_functions::types;
use firesteel_plan::{SparkError, SparkResult, types::StructField};

pub(crate) use self::{
    charset::Charset,
    columns::{SparkColumns, mismatch_told},
    damage::{UNREADABLE, is_about_a_file},
    files::FilesTable,
    format::{Format, FormatSource, Reading},
    range::{RangeCodec, RangeExec},
};
pub use self::{
    damage::naming_file,
    metadata::METADATA,
    options::{SourceOptions, is_format},
    partitions::{NULL_PARTITION, escape, unescape as unescape_key},
    range::{Range, RangeTable},
};
use crate::EngineSession;

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct SourceSpec {
    /// `parquet`, `csv`, `json`, `text`, `orc`, `avro`, `xml`, `binaryFile` in any case.
    pub format: String,
    /// The schema the user or the catalog gives; `None`: found from the files. Partition columns may be among it.
    pub schema: Option<Vec<StructField>>,
    /// Keys in lower case.
    pub options: BTreeMap<String, String>,
    /// Files, folders or globs.
    pub paths: Vec<String>,
    /// Partition columns that the catalog knows, in order; otherwise they are found from `k=v` folders.
    pub partition_columns: Option<Vec<String>>,
    /// Whether the table has the column [`METADATA`] behind all others, which tells of each row's file.
    pub metadata: bool,
    /// Folders whose contents may be missing yet: a catalog's table that nobody wrote to. Otherwise no file is an error.
    pub may_be_empty: bool,
}

/// A table over files.
pub struct Source {
    /// Columns in the order of `schema`, partition columns last.
    pub provider: Arc<dyn TableProvider>,
    /// Spark's schema.
    pub schema: Vec<StructField>,
    pub partition_columns: Vec<String>,
}

/// Lists the files, finds the schema where it is not given, and makes the table.
pub async fn open(session: &EngineSession, spec: SourceSpec) -> SparkResult<Source> {
    let format = spec.format.to_ascii_lowercase();
    let options = SourceOptions::new(&format, spec.options.clone());
    if !options::is_format(&format) {
        return Err(match format.as_str() {
            "jdbc" | "delta" | "iceberg" | "kafka" => SparkError::unsupported(format!("the data source '{format}'")),
            _ => SparkError::new(
                "DATA_SOURCE_NOT_FOUND",
                "42K02",
                format!(
                    "Failed to find the data source: {}. Supported here: {}.",
                    spec.format,
                    options::FORMATS.join(", ")
                ),
            )
            .param("provider", spec.format),
        });
    }
    options.check()?;
    let listing = listing::list(session, &spec, &options).await?;
    match format.as_str() {
        "parquet" => parquet::open(session, &spec, &options, listing).await,
        "csv" => csv::open(session, &spec, &options, listing).await,
        "json" => json::open(session, &spec, &options, listing).await,
        "xml" => xml::open(session, &spec, &options, listing).await,
        "avro" => avro::open(session, &spec, &options, listing).await,
        "orc" => orc::open(session, &spec, &options, listing).await,
        "binaryfile" => binary_file::open(session, &spec, &options, listing),
        _ => text::open(session, &spec, &options, listing),
    }
}

/// The Arrow schema that scans of `fields` deliver.
fn arrow_schema(fields: &[StructField]) -> SparkResult<SchemaRef> {
    Ok(Arc::new(types::schema_to_arrow(fields)?))
}

/// The schema the user gave, without the partition columns, which the paths hold.
fn data_fields(fields: &[StructField], partition_columns: &[String]) -> Vec<StructField> {
    fields.iter().filter(|f| !partition_columns.iter().any(|p| p.eq_ignore_ascii_case(&f.name))).cloned().collect()
}

fn cannot_infer(format: &str) -> SparkError {
    SparkError::new(
        "UNABLE_TO_INFER_SCHEMA",
        "42KD9",
        format!("Unable to infer schema for {}. It must be specified manually.", format.to_uppercase()),
    )
    .param("format", format.to_uppercase())
}

/// A column of a type that the format has no way to write.
pub(crate) fn unsupported_type(format: &str, column: &StructField) -> SparkError {
    let shown = firesteel_functions::errors::sql_type(&column.data_type);
    SparkError::new(
        "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
        "0A000",
        format!("The {format} datasource doesn't support the column `{}` of the type \"{shown}\".", column.name),
    )
    .param("format", format)
    .param("columnName", format!("`{}`", column.name))
    .param("columnType", format!("\"{shown}\""))
}

/// Adds the columns of one more file to those of the files before.
fn merge_fields(all: &mut Vec<StructField>, found: Vec<StructField>, case_sensitive: bool) -> SparkResult<()> {
    for field in found {
        let same = |f: &&mut StructField| {
            f.name == field.name || (!case_sensitive && f.name.eq_ignore_ascii_case(&field.name))
        };
        match all.iter_mut().find(same) {
            None => all.push(field),
            Some(known) if known.data_type == field.data_type => {}
            Some(known) => {
                if firesteel_functions::cast::can_up_cast(&known.data_type, &field.data_type) {
                    known.data_type = field.data_type;
                } else if !firesteel_functions::cast::can_up_cast(&field.data_type, &known.data_type) {
                    return Err(SparkError::new(
                        "CANNOT_MERGE_SCHEMAS",
                        "42KD9",
                        format!(
                            "Failed merging schemas: column `{}` is of type {} in some files and {} in others.",
                            field.name, known.data_type, field.data_type
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}
