//! Text in other character sets: `encode`, `decode`, `to_binary`.

use arrow::{array::ArrayRef, datatypes::DataType as Arrow};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult, expr::BinaryOp};

use super::format::{unbase64, unhex};
use crate::{
    EvalMode, FunctionContext, Typed, errors,
    errors::external,
    literal,
    operators::{binary, case_when},
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, binaries, call, strings, text_literal},
};

#[derive(Clone, Copy, PartialEq)]
enum Charset {
    Ascii,
    Latin1,
    Windows1252,
    Utf8,
    /// Big-endian, with a mark of the byte order.
    Utf16,
    Utf16Be,
    Utf16Le,
    Utf32,
}

/// What the legacy settings allow: any character set of Java, a replacement for what cannot be coded.
#[derive(Clone, Copy)]
struct Lenience {
    java_charsets: bool,
    replaces: bool,
}

impl Lenience {
    /// From a text of two letters, `y` or `n`, which the resolver made.
    fn parse(text: &str) -> Self {
        let flag = |i| text.as_bytes().get(i) == Some(&b'y');
        Self { java_charsets: flag(0), replaces: flag(1) }
    }

    fn text(ctx: &FunctionContext) -> &'static str {
        match (ctx.legacy.java_charsets, ctx.legacy.coding_errors_replaced) {
            (false, false) => "nn",
            (false, true) => "ny",
            (true, false) => "yn",
            (true, true) => "yy",
        }
    }
}

/// CP1252's characters 0x80 to 0x9f; 0 where it has none.
const WINDOWS_1252: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0, 0x17d, 0, 0,
    0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0, 0x17e, 0x178,
];

fn charset(function: &str, name: &str, lenience: Lenience) -> SparkResult<Charset> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "us-ascii" => Charset::Ascii,
        "iso-8859-1" => Charset::Latin1,
        "utf-8" => Charset::Utf8,
        "utf-16" => Charset::Utf16,
        "utf-16be" => Charset::Utf16Be,
        "utf-16le" => Charset::Utf16Le,
        "utf-32" => Charset::Utf32,
        "windows-1252" | "cp1252" if lenience.java_charsets => Charset::Windows1252,
        "ascii" if lenience.java_charsets => Charset::Ascii,
        "latin1" if lenience.java_charsets => Charset::Latin1,
        "utf8" if lenience.java_charsets => Charset::Utf8,
        _ => {
            const ALL: &str = "iso-8859-1, us-ascii, utf-16, utf-16be, utf-16le, utf-32, utf-8";
            return Err(errors::invalid_parameter(
                "CHARSET",
                function,
                "charset",
                format_args!("expects one of the {ALL}, but got {name}."),
            )
            .param("charset", name)
            .param("charsets", ALL));
        }
    })
}

fn malformed(function: &str, charset: &str) -> SparkError {
    SparkError::new(
        "MALFORMED_CHARACTER_CODING",
        "22000",
        format!("Invalid value found when performing `{function}` with {charset}"),
    )
    .param("function", format!("`{function}`"))
    .param("charset", charset)
}

impl Charset {
    /// False for a character that the set lacks.
    fn encode(self, text: &str, replaces: bool, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Utf16 | Self::Utf16Be => {
                if self == Self::Utf16 && !text.is_empty() {
                    out.extend_from_slice(&[0xfe, 0xff]);
                }
                out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Self::Utf16Le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            Self::Utf32 => out.extend(text.chars().flat_map(|c| u32::from(c).to_be_bytes())),
            Self::Ascii | Self::Latin1 | Self::Windows1252 => {
                for c in text.chars() {
                    match self.byte(c) {
                        Some(byte) => out.push(byte),
                        None if replaces => out.push(b'?'),
                        None => return false,
                    }
                }
            }
        }
        true
    }

    fn byte(self, c: char) -> Option<u8> {
        let code = u32::from(c);
        match self {
            Self::Ascii => u8::try_from(code).ok().filter(u8::is_ascii),
            Self::Windows1252 if !(code < 0x80 || (0xa0..0x100).contains(&code)) => {
                let at = WINDOWS_1252.iter().position(|w| u32::from(*w) == code)?;
                u8::try_from(at + 0x80).ok()
            }
            _ => u8::try_from(code).ok(),
        }
    }

