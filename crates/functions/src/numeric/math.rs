//! Mathematical functions, signs, bits and the `try_` arithmetic.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ArrowPrimitiveType},
    datatypes::{
        DataType as Arrow, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult, logical_expr::Expr, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult, expr::BinaryOp};

use crate::{
    FunctionContext, Typed, coercion, errors,
    errors::external,
    literal,
    operators::{canonical_f64, try_arithmetic},
    registry::{FunctionDef, Nulls, check_count, want},
    udf::{Args, Ret, Udf, booleans, call, numbers, strings},
};

macro_rules! of_double {
    ($name:literal, $f:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Float64), |args| {
            let f: fn(f64) -> f64 = $f;
            let values = args.primitive::<Float64Type>(0)?;
            let result = values.array.unary::<_, Float64Type>(|v| canonical_nan(f(v)));
            Ok(Arc::new(result))
        })
    };
}

macro_rules! of_doubles {
    ($name:literal, $f:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Float64), |args| {
            let f: fn(f64, f64) -> f64 = $f;
            let (a, b) = (args.primitive::<Float64Type>(0)?, args.primitive::<Float64Type>(1)?);
            numbers::<Float64Type>(args, |row| Ok(a.get(row).zip(b.get(row)).map(|(a, b)| canonical_nan(f(a, b)))))
        })
    };
}

/// Processors answer NaN of either sign.
fn canonical_nan(v: f64) -> f64 {
    if v.is_nan() { f64::NAN } else { v }
}

