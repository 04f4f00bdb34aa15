//! `round`, `bround`, `ceil`, `floor`.

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{
        DataType as Arrow, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkResult};

use super::decimal::{POW10, fits, round_i128};
use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, numbers, type_literal},
};

#[derive(Clone, Copy, PartialEq)]
enum How {
    HalfUp,
    HalfEven,
    Ceiling,
    Floor,
}

pub(super) fn udfs() -> Vec<Udf> {
    // (value, scale int, null of the result's type)
    vec![
        Udf::new("spark_round_ansi", Ret::Arg(2), |a| round(a, How::HalfUp, true)),
        Udf::new("spark_round_legacy", Ret::Arg(2), |a| round(a, How::HalfUp, false)),
        Udf::new("spark_bround_ansi", Ret::Arg(2), |a| round(a, How::HalfEven, true)),
        Udf::new("spark_bround_legacy", Ret::Arg(2), |a| round(a, How::HalfEven, false)),
        Udf::new("spark_ceil_ansi", Ret::Arg(2), |a| round(a, How::Ceiling, true)),
        Udf::new("spark_ceil_legacy", Ret::Arg(2), |a| round(a, How::Ceiling, false)),
        Udf::new("spark_floor_ansi", Ret::Arg(2), |a| round(a, How::Floor, true)),
        Udf::new("spark_floor_legacy", Ret::Arg(2), |a| round(a, How::Floor, false)),
        Udf::new("double_ceil", Ret::Fixed(Arrow::Int64), |a| whole(a, f64::ceil)),
        Udf::new("double_floor", Ret::Fixed(Arrow::Int64), |a| whole(a, f64::floor)),
    ]
}

fn whole(args: &Args<'_>, f: fn(f64) -> f64) -> DfResult<ArrayRef> {
    let values = args.primitive::<Float64Type>(0)?;
    numbers::<Int64Type>(args, |row| Ok(values.get(row).map(|v| f(v) as i64)))
}

/// Divides by 10^down.
fn divide(value: i128, down: u32, how: How) -> i128 {
    if down == 0 {
        return value;
    }
    if down > 38 {
        return match how {
            How::Ceiling if value > 0 => 1,
            How::Floor if value < 0 => -1,
            _ => 0,
        };
    }
    let divisor = POW10[down as usize];
    match how {
        How::HalfUp => round_i128(value, down),
        How::HalfEven => {
            let (q, r) = (value / divisor, (value % divisor).abs());
            let twice = r.cmp(&(divisor - r));
            let up = twice.is_gt() || (twice.is_eq() && q % 2 != 0);
            if up { q + if value < 0 { -1 } else { 1 } } else { q }
        }
        How::Ceiling => value.div_euclid(divisor) + i128::from(value.rem_euclid(divisor) != 0),
        How::Floor => value.div_euclid(divisor),
    }
}

