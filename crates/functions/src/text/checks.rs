//! Strings that are checked or masked: `mask`, `luhn_check`, and whether bytes are UTF-8.

use std::sync::LazyLock;

use arrow::{array::ArrayRef, datatypes::DataType as Arrow};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult};
use regex::Regex;

use crate::{
    EvalMode, FunctionContext, Typed, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, booleans, call, strings},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_mask", Ret::Fixed(Arrow::Utf8), mask),
        Udf::new("spark_luhn_check", Ret::Fixed(Arrow::Boolean), |args| {
            let texts = args.text(0)?;
            booleans(args, |row| Ok(texts.get(row).map(luhn)))
        }),
        Udf::new("spark_is_valid_utf8", Ret::Fixed(Arrow::Boolean), |args| {
            let bytes = args.bytes(0)?;
            booleans(args, |row| Ok(bytes.get(row).map(|b| std::str::from_utf8(b).is_ok())))
        }),
        Udf::new("spark_make_valid_utf8", Ret::Fixed(Arrow::Utf8), |args| {
            let bytes = args.bytes(0)?;
            strings(args, args.rows * 8, |row, out| {
                let Some(b) = bytes.get(row) else { return Ok(false) };
                out.push_str(&String::from_utf8_lossy(b));
                Ok(true)
            })
        }),
        Udf::new("spark_validate_utf8_ansi", Ret::Fixed(Arrow::Utf8), |a| validate(a, EvalMode::Ansi)),
        Udf::new("spark_validate_utf8_try", Ret::Fixed(Arrow::Utf8), |a| validate(a, EvalMode::Try)),
    ]
}

fn luhn(text: &str) -> bool {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let sum: u32 = text
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| {
            let digit = u32::from(b - b'0') << (i % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .fold(0, |sum, digit| (sum + digit) % 10);
    sum == 0
}

fn validate(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let bytes = args.bytes(0)?;
    strings(args, args.rows * 8, |row, out| {
        let Some(b) = bytes.get(row) else { return Ok(false) };
        match std::str::from_utf8(b) {
            Ok(text) => out.push_str(text),
            Err(_) if mode == EvalMode::Try => return Ok(false),
            Err(_) => {
                let shown: String = b.iter().map(|b| format!("\\x{b:02X}")).collect();
                let error = SparkError::new(
                    "INVALID_UTF8_STRING",
                    "22029",
                    format!("Invalid UTF8 byte sequence found in string: {shown}."),
                );
                return Err(external(error.param("str", shown)));
            }
        }
        Ok(true)
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Upper,
    Lower,
    Digit,
    Other,
}

/// What Java's `Character.getType` says of a character.
fn kind(c: char) -> Kind {
    static CLASSES: LazyLock<Option<[Regex; 3]>> =
        LazyLock::new(|| Some([Regex::new(r"\p{Lu}").ok()?, Regex::new(r"\p{Ll}").ok()?, Regex::new(r"\p{Nd}").ok()?]));
    match c {
        'A'..='Z' => return Kind::Upper,
        'a'..='z' => return Kind::Lower,
        '0'..='9' => return Kind::Digit,
        c if c.is_ascii() => return Kind::Other,
        // Java looks at each half of a pair of surrogates, which is no letter.
        c if c > '\u{ffff}' => return Kind::Other,
        _ => {}
    }
    let Some([upper, lower, digit]) = CLASSES.as_ref() else { return Kind::Other };
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    match () {
        () if upper.is_match(text) => Kind::Upper,
        () if lower.is_match(text) => Kind::Lower,
        () if digit.is_match(text) => Kind::Digit,
        () => Kind::Other,
    }
}

/// `mask(text, upper, lower, digit, other)`: a null character leaves its kind as it is.
fn mask(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let mut masks = [None; 4];
    for (i, m) in masks.iter_mut().enumerate() {
        *m = args.constant_text(i + 1).and_then(|t| t.chars().next());
    }
    strings(args, texts.byte_size(), |row, out| {
        let Some(t) = texts.get(row) else { return Ok(false) };
        for c in t.chars() {
            let mask = masks[kind(c) as usize];
            out.push(mask.unwrap_or(c));
            // A pair of surrogates is two characters.
            if c > '\u{ffff}'
                && let Some(mask) = mask
            {
                out.push(mask);
            }
        }
        Ok(true)
    })
}

fn mask_call(_: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    const NAMES: [&str; 4] = ["upperChar", "lowerChar", "digitChar", "otherChar"];
    check_count(name, args.len(), 1, 5)?;
    for default in ["X", "x", "n"].iter().skip(args.len() - 1) {
        args.push(literal::text(default));
    }
    if args.len() == 4 {
        args.push(literal::null(&DataType::String)?);
    }
    for (i, arg) in args.iter_mut().enumerate() {
        if arg.data_type == DataType::Null {
            *arg = literal::null(&DataType::String)?;
        } else if !arg.data_type.is_string() {
            return Err(errors::unexpected_input(name, i, "STRING", arg));
        }
    }
    let (text, masks) = args.split_at_mut(1);
    for (mask, parameter) in masks.iter_mut().zip(NAMES) {
        let Some(value) = literal::fold(mask) else {
            return Err(errors::non_foldable(name, parameter, mask));
        };
        if let Some(Some(given)) = value.try_as_str()
            && given.chars().map(char::len_utf16).sum::<usize>() != 1
        {
            return Err(errors::datatype_mismatch(
                "INPUT_SIZE_NOT_ONE",
                format_args!("{name}(…)"),
                format_args!("Length of {parameter} should be 1."),
            )
            .param("exprName", parameter));
        }
        *mask = literal::of(value, DataType::String);
    }
    let nullable = text.iter().any(|t| t.nullable);
    let exprs = args.into_iter().map(|a| a.expr).collect();
    Ok(Typed::new(call("spark_mask", exprs)?, DataType::String, nullable))
}

/// A string, or the bytes that were to be one.
fn of_bytes(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    mut args: Vec<Typed>,
    out: DataType,
    tried: bool,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = args.remove(0);
    let value = if value.data_type == DataType::Binary { value } else { want(ctx, name, 0, 's', value)? };
    let nullable = value.nullable || tried;
    Ok(Typed::new(call(udf, vec![value.expr])?, out, nullable))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use DataType::{Boolean, String as Str};
    use FunctionDef as F;
    vec![
        F::resolve("mask", mask_call),
        F::simple("luhn_check", "spark_luhn_check", "s", Boolean),
        F::resolve("is_valid_utf8", |c, n, a| of_bytes(c, n, "spark_is_valid_utf8", a, Boolean, false)),
        F::resolve("make_valid_utf8", |c, n, a| of_bytes(c, n, "spark_make_valid_utf8", a, Str, false)),
        F::resolve("validate_utf8", |c, n, a| of_bytes(c, n, "spark_validate_utf8_ansi", a, Str, false)),
        F::resolve("try_validate_utf8", |c, n, a| of_bytes(c, n, "spark_validate_utf8_try", a, Str, true)),
    ]
}
