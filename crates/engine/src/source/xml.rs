//! XML: a row for each element of a name.

use datafusion::common::Result;
use firesteel_functions::json::{Element, XmlInference, XmlRecords, check_corrupt_column};
use firesteel_plan::{SparkError, SparkResult, types::StructField};
use futures::{StreamExt, stream};
use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

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

/// How deep elements may be inside of each other.
const MAX_DEPTH: usize = 512;

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
    let (rows, broken) = elements(document, reading)?;
    let batch = records.read(&rows, broken, document)?;
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
        let (rows, broken) = elements(without_mark(&whole), reading)?;
        for row in &rows {
            if sample.takes() {
                inference.add(row);
            }
        }
        if broken {
            inference.add_broken().map_err(|e| read.named(to_datafusion(e)))?;
        }
    }
    Ok(inference.finish())
}

/// The elements that are rows, and whether the document could not be read to its end.
fn elements(document: &str, reading: &Reading) -> Result<(Vec<Element>, bool)> {
    let parser = Parser {
        tag: row_tag(reading).map_err(to_datafusion)?,
        namespaces: !reading.flag("ignorenamespace"),
        document,
        open: Vec::new(),
        rows: Vec::new(),
    };
    Ok(parser.run())
}

struct Parser<'a> {
    tag: &'a str,
    /// Whether prefixes belong to names.
    namespaces: bool,
    document: &'a str,
    /// Elements of a row that have no end yet, and where their contents begin.
    open: Vec<(Element, usize)>,
    rows: Vec<Element>,
}

impl Parser<'_> {
    fn run(mut self) -> (Vec<Element>, bool) {
        let mut reader = Reader::from_str(self.document);
        let mut depth = 0usize;
        let mut started = false;
        loop {
            let before = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let Ok(event) = reader.read_event() else { return (self.rows, true) };
            let after = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let good = match event {
                Event::Start(start) => {
                    depth += 1;
                    started = true;
                    depth <= MAX_DEPTH && self.start(&start, after).is_some()
                }
                Event::Empty(start) => {
                    started = true;
                    self.start(&start, after).map(|()| self.end(after)).is_some()
                }
                Event::End(_) => {
                    depth = depth.saturating_sub(1);
                    self.end(before);
                    true
                }
                Event::Text(text) => text.xml_content(XmlVersion::Explicit1_0).map(|t| self.text(&t)).is_ok(),
                Event::CData(text) => text.xml_content(XmlVersion::Explicit1_0).map(|t| self.text(&t)).is_ok(),
                Event::GeneralRef(name) => {
                    let entity = match name.resolve_char_ref() {
                        Ok(Some(c)) => Some(c.to_string()),
                        Ok(None) => name.decode().ok().and_then(|n| resolve_predefined_entity(&n).map(str::to_owned)),
                        Err(_) => None,
                    };
                    entity.map(|e| self.text(&e)).is_some()
                }
                // The end, within an element or before any: the document is cut off.
                Event::Eof => return (self.rows, depth > 0 || (!started && !self.document.trim().is_empty())),
                _ => true,
            };
            if !good {
                return (self.rows, true);
            }
        }
    }

    fn name(&self, name: &[u8]) -> Option<String> {
        let name = std::str::from_utf8(name).ok()?;
        Some(if self.namespaces { name } else { name.rsplit_once(':').map_or(name, |(_, n)| n) }.to_owned())
    }

    fn start(&mut self, start: &BytesStart<'_>, content: usize) -> Option<()> {
        let name = self.name(start.name().as_ref())?;
        if self.open.is_empty() && name != self.tag {
            return Some(());
        }
        let mut element = Element { name, ..Element::default() };
        for attribute in start.attributes() {
            let attribute = attribute.ok()?;
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).ok()?;
            element.attributes.push((self.name(attribute.key.as_ref())?, value.into_owned()));
        }
        self.open.push((element, content));
        Some(())
    }

    fn end(&mut self, before: usize) {
        let Some((mut element, content)) = self.open.pop() else { return };
        if !element.children.is_empty() {
            element.inner = self.document.get(content..before).unwrap_or_default().to_owned();
        }
        match self.open.last_mut() {
            Some((parent, _)) => parent.children.push(element),
            None => self.rows.push(element),
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((element, _)) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(document: &str) -> (Vec<Element>, bool) {
        Parser { tag: "r", namespaces: true, document, open: Vec::new(), rows: Vec::new() }.run()
    }

    #[test]
    fn rows_are_found_wherever_they_are() {
        let (rows, broken) = parse("<x><r a='1&amp;2'>t<b>&#65;<![CDATA[<&]]></b>u</r><y><r/></y></x>");
        assert!(!broken);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].attributes, [("a".to_owned(), "1&2".to_owned())]);
        assert_eq!((rows[0].text.as_str(), rows[0].children[0].text.as_str()), ("tu", "A<&"));
        for cut in ["<x><r>", "<x><r></x>", "<x><r/>", "<x>&nothing;</x>", "<x><r a=1></r></x>", "no document"] {
            assert!(parse(cut).1, "{cut}");
        }
    }
}
