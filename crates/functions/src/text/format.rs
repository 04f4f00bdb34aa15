//! Numbers and bytes as text: `format_number`, `format_string`, `hex`, `base64`.

use std::fmt::Write;

use arrow::datatypes::{DataType as Arrow, Float64Type, Int32Type, Int64Type};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError};

use crate::{
    EvalMode, Typed, cast,
    cast::{Env, write_value},
    coercion,
    datetime::zone::Zone,
    errors::{self, external},
    registry::{FunctionDef, Nulls, check_count, want},
    types,
    udf::{Args, Ret, Udf, binaries, call, strings, text_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_format_number", Ret::Fixed(Arrow::Utf8), format_number),
        Udf::new("spark_format_decimal", Ret::Fixed(Arrow::Utf8), format_decimal),
        Udf::new("spark_format_string", Ret::Fixed(Arrow::Utf8), format_string),
        Udf::new("spark_hex_long", Ret::Fixed(Arrow::Utf8), |args| {
            let v = args.primitive::<Int64Type>(0)?;
            strings(args, args.rows * 16, |row, out| {
                Ok(v.get(row).is_some_and(|v| {
                    let _ = write!(out, "{v:X}");
                    true
                }))
            })
        }),
        Udf::new("spark_hex_bytes", Ret::Fixed(Arrow::Utf8), |args| {
            let v = args.bytes(0)?;
            strings(args, args.rows * 16, |row, out| {
                let Some(bytes) = v.get(row) else { return Ok(false) };
                for b in bytes {
                    let _ = write!(out, "{b:02X}");
                }
                Ok(true)
            })
        }),
        Udf::new("spark_unhex", Ret::Fixed(Arrow::Binary), |args| {
            let v = args.text(0)?;
            binaries(args, |row, out| Ok(v.get(row).is_some_and(|t| unhex(t, out))))
        }),
        Udf::new("spark_base64", Ret::Fixed(Arrow::Utf8), |args| {
            let v = args.bytes(0)?;
            strings(args, args.rows * 16, |row, out| {
                let Some(bytes) = v.get(row) else { return Ok(false) };
                base64(bytes, out);
                Ok(true)
            })
        }),
        Udf::new("spark_unbase64_ansi", Ret::Fixed(Arrow::Binary), |args| {
            let v = args.text(0)?;
            binaries(args, |row, out| {
                let Some(t) = v.get(row) else { return Ok(false) };
                if unbase64(t, out) {
                    return Ok(true);
                }
                Err(external(
                    SparkError::new(
                        "CONVERSION_INVALID_INPUT",
                        "22018",
                        format!(
                            "The value '{t}' (\"BASE64\") cannot be converted to \"BINARY\" because it is malformed. Correct \
                             the value as per the syntax, or change its format. Use `try_to_binary` to tolerate malformed \
                             input and return NULL instead."
                        ),
                    )
                    .param("str", format!("'{t}'"))
                    .param("fmt", "\"BASE64\"")
                    .param("targetType", "\"BINARY\"")
                    .param("suggestion", "`try_to_binary`"),
                ))
            })
        }),
    ]
}

pub(super) fn unhex(text: &str, out: &mut Vec<u8>) -> bool {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let bytes = text.as_bytes();
    let mut at = bytes.len() % 2;
    if at == 1 {
        match digit(bytes[0]) {
            Some(d) => out.push(d),
            None => return false,
        }
    }
    while at + 1 < bytes.len() {
        match (digit(bytes[at]), digit(bytes[at + 1])) {
            (Some(h), Some(l)) => out.push(h * 16 + l),
            _ => return false,
        }
        at += 2;
    }
    true
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn base64(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let n = (u32::from(chunk[0]) << 16)
            | (u32::from(chunk.get(1).copied().unwrap_or(0)) << 8)
            | u32::from(chunk.get(2).copied().unwrap_or(0));
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(ALPHABET[(n >> (18 - 6 * i)) as usize & 63] as char);
            } else {
                out.push('=');
            }
        }
    }
}

