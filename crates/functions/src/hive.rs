//! Values as Spark's `HiveResult` writes them: what its SQL shell prints, and what its own tests compare.

use std::{fmt::Write, str::FromStr};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DurationMicrosecondType, IntervalYearMonthType},
};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    EvalMode,
    cast::{Env, convert_list, write_value},
    datetime::{interval, zone::Zone},
    text::base64,
    udf::Bytes,
};

/// What bytes look like (`spark.sql.binaryOutputStyle`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BinaryStyle {
    #[default]
    Utf8,
    Basic,
    Base64,
    Hex,
    HexDiscrete,
}

impl FromStr for BinaryStyle {
    type Err = SparkError;

    fn from_str(text: &str) -> SparkResult<Self> {
        match text.trim().to_ascii_uppercase().as_str() {
            "" | "UTF-8" => Ok(Self::Utf8),
            "BASIC" => Ok(Self::Basic),
            "BASE64" => Ok(Self::Base64),
            "HEX" => Ok(Self::Hex),
            "HEX_DISCRETE" => Ok(Self::HexDiscrete),
            _ => Err(SparkError::new(
                "INVALID_CONF_VALUE.OUT_OF_RANGE_OF_OPTIONS",
                "22022",
                format!(
                    "The value '{text}' in the config \"spark.sql.binaryOutputStyle\" is invalid. The value must be one \
                     of UTF-8, BASIC, BASE64, HEX, HEX_DISCRETE."
                ),
            )),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct HiveFormat {
    env: Env,
    binary: BinaryStyle,
}

impl HiveFormat {
    pub fn new(time_zone: &str, binary: BinaryStyle) -> SparkResult<Self> {
        // Decimals are never in scientific notation, unlike those that the legacy mode casts to strings.
        Ok(Self { env: Env::new(EvalMode::Ansi, Zone::parse(time_zone)?), binary })
    }

    /// Appends one value; a null is `NULL`.
    pub fn write(&self, out: &mut String, values: &ArrayRef, row: usize, data_type: &DataType) -> DfResult<()> {
        if *data_type == DataType::Null || values.is_null(row) {
            out.push_str("NULL");
            return Ok(());
        }
        self.value(out, values, row, data_type, false)
    }

    /// Inside of another value strings are quoted, though not escaped, and nulls are `null`.
    fn nested(&self, out: &mut String, values: &ArrayRef, row: usize, data_type: &DataType) -> DfResult<()> {
        if *data_type == DataType::Null || values.is_null(row) {
            out.push_str("null");
            return Ok(());
        }
        self.value(out, values, row, data_type, true)
    }

    fn value(
        &self,
        out: &mut String,
        values: &ArrayRef,
        row: usize,
        data_type: &DataType,
        quoted: bool,
    ) -> DfResult<()> {
        match data_type {
            DataType::String | DataType::Char(_) | DataType::Varchar(_) if quoted => {
                out.push('"');
                write_value(&self.env, out, values, row, data_type)?;
                out.push('"');
            }
            DataType::Geometry(_) | DataType::Geography(_) if quoted => {
                out.push('"');
                write_value(&self.env, out, values, row, data_type)?;
                out.push('"');
            }
            DataType::Binary => {
                if let Some(bytes) = Bytes::new(values, false)?.get(row) {
                    self.bytes(out, bytes);
                }
            }
            DataType::DayTimeInterval { .. } => {
                interval::write_hive_day_time(out, values.as_primitive::<DurationMicrosecondType>().value(row));
            }
            DataType::YearMonthInterval { .. } => {
                interval::write_hive_year_month(out, values.as_primitive::<IntervalYearMonthType>().value(row));
            }
            DataType::Array { element, .. } => {
                let items = convert_list(values)?.value(row);
                out.push('[');
                for i in 0..items.len() {
                    if i > 0 {
                        out.push(',');
                    }
                    self.nested(out, &items, i, element)?;
                }
                out.push(']');
            }
            DataType::Map { key, value, .. } => {
                let entries = values.as_map().value(row);
                let mut texts = Vec::with_capacity(entries.len());
                for i in 0..entries.len() {
                    let mut text = String::new();
                    self.nested(&mut text, entries.column(0), i, key)?;
                    text.push(':');
                    self.nested(&mut text, entries.column(1), i, value)?;
                    texts.push(text);
                }
                // The order of a map's entries means nothing; so that it shows nothing, Spark sorts them by their text.
                texts.sort();
                out.push('{');
                out.push_str(&texts.join(","));
                out.push('}');
            }
            DataType::Struct(fields) => {
                let columns = values.as_struct();
                out.push('{');
                for (i, field) in fields.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push('"');
                    out.push_str(&field.name);
                    out.push_str("\":");
                    self.nested(out, columns.column(i), row, &field.data_type)?;
                }
                out.push('}');
            }
            other => write_value(&self.env, out, values, row, other)?,
        }
        Ok(())
    }

    fn bytes(&self, out: &mut String, bytes: &[u8]) {
        match self.binary {
            BinaryStyle::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            BinaryStyle::Base64 => {
                let mut padded = String::new();
                base64(bytes, &mut padded);
                out.push_str(padded.trim_end_matches('='));
            }
            BinaryStyle::Hex => bytes.iter().for_each(|b| {
                let _ = write!(out, "{b:02X}");
            }),
            // Java's bytes have a sign.
            BinaryStyle::Basic => list(out, bytes, ", ", |out, b| {
                let _ = write!(out, "{}", b.cast_signed());
            }),
            BinaryStyle::HexDiscrete => list(out, bytes, " ", |out, b| {
                let _ = write!(out, "{b:02X}");
            }),
        }
    }
}

fn list(out: &mut String, bytes: &[u8], between: &str, one: impl Fn(&mut String, u8)) {
    out.push('[');
    for (i, b) in bytes.iter().enumerate() {
        if i > 0 {
            out.push_str(between);
        }
        one(out, *b);
    }
    out.push(']');
}
