//! Dates and times plus and minus intervals; interval arithmetic.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, PrimitiveBuilder},
    datatypes::{
        ArrowPrimitiveType, DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type,
        Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
        TimeUnit, TimestampMicrosecondType,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult};

use super::{
    calendar::{MICROS_PER_DAY, add_months},
    zone::Zone,
};
use crate::{
    errors::{self, external},
    udf::{Args, Primitive, Ret, Udf, numbers},
};

pub(super) fn udfs() -> Vec<Udf> {
    let seconds = Ret::Fixed(Arrow::Duration(TimeUnit::Microsecond));
    vec![
        Udf::new("date_add_ansi", Ret::Fixed(Arrow::Date32), |a| add_days(a, 1)),
        Udf::new("date_sub_ansi", Ret::Fixed(Arrow::Date32), |a| add_days(a, -1)),
        Udf::new("add_year_month_ansi", Ret::Arg(0), |a| add_year_month(a, false)),
        Udf::new("add_year_month_try", Ret::Arg(0), |a| add_year_month(a, true)),
        Udf::new("add_interval_ansi", Ret::Arg(0), |a| add_interval(a, false)),
        Udf::new("add_interval_try", Ret::Arg(0), |a| add_interval(a, true)),
        Udf::new("date_minus", seconds.clone(), date_minus),
        Udf::new("timestamp_minus", seconds, timestamp_minus),
        Udf::new("interval_add_ansi", Ret::Arg(0), |a| sum(a, false, false)),
        Udf::new("interval_add_try", Ret::Arg(0), |a| sum(a, false, true)),
        Udf::new("interval_subtract_ansi", Ret::Arg(0), |a| sum(a, true, false)),
        Udf::new("interval_subtract_try", Ret::Arg(0), |a| sum(a, true, true)),
        Udf::new("interval_multiply_ansi", Ret::Arg(0), |a| scale(a, false, false)),
        Udf::new("interval_multiply_try", Ret::Arg(0), |a| scale(a, false, true)),
        Udf::new("interval_divide_ansi", Ret::Arg(0), |a| scale(a, true, false)),
        Udf::new("interval_divide_try", Ret::Arg(0), |a| scale(a, true, true)),
    ]
}

fn add_days(args: &Args<'_>, sign: i32) -> DfResult<ArrayRef> {
    let (dates, days) = (args.primitive::<Date32Type>(0)?, args.primitive::<Int32Type>(1)?);
    numbers::<Date32Type>(args, |row| match (dates.get(row), days.get(row)) {
        (Some(d), Some(n)) => Ok(Some(d.wrapping_add(n.wrapping_mul(sign)))),
        _ => Ok(None),
    })
}

/// One of the Arrow types of a date or a time.
enum Times {
    Dates(Primitive<Date32Type>),
    Micros(Primitive<TimestampMicrosecondType>, Zone),
}

impl Times {
    fn new(args: &Args<'_>) -> DfResult<Self> {
        match args.return_type {
            Arrow::Date32 => Ok(Self::Dates(args.primitive(0)?)),
            Arrow::Timestamp(_, Some(_)) => {
                Ok(Self::Micros(args.primitive(0)?, Zone::parse(args.parameter(3)?).map_err(external)?))
            }
            _ => Ok(Self::Micros(args.primitive(0)?, Zone::UTC)),
        }
    }
}

/// `time + sign · interval` for every row. `add` gets the local date and what is over midnight.
fn shift(args: &Args<'_>, tolerate: bool, interval: impl Fn(usize) -> Option<(i32, i32, i64)>) -> DfResult<ArrayRef> {
    let fail = |what: &str| external(errors::datetime_overflow(what));
    match Times::new(args)? {
        Times::Dates(dates) => numbers::<Date32Type>(args, |row| {
            let (Some(d), Some((months, days, micros))) = (dates.get(row), interval(row)) else {
                return Ok(None);
            };
            if micros % MICROS_PER_DAY != 0 {
                return exec_err!("{}: an interval with hours beside a date", args.name);
            }
            let whole = i64::from(days) + micros / MICROS_PER_DAY;
            let result = add_months(d, months).and_then(|d| i32::try_from(i64::from(d) + whole).ok());
            match result {
                Some(d) => Ok(Some(d)),
                None if tolerate => Ok(None),
                None => Err(fail("add interval to a date")),
            }
        }),
        Times::Micros(times, zone) => numbers::<TimestampMicrosecondType>(args, |row| {
            let (Some(t), Some((months, days, micros))) = (times.get(row), interval(row)) else {
                return Ok(None);
            };
            let result =
                if months == 0 && days == 0 { t.checked_add(micros) } else { add_to(t, zone, months, days, micros) };
            match result {
                Some(t) => Ok(Some(t)),
                None if tolerate => Ok(None),
                None => Err(fail("add interval to a timestamp")),
            }
        }),
    }
}