    /// False for bytes that are no text.
    fn decode(self, bytes: &[u8], replaces: bool, out: &mut String) -> bool {
        const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
        let mut put = |c: Option<char>| match c {
            Some(c) => {
                out.push(c);
                true
            }
            None => {
                out.push(REPLACEMENT);
                replaces
            }
        };
        match self {
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => out.push_str(text),
                Err(_) if replaces => out.push_str(&String::from_utf8_lossy(bytes)),
                Err(_) => return false,
            },
            Self::Ascii => return bytes.iter().all(|b| put(b.is_ascii().then_some(char::from(*b)))),
            Self::Latin1 => out.extend(bytes.iter().map(|b| char::from(*b))),
            Self::Windows1252 => {
                return bytes.iter().all(|b| match b {
                    0x80..=0x9f => {
                        let code = WINDOWS_1252[usize::from(b - 0x80)];
                        put(char::from_u32(u32::from(code)).filter(|_| code != 0))
                    }
                    b => put(Some(char::from(*b))),
                });
            }
            Self::Utf16 | Self::Utf16Be | Self::Utf16Le => {
                let (bytes, little) = match (self, bytes) {
                    (Self::Utf16, [0xfe, 0xff, rest @ ..]) => (rest, false),
                    (Self::Utf16, [0xff, 0xfe, rest @ ..]) => (rest, true),
                    (_, all) => (all, self == Self::Utf16Le),
                };
                let units = bytes.chunks_exact(2).map(|c| {
                    let pair = [c[0], c[1]];
                    if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
                });
                let whole = char::decode_utf16(units).all(|c| put(c.ok()));
                return whole && (bytes.len().is_multiple_of(2) || put(None));
            }
            Self::Utf32 => {
                let (bytes, little) = match bytes {
                    [0, 0, 0xfe, 0xff, rest @ ..] => (rest, false),
                    [0xff, 0xfe, 0, 0, rest @ ..] => (rest, true),
                    all => (all, false),
                };
                let whole = bytes.chunks_exact(4).all(|c| {
                    let four = [c[0], c[1], c[2], c[3]];
                    put(char::from_u32(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) }))
                });
                return whole && (bytes.len().is_multiple_of(4) || put(None));
            }
        }
        true
    }
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_encode_ansi", Ret::Fixed(Arrow::Binary), encode),
        Udf::new("spark_decode_ansi", Ret::Fixed(Arrow::Utf8), decode),
        Udf::new("spark_to_binary_hex_ansi", Ret::Fixed(Arrow::Binary), |a| to_binary(a, EvalMode::Ansi, unhex, "HEX")),
        Udf::new("spark_to_binary_hex_try", Ret::Fixed(Arrow::Binary), |a| to_binary(a, EvalMode::Try, unhex, "HEX")),
        Udf::new("spark_to_binary_base64_ansi", Ret::Fixed(Arrow::Binary), |a| {
            to_binary(a, EvalMode::Ansi, checked_base64, "BASE64")
        }),
        Udf::new("spark_to_binary_base64_try", Ret::Fixed(Arrow::Binary), |a| {
            to_binary(a, EvalMode::Try, checked_base64, "BASE64")
        }),
    ]
}

fn encode(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (texts, names) = (args.text(0)?, args.text(1)?);
    let lenience = Lenience::parse(args.parameter(2)?);
    binaries(args, |row, out| {
        let (Some(t), Some(name)) = (texts.get(row), names.get(row)) else { return Ok(false) };
        if charset("encode", name, lenience).map_err(external)?.encode(t, lenience.replaces, out) {
            Ok(true)
        } else {
            Err(external(malformed("encode", name)))
        }
    })
}

fn decode(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (bytes, names) = (args.bytes(0)?, args.text(1)?);
    let lenience = Lenience::parse(args.parameter(2)?);
    strings(args, args.rows * 8, |row, out| {
        let (Some(b), Some(name)) = (bytes.get(row), names.get(row)) else { return Ok(false) };
        if charset("decode", name, lenience).map_err(external)?.decode(b, lenience.replaces, out) {
            Ok(true)
        } else {
            Err(external(malformed("decode", name)))
        }
    })
}

fn to_binary(
    args: &Args<'_>,
    mode: EvalMode,
    read: fn(&str, &mut Vec<u8>) -> bool,
    format: &'static str,
) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    binaries(args, |row, out| {
        let Some(t) = texts.get(row) else { return Ok(false) };
        if read(t, out) {
            return Ok(true);
        }
        if mode == EvalMode::Try {
            return Ok(false);
        }
        Err(external(
            SparkError::new(
                "CONVERSION_INVALID_INPUT",
                "22018",
                format!(
                    "The value '{t}' ('{format}') cannot be converted to \"BINARY\" because it is malformed. Correct the value \
                     as per the syntax, or change its format. Use `try_to_binary` to tolerate malformed input and return NULL \
                     instead."
                ),
            )
            .param("str", format!("'{t}'"))
            .param("fmt", format!("'{format}'"))
            .param("targetType", "\"BINARY\"")
            .param("suggestion", "`try_to_binary`"),
        ))
    })
}

