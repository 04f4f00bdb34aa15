//! `to_number`, `to_char` and their kin; `conv`.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Decimal128Type, Int32Type},
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::number_format::{NumberFormat, mismatch};
use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, lookup, want},
    udf::{Args, Ret, Udf, call, numbers, strings, text_literal, type_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_to_number_ansi", Ret::Arg(2), |a| to_number(a, EvalMode::Ansi)),
        Udf::new("spark_to_number_try", Ret::Arg(2), |a| to_number(a, EvalMode::Try)),
        Udf::new("spark_to_char", Ret::Fixed(Arrow::Utf8), to_char),
        Udf::new("spark_conv_ansi", Ret::Fixed(Arrow::Utf8), |a| conv(a, true)),
        Udf::new("spark_conv_legacy", Ret::Fixed(Arrow::Utf8), |a| conv(a, false)),
    ]
}

fn to_number(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let name = args.parameter(1)?;
    let format = NumberFormat::parse(name).map_err(external)?;
    numbers::<Decimal128Type>(args, |row| {
        let Some(t) = texts.get(row) else { return Ok(None) };
        match format.read(t) {
            Some(value) => Ok(Some(value)),
            None if mode == EvalMode::Try => Ok(None),
            None => Err(external(mismatch(t, name, &DataType::String))),
        }
    })
}

fn to_char(args: &Args<'_>) -> DfResult<ArrayRef> {
    let values = args.primitive::<Decimal128Type>(0)?;
    let Arrow::Decimal128(_, scale) = *arrow::array::Array::data_type(&values.array) else {
        return exec_err!("{} of something other than a decimal", args.name);
    };
    let format = NumberFormat::parse(args.parameter(1)?).map_err(external)?;
    strings(args, args.rows * 16, |row, out| {
        let Some(v) = values.get(row) else { return Ok(false) };
        format.write(v, scale, out);
        Ok(true)
    })
}

/// The number that leads the text, from one base to another. Numbers are 64 bits wide; with a negative target base they have a
/// sign.
fn conv(args: &Args<'_>, ansi: bool) -> DfResult<ArrayRef> {
    let (texts, from, to) = (args.text(0)?, args.primitive::<Int32Type>(1)?, args.primitive::<Int32Type>(2)?);
    strings(args, args.rows * 8, |row, out| {
        let (Some(t), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else { return Ok(false) };
        let bases = 2..=36u32;
        let (Ok(base), target) = (u32::try_from(from), to.unsigned_abs()) else { return Ok(false) };
        let t = t.trim_matches(' ');
        if !bases.contains(&base) || !bases.contains(&target) || t.is_empty() {
            return Ok(false);
        }
        let (mut negative, digits) = match t.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, t),
        };
        let mut value = 0u64;
        let mut overflows = false;
        for digit in digits.chars().map_while(|c| c.to_digit(base)) {
            match value.checked_mul(u64::from(base)).and_then(|v| v.checked_add(u64::from(digit))) {
                Some(v) => value = v,
                None => overflows = true,
            }
            if overflows {
                break;
            }
        }
        if overflows {
            if ansi {
                return Err(external(errors::arithmetic_overflow("Overflow in function conv()", "")));
            }
            value = u64::MAX;
        }
        if negative && to > 0 {
            // The negative number's 64 bits, as one without a sign.
            value = if (value as i64) < 0 { u64::MAX } else { value.wrapping_neg() };
        }
        if to < 0 && (value as i64) < 0 {
            value = value.wrapping_neg();
            negative = true;
        }
        let mut reversed = Vec::with_capacity(64);
        loop {
            let digit = (value % u64::from(target)) as u32;
            reversed.extend(char::from_digit(digit, target).map(|c| c.to_ascii_uppercase()));
            value /= u64::from(target);
            if value == 0 {
                break;
            }
        }
        if negative && to < 0 {
            out.push('-');
        }
        out.extend(reversed.into_iter().rev());
        Ok(true)
    })
}

