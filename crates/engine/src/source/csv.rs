//! CSV: records of values, a line each or with lines in quotes.

use datafusion::common::Result;
use firesteel_functions::json::{
    check_corrupt_column,
    csv::{CsvInference, CsvRecords, CutRecords, Dialect, Record, Value, supports},
};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};
use futures::{StreamExt, TryStreamExt, future::ready, stream};

use super::{
    Format, Reading, Source, SourceOptions, SourceSpec, UNREADABLE, cannot_infer,
    charset::{Charset, without_mark},
    data_fields,
    files::FilesTableParts,
    lines::{Ending, LineBatch},
    listing::Listing,
    partitions,
    read::{Batches, FileRead},
    sample::Sample,
    text::charset_of,
};
use crate::{EngineSession, error::from_datafusion, error::to_datafusion};

/// A longer record is taken for a file that is no CSV: one must fit in the memory of a task, several times over.
const LONGEST_RECORD: usize = 64 << 20;

pub async fn open(
    session: &EngineSession,
    spec: &SourceSpec,
    options: &SourceOptions,
    listing: Listing,
) -> SparkResult<Source> {
    let reading = Reading::new(session, Format::Csv, options)?;
    let multi_line = options.bool("multiline", false)?;
    for flag in
        ["header", "inferschema", "enforceschema", "preferdate", "ignoreleadingwhitespace", "ignoretrailingwhitespace"]
    {
        options.bool(flag, false)?;
    }
    let ending = Ending::of(options.text("linesep"))?;
    if options.text("linesep").is_some_and(|s| s.chars().count() > 2) {
        return Err(options.invalid("lineSep", options.text("linesep").unwrap_or_default(), "one character"));
    }
    let charset = charset_of(&reading)?;
    // All of it may be wrong.
    Dialect::new(&reading.text_options())?;
    let partitions = partitions::discover(session, &listing, spec)?;
    let fields = match &spec.schema {
        Some(fields) => data_fields(fields, &partitions.names()),
        None if listing.files.is_empty() => return Err(cannot_infer("csv")),
        None => infer(&listing, &reading).await.map_err(|e| from_datafusion(&e))?,
    };
    if let Some(field) = fields.iter().find(|f| !supports(&f.data_type)) {
        return Err(super::unsupported_type("CSV", field));
    }
    check_corrupt_column(&fields, &reading.text_options())?;
    CsvRecords::new(&reading.text_options(), &reading.zone, &fields, &[], reading.prunes)?;
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
    let options = reading.text_options();
    let prunes = reading.prunes && !reading.flag("multiline");
    let records =
        CsvRecords::new(&options, &reading.zone, &read.fields, &read.places, prunes).map_err(to_datafusion)?;
    let parser = Parser {
        dialect: Dialect::new(&options).map_err(to_datafusion)?,
        records,
        header: (reading.flag("header") && read.range.start == 0).then(|| Header::new(&read, prunes)),
    };
    let charset = charset_of(&reading).map_err(to_datafusion)?;
    if reading.flag("multiline") {
        return multi_line(&read, parser, charset).await;
    }
    let ending = Ending::of(reading.get("linesep")).map_err(to_datafusion)?;
    let lines = read.lines(ending, charset, true).await?;
    let mut parser = parser;
    Ok(lines.and_then(move |lines| ready(parser.lines(&lines))).boxed())
}

struct Parser {
    dialect: Dialect,
    records: CsvRecords,
    /// Of the file's beginning, until it has been seen.
    header: Option<Header>,
}

impl Parser {
    fn lines(&mut self, batch: &LineBatch) -> Result<arrow::array::RecordBatch> {
        let mut cut = CutRecords::default();
        let mut rows = 0;
        for line in batch.lines.iter().flatten() {
            let line = if batch.at_start && rows == 0 && cut.is_empty() { without_mark(line) } else { line };
            if self.dialect.passes_over(line) {
                continue;
            }
            if let Some(header) = self.header.take() {
                let mut names = Vec::new();
                self.dialect.cut(Record::line(line), &mut names).map_err(to_datafusion)?;
                header.check(&names)?;
                continue;
            }
            rows += 1;
            if !self.records.only_counts() {
                self.dialect.cut(Record::line(line), cut.values()).map_err(to_datafusion)?;
                cut.end(line);
            }
        }
        if self.records.only_counts() { self.records.count(rows) } else { self.records.read(&cut) }
    }