/// Null where Java's logarithms of Spark are: at and below the bound.
macro_rules! logarithm {
    ($name:literal, $bound:expr, $f:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Float64), |args| {
            let f: fn(f64) -> f64 = $f;
            let values = args.primitive::<Float64Type>(0)?;
            numbers::<Float64Type>(args, |row| {
                Ok(values.get(row).filter(|v| *v > $bound || v.is_nan()).map(|v| canonical_nan(f(v))))
            })
        })
    };
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        of_double!("spark_sqrt", f64::sqrt),
        of_double!("spark_cbrt", f64::cbrt),
        of_double!("spark_exp", super::java_exp::exp),
        of_double!("spark_expm1", f64::exp_m1),
        of_double!("spark_sin", f64::sin),
        of_double!("spark_cos", f64::cos),
        of_double!("spark_tan", f64::tan),
        of_double!("spark_cot", |v| 1.0 / v.tan()),
        of_double!("spark_sec", |v| 1.0 / v.cos()),
        of_double!("spark_csc", |v| 1.0 / v.sin()),
        of_double!("spark_asin", f64::asin),
        of_double!("spark_acos", f64::acos),
        of_double!("spark_atan", f64::atan),
        of_double!("spark_sinh", f64::sinh),
        of_double!("spark_cosh", super::java_exp::cosh),
        of_double!("spark_tanh", f64::tanh),
        of_double!("spark_asinh", f64::asinh),
        of_double!("spark_acosh", f64::acosh),
        of_double!("spark_atanh", f64::atanh),
        of_double!("spark_degrees", f64::to_degrees),
        of_double!("spark_radians", f64::to_radians),
        of_double!("spark_rint", f64::round_ties_even),
        Udf::new("spark_signum_interval", Ret::Fixed(Arrow::Float64), |args| {
            if args.array(0)?.data_type() == &Arrow::Interval(IntervalUnit::YearMonth) {
                let v = args.primitive::<IntervalYearMonthType>(0)?;
                return numbers::<Float64Type>(args, |row| Ok(v.get(row).map(|v| f64::from(v.signum()))));
            }
            let v = args.primitive::<DurationMicrosecondType>(0)?;
            numbers::<Float64Type>(args, |row| Ok(v.get(row).map(|v| v.signum() as f64)))
        }),
        of_double!("spark_signum", |v| if v == 0.0 || v.is_nan() { v } else { v.signum() }),
        of_doubles!("spark_pow", |a, b| if a.abs() == 1.0 && b.is_infinite() || (a == 1.0 && b.is_nan()) {
            f64::NAN
        } else {
            a.powf(b)
        }),
        of_doubles!("spark_atan2", |a, b| (a + 0.0).atan2(b + 0.0)),
        of_doubles!("spark_hypot", f64::hypot),
        logarithm!("spark_ln", 0.0, f64::ln),
        logarithm!("spark_log10", 0.0, f64::log10),
        logarithm!("spark_log2", 0.0, |v| v.ln() / std::f64::consts::LN_2),
        logarithm!("spark_log1p", -1.0, f64::ln_1p),
        Udf::new("spark_log", Ret::Fixed(Arrow::Float64), |args| {
            let (base, v) = (args.primitive::<Float64Type>(0)?, args.primitive::<Float64Type>(1)?);
            numbers::<Float64Type>(args, |row| {
                Ok(match (base.get(row), v.get(row)) {
                    (Some(b), Some(v)) if (b > 0.0 || b.is_nan()) && (v > 0.0 || v.is_nan()) => {
                        Some(canonical_nan(v.ln() / b.ln()))
                    }
                    _ => None,
                })
            })
        }),
        Udf::new("spark_negative_ansi", Ret::Arg(0), negative),
        Udf::new("spark_negative_legacy", Ret::Arg(0), negative_wrapping),
        Udf::new("spark_abs_ansi", Ret::Arg(0), |a| absolute(a, true)),
        Udf::new("spark_abs_legacy", Ret::Arg(0), |a| absolute(a, false)),
        Udf::new("spark_pmod_ansi", Ret::Arg(0), |a| pmod(a, true)),
        Udf::new("spark_pmod_legacy", Ret::Arg(0), |a| pmod(a, false)),
        Udf::new("spark_shiftleft", Ret::Arg(0), |a| shift(a, |v, n| v.wrapping_shl(n), |v, n| v.wrapping_shl(n))),
        Udf::new("spark_shiftright", Ret::Arg(0), |a| shift(a, |v, n| v.wrapping_shr(n), |v, n| v.wrapping_shr(n))),
        Udf::new("spark_shiftrightunsigned", Ret::Arg(0), |a| {
            shift(a, |v, n| (v as u32).wrapping_shr(n) as i32, |v, n| (v as u64).wrapping_shr(n) as i64)
        }),
        Udf::new("spark_bit_count", Ret::Fixed(Arrow::Int32), |args| {
            let v = args.primitive::<Int64Type>(0)?;
            numbers::<Int32Type>(args, |row| Ok(v.get(row).map(|v| v.count_ones() as i32)))
        }),
        Udf::new("spark_factorial", Ret::Fixed(Arrow::Int64), |args| {
            let v = args.primitive::<Int32Type>(0)?;
            numbers::<Int64Type>(args, |row| {
                Ok(v.get(row).filter(|v| (0..=20).contains(v)).map(|v| (1..=i64::from(v)).product()))
            })
        }),
        Udf::new("spark_bin", Ret::Fixed(Arrow::Utf8), |args| {
            let v = args.primitive::<Int64Type>(0)?;
            strings(args, args.rows * 16, |row, out| {
                Ok(match v.get(row) {
                    Some(v) => {
                        out.push_str(&format!("{v:b}"));
                        true
                    }
                    None => false,
                })
            })
        }),
        Udf::new("float_to_order", Ret::Fixed(Arrow::Int64), |args| {
            let array = args.array(0)?;
            let doubles = arrow::compute::cast(&array, &Arrow::Float64)?;
            let doubles = arrow::array::AsArray::as_primitive::<Float64Type>(&doubles);
            let ordered = doubles.unary::<_, Int64Type>(|v| {
                let bits = canonical_f64(v).to_bits() as i64;
                bits ^ ((bits >> 63) as u64 >> 1) as i64
            });
            Ok(Arc::new(ordered))
        }),
        Udf::new("order_to_float", Ret::Arg(1), |args| {
            let array = args.array(0)?;
            let longs = arrow::array::AsArray::as_primitive::<Int64Type>(&array);
            let doubles =
                longs.unary::<_, Float64Type>(|v| f64::from_bits((v ^ ((v >> 63) as u64 >> 1) as i64) as u64));
            Ok(arrow::compute::cast(&doubles, args.return_type)?)
        }),
        Udf::new("spark_width_bucket", Ret::Fixed(Arrow::Int64), |args| {
            let double = |i| args.primitive::<Float64Type>(i);
            let (v, low, high, n) = (double(0)?, double(1)?, double(2)?, args.primitive::<Int64Type>(3)?);
            numbers::<Int64Type>(args, |row| {
                let (Some(v), Some(low), Some(high), Some(n)) = (v.get(row), low.get(row), high.get(row), n.get(row))
                else {
                    return Ok(None);
                };
                if n <= 0 || n == i64::MAX || v.is_nan() || low == high || !low.is_finite() || !high.is_finite() {
                    return Ok(None);
                }
                let (lower, upper) = (low.min(high), low.max(high));
                Ok(Some(if low < high {
                    if v < lower {
                        0
                    } else if v >= upper {
                        n + 1
                    } else {
                        (n as f64 * (v - lower) / (upper - lower)) as i64 + 1
                    }
                } else if v > upper {
                    0
                } else if v <= lower {
                    n + 1
                } else {
                    (n as f64 * (upper - v) / (upper - lower)) as i64 + 1
                }))
            })
        }),
        Udf::new("spark_isnan", Ret::Fixed(Arrow::Boolean), |args| {
            let v = args.primitive::<Float64Type>(0)?;
            booleans(args, |row| Ok(Some(v.get(row).is_some_and(f64::is_nan))))
        }),
        Udf::new("spark_nanvl", Ret::Fixed(Arrow::Float64), |args| {
            let (a, b) = (args.primitive::<Float64Type>(0)?, args.primitive::<Float64Type>(1)?);
            numbers::<Float64Type>(args, |row| {
                Ok(match a.get(row) {
                    Some(v) if v.is_nan() => b.get(row),
                    other => other,
                })
            })
        }),
    ]
}

