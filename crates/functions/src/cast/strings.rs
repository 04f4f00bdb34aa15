//! Casts from and to strings.

use std::{fmt::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanBuilder, PrimitiveBuilder, StringBuilder},
    datatypes::{
        DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type,
        Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalYearMonthType,
        Time64NanosecondType, TimestampMicrosecondType,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::DataType;

use super::Env;
use crate::{
    EvalMode,
    datetime::{interval, text},
    errors,
    numeric::decimal::{POW10, fits, write_decimal, write_decimal_scientific},
    types,
    udf::Text,
};

pub(super) fn from_text(env: &Env, values: &ArrayRef, to: &DataType) -> DfResult<ArrayRef> {
    let target = types::to_arrow(to).map_err(errors::external)?;
    let source = Text::new(values, false)?;
    let rows = values.len();
    let strict = env.mode != EvalMode::Legacy;
    let malformed = |s: &str| errors::cast_invalid_input(s, &DataType::String, to);
    macro_rules! parse {
        ($t:ty, $f:expr) => {
            parse_all::<$t>(rows, &source, &target, |s| match $f(s) {
                Some(v) => Ok(Some(v)),
                None => env.fail(|| malformed(s)),
            })
        };
    }
    let zone = env.zone;
    match to {
        DataType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(rows);
            for row in 0..rows {
                builder.append_option(match source.get(row) {
                    Some(s) => match parse_boolean(s) {
                        Some(v) => Some(v),
                        None => env.fail(|| malformed(s))?,
                    },
                    None => None,
                });
            }
            Ok(Arc::new(builder.finish()))
        }
        DataType::Byte => parse!(Int8Type, |s| parse_integral(s, !strict).and_then(|v| i8::try_from(v).ok())),
        DataType::Short => parse!(Int16Type, |s| parse_integral(s, !strict).and_then(|v| i16::try_from(v).ok())),
        DataType::Integer => parse!(Int32Type, |s| parse_integral(s, !strict).and_then(|v| i32::try_from(v).ok())),
        DataType::Long => parse!(Int64Type, |s| parse_integral(s, !strict)),
        DataType::Float => parse!(Float32Type, parse_float),
        DataType::Double => parse!(Float64Type, parse_double),
        DataType::Decimal { precision, scale } => {
            parse_all::<Decimal128Type>(rows, &source, &target, |s| match parse_decimal(s, *precision, *scale) {
                ParsedDecimal::Value(v) => Ok(Some(v)),
                ParsedDecimal::Malformed => env.fail(|| malformed(s)),
                ParsedDecimal::TooLarge => env.fail(|| errors::numeric_out_of_range(text::trim(s), *precision, *scale)),
            })
        }
        DataType::Date => parse!(Date32Type, text::parse_date),
        DataType::Timestamp => {
            // A text with a time only means that time today, which no constant of the statement tells: refused.
            parse!(TimestampMicrosecondType, |s| {
                let parsed = text::parse_timestamp(s)?;
                parsed.date?;
                Some(parsed.zone.unwrap_or(zone).to_utc(parsed.local(0)?))
            })
        }
        DataType::TimestampNtz => parse!(TimestampMicrosecondType, |s| {
            let parsed = text::parse_timestamp(s)?;
            parsed.date?;
            parsed.local(0)
        }),
        DataType::Time(precision) => {
            let unit = super::kernels::time_unit(*precision);
            parse!(Time64NanosecondType, |s| text::parse_time(s).map(|t| t - t % unit))
        }
        DataType::DayTimeInterval { start, end } => parse_all::<DurationMicrosecondType>(rows, &source, &target, |s| {
            match interval::parse_day_time(s, *start, *end) {
                Some(v) => Ok(Some(v)),
                None if env.mode == EvalMode::Try => Ok(None),
                None => Err(errors::external(errors::invalid_interval(s, to, true))),
            }
        }),
        DataType::YearMonthInterval { start, end } => parse_all::<IntervalYearMonthType>(rows, &source, &target, |s| {
            match interval::parse_year_month(s, *start, *end) {
                Some(v) => Ok(Some(v)),
                None if env.mode == EvalMode::Try => Ok(None),
                None => Err(errors::external(errors::invalid_interval(s, to, false))),
            }
        }),
        DataType::CalendarInterval => parse!(IntervalMonthDayNanoType, |s| {
            let (months, days, micros) = interval::parse_calendar(s)?;
            Some(IntervalMonthDayNano::new(months, days, micros.checked_mul(1000)?))
        }),
        other => exec_err!("a cast of strings to {other}"),
    }
}