    /// The rows of the records that `text` begins with, and how many bytes they take.
    fn records(
        &mut self,
        text: &str,
        newline: &str,
        last: bool,
        most: usize,
    ) -> Result<(arrow::array::RecordBatch, usize, bool)> {
        let mut cut = CutRecords::default();
        let mut rows = 0;
        let mut at = 0;
        let mut incomplete = false;
        while at < text.len() && rows < most {
            let rest = &text[at..];
            if rest.starts_with(newline) {
                at += newline.len();
                continue;
            }
            if self.dialect.is_comment(rest) {
                match rest.find(newline) {
                    Some(end) => at += end + newline.len(),
                    None if last => at = text.len(),
                    None => {
                        incomplete = true;
                        break;
                    }
                }
                continue;
            }
            let Some(length) =
                self.dialect.cut(Record::first_of(rest, newline, last), cut.values()).map_err(to_datafusion)?
            else {
                cut.truncate();
                incomplete = true;
                break;
            };
            let record = rest[..length].strip_suffix(newline).unwrap_or(&rest[..length]);
            at += length;
            if let Some(header) = self.header.take() {
                header.check(cut.values())?;
                cut.truncate();
                continue;
            }
            rows += 1;
            cut.end(record);
        }
        let batch = if self.records.only_counts() { self.records.count(rows)? } else { self.records.read(&cut)? };
        Ok((batch, at, incomplete))
    }
}

/// A file whose values may have lines in them.
async fn multi_line(read: &FileRead, parser: Parser, charset: Charset) -> Result<Batches> {
    struct State {
        parser: Parser,
        chunks: stream::BoxStream<'static, Result<bytes::Bytes>>,
        decoder: super::charset::Decoder,
        newline: Option<String>,
        text: String,
        /// Whether the text must grow before more records can be cut from it.
        wants: bool,
        first: bool,
        last: bool,
        most: usize,
    }
    let state = State {
        parser,
        chunks: read.chunks(0).await?,
        decoder: charset.decoder(),
        newline: read.reading.get("linesep").map(str::to_owned),
        text: String::new(),
        wants: true,
        first: true,
        last: false,
        most: read.batch_size,
    };
    Ok(stream::try_unfold(state, |mut s| async move {
        loop {
            if s.wants && !s.last {
                if s.text.len() > LONGEST_RECORD {
                    return Err(to_datafusion(SparkError::new(
                        UNREADABLE,
                        "KD001",
                        format!("A record is longer than {LONGEST_RECORD} bytes, which is the longest that is read. A quote may be missing."),
                    )));
                }
                match s.chunks.try_next().await? {
                    Some(chunk) => s.text.push_str(&s.decoder.decode(&chunk, false)),
                    None => {
                        s.text.push_str(&s.decoder.decode(&[], true));
                        s.last = true;
                    }
                }
                if s.first && !s.text.is_empty() {
                    s.text = without_mark(&s.text).to_owned();
                    s.first = false;
                }
            }
            if s.newline.is_none() {
                s.newline = newline_of(&s.text, s.last);
            }
            let Some(newline) = &s.newline else { continue };
            let (batch, used, wants) = s.parser.records(&s.text, newline, s.last, s.most)?;
            s.text.drain(..used);
            s.wants = wants || s.text.is_empty();
            if batch.num_rows() > 0 {
                return Ok(Some((batch, s)));
            }
            if s.last && (s.text.is_empty() || wants) {
                return Ok(None);
            }
        }
    })
    .boxed())
}

/// The first line's end in a text, as all others are taken to be; `\n` where there is none at all.
fn newline_of(text: &str, last: bool) -> Option<String> {
    let found = match text.find(['\n', '\r']) {
        None if last => "\n",
        None => return None,
        Some(at) if text[at..].starts_with("\r\n") => "\r\n",
        Some(at) if text[at..].starts_with('\n') => "\n",
        // The next character may be a newline.
        Some(at) if at + 1 == text.len() && !last => return None,
        Some(_) => "\r",
    };
    Some(found.to_owned())
}

/// The names that a file's first record must have.
struct Header {
    enforced: bool,
    /// Places of a record, and the names there.
    names: Vec<(usize, String)>,
    /// How many there are, where all are read.
    count: Option<usize>,
    case_sensitive: bool,
}

impl Header {
    fn new(read: &FileRead, prunes: bool) -> Self {
        let corrupt = read.reading.corrupt_column();
        let all: Vec<&StructField> = read.fields.iter().filter(|f| f.name != corrupt).collect();
        let wanted: Vec<&StructField> =
            read.places.iter().map(|i| &read.fields[*i]).filter(|f| f.name != corrupt).collect();
        let whole = !prunes || wanted.len() == all.len();
        let names = all.iter().enumerate().filter(|(_, f)| whole || wanted.iter().any(|w| w.name == f.name));
        Self {
            enforced: read.reading.get("enforceschema").is_none_or(|v| v.trim().eq_ignore_ascii_case("true")),
            names: names.map(|(i, f)| (i, f.name.clone())).collect(),
            count: whole.then_some(all.len()),
            case_sensitive: read.reading.case_sensitive,
        }
    }