fn unary_checked<T: ArrowPrimitiveType>(
    args: &Args<'_>,
    f: impl Fn(T::Native) -> Option<T::Native>,
    error: impl Fn() -> SparkError,
) -> DfResult<ArrayRef> {
    let values = args.primitive::<T>(0)?;
    numbers::<T>(args, |row| match values.get(row) {
        Some(v) => match f(v) {
            Some(v) => Ok(Some(v)),
            None => Err(external(error())),
        },
        None => Ok(None),
    })
}

fn negative(args: &Args<'_>) -> DfResult<ArrayRef> {
    let overflow = |text: &'static str| move || errors::arithmetic_overflow(text, "");
    match args.return_type {
        Arrow::Int8 => unary_checked::<Int8Type>(args, i8::checked_neg, overflow("- -128S caused overflow")),
        Arrow::Int16 => unary_checked::<Int16Type>(args, i16::checked_neg, overflow("- -32768S caused overflow")),
        Arrow::Int32 => unary_checked::<Int32Type>(args, i32::checked_neg, overflow("integer overflow")),
        Arrow::Int64 => unary_checked::<Int64Type>(args, i64::checked_neg, overflow("long overflow")),
        Arrow::Duration(_) => {
            unary_checked::<DurationMicrosecondType>(args, i64::checked_neg, || errors::interval_overflow(""))
        }
        Arrow::Interval(IntervalUnit::YearMonth) => {
            unary_checked::<IntervalYearMonthType>(args, i32::checked_neg, || errors::interval_overflow(""))
        }
        Arrow::Interval(_) => unary_checked::<arrow::datatypes::IntervalMonthDayNanoType>(
            args,
            |v| {
                Some(arrow::datatypes::IntervalMonthDayNano::new(
                    v.months.checked_neg()?,
                    v.days.checked_neg()?,
                    v.nanoseconds.checked_neg()?,
                ))
            },
            || errors::interval_overflow(""),
        ),
        other => exec_err!("{} of {other}", args.name),
    }
}

