//! Casts among numbers, booleans and timestamps.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanArray, PrimitiveBuilder},
    datatypes::{
        DataType as Arrow, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, i256,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::DataType;

use super::{Env, parse_decimal, write_double};
use crate::{
    EvalMode,
    datetime::calendar::MICROS_PER_SECOND,
    errors,
    numeric::decimal::{self, decimal_text, rescale},
    types,
};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
    /// A float, kept apart for its own shortest text.
    Single(f32),
    Decimal(i128, i8),
}

impl Number {
    /// The value as messages show it.
    fn shown(self, from: &DataType) -> String {
        match self {
            Self::Int(v) => match from {
                DataType::Long => format!("{v}L"),
                DataType::Short => format!("{v}S"),
                DataType::Byte => format!("{v}Y"),
                _ => v.to_string(),
            },
            Self::Float(v) => {
                let mut s = String::new();
                write_double(&mut s, v);
                s + "D"
            }
            Self::Single(v) => {
                let mut s = String::new();
                super::strings::write_float(&mut s, v);
                s + "F"
            }
            Self::Decimal(v, s) => decimal_text(v, s) + "BD",
        }
    }
}

/// Calls `f` with every value in order.
pub(crate) fn for_each(values: &ArrayRef, mut f: impl FnMut(Option<Number>) -> DfResult<()>) -> DfResult<()> {
    macro_rules! all {
        ($t:ty, $wrap:expr) => {
            for v in values.as_primitive::<$t>() {
                f(v.map($wrap))?;
            }
        };
    }
    match values.data_type() {
        Arrow::Int8 => all!(Int8Type, |v| Number::Int(i64::from(v))),
        Arrow::Int16 => all!(Int16Type, |v| Number::Int(i64::from(v))),
        Arrow::Int32 => all!(Int32Type, |v| Number::Int(i64::from(v))),
        Arrow::Int64 => all!(Int64Type, Number::Int),
        Arrow::Float32 => all!(Float32Type, Number::Single),
        Arrow::Float64 => all!(Float64Type, Number::Float),
        Arrow::Decimal128(_, s) => all!(Decimal128Type, |v| Number::Decimal(v, *s)),
        other => return exec_err!("{other} is not a number"),
    }
    Ok(())
}

fn build<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    to: &Arrow,
    f: impl Fn(Number) -> DfResult<Option<T::Native>>,
) -> DfResult<ArrayRef> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(values.len()).with_data_type(to.clone());
    for_each(values, |v| {
        builder.append_option(match v {
            Some(v) => f(v)?,
            None => None,
        });
        Ok(())
    })?;
    Ok(Arc::new(builder.finish()))
}

pub(super) fn convert(env: &Env, values: &ArrayRef, from: &DataType, to: &DataType) -> DfResult<ArrayRef> {
    let target = types::to_arrow(to).map_err(errors::external)?;
    if values.data_type() == &target {
        return Ok(Arc::clone(values));
    }
    match to {
        DataType::Byte => build::<Int8Type>(values, &target, |v| {
            integral(env, v, from, to, i8::MIN.into(), i8::MAX.into()).map(|v| v.map(|v| v as i8))
        }),
        DataType::Short => build::<Int16Type>(values, &target, |v| {
            integral(env, v, from, to, i16::MIN.into(), i16::MAX.into()).map(|v| v.map(|v| v as i16))
        }),
        DataType::Integer => build::<Int32Type>(values, &target, |v| {
            integral(env, v, from, to, i32::MIN.into(), i32::MAX.into()).map(|v| v.map(|v| v as i32))
        }),
        DataType::Long => build::<Int64Type>(values, &target, |v| integral(env, v, from, to, i64::MIN, i64::MAX)),
        DataType::Float => build::<Float32Type>(values, &target, |v| {
            Ok(Some(match v {
                Number::Int(v) => v as f32,
                Number::Float(v) => v as f32,
                Number::Single(v) => v,
                Number::Decimal(v, s) => decimal_text(v, s).parse().unwrap_or(f32::NAN),
            }))
        }),
        DataType::Double => build::<Float64Type>(values, &target, |v| Ok(Some(to_double(v)))),
        DataType::Decimal { precision, scale } => {
            build::<Decimal128Type>(values, &target, |v| to_decimal(env, v, *precision, *scale))
        }
        other => exec_err!("a cast of numbers to {other}"),
    }
}