fn round_float(value: f64, text: &str, scale: i32, how: How) -> f64 {
    // Spark rounds the decimal that the number prints as.
    if !value.is_finite() {
        return value;
    }
    // A decimal has no negative zero.
    if value == 0.0 {
        return 0.0;
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let fraction = mantissa.split_once('.').map_or(0, |(_, f)| f.len() as i32);
    let Ok(mut unscaled) = digits.parse::<i128>() else { return value };
    if mantissa.starts_with('-') {
        unscaled = -unscaled;
    }
    // unscaled · 10^(exponent - fraction)
    let own_scale = fraction - exponent;
    if own_scale <= scale {
        return value;
    }
    let rounded = divide(unscaled, own_scale.saturating_sub(scale) as u32, how);
    format!("{rounded}e{}", scale.saturating_neg()).parse().unwrap_or(value)
}

fn round(args: &Args<'_>, how: How, ansi: bool) -> DfResult<ArrayRef> {
    let scales = args.primitive::<Int32Type>(1)?;
    let Some(scale) = scales.get(0) else {
        return Ok(arrow::array::new_null_array(args.return_type, args.rows));
    };
    macro_rules! integers {
        ($t:ty, $n:ty, $text:literal) => {{
            let values = args.primitive::<$t>(0)?;
            numbers::<$t>(args, |row| {
                let Some(v) = values.get(row) else { return Ok(None) };
                if scale >= 0 {
                    return Ok(Some(v));
                }
                let down = scale.unsigned_abs();
                let rounded = POW10.get(down as usize).map_or(0, |p| divide(i128::from(v), down, how) * p);
                match <$n>::try_from(rounded) {
                    Ok(v) => Ok(Some(v)),
                    Err(_) if ansi => Err(external(errors::arithmetic_overflow($text, ""))),
                    Err(_) => Ok(Some(rounded as $n)),
                }
            })
        }};
    }
    let (array, _) = args.short(0)?;
    match array.data_type() {
        Arrow::Int8 => integers!(Int8Type, i8, "Overflow"),
        Arrow::Int16 => integers!(Int16Type, i16, "Overflow"),
        Arrow::Int32 => integers!(Int32Type, i32, "Overflow"),
        Arrow::Int64 => integers!(Int64Type, i64, "Overflow"),
        Arrow::Float64 => {
            let values = args.primitive::<Float64Type>(0)?;
            numbers::<Float64Type>(args, |row| {
                Ok(values.get(row).map(|v| round_float(v, &format!("{v:e}"), scale, how)))
            })
        }
        Arrow::Float32 => {
            let values = args.primitive::<Float32Type>(0)?;
            numbers::<Float32Type>(args, |row| {
                Ok(values.get(row).map(|v| round_float(f64::from(v), &format!("{v:e}"), scale, how) as f32))
            })
        }
        Arrow::Decimal128(_, from) => {
            let values = args.primitive::<Decimal128Type>(0)?;
            let Arrow::Decimal128(precision, to) = args.return_type else { return exec_err!("a rounded decimal") };
            let wanted = scale.min(i32::from(*from));
            let down = (i32::from(*from) - wanted).max(0) as u32;
            let up = (i32::from(*to) - wanted).max(0) as usize;
            numbers::<Decimal128Type>(args, |row| {
                let Some(v) = values.get(row) else { return Ok(None) };
                let rounded = POW10.get(up).and_then(|p| divide(v, down, how).checked_mul(*p));
                match rounded.filter(|v| fits(*v, *precision)) {
                    Some(v) => Ok(Some(v)),
                    None if ansi => Err(external(errors::numeric_out_of_range(
                        super::decimal::decimal_text(v, *from),
                        *precision,
                        *to,
                    ))),
                    None => Ok(None),
                }
            })
        }
        other => exec_err!("{} of {other}", args.name),
    }
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("round", |c, n, a| resolve_round(c, n, "spark_round", a)),
        F::resolve("bround", |c, n, a| resolve_round(c, n, "spark_bround", a)),
        F::resolve("ceil", |c, n, a| resolve_whole(c, n, "ceil", a)),
        F::resolve("ceiling", |c, n, a| resolve_whole(c, n, "ceil", a)),
        F::resolve("floor", |c, n, a| resolve_whole(c, n, "floor", a)),
    ]
}

fn scale_of(name: &str, value: &Typed) -> SparkResult<i32> {
    match value.literal() {
        Some(ScalarValue::Int8(Some(v))) => Ok(i32::from(*v)),
        Some(ScalarValue::Int16(Some(v))) => Ok(i32::from(*v)),
        Some(ScalarValue::Int32(Some(v))) => Ok(*v),
        Some(ScalarValue::Int64(Some(v))) if i32::try_from(*v).is_ok() => Ok(*v as i32),
        _ => Err(errors::datatype_mismatch(
            "NON_FOLDABLE_INPUT",
            name,
            format!("the input `scale` should be a foldable \"INT\" expression; however, got \"{}\".", value.sql()),
        )),
    }
}

