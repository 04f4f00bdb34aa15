//! Which kernel converts what; dates, times and intervals.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, PrimitiveBuilder, new_null_array},
    datatypes::{
        DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Int64Type, IntervalYearMonthType,
        Time64NanosecondType, TimestampMicrosecondType,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{
    DataType, SparkError,
    types::{DayTimeField, YearMonthField},
};

use super::{intervals, nested, numbers, strings};
use crate::{
    EvalMode,
    datetime::{
        calendar::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND},
        zone::Zone,
    },
    errors::{self, external},
    types,
};

/// What a cast needs to know besides its types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Env {
    pub mode: EvalMode,
    pub zone: Zone,
    pub function: &'static str,
}

impl Env {
    pub(crate) fn new(mode: EvalMode, zone: Zone) -> Self {
        Self { mode, zone, function: "cast" }
    }

    /// Null, or in ANSI mode the error.
    pub(crate) fn fail<T>(&self, error: impl FnOnce() -> SparkError) -> DfResult<Option<T>> {
        if self.mode == EvalMode::Ansi { Err(external(error())) } else { Ok(None) }
    }
}

/// Applies `f` to every value.
pub(super) fn map<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    values: &ArrayRef,
    to: &Arrow,
    f: impl Fn(A::Native) -> DfResult<Option<B::Native>>,
) -> DfResult<ArrayRef> {
    let values: &PrimitiveArray<A> = match values.as_primitive_opt::<A>() {
        Some(v) => v,
        None => return exec_err!("cast of {} as {}", values.data_type(), A::DATA_TYPE),
    };
    let mut builder = PrimitiveBuilder::<B>::with_capacity(values.len()).with_data_type(to.clone());
    for value in values {
        builder.append_option(match value {
            Some(v) => f(v)?,
            None => None,
        });
    }
    Ok(Arc::new(builder.finish()))
}

/// Brings what files' readers answer (other units, views, dictionaries) to this crate's own Arrow types.
fn own_layout(values: &ArrayRef, from: &DataType) -> DfResult<ArrayRef> {
    let own = types::to_arrow(from).map_err(external)?;
    let plain = match (values.data_type(), &own) {
        (a, b) if a == b => true,
        (
            Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View | Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView,
            _,
        ) => true,
        (Arrow::List(_) | Arrow::Struct(_) | Arrow::Map(..), _) => true,
        _ => false,
    };
    if plain { Ok(Arc::clone(values)) } else { Ok(arrow::compute::cast(values, &own)?) }
}