fn to_number_call(
    ctx: &FunctionContext,
    name: &'static str,
    mut args: Vec<Typed>,
    mode: EvalMode,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let format = want(ctx, name, 1, 's', args.remove(1))?;
    let text = want(ctx, name, 0, 's', args.remove(0))?;
    let Some(constant) = literal::fold(&format) else {
        return Err(errors::non_foldable(name, "format", &format));
    };
    let Some(Some(format)) = constant.try_as_str() else {
        return literal::null(&coercion::decimal(10, 0));
    };
    let parsed = NumberFormat::parse(format)?;
    let digits = (parsed.before + parsed.after, parsed.after);
    let (Ok(precision), Ok(scale)) = (u8::try_from(digits.0), i8::try_from(digits.1)) else {
        return Err(SparkError::unsupported("a number format of more than 38 digits"));
    };
    if precision > DataType::MAX_PRECISION {
        return Err(SparkError::unsupported("a number format of more than 38 digits"));
    }
    let data_type = coercion::decimal(precision, scale);
    let udf = if mode == EvalMode::Try { "spark_to_number_try" } else { "spark_to_number_ansi" };
    let expr = call(udf, vec![text.expr, text_literal(format), type_literal(&data_type)?])?;
    Ok(Typed::new(expr, data_type, true))
}

/// Numbers by number format, dates and times by pattern, binaries in a coding.
fn to_char_call(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let shown = "to_char";
    if matches!(args[0].data_type, DataType::Date | DataType::Timestamp | DataType::TimestampNtz) {
        return by_name(ctx, "date_format", args);
    }
    let format = want(ctx, shown, 1, 's', args.remove(1))?;
    let value = args.remove(0);
    let constant = literal::fold(&format);
    if value.data_type == DataType::Binary {
        let Some(constant) = constant else {
            return Err(errors::non_foldable(shown, "format", &format));
        };
        let Some(Some(format)) = constant.try_as_str() else { return literal::null(&DataType::String) };
        return match format.to_ascii_lowercase().as_str() {
            "base64" => by_name(ctx, "base64", vec![value]),
            "hex" => by_name(ctx, "hex", vec![value]),
            "utf-8" => by_name(ctx, "decode", vec![value, literal::text("UTF-8")]),
            _ => Err(errors::invalid_parameter(
                "BINARY_FORMAT",
                name,
                "format",
                format_args!("expects one of binary formats 'base64', 'hex', 'utf-8', but got '{format}'."),
            )
            .param("invalidFormat", format!("'{format}'"))),
        };
    }
    let Some(constant) = constant else {
        return Err(errors::non_foldable(shown, "format", &format));
    };
    let (precision, scale) = match &value.data_type {
        DataType::Float => (14, 7),
        DataType::Double => (30, 15),
        DataType::Null => (38, 18),
        t if t.is_string() => (38, 18),
        t => match coercion::decimal_of_integral(t) {
            Some((p, s)) => (p, s),
            None => return Err(errors::unexpected_input(shown, 0, "DECIMAL", &value)),
        },
    };
    let Some(Some(format)) = constant.try_as_str() else { return literal::null(&DataType::String) };
    NumberFormat::parse(format)?;
    let nullable = value.nullable;
    let value = cast::cast(ctx, value, &coercion::decimal(precision, scale), ctx.mode())?;
    Ok(Typed::new(call("spark_to_char", vec![value.expr, text_literal(format)])?, DataType::String, nullable))
}

fn by_name(ctx: &FunctionContext, name: &str, args: Vec<Typed>) -> SparkResult<Typed> {
    match lookup(name) {
        Some(def) => def.resolve_scalar(ctx, args),
        None => Err(SparkError::internal(format!("{name} is missing"))),
    }
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("to_number", |c, n, a| to_number_call(c, n, a, EvalMode::Ansi)),
        F::resolve("try_to_number", |c, n, a| to_number_call(c, n, a, EvalMode::Try)),
        F::resolve("to_char", to_char_call),
        F::resolve("to_varchar", to_char_call),
        F::simple("conv", "spark_conv", "sii", DataType::String).by_mode().nulls(crate::registry::Nulls::Maybe),
    ]
}