fn parse_all<T: ArrowPrimitiveType>(
    rows: usize,
    source: &Text,
    target: &Arrow,
    f: impl Fn(&str) -> DfResult<Option<T::Native>>,
) -> DfResult<ArrayRef> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(rows).with_data_type(target.clone());
    for row in 0..rows {
        builder.append_option(match source.get(row) {
            Some(s) => f(s)?,
            None => None,
        });
    }
    Ok(Arc::new(builder.finish()))
}

fn parse_boolean(s: &str) -> Option<bool> {
    let s = text::trim(s);
    let is = |words: &[&str]| words.iter().any(|w| s.eq_ignore_ascii_case(w));
    if is(&["t", "true", "y", "yes", "1"]) {
        Some(true)
    } else if is(&["f", "false", "n", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// Digits with a sign; with `fraction` also `.digits`, which are dropped.
fn parse_integral(s: &str, fraction: bool) -> Option<i64> {
    let bytes = text::trim(s).as_bytes();
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    let mut at = 0;
    while at < digits.len() && digits[at].is_ascii_digit() {
        value = value.checked_mul(10)?.checked_sub(i64::from(digits[at] - b'0'))?;
        at += 1;
    }
    if at < digits.len() {
        if !fraction || digits[at] != b'.' || !digits[at + 1..].iter().all(u8::is_ascii_digit) {
            return None;
        }
        if digits.len() == 1 {
            return None;
        }
    }
    if negative { Some(value) } else { value.checked_neg() }
}

fn java_float_text(s: &str) -> Option<&str> {
    let s = text::trim(s);
    let bytes = s.as_bytes();
    match bytes.last()? {
        b'd' | b'D' | b'f' | b'F'
            if bytes.len() > 1 && (bytes[bytes.len() - 2].is_ascii_digit() || bytes[bytes.len() - 2] == b'.') =>
        {
            Some(&s[..s.len() - 1])
        }
        _ => Some(s),
    }
}

fn parse_double(s: &str) -> Option<f64> {
    let s = java_float_text(s)?;
    match s.parse::<f64>() {
        Ok(v) if v.is_nan() => (!s.starts_with(['+', '-'])).then_some(f64::NAN),
        Ok(v) => Some(v),
        Err(_) => None,
    }
}

fn parse_float(s: &str) -> Option<f32> {
    let s = java_float_text(s)?;
    match s.parse::<f32>() {
        Ok(v) if v.is_nan() => (!s.starts_with(['+', '-'])).then_some(f32::NAN),
        Ok(v) => Some(v),
        Err(_) => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ParsedDecimal {
    Value(i128),
    Malformed,
    TooLarge,
}

/// A decimal with optional exponent, rounded half up to the scale.
pub(crate) fn parse_decimal(s: &str, precision: u8, scale: i8) -> ParsedDecimal {
    let s = text::trim(s);
    let bytes = s.as_bytes();
    let mut at = 0;
    let mut negative = false;
    match bytes.first() {
        Some(b'-') => {
            negative = true;
            at = 1;
        }
        Some(b'+') => at = 1,
        _ => {}
    }
    // The digits without leading zeros, and how many of them stand behind the point.
    let mut digits: Vec<u8> = Vec::with_capacity(bytes.len().min(64));
    let (mut fraction, mut seen, mut point) = (0i64, false, false);
    while at < bytes.len() {
        match bytes[at] {
            b @ b'0'..=b'9' => {
                seen = true;
                if point {
                    fraction += 1;
                }
                if !(digits.is_empty() && b == b'0') {
                    digits.push(b - b'0');
                }
            }
            b'.' if !point => point = true,
            b'e' | b'E' => break,
            _ => return ParsedDecimal::Malformed,
        }
        at += 1;
    }
    if !seen {
        return ParsedDecimal::Malformed;
    }
    let mut exponent = 0i64;
    if at < bytes.len() {
        let text = &s[at + 1..];
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return ParsedDecimal::Malformed;
        }
        match text.parse::<i64>() {
            Ok(e) if e.abs() < 1_000_000 => exponent = e,
            _ => return if digits.len() > 6 { ParsedDecimal::TooLarge } else { ParsedDecimal::Malformed },
        }
    }
    if digits.is_empty() {
        return ParsedDecimal::Value(0);
    }
    // value = digits · 10^(exponent - fraction); wanted: unscaled at `scale`.
    let shift = exponent - fraction + i64::from(scale);
    let kept = digits.len() as i64 + shift.min(0);
    if kept < 0 {
        return ParsedDecimal::Value(0);
    }
    if kept + shift.max(0) > 38 + 1 {
        return ParsedDecimal::TooLarge;
    }
    let mut value: i128 = 0;
    for d in &digits[..kept as usize] {
        value = match value.checked_mul(10).and_then(|v| v.checked_add(i128::from(*d))) {
            Some(v) => v,
            None => return ParsedDecimal::TooLarge,
        };
    }
    if shift < 0 && digits.get(kept as usize).is_some_and(|d| *d >= 5) {
        value += 1;
    }
    if shift > 0 {
        value = match POW10.get(shift as usize).and_then(|p| value.checked_mul(*p)) {
            Some(v) => v,
            None => return ParsedDecimal::TooLarge,
        };
    }
    if !fits(value, precision) {
        return ParsedDecimal::TooLarge;
    }
    ParsedDecimal::Value(if negative { -value } else { value })
}

pub(super) fn to_text(env: &Env, values: &ArrayRef, from: &DataType) -> DfResult<ArrayRef> {
    if from.is_string() {
        return Ok(arrow::compute::cast(values, &Arrow::Utf8)?);
    }
    let mut builder = StringBuilder::with_capacity(values.len(), values.len() * 12);
    let mut scratch = String::new();
    for row in 0..values.len() {
        if values.is_null(row) {
            builder.append_null();
            continue;
        }
        scratch.clear();
        write_value(env, &mut scratch, values, row, from)?;
        builder.append_value(&scratch);
    }
    Ok(Arc::new(builder.finish()))
}

/// One value as text, `null` for a null.
pub(crate) fn write_value(env: &Env, out: &mut String, values: &ArrayRef, row: usize, from: &DataType) -> DfResult<()> {
    if values.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    macro_rules! value {
        ($t:ty) => {
            values.as_primitive::<$t>().value(row)
        };
    }
    match from {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => out.push_str(if values.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Byte => push(out, value!(Int8Type)),
        DataType::Short => push(out, value!(Int16Type)),
        DataType::Integer => push(out, value!(Int32Type)),
        DataType::Long => push(out, value!(Int64Type)),
        DataType::Float => write_float(out, value!(Float32Type)),
        DataType::Double => write_double(out, value!(Float64Type)),
        DataType::Decimal { scale, .. } => {
            if env.mode == EvalMode::Legacy {
                write_decimal_scientific(out, value!(Decimal128Type), *scale);
            } else {
                write_decimal(out, value!(Decimal128Type), *scale);
            }
        }
        DataType::String | DataType::CollatedString(_) | DataType::Char(_) | DataType::Varchar(_) => {
            match Text::new(values, false)?.get(row) {
                Some(s) => out.push_str(s),
                None => out.push_str("null"),
            }
        }
        DataType::Binary => {
            if let Some(bytes) = crate::udf::Bytes::new(values, false)?.get(row) {
                out.push_str(&String::from_utf8_lossy(bytes));
            }
        }
        DataType::Date => text::write_date(out, value!(Date32Type)),
        DataType::Timestamp => text::write_timestamp(out, env.zone.to_local(value!(TimestampMicrosecondType))),
        DataType::TimestampNtz => text::write_timestamp(out, value!(TimestampMicrosecondType)),
        DataType::Time(_) => text::write_time(out, value!(Time64NanosecondType) / 1000),
        DataType::DayTimeInterval { start, end } => {
            interval::write_day_time(out, value!(DurationMicrosecondType), *start, *end);
        }
        DataType::YearMonthInterval { start, end } => {
            interval::write_year_month(out, value!(IntervalYearMonthType), *start, *end);
        }
        DataType::CalendarInterval => {
            let v = value!(IntervalMonthDayNanoType);
            interval::write_calendar(out, v.months, v.days, v.nanoseconds / 1000);
        }
        DataType::Array { element, .. } => {
            let items = super::nested::convert_list(values)?.value(row);
            out.push('[');
            for i in 0..items.len() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(env, out, &items, i, element)?;
            }
            out.push(']');
        }
        DataType::Map { key, value, .. } => {
            let entries = values.as_map().value(row);
            out.push('{');
            for i in 0..entries.len() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(env, out, entries.column(0), i, key)?;
                out.push_str(" -> ");
                write_value(env, out, entries.column(1), i, value)?;
            }
            out.push('}');
        }
        DataType::Struct(fields) => {
            let columns = values.as_struct();
            out.push('{');
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(env, out, columns.column(i), row, &field.data_type)?;
            }
            out.push('}');
        }
        DataType::Variant => crate::variant::write_shown(env, out, values, row)?,
        DataType::Geometry(_) | DataType::Geography(_) => crate::shapes::write_shown(out, values, row)?,
    }
    Ok(())
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

/// As Java's `Double.toString`.
pub(crate) fn write_double(out: &mut String, v: f64) {
    if v.is_nan() {
        out.push_str("NaN");
    } else if v.is_infinite() {
        out.push_str(if v < 0.0 { "-Infinity" } else { "Infinity" });
    } else if v == 0.0 {
        out.push_str(if v.is_sign_negative() { "-0.0" } else { "0.0" });
    } else {
        let text = format!("{v:e}");
        let two_digits = || Some(format!("{v:.1e}")).filter(|text| text.parse() == Ok(v));
        java_digits(out, &at_least_two_digits(text, two_digits), v.abs() >= 1e-3 && v.abs() < 1e7);
    }
}

/// Java writes a digit after the point: of such texts of a number the one that is nearest to it. `shortest` may have fewer.
fn at_least_two_digits(shortest: String, two_digits: impl FnOnce() -> Option<String>) -> String {
    if shortest.contains('.') { shortest } else { two_digits().unwrap_or(shortest) }
}

/// As Java's `Float.toString`.
pub(crate) fn write_float(out: &mut String, v: f32) {
    if !v.is_finite() || v == 0.0 {
        write_double(out, f64::from(v));
    } else {
        let text = format!("{v:e}");
        let two_digits = || Some(format!("{v:.1e}")).filter(|text| text.parse() == Ok(v));
        java_digits(out, &at_least_two_digits(text, two_digits), v.abs() >= 1e-3 && v.abs() < 1e7);
    }
}

/// `text` is `d[.ddd]e[-]x`.
fn java_digits(out: &mut String, text: &str, plain: bool) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(m) => ("-", m),
        None => ("", mantissa),
    };
    out.push_str(sign);
    if !plain {
        out.push_str(mantissa);
        if !mantissa.contains('.') {
            out.push_str(".0");
        }
        let _ = write!(out, "E{exponent}");
        return;
    }
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < 0 {
        out.push_str("0.");
        for _ in 1..-exponent {
            out.push('0');
        }
        out.push_str(&digits);
        return;
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.push_str(&digits);
        for _ in digits.len()..whole {
            out.push('0');
        }
        out.push_str(".0");
    } else {
        out.push_str(&digits[..whole]);
        out.push('.');
        out.push_str(&digits[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn java(v: f64) -> String {
        let mut s = String::new();
        write_double(&mut s, v);
        s
    }

    #[test]
    fn doubles_as_java_writes_them() {
        assert_eq!(java(1.0), "1.0");
        assert_eq!(java(0.001), "0.001");
        assert_eq!(java(0.0001), "1.0E-4");
        assert_eq!(java(1e7), "1.0E7");
        assert_eq!(java(1234567.5), "1234567.5");
        assert_eq!(java(-12.25), "-12.25");
        assert_eq!(java(1.5e300), "1.5E300");
        assert_eq!(java(f64::from_bits(1)), "4.9E-324");
        assert_eq!(java(2e22), "2.0E22");
    }

    #[test]
    fn decimals_round_half_up_and_know_their_limit() {
        assert_eq!(parse_decimal("1.25", 3, 1), ParsedDecimal::Value(13));
        assert_eq!(parse_decimal("-1e2", 3, 0), ParsedDecimal::Value(-100));
        assert_eq!(parse_decimal("1000", 3, 0), ParsedDecimal::TooLarge);
        assert_eq!(parse_decimal("1x", 3, 0), ParsedDecimal::Malformed);
        assert_eq!(parse_decimal("0.004", 3, 2), ParsedDecimal::Value(0));
        assert_eq!(parse_integral("12.7", false), None);
        assert_eq!(parse_integral("-9223372036854775808", false), Some(i64::MIN));
        assert_eq!(parse_double("1d"), Some(1.0));
    }
}