pub(crate) fn convert(env: &Env, values: &ArrayRef, from: &DataType, to: &DataType) -> DfResult<ArrayRef> {
    use DataType::*;
    let target = types::to_arrow(to).map_err(external)?;
    if values.data_type() == &Arrow::Null {
        return Ok(new_null_array(&target, values.len()));
    }
    let values = &own_layout(values, from)?;
    if from == to && values.data_type() == &target {
        return Ok(Arc::clone(values));
    }
    let zone = env.zone;
    match (from, to) {
        (_, String) => strings::to_text(env, values, from),
        (f, Binary) if f.is_string() => Ok(arrow::compute::cast(values, &Arrow::Binary)?),
        (Binary, Binary) => Ok(arrow::compute::cast(values, &Arrow::Binary)?),
        (f, _) if f.is_string() => strings::from_text(env, values, to),
        (Boolean, t) if t.is_numeric() => numbers::from_boolean(env, values, to),
        (f, Boolean) if f.is_numeric() => numbers::to_boolean(values, from),
        (Boolean, Timestamp) => {
            let ints = arrow::compute::cast(values, &Arrow::Int64)?;
            Ok(arrow::compute::cast(&ints, &target)?)
        }
        (Timestamp, Boolean) => numbers::to_boolean(&arrow::compute::cast(values, &Arrow::Int64)?, &Long),
        (f, t) if f.is_numeric() && t.is_numeric() => numbers::convert(env, values, from, to),
        (f, Binary) if f.is_integral() => numbers::to_binary(values),
        (f, Timestamp) if f.is_numeric() => numbers::to_timestamp(env, values, from, &target),
        (Timestamp, t) if t.is_numeric() => numbers::from_timestamp(env, values, to),
        (Date, t) if t.is_numeric() || *t == Boolean => Ok(new_null_array(&target, values.len())),
        (Date, Timestamp) => map::<Date32Type, TimestampMicrosecondType>(values, &target, |d| {
            midnight(d).map(|local| Some(zone.to_utc(local)))
        }),
        (Date, TimestampNtz) => map::<Date32Type, TimestampMicrosecondType>(values, &target, |d| midnight(d).map(Some)),
        (Timestamp, Date) => map::<TimestampMicrosecondType, Date32Type>(values, &target, |t| {
            Ok(i32::try_from(zone.to_local(t).div_euclid(MICROS_PER_DAY)).ok())
        }),
        (TimestampNtz, Date) => map::<TimestampMicrosecondType, Date32Type>(values, &target, |t| {
            Ok(i32::try_from(t.div_euclid(MICROS_PER_DAY)).ok())
        }),
        (Timestamp, TimestampNtz) => {
            map::<TimestampMicrosecondType, TimestampMicrosecondType>(values, &target, |t| Ok(Some(zone.to_local(t))))
        }
        (TimestampNtz, Timestamp) => {
            map::<TimestampMicrosecondType, TimestampMicrosecondType>(values, &target, |t| Ok(Some(zone.to_utc(t))))
        }
        (Time(_), Time(precision)) => {
            let unit = time_unit(*precision);
            map::<Time64NanosecondType, Time64NanosecondType>(values, &target, |t| Ok(Some(t - t % unit)))
        }
        (Time(_), t) if t.is_integral() => {
            let seconds =
                map::<Time64NanosecondType, Int64Type>(values, &Arrow::Int64, |t| Ok(Some(t / 1_000_000_000)))?;
            // What does not fit is null in legacy mode too.
            let mode = if env.mode == EvalMode::Legacy { EvalMode::Try } else { env.mode };
            convert(&Env { mode, ..*env }, &seconds, &Long, to)
        }
        (Time(_), Decimal { .. }) => {
            let nanos = Arrow::Decimal128(14, 9);
            let seconds = map::<Time64NanosecondType, Decimal128Type>(values, &nanos, |t| Ok(Some(i128::from(t))))?;
            convert(env, &seconds, &Decimal { precision: 14, scale: 9 }, to)
        }
        (DayTimeInterval { .. }, DayTimeInterval { end, .. }) => {
            let unit = day_time_unit(*end);
            map::<DurationMicrosecondType, DurationMicrosecondType>(values, &target, |v| {
                // The last field of the target cuts what is smaller.
                Ok(Some(if unit == MICROS_PER_SECOND { v } else { v / unit * unit }))
            })
        }
        (YearMonthInterval { .. }, YearMonthInterval { end, .. }) => {
            let unit = year_month_unit(*end);
            map::<IntervalYearMonthType, IntervalYearMonthType>(values, &target, |v| Ok(Some(v / unit * unit)))
        }
        (DayTimeInterval { .. } | YearMonthInterval { .. }, _) => intervals::to_number(env, values, from, to),
        (_, DayTimeInterval { .. } | YearMonthInterval { .. }) => intervals::from_number(env, values, from, to),
        (Array { .. } | Map { .. } | Struct(_), _) => nested::convert(env, values, from, to),
        _ => Ok(arrow::compute::cast(values, &target)?),
    }
}

fn midnight(days: i32) -> DfResult<i64> {
    match i64::from(days).checked_mul(MICROS_PER_DAY) {
        Some(micros) => Ok(micros),
        None => Err(external(errors::arithmetic_overflow("long overflow", ""))),
    }
}

/// Nanoseconds of the last digit of a time with so many digits of a second's fraction.
pub(crate) fn time_unit(precision: u8) -> i64 {
    10i64.pow(9 - u32::from(precision.min(9)))
}

pub(super) fn day_time_unit(field: DayTimeField) -> i64 {
    match field {
        DayTimeField::Day => MICROS_PER_DAY,
        DayTimeField::Hour => MICROS_PER_HOUR,
        DayTimeField::Minute => MICROS_PER_MINUTE,
        DayTimeField::Second => MICROS_PER_SECOND,
    }
}

pub(super) fn year_month_unit(field: YearMonthField) -> i32 {
    match field {
        YearMonthField::Year => 12,
        YearMonthField::Month => 1,
    }
}