/// Characters outside the alphabet (line ends) are passed over, as in MIME.
pub(crate) fn unbase64(text: &str, out: &mut Vec<u8>) -> bool {
    let (mut bits, mut have, mut symbols) = (0u32, 0, 0);
    for b in text.bytes() {
        if b == b'=' {
            break;
        }
        let Some(value) = ALPHABET.iter().position(|a| *a == b) else { continue };
        bits = (bits << 6) | value as u32;
        have += 6;
        symbols += 1;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
            bits &= (1 << have) - 1;
        }
    }
    symbols % 4 != 1
}

fn group_thousands(digits: &str, out: &mut String) {
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
}

/// `-1234.50` with commas between thousands.
fn write_grouped(plain: &str, out: &mut String) {
    let (sign, rest) = plain.strip_prefix('-').map_or(("", plain), |r| ("-", r));
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    // Java writes "-0" for what rounds to zero from below.
    out.push_str(sign);
    group_thousands(whole, out);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}

fn format_number(args: &Args<'_>) -> DfResult<arrow::array::ArrayRef> {
    let (v, d) = (args.primitive::<Float64Type>(0)?, args.primitive::<Int32Type>(1)?);
    strings(args, args.rows * 12, |row, out| {
        let (Some(v), Some(d)) = (v.get(row), d.get(row)) else { return Ok(false) };
        let Ok(places) = usize::try_from(d) else { return Ok(false) };
        if v.is_nan() {
            out.push_str("NaN");
        } else if v.is_infinite() {
            out.push_str(if v < 0.0 { "-\u{221e}" } else { "\u{221e}" });
        } else {
            // Exact halves go to the even digit, in Rust as in Java.
            write_grouped(&format!("{v:.places$}"), out);
        }
        Ok(true)
    })
}

/// A decimal: halves to the even digit.
fn format_decimal(args: &Args<'_>) -> DfResult<arrow::array::ArrayRef> {
    let (v, d) = (args.primitive::<arrow::datatypes::Decimal128Type>(0)?, args.primitive::<Int32Type>(1)?);
    let scale = v.array.scale();
    strings(args, args.rows * 12, |row, out| {
        let (Some(v), Some(d)) = (v.get(row), d.get(row)) else { return Ok(false) };
        let Ok(places) = i8::try_from(d) else { return Ok(false) };
        if places < 0 {
            return Ok(false);
        }
        let down = (scale - places).max(0) as usize;
        let divisor = crate::numeric::decimal::POW10[down.min(38)];
        let (mut q, r) = (v / divisor, (v % divisor).abs());
        if r > divisor - r || (r == divisor - r && r != 0 && q % 2 != 0) {
            q += if v < 0 { -1 } else { 1 };
        }
        let mut plain = crate::numeric::decimal::decimal_text(q, scale.min(places));
        if places > scale {
            if scale == 0 {
                plain.push('.');
            }
            for _ in scale..places {
                plain.push('0');
            }
        }
        write_grouped(&plain, out);
        Ok(true)
    })
}