/// The type of a decimal rounded to a scale: one more digit in front for what rounds up.
fn rounded_type(precision: u8, scale: i8, wanted: i32) -> DataType {
    let integral = i32::from(precision) - i32::from(scale) + 1;
    if wanted < 0 {
        let precision = integral.max(-wanted + 1);
        coercion::decimal(precision.min(38) as u8, 0)
    } else {
        let scale = i32::from(scale).min(wanted);
        coercion::decimal((integral + scale).min(38) as u8, scale as i8)
    }
}

/// Powers of ten from here on are none of Java's big integers.
const MOST_PLACES: i32 = 646_456_994;

fn resolve_round(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let scale = if args.len() > 1 { args.remove(1) } else { literal::int(0) };
    let value = want(ctx, name, 0, 'n', args.remove(0))?;
    if scale.is_null_literal() {
        return literal::null(&match &value.data_type {
            DataType::Decimal { precision, scale } => rounded_type(*precision, *scale, 0),
            other => other.clone(),
        });
    }
    let scale = if ctx.ansi { want(ctx, name, 1, 'i', scale)? } else { scale };
    let wanted = match literal::evaluate(&scale)? {
        Some(ScalarValue::Int32(Some(i32::MIN))) => return Err(errors::arithmetic_overflow("Underflow", "")),
        // Java would have to write out more digits than it can.
        Some(ScalarValue::Int32(Some(MOST_PLACES..))) if ctx.ansi && value.data_type.is_integral() => {
            return Err(errors::arithmetic_overflow("BigInteger would overflow supported range", ""));
        }
        Some(ScalarValue::Int32(Some(scale))) => scale,
        _ => scale_of(name, &scale)?,
    };
    let data_type = match &value.data_type {
        DataType::Decimal { precision, scale } => rounded_type(*precision, *scale, wanted),
        other => other.clone(),
    };
    finish(ctx, udf, value, wanted, data_type)
}

fn finish(ctx: &FunctionContext, udf: &str, value: Typed, scale: i32, data_type: DataType) -> SparkResult<Typed> {
    let nullable = value.nullable || !ctx.ansi;
    let udf = format!("{udf}_{}", ctx.mode().suffix());
    let expr = call(&udf, vec![value.expr, literal::int(scale).expr, type_literal(&data_type)?])?;
    Ok(Typed::new(expr, data_type, nullable))
}

fn resolve_whole(ctx: &FunctionContext, name: &'static str, which: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    if args.len() == 2 {
        let wanted = scale_of(name, &args[1]).map_err(|_| errors::non_foldable_argument(name, "scale", "INT"))?;
        let value = args.remove(0);
        let value = if value.data_type == DataType::Null {
            literal::null(&coercion::decimal(38, 18))?
        } else {
            want(ctx, name, 0, 'n', value)?
        };
        // With a scale everything is a decimal.
        let value = match &value.data_type {
            DataType::Decimal { .. } => value,
            DataType::Double => cast::cast(ctx, value, &coercion::decimal(30, 15), EvalMode::Legacy)?,
            DataType::Float => cast::cast(ctx, value, &coercion::decimal(14, 7), EvalMode::Legacy)?,
            t => {
                let (p, s) = coercion::decimal_of_integral(t).unwrap_or((20, 0));
                cast::cast(ctx, value, &coercion::decimal(p, s), EvalMode::Legacy)?
            }
        };
        let (precision, scale) = coercion::decimal_of_integral(&value.data_type).unwrap_or((38, 0));
        return finish(ctx, &format!("spark_{which}"), value, wanted, rounded_type(precision, scale, wanted));
    }
    let value = want(ctx, name, 0, 'n', args.remove(0))?;
    match value.data_type.clone() {
        t if t.is_integral() => coercion::implicit(ctx, value, &DataType::Long),
        DataType::Decimal { precision, scale } => {
            finish(ctx, &format!("spark_{which}"), value, 0, rounded_type(precision, scale, 0))
        }
        _ => {
            let value = coercion::implicit(ctx, value, &DataType::Double)?;
            let nullable = value.nullable;
            Ok(Typed::new(call(&format!("double_{which}"), vec![value.expr])?, DataType::Long, nullable))
        }
    }
}