pub(crate) fn to_double(v: Number) -> f64 {
    match v {
        Number::Int(v) => v as f64,
        Number::Float(v) => v,
        Number::Single(v) => f64::from(v),
        Number::Decimal(v, s) => decimal::to_f64(v, s),
    }
}

fn integral(env: &Env, v: Number, from: &DataType, to: &DataType, min: i64, max: i64) -> DfResult<Option<i64>> {
    let strict = env.mode != EvalMode::Legacy;
    let exact = match v {
        Number::Int(v) => Some(i128::from(v)),
        Number::Decimal(v, s) => Some(decimal::POW10.get(s.max(0) as usize).map_or(0, |p| v / p)),
        Number::Float(v) => return float_to_integral(env, Number::Float(v), v, from, to, min, max),
        Number::Single(v) => return float_to_integral(env, Number::Single(v), f64::from(v), from, to, min, max),
    };
    match exact {
        Some(x) if x >= i128::from(min) && x <= i128::from(max) => Ok(Some(x as i64)),
        // The caller cuts the bits.
        Some(x) if !strict => Ok(Some(x as i64)),
        _ => env.fail(|| errors::cast_overflow(v.shown(from), from, to)),
    }
}

fn float_to_integral(
    env: &Env,
    number: Number,
    v: f64,
    from: &DataType,
    to: &DataType,
    min: i64,
    max: i64,
) -> DfResult<Option<i64>> {
    if env.mode == EvalMode::Legacy {
        // Java narrows through int for the small types.
        return Ok(Some(if *to == DataType::Long { v as i64 } else { i64::from(v as i32) }));
    }
    if v.floor() <= max as f64 && v.ceil() >= min as f64 {
        Ok(Some(v as i64))
    } else {
        env.fail(|| errors::cast_overflow(number.shown(from), from, to))
    }
}

fn to_decimal(env: &Env, v: Number, precision: u8, scale: i8) -> DfResult<Option<i128>> {
    let (unscaled, from_scale) = match v {
        Number::Int(v) => (i128::from(v), 0),
        Number::Decimal(v, s) => (v, s),
        Number::Float(_) | Number::Single(_) => {
            let mut text = String::new();
            match v {
                Number::Single(x) if x.is_finite() => write_double(&mut text, f64::from(x)),
                Number::Float(x) if x.is_finite() => write_double(&mut text, x),
                _ => return Ok(None),
            }
            return match parse_decimal(&text, precision, scale) {
                super::strings::ParsedDecimal::Value(v) => Ok(Some(v)),
                _ => env.fail(|| errors::numeric_out_of_range(text, precision, scale)),
            };
        }
    };
    match rescale(unscaled, from_scale, scale, precision) {
        Some(v) => Ok(Some(v)),
        None => env.fail(|| errors::numeric_out_of_range(decimal_text(unscaled, from_scale), precision, scale)),
    }
}

pub(super) fn from_boolean(env: &Env, values: &ArrayRef, to: &DataType) -> DfResult<ArrayRef> {
    let ints = arrow::compute::cast(values, &Arrow::Int32)?;
    convert(env, &ints, &DataType::Integer, to)
}

pub(super) fn to_boolean(values: &ArrayRef, _from: &DataType) -> DfResult<ArrayRef> {
    let mut result = Vec::with_capacity(values.len());
    for_each(values, |v| {
        result.push(v.map(|v| match v {
            Number::Int(v) => v != 0,
            Number::Float(v) => v != 0.0,
            Number::Single(v) => v != 0.0,
            Number::Decimal(v, _) => v != 0,
        }));
        Ok(())
    })?;
    Ok(Arc::new(BooleanArray::from(result)))
}