/// One `%[flags][width][.precision]conversion` of a format.
struct Conversion {
    index: Option<usize>,
    minus: bool,
    zero: bool,
    plus: bool,
    space: bool,
    comma: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

enum Part {
    Text(String),
    Conversion(Conversion),
}

fn parse_format(format: &str) -> Result<Vec<Part>, String> {
    let chars: Vec<char> = format.chars().collect();
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at] != '%' {
            text.push(chars[at]);
            at += 1;
            continue;
        }
        at += 1;
        let number = |at: &mut usize| {
            let start = *at;
            while chars.get(*at).is_some_and(char::is_ascii_digit) {
                *at += 1;
            }
            chars[start..*at].iter().collect::<String>().parse::<usize>().ok()
        };
        let before = at;
        let mut index = number(&mut at);
        if chars.get(at) == Some(&'$') {
            at += 1;
        } else {
            index = None;
            at = before;
        }
        let mut c = Conversion {
            index,
            minus: false,
            zero: false,
            plus: false,
            space: false,
            comma: false,
            alternate: false,
            width: 0,
            precision: None,
            letter: 's',
        };
        while let Some(flag) = chars.get(at) {
            match flag {
                '-' => c.minus = true,
                '0' => c.zero = true,
                '+' => c.plus = true,
                ' ' => c.space = true,
                ',' => c.comma = true,
                '#' => c.alternate = true,
                _ => break,
            }
            at += 1;
        }
        c.width = number(&mut at).unwrap_or(0).min(10_000);
        if chars.get(at) == Some(&'.') {
            at += 1;
            c.precision = Some(number(&mut at).ok_or("a precision without digits")?.min(1000));
        }
        c.letter = *chars.get(at).ok_or("% at the end")?;
        at += 1;
        match c.letter {
            '%' => text.push('%'),
            'n' => text.push('\n'),
            _ => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Conversion(c));
            }
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn format_string(args: &Args<'_>) -> DfResult<arrow::array::ArrayRef> {
    let formats = args.text(0)?;
    let bad = |format: &str, why: &str| {
        external(SparkError::new(
            "INVALID_PARAMETER_VALUE.FORMAT_STRING",
            "22023",
            format!("The value of parameter(s) `strfmt` in `format_string` is invalid: '{format}': {why}."),
        ))
    };
    let constant = match args.constant_text(0) {
        Some(f) => Some(parse_format(f).map_err(|e| bad(f, &e))?),
        None => None,
    };
    let mut columns = Vec::new();
    let mut kinds = Vec::new();
    // The last argument is the time zone.
    for i in 1..args.len().saturating_sub(1) {
        let column = args.array(i)?;
        kinds.push(types::from_arrow(column.data_type()).map_err(external)?);
        columns.push(column);
    }
    let zone = Zone::parse(args.parameter(args.len() - 1)?).map_err(external)?;
    let env = Env::new(EvalMode::Ansi, zone);
    strings(args, args.rows * 16, |row, out| {
        let Some(format) = formats.get(row) else { return Ok(false) };
        let own;
        let parts = match &constant {
            Some(p) => p,
            None => {
                own = parse_format(format).map_err(|e| bad(format, &e))?;
                &own
            }
        };
        let mut next = 0;
        for part in parts {
            let c = match part {
                Part::Text(t) => {
                    out.push_str(t);
                    continue;
                }
                Part::Conversion(c) => c,
            };
            let index = c.index.map_or_else(
                || {
                    next += 1;
                    next - 1
                },
                |i| i.saturating_sub(1),
            );
            let (Some(column), Some(kind)) = (columns.get(index), kinds.get(index)) else {
                return Err(bad(format, &format!("no argument for %{}", c.letter)));
            };
            let mut value = String::new();
            write_value(&env, &mut value, column, row, kind)?;
            let null = *column.data_type() == Arrow::Null || arrow::array::Array::is_null(column, row);
            convert(c, kind, null, &value, out).map_err(|e| bad(format, &e))?;
        }
        Ok(true)
    })
}

fn convert(c: &Conversion, kind: &DataType, null: bool, value: &str, out: &mut String) -> Result<(), String> {
    let upper = c.letter.is_ascii_uppercase();
    let mut body = match c.letter.to_ascii_lowercase() {
        _ if null && c.letter != 'b' => "null".to_owned(),
        'b' => {
            if null {
                "false".to_owned()
            } else if *kind == DataType::Boolean {
                value.to_owned()
            } else {
                "true".to_owned()
            }
        }
        's' => value.chars().take(c.precision.unwrap_or(usize::MAX)).collect(),
        'c' if kind.is_integral() => {
            let code: u32 = value.parse().map_err(|_| "an invalid code point".to_owned())?;
            char::from_u32(code).ok_or("an invalid code point")?.to_string()
        }
        'd' if kind.is_integral() => signed(c, value),
        'x' | 'o' if kind.is_integral() => {
            let n: i64 = value.parse().map_err(|_| "not an integer".to_owned())?;
            let bits = match kind {
                DataType::Byte => u64::from(n as u8),
                DataType::Short => u64::from(n as u16),
                DataType::Integer => u64::from(n as u32),
                _ => n as u64,
            };
            match (c.letter.to_ascii_lowercase(), c.alternate) {
                ('x', true) => format!("0x{bits:x}"),
                ('x', false) => format!("{bits:x}"),
                (_, true) => format!("0{bits:o}"),
                _ => format!("{bits:o}"),
            }
        }
        letter @ ('f' | 'e' | 'g') if kind.is_numeric() && !kind.is_integral() => {
            let n: f64 = value.parse().unwrap_or(f64::NAN);
            if !n.is_finite() {
                value.to_owned()
            } else if letter == 'f' {
                let places = c.precision.unwrap_or(6);
                let plain = match cast::parse_decimal(value, 38, places.min(37) as i8) {
                    // Java rounds the shortest decimal half up.
                    cast::ParsedDecimal::Value(v) if places <= 37 => {
                        let text = crate::numeric::decimal::decimal_text(v, places as i8);
                        if v == 0 && n.is_sign_negative() { format!("-{text}") } else { text }
                    }
                    _ => format!("{n:.places$}"),
                };
                signed(c, &plain)
            } else {
                let text = format!("{n:.*e}", c.precision.unwrap_or(6));
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                signed(c, &format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()))
            }
        }
        other => return Err(format!("%{other} of {kind}")),
    };
    if upper {
        body = body.to_uppercase();
    }
    let width = body.chars().count();
    let missing = c.width.saturating_sub(width);
    if c.minus {
        out.push_str(&body);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if c.zero && !null && matches!(c.letter, 'd' | 'x' | 'X' | 'o' | 'f' | 'e' | 'E') {
        let sign_length = usize::from(body.starts_with(['+', '-', ' ']));
        out.push_str(&body[..sign_length]);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(&body[sign_length..]);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(&body);
    }
    Ok(())
}

