//! Results for people and for programs.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, StructArray},
    error::ArrowError,
};
use clap::ValueEnum;
use comfy_table::{Cell, presets};
use firesteel_driver::{QueryResult, display};
use firesteel_engine::error::from_datafusion;
use firesteel_functions::{
    json::{JsonWriter, Options},
    types,
};
use firesteel_plan::{DataType, SparkConf, SparkError, SparkResult, conf, types::StructField};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns and lines, for reading.
    Table,
    /// Comma-separated, with a header.
    Csv,
    /// One JSON object a row, as to_json writes it: columns and fields that are null are left out.
    Json,
}

/// Cells are cut at this many characters in a table on a terminal.
const MAX_CELL: usize = 200;

pub fn write(result: &QueryResult, format: Format, conf: &SparkConf) -> SparkResult<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = match format {
        Format::Table => table(result, conf, &mut out),
        Format::Csv => csv(result, conf, &mut out),
        Format::Json => json(result, conf, &mut out),
    };
    let written = written.and_then(|()| out.flush().map_err(Error::from));
    match written {
        Ok(()) => Ok(()),
        // The reader has seen enough (`| head`).
        Err(Error::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Error::Io(e)) => Err(SparkError::internal(format!("cannot write the result: {e}"))),
        Err(Error::Spark(e)) => Err(e),
    }
}

enum Error {
    Io(io::Error),
    Spark(SparkError),
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<SparkError> for Error {
    fn from(e: SparkError) -> Self {
        Self::Spark(e)
    }
}

fn table(result: &QueryResult, conf: &SparkConf, out: &mut impl Write) -> Result<(), Error> {
    if result.columns.is_empty() {
        return Ok(());
    }
    // A plan is text, not a table.
    if let ([column], [batch]) = (result.columns.as_slice(), result.batches.as_slice())
        && column.name == "plan"
        && batch.num_rows() == 1
    {
        for text in display::to_text(batch, &result.columns, conf)?.iter().flat_map(|c| c.iter()).flatten() {
            writeln!(out, "{}", text.trim_end())?;
        }
        return Ok(());
    }
    let fancy = io::stdout().is_terminal();
    let preset = if fancy { presets::UTF8_FULL_CONDENSED } else { presets::ASCII_FULL_CONDENSED };
    let mut table = display::empty_table(&result.columns, preset);
    for batch in &result.batches {
        let columns = display::to_text(batch, &result.columns, conf)?;
        for row in 0..batch.num_rows() {
            table.add_row(columns.iter().map(|c| {
                let text = if c.is_null(row) { "NULL" } else { c.value(row) };
                Cell::new(shortened(text, fancy))
            }));
        }
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn shortened(text: &str, cut: bool) -> String {
    let line = text.replace('\n', "\\n").replace('\r', "\\r");
    match line.char_indices().nth(MAX_CELL).filter(|_| cut) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn csv(result: &QueryResult, conf: &SparkConf, out: &mut impl Write) -> Result<(), Error> {
    let line = |out: &mut dyn Write, cells: &mut dyn Iterator<Item = String>| -> io::Result<()> {
        for (i, cell) in cells.enumerate() {
            if i > 0 {
                out.write_all(b",")?;
            }
            out.write_all(cell.as_bytes())?;
        }
        out.write_all(b"\n")
    };
    line(out, &mut result.columns.iter().map(|c| quoted(&c.name)))?;
    for batch in &result.batches {
        let columns = display::to_text(batch, &result.columns, conf)?;
        for row in 0..batch.num_rows() {
            let cell =
                |c: &arrow::array::StringArray| if c.is_null(row) { String::new() } else { quoted(c.value(row)) };
            line(out, &mut columns.iter().map(cell))?;
        }
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn json(result: &QueryResult, conf: &SparkConf, out: &mut impl Write) -> Result<(), Error> {
    // Times have all their digits, which Spark's own patterns cut at three.
    let options = [
        ("timestampFormat", "yyyy-MM-dd'T'HH:mm:ss[.SSSSSS][XXX]"),
        ("timestampNTZFormat", "yyyy-MM-dd'T'HH:mm:ss[.SSSSSS]"),
    ];
    let options: BTreeMap<String, String> = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let writer = JsonWriter::new(&Options::from(options), &conf::time_zone(conf)).map_err(|e| from_datafusion(&e))?;
    let named = result.columns.iter().map(|c| StructField::new(&c.name, c.data_type.clone(), true));
    let fields: Vec<StructField> = named.collect();
    let arrow = types::fields_to_arrow(&fields)?;
    let row_type = DataType::Struct(fields);
    let mut line = String::new();
    for batch in &result.batches {
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .zip(&arrow)
            .map(|(column, field)| arrow::compute::cast(column, field.data_type()))
            .collect::<Result<_, ArrowError>>()
            .map_err(SparkError::internal)?;
        let rows = StructArray::try_new_with_length(arrow.clone(), columns, None, batch.num_rows());
        let rows: ArrayRef = Arc::new(rows.map_err(SparkError::internal)?);
        for row in 0..batch.num_rows() {
            line.clear();
            writer.row(&mut line, &rows, row, &row_type).map_err(|e| from_datafusion(&e))?;
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Float64Array, Int32Builder, MapBuilder, RecordBatch, StringBuilder, TimestampMicrosecondArray},
        datatypes::{Field, Schema},
    };
    use firesteel_analyzer::OutputColumn;

    use super::*;

    #[test]
    fn json_keeps_what_is_no_number_and_nulls_in_maps() {
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(f64::NEG_INFINITY)]));
        let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        for _ in 0..3 {
            maps.keys().append_value("k");
            maps.values().append_null();
            maps.append(true).unwrap();
        }
        let maps: ArrayRef = Arc::new(maps.finish());
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]));
        let arrays = [doubles, maps, times];
        let fields: Vec<Field> = arrays.iter().map(|a| Field::new("x", a.data_type().clone(), true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.to_vec()).unwrap();
        let columns = vec![
            OutputColumn::new("d", DataType::Double, true),
            OutputColumn::new("m", DataType::map(DataType::String, DataType::Integer), true),
            OutputColumn::new("t", DataType::TimestampNtz, true),
        ];
        let mut out = Vec::new();
        let written = json(&QueryResult { columns, batches: vec![batch] }, &SparkConf::new(), &mut out);
        assert!(written.is_ok());
        // As Spark's to_json writes such rows, but for the digits of times.
        let expected = [
            r#"{"d":"NaN","m":{"k":null},"t":"1970-01-01T00:00:00.000001"}"#,
            r#"{"m":{"k":null},"t":"1970-01-01T00:00:00.000002"}"#,
            r#"{"d":"-Infinity","m":{"k":null},"t":"1970-01-01T00:00:00.000003"}"#,
        ];
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), expected);
    }
}
