//! XML: a row for each element of a name.

use datafusion::common::Result;
use firesteel_functions::{
    json::check_corrupt_column,
    xml::{XmlInference, XmlRecords, XmlRows},
};
use firesteel_plan::{SparkError, SparkResult, types::StructField};
use futures::{StreamExt, stream};

use super::{
    Format, Reading, Source, SourceOptions, SourceSpec, cannot_infer,
    charset::without_mark,
    data_fields,
    files::FilesTableParts,
    listing::Listing,
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
    let reading = Reading::new(session, Format::Xml, options)?;
    row_tag(&reading)?;
    for flag in ["excludeattribute", "inferschema", "ignoresurroundingspaces", "ignorenamespace"] {
        options.bool(flag, false)?;
    }
    for (name, only) in [("multiline", "true"), ("preferdate", "true")] {
        options.only(name, only)?;
    }
    charset_of(&reading)?;
    let partitions = partitions::discover(session, &listing, spec)?;
    let fields = match &spec.schema {
        Some(fields) => data_fields(fields, &partitions.names()),
        None if listing.files.is_empty() => return Err(cannot_infer("xml")),
        None => infer(&listing, &reading).await.map_err(|e| from_datafusion(&e))?,
    };
    check_corrupt_column(&fields, &reading.text_options())?;
    XmlRecords::new(&reading.text_options(), &reading.zone, &fields)?;
    let parts = FilesTableParts { listing, partitions, fields, splittable: false, format: None };
    parts.into_source(session, reading)
}

fn row_tag(reading: &Reading) -> SparkResult<&str> {
    match reading.get("rowtag") {
        Some(tag) if !tag.is_empty() => Ok(tag),
        _ => Err(SparkError::new(
            "XML_ROW_TAG_MISSING",
            "42KDF",
            "`rowTag` option is required for reading/writing files in XML format.".to_owned(),
        )
        .param("rowTag", "`rowTag`")),
    }
}

/// The rows of a file.
pub async fn read(read: FileRead) -> Result<Batches> {
    let wanted: Vec<StructField> = read.places.iter().map(|i| read.fields[*i].clone()).collect();
    let reading = &read.reading;
    let records = XmlRecords::new(&reading.text_options(), &reading.zone, &wanted).map_err(to_datafusion)?;
    let whole = read.whole_text(charset_of(reading).map_err(to_datafusion)?).await?;
    let document = without_mark(&whole);
    let batch = records.read(&elements(document, reading)?)?;
    let most = read.batch_size.max(1);
    let slices =
        (0..batch.num_rows()).step_by(most).map(move |at| Ok(batch.slice(at, most.min(batch.num_rows() - at))));
    Ok(stream::iter(slices).boxed())
}

async fn infer(listing: &Listing, reading: &Reading) -> Result<Vec<StructField>> {
    let mut inference = XmlInference::new(&reading.text_options(), &reading.zone).map_err(to_datafusion)?;
    let mut sample = Sample::new(reading).map_err(to_datafusion)?;
    let charset = charset_of(reading).map_err(to_datafusion)?;
    for read in listing.reads(reading, Vec::new()) {
        let whole = read.whole_text(charset).await.map_err(|e| read.named(e))?;
        let rows = elements(without_mark(&whole), reading)?;
        for row in 0..rows.len() {
            if sample.takes() {
                inference.add(&rows, row);
            }
        }
        if rows.is_broken() {
            inference.add_broken().map_err(|e| read.named(to_datafusion(e)))?;
        }
    }
    Ok(inference.finish())
}

/// The elements of a document that are rows.
fn elements<'t>(document: &'t str, reading: &Reading) -> Result<XmlRows<'t>> {
    let tag = row_tag(reading).map_err(to_datafusion)?;
    Ok(XmlRows::of(document, tag, !reading.flag("ignorenamespace")))
}
