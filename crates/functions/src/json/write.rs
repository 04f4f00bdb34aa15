//! Columns as JSON: `to_json`.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType as Arrow, Date32Type, Decimal128Type, Float32Type, Float64Type, Time64NanosecondType,
        TimestampMicrosecondType,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::DataType;

use super::{
    options::{Options, Times},
    parse::Json,
};
use crate::{
    EvalMode,
    cast::{Env, write_double, write_float, write_value},
    datetime::{
        calendar::MICROS_PER_DAY,
        pattern::{Pattern, Purpose},
        zone::Zone,
    },
    errors::external,
    numeric::decimal::write_decimal_scientific,
    types,
    udf::{Args, strings},
};

/// A text in quotes, with what JSON must not have in them escaped.
pub(crate) fn write_text(out: &mut String, text: &str) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A parsed value without blanks.
pub(super) fn write_json(out: &mut String, value: &Json<'_>) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        // A fraction is written as the double that it is.
        Json::Number(n) if n.contains(['.', 'e', 'E']) => match n.parse() {
            Ok(v) => write_double(out, v),
            Err(_) => out.push_str(n),
        },
        Json::Number(n) => out.push_str(n),
        Json::Text(t) => write_text(out, t),
        Json::Array(all, _) => {
            out.push('[');
            for (i, v) in all.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, v);
            }
            out.push(']');
        }
        Json::Object(all, _) => {
            out.push('{');
            for (i, (name, v)) in all.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(out, name);
                out.push(':');
                write_json(out, v);
            }
            out.push('}');
        }
    }
}

/// Writes rows as JSON objects, one a record.
pub struct JsonWriter(Writer);

impl JsonWriter {
    pub fn new(options: &Options, zone: &str) -> DfResult<Self> {
        Ok(Self(Writer::new(options, zone)?))
    }

    /// A struct's row as an object.
    pub fn row(&self, out: &mut String, structs: &ArrayRef, row: usize, data_type: &DataType) -> DfResult<()> {
        self.0.write(out, structs, row, data_type)
    }
}

pub(crate) struct Writer {
    times: Times,
    pub env: Env,
    omit_nulls: bool,
    sort_keys: bool,
}

impl Writer {
    pub(crate) fn new(options: &Options, zone: &str) -> DfResult<Self> {
        let times = Times::new(options, zone, Purpose::Format).map_err(external)?;
        let env = Env::new(EvalMode::Ansi, times.zone);
        Ok(Self {
            times,
            env,
            omit_nulls: options.flag("ignoreNullFields", true),
            sort_keys: options.flag("sortKeys", false),
        })
    }