/// Months and days move the wall clock, microseconds the instant.
pub(super) fn add_to(t: i64, zone: Zone, months: i32, days: i32, micros: i64) -> Option<i64> {
    let local = zone.to_local(t);
    let (date, time) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    let date = add_months(i32::try_from(date).ok()?, months)?;
    let date = i64::from(date) + i64::from(days);
    let local = date.checked_mul(MICROS_PER_DAY)?.checked_add(time)?;
    zone.to_utc(local).checked_add(micros)
}

fn sign_of(args: &Args<'_>) -> i32 {
    match args.scalar(2) {
        Some(datafusion::scalar::ScalarValue::Int32(Some(-1))) => -1,
        _ => 1,
    }
}

fn add_year_month(args: &Args<'_>, tolerate: bool) -> DfResult<ArrayRef> {
    let months = args.primitive::<IntervalYearMonthType>(1)?;
    let sign = sign_of(args);
    shift(args, tolerate, |row| months.get(row).map(|m| (m.wrapping_mul(sign), 0, 0)))
}

fn add_interval(args: &Args<'_>, tolerate: bool) -> DfResult<ArrayRef> {
    let sign = sign_of(args);
    let (array, _) = args.short(1)?;
    match array.data_type() {
        Arrow::Duration(_) => {
            let micros = args.primitive::<DurationMicrosecondType>(1)?;
            // Days are those of the calendar: one of them has 25 hours.
            shift(args, tolerate, |row| {
                let moved = micros.get(row)?.wrapping_mul(i64::from(sign));
                Some((0, (moved / MICROS_PER_DAY) as i32, moved % MICROS_PER_DAY))
            })
        }
        Arrow::Interval(IntervalUnit::MonthDayNano) => {
            let values = args.primitive::<IntervalMonthDayNanoType>(1)?;
            shift(args, tolerate, |row| {
                values.get(row).map(|v| {
                    (
                        v.months.wrapping_mul(sign),
                        v.days.wrapping_mul(sign),
                        (v.nanoseconds / 1000).wrapping_mul(i64::from(sign)),
                    )
                })
            })
        }
        other => exec_err!("{}: {other} is not an interval", args.name),
    }
}

fn date_minus(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (l, r) = (args.primitive::<Date32Type>(0)?, args.primitive::<Date32Type>(1)?);
    numbers::<DurationMicrosecondType>(args, |row| match (l.get(row), r.get(row)) {
        (Some(a), Some(b)) => match (i64::from(a) - i64::from(b)).checked_mul(MICROS_PER_DAY) {
            Some(v) => Ok(Some(v)),
            None => Err(external(errors::interval_overflow(""))),
        },
        _ => Ok(None),
    })
}

fn timestamp_minus(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (l, r) = (args.primitive::<TimestampMicrosecondType>(0)?, args.primitive::<TimestampMicrosecondType>(1)?);
    // Spark subtracts wall clocks.
    let zone = match l.array.data_type() {
        Arrow::Timestamp(_, Some(_)) => Zone::parse(args.parameter(2)?).map_err(external)?,
        _ => Zone::UTC,
    };
    numbers::<DurationMicrosecondType>(args, |row| match (l.get(row), r.get(row)) {
        (Some(a), Some(b)) => match zone.to_local(a).checked_sub(zone.to_local(b)) {
            Some(v) => Ok(Some(v)),
            None => Err(external(errors::interval_overflow(""))),
        },
        _ => Ok(None),
    })
}

fn both<T: ArrowPrimitiveType>(
    args: &Args<'_>,
    tolerate: bool,
    instead: &str,
    op: impl Fn(T::Native, T::Native) -> Option<T::Native>,
) -> DfResult<ArrayRef> {
    let (l, r) = (args.primitive::<T>(0)?, args.primitive::<T>(1)?);
    numbers::<T>(args, |row| match (l.get(row), r.get(row)) {
        (Some(a), Some(b)) => match op(a, b) {
            Some(v) => Ok(Some(v)),
            None if tolerate => Ok(None),
            None => Err(external(errors::interval_overflow(instead))),
        },
        _ => Ok(None),
    })
}

fn sum(args: &Args<'_>, minus: bool, tolerate: bool) -> DfResult<ArrayRef> {
    let instead = if minus { "try_subtract" } else { "try_add" };
    match args.return_type {
        Arrow::Duration(_) => both::<DurationMicrosecondType>(args, tolerate, instead, |a, b| {
            if minus { a.checked_sub(b) } else { a.checked_add(b) }
        }),
        Arrow::Interval(IntervalUnit::YearMonth) => both::<IntervalYearMonthType>(args, tolerate, instead, |a, b| {
            if minus { a.checked_sub(b) } else { a.checked_add(b) }
        }),
        Arrow::Interval(_) => both::<IntervalMonthDayNanoType>(args, tolerate, instead, |a, b| {
            let sign = if minus { -1 } else { 1 };
            Some(IntervalMonthDayNano::new(
                a.months.checked_add(b.months.checked_mul(sign)?)?,
                a.days.checked_add(b.days.checked_mul(sign)?)?,
                a.nanoseconds.checked_add(b.nanoseconds.checked_mul(i64::from(sign))?)?,
            ))
        }),
        other => exec_err!("{} of {other}", args.name),
    }
}