/// Base64 whose padding, if any, ends the text and fills the last group of four.
fn checked_base64(text: &str, out: &mut Vec<u8>) -> bool {
    let (mut symbols, mut padding) = (0usize, 0usize);
    for c in text.chars() {
        match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '/' if padding == 0 => symbols += 1,
            '=' if padding < 2 => padding += 1,
            c if c.is_whitespace() && padding == 0 => {}
            _ => return false,
        }
    }
    let whole = if padding > 0 { (symbols + padding).is_multiple_of(4) } else { symbols % 4 != 1 };
    whole && unbase64(text, out)
}

/// `decode(bytes, charset)`, or `decode(value, search, result, …, default)`.
fn decode_call(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>) -> SparkResult<Typed> {
    if args.len() < 2 {
        return Err(errors::wrong_num_args(name, 2, args.len()));
    }
    if args.len() == 2 {
        return coded(ctx, name, "spark_decode_ansi", "bs", args, DataType::String);
    }
    let mut args = args.into_iter();
    let Some(value) = args.next() else { return Err(errors::wrong_num_args(name, 2, 0)) };
    let mut otherwise = literal::null(&DataType::String)?;
    let mut branches = Vec::new();
    while let Some(search) = args.next() {
        match args.next() {
            Some(result) => branches.push((binary(ctx, BinaryOp::NullSafeEqual, value.clone(), search)?, result)),
            None => otherwise = search,
        }
    }
    case_when(ctx, branches, Some(otherwise))
}

fn coded(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    letters: &str,
    args: Vec<Typed>,
    out: DataType,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let mut exprs = Vec::with_capacity(3);
    let mut nullable = false;
    for (i, (arg, letter)) in args.into_iter().zip(letters.chars()).enumerate() {
        let arg = want(ctx, name, i, letter, arg)?;
        nullable |= arg.nullable;
        exprs.push(arg.expr);
    }
    exprs.push(text_literal(Lenience::text(ctx)));
    Ok(Typed::new(call(udf, exprs)?, out, nullable))
}

fn to_binary_call(
    ctx: &FunctionContext,
    name: &'static str,
    mut args: Vec<Typed>,
    mode: EvalMode,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    // Errors name the function that `try_to_binary` tries.
    let shown = "to_binary";
    let format = if args.len() > 1 { want(ctx, shown, 1, 's', args.remove(1))? } else { literal::text("hex") };
    let value = want(ctx, shown, 0, 's', args.remove(0))?;
    let Some(constant) = literal::fold(&format) else {
        return Err(errors::non_foldable(shown, "fmt", &format));
    };
    let Some(Some(format)) = constant.try_as_str() else {
        return literal::null(&DataType::Binary);
    };
    let kind = match format.to_ascii_lowercase().as_str() {
        "hex" => "hex",
        "base64" => "base64",
        "utf-8" | "utf8" => {
            let bytes = vec![value, literal::text("UTF-8")];
            return coded(ctx, "encode", "spark_encode_ansi", "ss", bytes, DataType::Binary);
        }
        _ if mode == EvalMode::Try => return literal::null(&DataType::Binary),
        _ => {
            const VALID: &str = "'hex', 'utf-8', 'utf8', or 'base64'";
            return Err(errors::datatype_mismatch(
                "INVALID_ARG_VALUE",
                format_args!("{shown}(…)"),
                format_args!(
                    "The `fmt` value must to be a case-insensitive \"STRING\" literal of {VALID}, but got '{format}'."
                ),
            )
            .param("inputName", "fmt")
            .param("requireType", "case-insensitive \"STRING\"")
            .param("validValues", VALID)
            .param("inputValue", format!("'{format}'")));
        }
    };
    let suffix = if mode == EvalMode::Try { "try" } else { "ansi" };
    let expr = call(&format!("spark_to_binary_{kind}_{suffix}"), vec![value.expr])?;
    Ok(Typed::new(expr, DataType::Binary, true))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("encode", |c, n, a| coded(c, n, "spark_encode_ansi", "ss", a, DataType::Binary)),
        F::resolve("decode", decode_call),
        F::resolve("to_binary", |c, n, a| to_binary_call(c, n, a, EvalMode::Ansi)),
        F::resolve("try_to_binary", |c, n, a| to_binary_call(c, n, a, EvalMode::Try)),
    ]
}