/// Without ANSI the least integer is its own negative.
fn negative_wrapping(args: &Args<'_>) -> DfResult<ArrayRef> {
    let never = || errors::arithmetic_overflow("", "");
    match args.return_type {
        Arrow::Int8 => unary_checked::<Int8Type>(args, |v| Some(v.wrapping_neg()), never),
        Arrow::Int16 => unary_checked::<Int16Type>(args, |v| Some(v.wrapping_neg()), never),
        Arrow::Int32 => unary_checked::<Int32Type>(args, |v| Some(v.wrapping_neg()), never),
        _ => unary_checked::<Int64Type>(args, |v| Some(v.wrapping_neg()), never),
    }
}

fn absolute(args: &Args<'_>, ansi: bool) -> DfResult<ArrayRef> {
    let overflow = |text: &'static str| move || errors::arithmetic_overflow(text, "");
    macro_rules! integers {
        ($t:ty, $n:ty, $text:literal) => {
            unary_checked::<$t>(
                args,
                |v: $n| if ansi { v.checked_abs() } else { Some(v.wrapping_abs()) },
                overflow($text),
            )
        };
    }
    match args.return_type {
        Arrow::Int8 => integers!(Int8Type, i8, "Overflow"),
        Arrow::Int16 => integers!(Int16Type, i16, "Overflow"),
        Arrow::Int32 => integers!(Int32Type, i32, "Overflow"),
        Arrow::Int64 => integers!(Int64Type, i64, "Overflow"),
        Arrow::Float32 => unary_checked::<Float32Type>(args, |v| Some(v.abs()), overflow("")),
        Arrow::Float64 => unary_checked::<Float64Type>(args, |v| Some(v.abs()), overflow("")),
        Arrow::Decimal128(..) => unary_checked::<Decimal128Type>(args, |v| Some(v.abs()), overflow("")),
        Arrow::Duration(_) => {
            unary_checked::<DurationMicrosecondType>(args, i64::checked_abs, overflow("long overflow"))
        }
        Arrow::Interval(_) => {
            unary_checked::<IntervalYearMonthType>(args, i32::checked_abs, overflow("integer overflow"))
        }
        other => exec_err!("{} of {other}", args.name),
    }
}

/// Of decimals: no larger than the smaller side.
fn remainder_type(left: &DataType, right: &DataType) -> Option<DataType> {
    if ![left, right].iter().any(|t| matches!(t, DataType::Decimal { .. })) {
        return None;
    }
    let ((p1, s1), (p2, s2)) = (coercion::decimal_of_integral(left)?, coercion::decimal_of_integral(right)?);
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let scale = s1.max(s2);
    let (precision, scale) = coercion::adjust_precision_scale((p1 - s1).min(p2 - s2) + scale, scale);
    Some(DataType::Decimal { precision, scale })
}

