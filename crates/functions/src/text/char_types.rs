//! The types char(n) and varchar(n): strings whose length is checked where they are stored, and padded where they are read.
//! Lengths are in characters.

use arrow::{array::ArrayRef, datatypes::DataType as Arrow, datatypes::Int32Type};
use datafusion::{error::Result as DfResult, logical_expr::Expr, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    Typed,
    errors::external,
    udf::{Args, Ret, Udf, call, strings},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_char_store", Ret::Fixed(Arrow::Utf8), |a| store(a, true)),
        Udf::new("spark_varchar_store", Ret::Fixed(Arrow::Utf8), |a| store(a, false)),
        Udf::new("spark_char_pad", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, limits) = (args.text(0)?, args.primitive::<Int32Type>(1)?);
            strings(args, texts.byte_size(), |row, out| {
                let (Some(text), Some(limit)) = (texts.get(row), limits.get(row)) else { return Ok(false) };
                padded(text, usize::try_from(limit).unwrap_or(0), out);
                Ok(true)
            })
        }),
    ]
}

fn padded(text: &str, limit: usize, out: &mut String) {
    out.push_str(text);
    out.extend(std::iter::repeat_n(' ', limit.saturating_sub(text.chars().count())));
}

fn store(args: &Args<'_>, pad: bool) -> DfResult<ArrayRef> {
    let (texts, limits) = (args.text(0)?, args.primitive::<Int32Type>(1)?);
    strings(args, texts.byte_size(), |row, out| {
        let (Some(text), Some(limit)) = (texts.get(row), limits.get(row)) else { return Ok(false) };
        let limit = usize::try_from(limit).unwrap_or(0);
        match text.char_indices().nth(limit) {
            None if pad => padded(text, limit, out),
            None => out.push_str(text),
            // Only spaces may be lost.
            Some((end, _)) if text[end..].bytes().all(|b| b == b' ') => out.push_str(&text[..end]),
            Some(_) => {
                let error = SparkError::new(
                    "EXCEED_LIMIT_LENGTH",
                    "22001",
                    format!("Exceeds char/varchar type length limitation: {limit}."),
                );
                return Err(external(error.param("limit", limit.to_string())));
            }
        }
        Ok(true)
    })
}

fn with_limit(name: &str, value: Typed, limit: u32) -> SparkResult<Typed> {
    let limit = Expr::Literal(ScalarValue::Int32(Some(i32::try_from(limit).unwrap_or(i32::MAX))), None);
    let (data_type, nullable) = (value.data_type, value.nullable);
    Ok(Typed::new(call(name, vec![value.expr, limit])?, data_type, nullable))
}

/// A string as a column of this type takes it: longer ones lose spaces at their end or are errors. Other types change nothing.
pub fn to_store(value: Typed, data_type: &DataType) -> SparkResult<Typed> {
    match data_type {
        DataType::Char(limit) => with_limit("spark_char_store", value, *limit),
        DataType::Varchar(limit) => with_limit("spark_varchar_store", value, *limit),
        _ => Ok(value),
    }
}

/// A string with spaces up to `length` characters: what a column of char(n) reads as, and how strings of different lengths compare.
pub fn pad(value: Typed, length: u32) -> SparkResult<Typed> {
    with_limit("spark_char_pad", value, length)
}

/// Whether a type has a char(n) or varchar(n) inside it.
pub fn inside(data_type: &DataType) -> bool {
    let is_or_has = |t: &DataType| t.is_char_or_varchar() || inside(t);
    match data_type {
        DataType::Array { element, .. } => is_or_has(element),
        DataType::Map { key, value, .. } => is_or_has(key) || is_or_has(value),
        DataType::Struct(fields) => fields.iter().any(|f| is_or_has(&f.data_type)),
        _ => false,
    }
}