fn signed(c: &Conversion, plain: &str) -> String {
    let mut body = String::new();
    if !plain.starts_with('-') {
        if c.plus {
            body.push('+');
        } else if c.space {
            body.push(' ');
        }
    }
    if c.comma {
        write_grouped(plain, &mut body);
    } else {
        body.push_str(plain);
    }
    body
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("format_number", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let places = args.remove(1);
            let value = want(ctx, name, 0, 'n', args.remove(0))?;
            let pattern = places.data_type.is_string();
            let places = if pattern {
                places
            } else if coercion::can_implicitly_cast(&places.data_type, &DataType::Integer, ctx.ansi) {
                want(ctx, name, 1, 'i', places)?
            } else {
                return Err(errors::unexpected_input(name, 1, "(\"INT\" or \"STRING\")", &places));
            };
            let (udf, value) = match &value.data_type {
                DataType::Float | DataType::Double => {
                    ("spark_format_number", coercion::implicit(ctx, value, &DataType::Double)?)
                }
                t => {
                    let (p, s) = coercion::decimal_of_integral(t).unwrap_or((38, 0));
                    ("spark_format_decimal", cast::cast(ctx, value, &coercion::decimal(p, s), EvalMode::Legacy)?)
                }
            };
            let udf = if pattern { "spark_format_pattern" } else { udf };
            Ok(Typed::new(call(udf, vec![value.expr, places.expr])?, DataType::String, true))
        }),
        F::resolve("format_string", printf),
        F::resolve("printf", printf),
        F::resolve("hex", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = args.remove(0);
            let nullable = value.nullable;
            let (udf, value) = match &value.data_type {
                t if t.is_string() || *t == DataType::Binary => ("spark_hex_bytes", value),
                _ => ("spark_hex_long", want(ctx, name, 0, 'l', value)?),
            };
            Ok(Typed::new(call(udf, vec![value.expr])?, DataType::String, nullable))
        }),
        F::simple("unhex", "spark_unhex", "s", DataType::Binary).nulls(Nulls::Maybe),
        F::simple("base64", "spark_base64", "b", DataType::String),
        F::simple("unbase64", "spark_unbase64_ansi", "s", DataType::Binary),
    ]
}

fn printf(
    ctx: &crate::FunctionContext,
    name: &'static str,
    mut args: Vec<Typed>,
) -> firesteel_plan::SparkResult<Typed> {
    check_count(name, args.len(), 1, usize::MAX)?;
    args[0] = want(ctx, name, 0, 's', args[0].clone())?;
    let nullable = args[0].nullable;
    let mut exprs: Vec<_> = args.into_iter().map(|a| a.expr).collect();
    exprs.push(text_literal(&ctx.time_zone));
    Ok(Typed::new(call("spark_format_string", exprs)?, DataType::String, nullable))
}