fn pmod(args: &Args<'_>, ansi: bool) -> DfResult<ArrayRef> {
    macro_rules! of {
        ($t:ty, $zero:expr, $rem:expr) => {{
            let (a, b) = (args.primitive::<$t>(0)?, args.primitive::<$t>(1)?);
            numbers::<$t>(args, |row| match (a.get(row), b.get(row)) {
                (Some(_), Some(b)) if b == $zero => {
                    if ansi {
                        Err(external(errors::remainder_by_zero()))
                    } else {
                        Ok(None)
                    }
                }
                (Some(a), Some(b)) => Ok(Some($rem(a, b))),
                _ => Ok(None),
            })
        }};
    }
    macro_rules! integer {
        ($n:ty) => {
            |a: $n, b: $n| {
                let r = a.wrapping_rem(b);
                if r < 0 { r.wrapping_add(b).wrapping_rem(b) } else { r }
            }
        };
    }
    match args.return_type {
        Arrow::Int8 => of!(Int8Type, 0, integer!(i8)),
        Arrow::Int16 => of!(Int16Type, 0, integer!(i16)),
        Arrow::Int32 => of!(Int32Type, 0, integer!(i32)),
        Arrow::Int64 => of!(Int64Type, 0, integer!(i64)),
        Arrow::Float32 => of!(Float32Type, 0.0, |a: f32, b: f32| {
            let r = a % b;
            if r < 0.0 { (r + b) % b } else { r }
        }),
        Arrow::Float64 => of!(Float64Type, 0.0, |a: f64, b: f64| {
            let r = a % b;
            if r < 0.0 { (r + b) % b } else { r }
        }),
        Arrow::Decimal128(..) => of!(Decimal128Type, 0, integer!(i128)),
        other => exec_err!("{} of {other}", args.name),
    }
}

