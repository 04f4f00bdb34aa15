//! Results for people and for programs.

use std::io::{self, IsTerminal, Write};

use arrow::{
    array::{Array, RecordBatch},
    json::{WriterBuilder, writer::LineDelimited},
};
use clap::ValueEnum;
use comfy_table::{Cell, presets};
use firesteel_driver::{QueryResult, display};
use firesteel_plan::{SparkConf, SparkError, SparkResult};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns and lines, for reading.
    Table,
    /// Comma-separated, with a header.
    Csv,
    /// One JSON object a row; nulls are left out.
    Json,
}

/// Cells are cut at this many characters in a table on a terminal.
const MAX_CELL: usize = 200;

pub fn write(result: &QueryResult, format: Format, conf: &SparkConf) -> SparkResult<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = match format {
        Format::Table => table(result, conf, &mut out),
        Format::Csv => csv(result, conf, &mut out),
        Format::Json => json(result, &mut out),
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

fn json(result: &QueryResult, out: &mut impl Write) -> Result<(), Error> {
    let batches: Vec<&RecordBatch> = result.batches.iter().collect();
    let mut writer = WriterBuilder::new().with_explicit_nulls(false).build::<_, LineDelimited>(out);
    writer.write_batches(&batches).map_err(SparkError::internal)?;
    writer.finish().map_err(SparkError::internal)?;
    Ok(())
}
