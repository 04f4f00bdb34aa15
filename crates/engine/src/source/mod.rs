//! File sources: from a format, options and paths to a table that DataFusion can scan.

mod csv;
mod damage;
mod files;
mod json;
mod listing;
mod options;
mod parquet;
mod partitions;
mod range;
mod splits;
mod text;

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider};
use firesteel_functions::types;
use firesteel_plan::{SparkError, SparkResult, types::StructField};

pub(crate) use self::{
    damage::UNREADABLE,
    files::FilesTable,
    range::{RangeCodec, RangeExec},
};
pub use self::{
    damage::naming_file,
    options::SourceOptions,
    partitions::{NULL_PARTITION, escape, unescape as unescape_key},
    range::{Range, RangeTable},
    text::TextSource,
};
use crate::EngineSession;

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct SourceSpec {
    /// `parquet`, `csv`, `json`, `text` in any case.
    pub format: String,
    /// The schema the user or the catalog gives; `None`: found from the files. Partition columns may be among it.
    pub schema: Option<Vec<StructField>>,
    /// Keys in lower case.
    pub options: BTreeMap<String, String>,
    /// Files, folders or globs.
    pub paths: Vec<String>,
    /// Partition columns that the catalog knows, in order; otherwise they are found from `k=v` folders.
    pub partition_columns: Option<Vec<String>>,
    /// Folders whose contents may be missing yet: a catalog's table that nobody wrote to. Otherwise no file is an error.
    pub may_be_empty: bool,
}

/// A table over files.
pub struct Source {
    /// Columns in the order of `schema`, partition columns last.
    pub provider: Arc<dyn TableProvider>,
    /// Spark's schema. A column that the provider gives as a string while its type here is another one is text to be
    /// parsed (CSV): the analyzer casts it, malformed values to null.
    pub schema: Vec<StructField>,
    pub partition_columns: Vec<String>,
}

/// Lists the files, finds the schema where it is not given, and makes the table.
pub async fn open(session: &EngineSession, spec: SourceSpec) -> SparkResult<Source> {
    let format = spec.format.to_ascii_lowercase();
    let options = SourceOptions::new(&format, spec.options.clone());
    let listing = listing::list(session, &spec, &options).await?;
    match format.as_str() {
        "parquet" => parquet::open(session, &spec, options, listing).await,
        "csv" => csv::open(session, &spec, options, listing).await,
        "json" => json::open(session, &spec, options, listing).await,
        "text" => text::open(session, &spec, options, listing),
        "orc" | "avro" | "xml" | "binaryfile" | "jdbc" | "delta" | "iceberg" | "kafka" => {
            Err(SparkError::unsupported(format!("the data source '{format}'")))
        }
        _ => Err(SparkError::new(
            "DATA_SOURCE_NOT_FOUND",
            "42K02",
            format!("Failed to find the data source: {}. Supported here: parquet, csv, json, text.", spec.format),
        )
        .param("provider", spec.format)),
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