fn shift(args: &Args<'_>, int: fn(i32, u32) -> i32, long: fn(i64, u32) -> i64) -> DfResult<ArrayRef> {
    let by = args.primitive::<Int32Type>(1)?;
    match args.return_type {
        Arrow::Int32 => {
            let v = args.primitive::<Int32Type>(0)?;
            numbers::<Int32Type>(args, |row| Ok(v.get(row).zip(by.get(row)).map(|(v, n)| int(v, n as u32))))
        }
        _ => {
            let v = args.primitive::<Int64Type>(0)?;
            numbers::<Int64Type>(args, |row| Ok(v.get(row).zip(by.get(row)).map(|(v, n)| long(v, n as u32))))
        }
    }
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    let mut all = Vec::new();
    for (name, udf) in [
        ("sqrt", "spark_sqrt"),
        ("cbrt", "spark_cbrt"),
        ("exp", "spark_exp"),
        ("expm1", "spark_expm1"),
        ("sin", "spark_sin"),
        ("cos", "spark_cos"),
        ("tan", "spark_tan"),
        ("cot", "spark_cot"),
        ("sec", "spark_sec"),
        ("csc", "spark_csc"),
        ("asin", "spark_asin"),
        ("acos", "spark_acos"),
        ("atan", "spark_atan"),
        ("sinh", "spark_sinh"),
        ("cosh", "spark_cosh"),
        ("tanh", "spark_tanh"),
        ("asinh", "spark_asinh"),
        ("acosh", "spark_acosh"),
        ("atanh", "spark_atanh"),
        ("degrees", "spark_degrees"),
        ("radians", "spark_radians"),
        ("rint", "spark_rint"),
    ] {
        all.push(F::simple(name, udf, "d", DataType::Double));
    }
    all.push(F::resolve("sign", sign));
    all.push(F::resolve("signum", sign));
    for (name, udf) in [("ln", "spark_ln"), ("log10", "spark_log10"), ("log2", "spark_log2"), ("log1p", "spark_log1p")]
    {
        all.push(F::simple(name, udf, "d", DataType::Double).nulls(Nulls::Maybe));
    }
    for (name, udf) in
        [("pow", "spark_pow"), ("power", "spark_pow"), ("atan2", "spark_atan2"), ("hypot", "spark_hypot")]
    {
        all.push(F::simple(name, udf, "dd", DataType::Double));
    }
    all.extend([
        F::resolve("log", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 2)?;
            let last = want(ctx, name, args.len() - 1, 'd', args.remove(args.len() - 1))?;
            let Some(base) = args.pop() else {
                return Ok(Typed::new(call("spark_ln", vec![last.expr])?, DataType::Double, true));
            };
            let base = want(ctx, name, 0, 'd', base)?;
            Ok(Typed::new(call("spark_log", vec![base.expr, last.expr])?, DataType::Double, true))
        }),
        F::resolve("e", |_, name, args| constant(name, &args, std::f64::consts::E)),
        F::resolve("pi", |_, name, args| constant(name, &args, std::f64::consts::PI)),
        F::resolve("negative", minus),
        F::resolve("positive", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            if args[0].data_type.is_interval() {
                return Ok(args.remove(0));
            }
            want(ctx, name, 0, 'n', args.remove(0))
        }),
        F::resolve("abs", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = args.remove(0);
            let value = if value.data_type.is_interval() { value } else { want(ctx, name, 0, 'n', value)? };
            let (data_type, nullable) = (value.data_type.clone(), value.nullable);
            let udf = if ctx.ansi { "spark_abs_ansi" } else { "spark_abs_legacy" };
            Ok(Typed::new(call(udf, vec![value.expr])?, data_type, nullable))
        }),
        F::resolve("pmod", |ctx, name, args| {
            check_count(name, args.len(), 2, 2)?;
            let result = remainder_type(&args[0].data_type, &args[1].data_type);
            if coercion::common_type(&args[0].data_type, &args[1].data_type, ctx.ansi).is_none() {
                return Err(errors::binary_diff_types(name, &args[0], &args[1]));
            }
            let (args, common) = coercion::unify(ctx, name, args)?;
            if !common.is_numeric() {
                return Err(errors::binary_wrong_type("pmod", &args[0], &args[1], "\"NUMERIC\""));
            }
            let nullable = !ctx.ansi || args.iter().any(|a| a.nullable);
            let udf = if ctx.ansi { "spark_pmod_ansi" } else { "spark_pmod_legacy" };
            let value = Typed::new(call(udf, args.into_iter().map(|a| a.expr).collect())?, common, nullable);
            match result {
                Some(to) => crate::cast::cast(ctx, value, &to, crate::EvalMode::Legacy),
                None => Ok(value),
            }
        }),
        F::resolve("mod", |c, n, a| operator(c, n, a, BinaryOp::Modulo)),
        F::resolve("div", |c, n, a| operator(c, n, a, BinaryOp::IntegralDivide)),
        F::resolve("try_add", |c, n, a| tried(c, n, a, BinaryOp::Plus)),
        F::resolve("try_subtract", |c, n, a| tried(c, n, a, BinaryOp::Minus)),
        F::resolve("try_multiply", |c, n, a| tried(c, n, a, BinaryOp::Multiply)),
        F::resolve("try_divide", |c, n, a| tried(c, n, a, BinaryOp::Divide)),
        F::resolve("try_mod", |c, n, a| tried(c, n, a, BinaryOp::Modulo)),
        F::resolve("shiftleft", |c, n, a| shifted(c, n, "spark_shiftleft", a)),
        F::resolve("shiftright", |c, n, a| shifted(c, n, "spark_shiftright", a)),
        F::resolve("shiftrightunsigned", |c, n, a| shifted(c, n, "spark_shiftrightunsigned", a)),
        F::resolve("bit_count", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = args.remove(0);
            if !value.data_type.is_integral() && !matches!(value.data_type, DataType::Boolean | DataType::Null) {
                return Err(errors::unexpected_input(name, 0, "(\"INTEGRAL\" or \"BOOLEAN\")", &value));
            }
            let value = coercion::implicit(ctx, value, &DataType::Long)?;
            let nullable = value.nullable;
            Ok(Typed::new(call("spark_bit_count", vec![value.expr])?, DataType::Integer, nullable))
        }),
        F::simple("factorial", "spark_factorial", "i", DataType::Long).nulls(Nulls::Maybe),
        F::simple("bin", "spark_bin", "l", DataType::String),
        F::resolve("width_bucket", width_bucket),
        F::resolve("isnan", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = want(ctx, name, 0, 'd', args.remove(0))?;
            Ok(Typed::new(call("spark_isnan", vec![value.expr])?, DataType::Boolean, false))
        }),
        F::resolve("nanvl", |ctx, name, args| {
            check_count(name, args.len(), 2, 2)?;
            let mut typed = Vec::new();
            for (i, arg) in args.into_iter().enumerate() {
                typed.push(want(ctx, name, i, 'd', arg)?);
            }
            let nullable = typed.iter().any(|t| t.nullable);
            Ok(Typed::new(
                call("spark_nanvl", typed.into_iter().map(|t| t.expr).collect())?,
                DataType::Double,
                nullable,
            ))
        }),
    ]);
    all
}

