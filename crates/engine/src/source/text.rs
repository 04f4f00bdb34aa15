//! Text: one row a line, or one a file, and one column `value`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray},
    datatypes::SchemaRef,
};
use datafusion::common::Result;
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Format, Reading, Source, SourceOptions, SourceSpec,
    charset::Charset,
    data_fields,
    files::FilesTableParts,
    lines::Ending,
    listing::Listing,
    partitions,
    read::{Batches, FileRead},
};
use crate::{EngineSession, error::to_datafusion};

pub fn open(
    session: &EngineSession,
    spec: &SourceSpec,
    options: &SourceOptions,
    listing: Listing,
) -> SparkResult<Source> {
    let whole = options.bool("wholetext", false)?;
    let ending = Ending::of(options.text("linesep"))?;
    let partitions = partitions::discover(session, &listing, spec)?;
    let name = match spec.schema.as_deref().map(|fields| data_fields(fields, &partitions.names())) {
        None => "value".to_owned(),
        Some(fields) => match fields.as_slice() {
            [one] if one.data_type == DataType::String => one.name.clone(),
            [one] => return Err(super::unsupported_type("text", one)),
            several => {
                return Err(SparkError::new(
                    "_LEGACY_ERROR_TEMP_1290",
                    "XXKCM",
                    format!("Text data source supports only a single column, and you have {} columns.", several.len()),
                ));
            }
        },
    };
    let parts = FilesTableParts {
        listing,
        partitions,
        fields: vec![StructField::new(name, DataType::String, true)],
        splittable: !whole && ending.look_back().is_some(),
        format: None,
    };
    parts.into_source(session, Reading::new(session, Format::Text, options)?)
}

/// The rows of a file.
pub async fn read(read: FileRead) -> Result<Batches> {
    let charset = charset_of(&read.reading).map_err(to_datafusion)?;
    let keeps = !read.places.is_empty();
    if read.reading.flag("wholetext") {
        let text = read.whole_text(charset).await?;
        let batch = batch(&read.schema, 1, StringArray::from(vec![text]))?;
        return Ok(stream::iter([Ok(batch)]).boxed());
    }
    let ending = Ending::of(read.reading.get("linesep")).map_err(to_datafusion)?;
    let schema = read.schema.clone();
    let lines = read.lines(ending, charset, keeps).await?;
    Ok(lines.and_then(move |lines| std::future::ready(batch(&schema, lines.rows, lines.lines))).boxed())
}

fn batch(schema: &SchemaRef, rows: usize, lines: StringArray) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = if schema.fields().is_empty() { Vec::new() } else { vec![Arc::new(lines)] };
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// The encoding of the files, by the options.
pub fn charset_of(reading: &Reading) -> SparkResult<Charset> {
    reading.get("encoding").or_else(|| reading.get("charset")).map_or(Ok(Charset::Utf8), Charset::parse)
}