    /// Refuses other names, unless the schema is enforced whatever they are.
    fn check(&self, found: &[Value<'_>]) -> Result<()> {
        if self.enforced {
            return Ok(());
        }
        let error = |why: String| {
            Err(to_datafusion(SparkError::new(
                UNREADABLE,
                "KD001",
                format!(
                    "The header does not conform to the schema: {why}. Set enforceSchema to true to take the schema by position."
                ),
            )))
        };
        if let Some(count) = self.count
            && found.len() != count
        {
            return error(format!("it has {} names, the schema has {count} columns", found.len()));
        }
        for (place, name) in &self.names {
            let there = found.get(*place).and_then(|v| v.as_deref()).unwrap_or_default();
            let same = if self.case_sensitive { there == name } else { there.eq_ignore_ascii_case(name) };
            if !same {
                return error(format!("it has `{there}` where the schema has `{name}`"));
            }
        }
        Ok(())
    }
}

async fn infer(listing: &Listing, reading: &Reading) -> Result<Vec<StructField>> {
    let mut inference = Inferring {
        dialect: Dialect::new(&reading.text_options()).map_err(to_datafusion)?,
        sample: Sample::new(reading).map_err(to_datafusion)?,
        reading,
        names: None,
        types: None,
    };
    let charset = charset_of(reading).map_err(to_datafusion)?;
    let types = reading.flag("inferschema");
    let header = reading.flag("header");
    'files: for read in listing.reads(reading, Vec::new()) {
        if reading.flag("multiline") {
            let whole = read.whole_text(charset).await.map_err(|e| read.named(e))?;
            let text = without_mark(&whole);
            let newline =
                reading.get("linesep").map(str::to_owned).or_else(|| newline_of(text, true)).unwrap_or_default();
            let mut at = 0;
            let mut first = true;
            while at < text.len() {
                let rest = &text[at..];
                if rest.starts_with(newline.as_str()) {
                    at += newline.len();
                    continue;
                }
                if inference.dialect.is_comment(rest) {
                    at += rest.find(newline.as_str()).map_or(rest.len(), |end| end + newline.len());
                    continue;
                }
                let mut values = Vec::new();
                let cut = inference
                    .dialect
                    .cut(Record::first_of(rest, &newline, true), &mut values)
                    .map_err(|e| read.named(to_datafusion(e)))?;
                at += cut.unwrap_or(rest.len());
                inference.begin(&values)?;
                let is_header = std::mem::take(&mut first) && header;
                if !types {
                    break 'files;
                }
                if !is_header {
                    inference.add(&values);
                }
            }
            continue;
        }
        let ending = Ending::of(reading.get("linesep")).map_err(to_datafusion)?;
        let mut lines = read.lines(ending, charset, true).await.map_err(|e| read.named(e))?;
        let mut head: Option<String> = None;
        while let Some(batch) = lines.try_next().await.map_err(|e| read.named(e))? {
            for (i, line) in batch.lines.iter().flatten().enumerate() {
                let line = if batch.at_start && i == 0 { without_mark(line) } else { line };
                if inference.dialect.passes_over(line) || head.as_deref() == Some(line) {
                    continue;
                }
                let mut values = Vec::new();
                inference.dialect.cut(Record::line(line), &mut values).map_err(|e| read.named(to_datafusion(e)))?;
                inference.begin(&values)?;
                if !types {
                    break 'files;
                }
                if header && head.is_none() {
                    head = Some(line.to_owned());
                    continue;
                }
                inference.add(&values);
            }
        }
    }
    Ok(inference.finish())
}

struct Inferring<'a> {
    dialect: Dialect,
    sample: Sample,
    reading: &'a Reading,
    names: Option<Vec<String>>,
    types: Option<CsvInference>,
}

impl Inferring<'_> {
    /// The first record of all tells the names, or how many columns there are.
    fn begin(&mut self, values: &[Value<'_>]) -> Result<()> {
        if self.names.is_none() {
            let options = self.reading.text_options();
            self.types = Some(CsvInference::new(&options, &self.reading.zone, values.len()).map_err(to_datafusion)?);
            self.names = Some(names(values, self.reading));
        }
        Ok(())
    }

    fn add(&mut self, values: &[Value<'_>]) {
        if let Some(types) = &mut self.types
            && self.sample.takes()
        {
            types.add(values);
        }
    }

    fn finish(self) -> Vec<StructField> {
        match (self.names, self.types) {
            (Some(names), Some(types)) if self.reading.flag("inferschema") => types.finish(names),
            (Some(names), _) => names.into_iter().map(|n| StructField::new(n, DataType::String, true)).collect(),
            _ => Vec::new(),
        }
    }
}

/// Names of columns by a header: what is empty has its place for a name, what is there twice has it behind the name.
fn names(values: &[Value<'_>], reading: &Reading) -> Vec<String> {
    if !reading.flag("header") {
        return (0..values.len()).map(|i| format!("_c{i}")).collect();
    }
    let null = reading.get("nullvalue").unwrap_or("");
    let key = |name: &str| if reading.case_sensitive { name.to_owned() } else { name.to_lowercase() };
    let keys: Vec<Option<String>> = values.iter().map(|v| v.as_deref().map(key)).collect();
    values
        .iter()
        .enumerate()
        .map(|(i, value)| match value.as_deref() {
            None | Some("") => format!("_c{i}"),
            Some(name) if name == null => format!("_c{i}"),
            Some(name) if keys.iter().filter(|k| **k == keys[i]).count() > 1 => format!("{name}{i}"),
            Some(name) => name.to_owned(),
        })
        .collect()
}