/// Numbers, or intervals of one kind.
fn width_bucket(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 4, 4)?;
    let buckets = want(ctx, name, 3, 'l', args.remove(3))?;
    let mut exprs = Vec::with_capacity(4);
    let year_month = |t: &DataType| matches!(t, DataType::YearMonthInterval { .. });
    let day_time = |t: &DataType| matches!(t, DataType::DayTimeInterval { .. });
    let kind = |kind: &dyn Fn(&DataType) -> bool| {
        args.iter().any(|a| kind(&a.data_type)) && args.iter().all(|a| kind(&a.data_type) || a.is_null_literal())
    };
    let intervals = kind(&year_month) || kind(&day_time);
    for (i, arg) in args.into_iter().enumerate() {
        exprs.push(if intervals && arg.data_type.is_interval() {
            call("time_as_double", vec![arg.expr])?
        } else {
            want(ctx, name, i, 'd', arg)?.expr
        });
    }
    exprs.push(buckets.expr);
    Ok(Typed::new(call("spark_width_bucket", exprs)?, DataType::Long, true))
}

/// `sign` of a number or of an interval.
fn sign(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = args.remove(0);
    let (udf, value) = if value.data_type.is_interval() && value.data_type != DataType::CalendarInterval {
        ("spark_signum_interval", value)
    } else {
        ("spark_signum", want(ctx, name, 0, 'd', value)?)
    };
    let nullable = value.nullable;
    Ok(Typed::new(call(udf, vec![value.expr])?, DataType::Double, nullable))
}

fn constant(name: &'static str, args: &[Typed], value: f64) -> SparkResult<Typed> {
    check_count(name, args.len(), 0, 0)?;
    Ok(literal::of(ScalarValue::Float64(Some(value)), DataType::Double))
}

fn minus(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = args.remove(0);
    let value = if value.data_type.is_interval() { value } else { want(ctx, name, 0, 'n', value)? };
    let (data_type, nullable) = (value.data_type.clone(), value.nullable);
    let native = matches!(data_type, DataType::Float | DataType::Double | DataType::Decimal { .. });
    let expr = if native {
        Expr::Negative(Box::new(value.expr))
    } else if !ctx.ansi && data_type.is_integral() {
        call("spark_negative_legacy", vec![value.expr])?
    } else {
        call("spark_negative_ansi", vec![value.expr])?
    };
    Ok(Typed::new(expr, data_type, nullable))
}

fn pair(name: &'static str, args: Vec<Typed>) -> SparkResult<(Typed, Typed)> {
    check_count(name, args.len(), 2, 2)?;
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => Err(errors::wrong_num_args(name, 2, 0)),
    }
}

fn operator(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>, op: BinaryOp) -> SparkResult<Typed> {
    let (a, b) = pair(name, args)?;
    crate::operators::binary(ctx, op, a, b)
}

fn tried(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>, op: BinaryOp) -> SparkResult<Typed> {
    let (a, b) = pair(name, args)?;
    try_arithmetic(ctx, op, a, b)
}

fn shifted(ctx: &FunctionContext, name: &'static str, udf: &str, args: Vec<Typed>) -> SparkResult<Typed> {
    let (value, by) = pair(name, args)?;
    let value = match value.data_type {
        DataType::Integer | DataType::Long => value,
        _ => want(ctx, name, 0, 'i', value)?,
    };
    let by = want(ctx, name, 1, 'i', by)?;
    let (data_type, nullable) = (value.data_type.clone(), value.nullable || by.nullable);
    Ok(Typed::new(call(udf, vec![value.expr, by.expr])?, data_type, nullable))
}