/// The bytes of an integer, most significant first.
pub(super) fn to_binary(values: &ArrayRef) -> DfResult<ArrayRef> {
    let width = values.data_type().primitive_width().unwrap_or(8);
    let mut builder = BinaryBuilder::with_capacity(values.len(), values.len() * width);
    for_each(values, |v| {
        match v {
            Some(Number::Int(v)) => builder.append_value(&v.to_be_bytes()[8 - width.min(8)..]),
            _ => builder.append_null(),
        }
        Ok(())
    })?;
    Ok(Arc::new(builder.finish()))
}

pub(super) fn to_timestamp(env: &Env, values: &ArrayRef, from: &DataType, target: &Arrow) -> DfResult<ArrayRef> {
    let double = |v: f64, number: Number| -> DfResult<Option<i64>> {
        if !v.is_finite() {
            let text = number.shown(from);
            return env
                .fail(|| errors::cast_invalid_input(text.trim_end_matches(['D', 'F']), from, &DataType::Timestamp));
        }
        let micros = v * MICROS_PER_SECOND as f64;
        if env.mode != crate::EvalMode::Legacy && !(-9.3e18..9.3e18).contains(&micros) {
            return env.fail(|| errors::cast_overflow(number.shown(from), from, &DataType::Timestamp));
        }
        Ok(Some(micros as i64))
    };
    build::<TimestampMicrosecondType>(values, target, |v| match v {
        Number::Int(s) => Ok(Some(s.saturating_mul(MICROS_PER_SECOND))),
        Number::Float(s) => double(s, v),
        Number::Single(s) => double(f64::from(s), v),
        Number::Decimal(d, s) => {
            // Java keeps the low 64 bits of what is too large.
            let micros = i256::from_i128(d).wrapping_mul(i256::from_i128(i128::from(MICROS_PER_SECOND)));
            let micros = micros.wrapping_div(decimal::wide_pow10(s.max(0) as u32));
            Ok(Some(micros.to_parts().0 as i64))
        }
    })
}

pub(super) fn from_timestamp(env: &Env, values: &ArrayRef, to: &DataType) -> DfResult<ArrayRef> {
    let micros = values.as_primitive::<TimestampMicrosecondType>();
    match to {
        DataType::Float | DataType::Double => {
            let seconds = micros.unary::<_, Float64Type>(|v| v as f64 / MICROS_PER_SECOND as f64);
            convert(env, &(Arc::new(seconds) as ArrayRef), &DataType::Double, to)
        }
        DataType::Decimal { .. } => {
            let seconds = micros.unary::<_, Float64Type>(|v| v as f64 / MICROS_PER_SECOND as f64);
            convert(env, &(Arc::new(seconds) as ArrayRef), &DataType::Double, to)
        }
        _ => {
            let mut builder = PrimitiveBuilder::<Int64Type>::with_capacity(micros.len());
            let (min, max) = match to {
                DataType::Byte => (i64::from(i8::MIN), i64::from(i8::MAX)),
                DataType::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
                DataType::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
                _ => (i64::MIN, i64::MAX),
            };
            for v in micros {
                let seconds = v.map(|v| v.div_euclid(MICROS_PER_SECOND));
                builder.append_option(match seconds {
                    Some(s) if s < min || s > max => {
                        let micros = v.unwrap_or_default();
                        env.fail(|| {
                            let mut text = String::from("TIMESTAMP '");
                            crate::datetime::text::write_timestamp(&mut text, env.zone.to_local(micros));
                            text.push('\'');
                            errors::cast_overflow(text, &DataType::Timestamp, to)
                        })?
                    }
                    other => other,
                });
            }
            let longs: ArrayRef = Arc::new(builder.finish());
            convert(&Env { mode: EvalMode::Legacy, ..*env }, &longs, &DataType::Long, to)
        }
    }
}