enum Factors {
    Long(Primitive<Int64Type>),
    Double(Primitive<Float64Type>),
    Decimal(Primitive<Decimal128Type>, i8),
}

/// An interval times or divided by a number, halves rounded up.
fn scale(args: &Args<'_>, divide: bool, tolerate: bool) -> DfResult<ArrayRef> {
    let (array, _) = args.short(1)?;
    let factors = match array.data_type() {
        Arrow::Int64 => Factors::Long(args.primitive(1)?),
        Arrow::Float64 => Factors::Double(args.primitive(1)?),
        Arrow::Decimal128(_, s) => Factors::Decimal(args.primitive(1)?, *s),
        other => return exec_err!("{} by {other}", args.name),
    };
    let apply = |value: i64, row: usize| -> DfResult<Option<i64>> {
        let exact = match &factors {
            Factors::Long(f) => {
                let Some(f) = f.get(row) else { return Ok(None) };
                if divide {
                    if f == 0 {
                        return zero(tolerate);
                    }
                    divide_half_up(i128::from(value), i128::from(f))
                } else {
                    Some(i128::from(value) * i128::from(f))
                }
            }
            Factors::Double(f) => {
                let Some(f) = f.get(row) else { return Ok(None) };
                if divide && f == 0.0 {
                    return zero(tolerate);
                }
                let v = if divide { value as f64 / f } else { value as f64 * f };
                let rounded = (v + 0.5 * v.signum()).trunc();
                (rounded.is_finite() && rounded.abs() < 9.3e18).then_some(rounded as i128)
            }
            Factors::Decimal(f, s) => {
                let Some(f) = f.get(row) else { return Ok(None) };
                let power = crate::numeric::decimal::POW10[(*s).clamp(0, 38) as usize];
                if divide {
                    if f == 0 {
                        return zero(tolerate);
                    }
                    i128::from(value).checked_mul(power).and_then(|v| divide_half_up(v, f))
                } else {
                    i128::from(value).checked_mul(f).and_then(|v| divide_half_up(v, power))
                }
            }
        };
        match exact.and_then(|v| i64::try_from(v).ok()) {
            Some(v) => Ok(Some(v)),
            None if tolerate => Ok(None),
            None => Err(external(errors::interval_overflow(if divide { "try_divide" } else { "try_multiply" }))),
        }
    };
    match args.return_type {
        Arrow::Duration(_) => {
            let values = args.primitive::<DurationMicrosecondType>(0)?;
            numbers::<DurationMicrosecondType>(args, |row| match values.get(row) {
                Some(v) => apply(v, row),
                None => Ok(None),
            })
        }
        Arrow::Interval(IntervalUnit::YearMonth) => {
            let values = args.primitive::<IntervalYearMonthType>(0)?;
            numbers::<IntervalYearMonthType>(args, |row| {
                let Some(v) = values.get(row) else { return Ok(None) };
                match apply(i64::from(v), row)? {
                    Some(v) => match i32::try_from(v) {
                        Ok(v) => Ok(Some(v)),
                        Err(_) if tolerate => Ok(None),
                        Err(_) => Err(external(errors::interval_overflow(""))),
                    },
                    None => Ok(None),
                }
            })
        }
        Arrow::Interval(_) => {
            let values = args.primitive::<IntervalMonthDayNanoType>(0)?;
            let mut builder = PrimitiveBuilder::<IntervalMonthDayNanoType>::with_capacity(args.rows);
            for row in 0..args.rows {
                let parts = match values.get(row) {
                    Some(v) => (
                        apply(i64::from(v.months), row)?,
                        apply(i64::from(v.days), row)?,
                        apply(v.nanoseconds / 1000, row)?,
                    ),
                    None => (None, None, None),
                };
                builder.append_option(match parts {
                    (Some(m), Some(d), Some(n)) => {
                        Some(IntervalMonthDayNano::new(m as i32, d as i32, n.saturating_mul(1000)))
                    }
                    _ => None,
                });
            }
            Ok(Arc::new(builder.finish()))
        }
        other => exec_err!("{} of {other}", args.name),
    }
}

fn zero(tolerate: bool) -> DfResult<Option<i64>> {
    if tolerate { Ok(None) } else { Err(external(errors::interval_divided_by_zero())) }
}

fn divide_half_up(a: i128, b: i128) -> Option<i128> {
    let (q, r) = (a.checked_div(b)?, a.checked_rem(b)?);
    let up = r.unsigned_abs() * 2 >= b.unsigned_abs();
    Some(if up && r != 0 { q + if (a < 0) == (b < 0) { 1 } else { -1 } } else { q })
}
