//! JSON: one value a line, or one a file.

use datafusion::common::Result;
use firesteel_functions::json::{JsonInference, JsonRecords, check_corrupt_column};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};
use futures::{StreamExt, TryStreamExt, future::ready, stream};

use super::{
    Format, Reading, Source, SourceOptions, SourceSpec, cannot_infer,
    charset::{Charset, Order, without_mark},
    data_fields,
    files::FilesTableParts,
    lines::Ending,
    listing::Listing,
    options::FLAGS_OF_JSON,
    partitions,
    read::{Batches, FileRead},
    sample::Sample,
    text::charset_of,
};
use crate::{EngineSession, error::from_datafusion, error::to_datafusion};

pub async fn open(
    session: &EngineSession,
    spec: &SourceSpec,
    options: &SourceOptions,
    listing: Listing,
) -> SparkResult<Source> {
    let reading = Reading::new(session, Format::Json, options)?;
    let multi_line = options.bool("multiline", false)?;
    for flag in FLAGS_OF_JSON {
        options.bool(flag, false)?;
    }
    let ending = Ending::of(options.text("linesep"))?;
    let charset = charset_of(&reading)?;
    if !multi_line {
        let wide = matches!(charset, Charset::Utf16(_) | Charset::Utf32(_));
        let marked = matches!(charset, Charset::Utf16(Order::Marked) | Charset::Utf32(Order::Marked));
        if marked || (wide && ending == Ending::Any) {
            let name = options.text("encoding").or(options.text("charset")).unwrap_or_default();
            let needs = if marked { "multiLine to be true" } else { "lineSep" };
            return Err(options.invalid(
                "encoding",
                name,
                &format!("one whose lines can be told apart; {name} needs {needs}"),
            ));
        }
    }
    let partitions = partitions::discover(session, &listing, spec)?;
    let fields = match &spec.schema {
        Some(fields) => data_fields(fields, &partitions.names()),
        None if listing.files.is_empty() => return Err(cannot_infer("json")),
        None => infer(&listing, &reading).await.map_err(|e| from_datafusion(&e))?,
    };
    if let Some(field) = fields.iter().find(|f| f.data_type == DataType::Variant) {
        return Err(super::unsupported_type("JSON", field));
    }
    check_corrupt_column(&fields, &reading.text_options())?;
    JsonRecords::new(&reading.text_options(), &reading.zone, &fields)?;
    let parts = FilesTableParts {
        listing,
        partitions,
        fields,
        splittable: !multi_line && ending.look_back().is_some() && charset == Charset::Utf8,
        format: None,
    };
    parts.into_source(session, reading)
}

/// The rows of a file.
pub async fn read(read: FileRead) -> Result<Batches> {
    let reading = read.reading.clone();
    let wanted: Vec<StructField> = read.places.iter().map(|i| read.fields[*i].clone()).collect();
    let records = JsonRecords::new(&reading.text_options(), &reading.zone, &wanted).map_err(to_datafusion)?;
    let charset = charset_of(&reading).map_err(to_datafusion)?;
    if reading.flag("multiline") {
        let text = read.whole_text(charset).await?;
        let batch = records.read(&[without_mark(&text)], &[])?;
        let most = read.batch_size;
        let slices = (0..batch.num_rows()).step_by(most.max(1)).map(move |at| {
            let rows = most.min(batch.num_rows() - at);
            Ok(batch.slice(at, rows))
        });
        return Ok(stream::iter(slices).boxed());
    }
    let ending = Ending::of(reading.get("linesep")).map_err(to_datafusion)?;
    let lines = read.lines(ending, charset, true).await?;
    Ok(lines
        .and_then(move |batch| {
            let mut texts: Vec<&str> = batch.lines.iter().flatten().collect();
            if batch.at_start
                && let Some(first) = texts.first_mut()
            {
                *first = without_mark(first);
            }
            ready(records.read(&texts, &batch.broken))
        })
        .boxed())
}

async fn infer(listing: &Listing, reading: &Reading) -> Result<Vec<StructField>> {
    let mut inference = JsonInference::new(&reading.text_options(), &reading.zone).map_err(to_datafusion)?;
    let mut sample = Sample::new(reading).map_err(to_datafusion)?;
    let charset = charset_of(reading).map_err(to_datafusion)?;
    let named = |read: &FileRead, error: SparkError| read.named(to_datafusion(error));
    for read in listing.reads(reading, Vec::new()) {
        if reading.flag("multiline") {
            if sample.takes() {
                let text = read.whole_text(charset).await.map_err(|e| read.named(e))?;
                inference.add(without_mark(&text)).map_err(|e| named(&read, e))?;
            }
            continue;
        }
        let ending = Ending::of(reading.get("linesep")).map_err(to_datafusion)?;
        let mut lines = read.lines(ending, charset, true).await.map_err(|e| read.named(e))?;
        while let Some(batch) = lines.try_next().await.map_err(|e| read.named(e))? {
            for (i, line) in batch.lines.iter().flatten().enumerate() {
                let line = if batch.at_start && i == 0 { without_mark(line) } else { line };
                if sample.takes() {
                    inference.add(line).map_err(|e| named(&read, e))?;
                }
            }
        }
    }
    Ok(inference.finish())
}
