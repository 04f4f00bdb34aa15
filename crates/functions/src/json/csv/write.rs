//! Columns as records of CSV.

use arrow::array::{Array, ArrayRef};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkResult, types::StructField};

use super::{
    super::{options::Options, write::Writer},
    dialect::Dialect,
};
use crate::{cast::write_value, errors};

/// Writes rows as records, as Spark's writer does.
pub struct CsvWriter {
    dialect: Dialect,
    writer: Writer,
    quote_all: bool,
    /// Whether a quote in a value has the value quoted.
    escape_quotes: bool,
    trim_leading: bool,
    trim_trailing: bool,
    null_value: String,
    empty_value: String,
    text: String,
}

impl CsvWriter {
    pub fn new(options: &Options, zone: &str) -> SparkResult<Self> {
        let dialect = Dialect::new(options)?;
        let writer = Writer::new(options, zone)
            .map_err(|e| errors::spark_error(&e).cloned().unwrap_or_else(|| firesteel_plan::SparkError::internal(e)))?;
        Ok(Self {
            null_value: dialect.null_value.clone(),
            dialect,
            writer,
            quote_all: options.flag("quoteAll", false),
            escape_quotes: options.flag("escapeQuotes", true),
            trim_leading: options.flag("ignoreLeadingWhiteSpace", true),
            trim_trailing: options.flag("ignoreTrailingWhiteSpace", true),
            empty_value: options.get("emptyValue").unwrap_or("\"\"").to_owned(),
            text: String::new(),
        })
    }

    /// One record, without what ends it.
    pub fn row(&mut self, out: &mut String, fields: &[StructField], columns: &[ArrayRef], row: usize) -> DfResult<()> {
        for (i, (field, column)) in fields.iter().zip(columns).enumerate() {
            if i > 0 {
                out.push_str(&self.dialect.separator);
            }
            if column.is_null(row) || field.data_type == DataType::Null {
                self.null(out);
                continue;
            }
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            if !self.writer.write_time(&mut text, column, row, &field.data_type)? {
                write_value(&self.writer.env, &mut text, column, row, &field.data_type)?;
            }
            self.value(out, &text, i == 0);
            self.text = text;
        }
        Ok(())
    }

    /// The record of the columns' names.
    pub fn header(&self, out: &mut String, fields: &[StructField]) {
        for (i, field) in fields.iter().enumerate() {
            if i > 0 {
                out.push_str(&self.dialect.separator);
            }
            self.value(out, &field.name, i == 0);
        }
    }

    fn null(&self, out: &mut String) {
        if self.quote_all {
            self.quoted(out, &self.null_value);
        } else {
            out.push_str(&self.null_value);
        }
    }

    fn value(&self, out: &mut String, text: &str, first: bool) {
        let blank = |c: char| c <= ' ';
        let text = if self.trim_leading { text.trim_start_matches(blank) } else { text };
        let text = if self.trim_trailing { text.trim_end_matches(blank) } else { text };
        if text.is_empty() {
            // What stands for nothing is written as it is, unless all is quoted.
            if self.quote_all && self.empty_value != "\"\"" {
                self.quoted(out, &self.empty_value);
            } else {
                out.push_str(&self.empty_value);
            }
            return;
        }
        let dialect = &self.dialect;
        let special = |c: char| c == '\n' || c == '\r' || (self.escape_quotes && Some(c) == dialect.quote);
        let comment = first && text.starts_with('#');
        if self.quote_all || comment || text.contains(dialect.separator.as_str()) || text.contains(special) {
            self.quoted(out, text);
        } else {
            out.push_str(text);
        }
    }

    fn quoted(&self, out: &mut String, text: &str) {
        let dialect = &self.dialect;
        out.extend(dialect.quote);
        for c in text.chars() {
            if Some(c) == dialect.quote {
                out.extend(dialect.escape);
            } else if Some(c) == dialect.escape {
                out.extend(dialect.escape_of_escape);
            }
            out.push(c);
        }
        out.extend(dialect.quote);
    }
}