    /// A date or a time by its pattern; false for other types.
    pub(crate) fn write_time(
        &self,
        out: &mut String,
        array: &ArrayRef,
        row: usize,
        data_type: &DataType,
    ) -> DfResult<bool> {
        const INSTANT: &str = "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]";
        const LOCAL: &str = "yyyy-MM-dd'T'HH:mm:ss[.SSS]";
        let or_default = |pattern: &Option<std::sync::Arc<Pattern>>, default: &str| match pattern {
            Some(pattern) => Ok(std::sync::Arc::clone(pattern)),
            None => Pattern::cached(default, Purpose::Format).map_err(external),
        };
        match data_type {
            DataType::Date if self.times.date.is_some() => {
                let micros = i64::from(array.as_primitive::<Date32Type>().value(row)) * MICROS_PER_DAY;
                or_default(&self.times.date, "")?.format(out, micros, Zone::UTC);
            }
            DataType::Timestamp => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                or_default(&self.times.timestamp, INSTANT)?.format(out, micros, self.times.zone);
            }
            DataType::TimestampNtz => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                or_default(&self.times.ntz, LOCAL)?.format(out, micros, Zone::UTC);
            }
            DataType::Time(_) if self.times.time.is_some() => {
                let micros = array.as_primitive::<Time64NanosecondType>().value(row) / 1000;
                or_default(&self.times.time, "")?.format(out, micros, Zone::UTC);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn write(&self, out: &mut String, array: &ArrayRef, row: usize, data_type: &DataType) -> DfResult<()> {
        // An array of the type void does not say that its values are null.
        if array.is_null(row) || *data_type == DataType::Null {
            out.push_str("null");
            return Ok(());
        }
        match data_type {
            DataType::Float => {
                let v = array.as_primitive::<Float32Type>().value(row);
                quoted_unless(out, v.is_finite(), |out| write_float(out, v));
            }
            DataType::Double => {
                let v = array.as_primitive::<Float64Type>().value(row);
                quoted_unless(out, v.is_finite(), |out| write_double(out, v));
            }
            DataType::Decimal { scale, .. } => {
                write_decimal_scientific(out, array.as_primitive::<Decimal128Type>().value(row), *scale);
            }
            t if t.is_integral() || *t == DataType::Boolean => write_value(&self.env, out, array, row, t)?,
            DataType::Binary => {
                out.push('"');
                if let Some(bytes) = crate::udf::Bytes::new(array, false)?.get(row) {
                    crate::text::base64(bytes, out);
                }
                out.push('"');
            }
            DataType::Struct(fields) => {
                let values = array.as_struct();
                out.push('{');
                let mut first = true;
                let mut members: Vec<_> = fields.iter().zip(values.columns()).collect();
                if self.sort_keys {
                    members.sort_by(|(a, _), (b, _)| a.name.encode_utf16().cmp(b.name.encode_utf16()));
                }
                for (field, column) in members {
                    if self.omit_nulls && (column.is_null(row) || field.data_type == DataType::Null) {
                        continue;
                    }
                    if !first {
                        out.push(',');
                    }
                    first = false;
                    write_text(out, &field.name);
                    out.push(':');
                    self.write(out, column, row, &field.data_type)?;
                }
                out.push('}');
            }
            DataType::Array { element, .. } => {
                let list = crate::arrays::list(array)?;
                out.push('[');
                for i in list.value_offsets()[row]..list.value_offsets()[row + 1] {
                    if i > list.value_offsets()[row] {
                        out.push(',');
                    }
                    self.write(out, list.values(), i as usize, element)?;
                }
                out.push(']');
            }
            DataType::Map { key, value, .. } => {
                let map = array.as_map();
                out.push('{');
                let mut entries = Vec::new();
                for i in map.value_offsets()[row]..map.value_offsets()[row + 1] {
                    let mut name = String::new();
                    self.write_key(&mut name, map.keys(), i as usize, key)?;
                    entries.push((name, i));
                }
                if self.sort_keys {
                    entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
                }
                for (at, (name, i)) in entries.into_iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write_text(out, &name);
                    out.push(':');
                    self.write(out, map.values(), i as usize, value)?;
                }
                out.push('}');
            }
            other => {
                let mut text = String::new();
                if !self.write_time(&mut text, array, row, other)? {
                    write_value(&self.env, &mut text, array, row, other)?;
                }
                write_text(out, &text);
            }
        }
        Ok(())
    }

    /// A key of a map as its name: Java's text of the value.
    fn write_key(&self, out: &mut String, keys: &ArrayRef, row: usize, data_type: &DataType) -> DfResult<()> {
        let DataType::Struct(fields) = data_type else { return write_value(&self.env, out, keys, row, data_type) };
        out.push('[');
        for (i, (field, column)) in fields.iter().zip(keys.as_struct().columns()).enumerate() {
            if i > 0 {
                out.push(',');
            }
            write_value(&self.env, out, column, row, &field.data_type)?;
        }
        out.push(']');
        Ok(())
    }
}

fn quoted_unless(out: &mut String, plain: bool, write: impl Fn(&mut String)) {
    if !plain {
        out.push('"');
    }
    write(out);
    if !plain {
        out.push('"');
    }
}

/// `(value, options, zone)`
pub(super) fn to_json(args: &Args<'_>) -> DfResult<ArrayRef> {
    let values = args.array(0)?;
    let writer = Writer::new(&Options::decode(args.parameter(1)?), args.parameter(2)?)?;
    let data_type = types::from_arrow(values.data_type()).map_err(external)?;
    if !matches!(values.data_type(), Arrow::Struct(_) | Arrow::List(_) | Arrow::Map(..)) {
        return exec_err!("to_json of {}", values.data_type());
    }
    strings(args, args.rows * 32, |row, out| {
        if values.is_null(row) {
            return Ok(false);
        }
        writer.write(out, &values, row, &data_type)?;
        Ok(true)
    })
}
