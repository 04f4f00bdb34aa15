//! Dates and times made of numbers and moved by numbers.

use arrow::{
    array::ArrayRef,
    datatypes::{
        DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type,
        IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
        TimestampMicrosecondType,
    },
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{
    calendar::{
        MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, add_months, civil_from_days,
        days_in_month, iso_weekday, make_date,
    },
    zone::Zone,
};
use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion,
    errors::{self, external},
    literal,
    registry::{FunctionDef, Nulls, check_count, want},
    types,
    udf::{Args, Ret, Udf, call, numbers, text_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    let utc = || Ret::Fixed(Arrow::Timestamp(TimeUnit::Microsecond, types::utc()));
    vec![
        Udf::new("spark_datediff", Ret::Fixed(Arrow::Int32), |args| {
            let (a, b) = (args.primitive::<Date32Type>(0)?, args.primitive::<Date32Type>(1)?);
            numbers::<Int32Type>(args, |row| Ok(a.get(row).zip(b.get(row)).map(|(a, b)| a.wrapping_sub(b))))
        }),
        Udf::new("spark_add_months_ansi", Ret::Fixed(Arrow::Date32), |args| {
            let (d, n) = (args.primitive::<Date32Type>(0)?, args.primitive::<Int32Type>(1)?);
            numbers::<Date32Type>(args, |row| match (d.get(row), n.get(row)) {
                (Some(d), Some(n)) => match add_months(d, n) {
                    Some(d) => Ok(Some(d)),
                    None => Err(external(errors::arithmetic_overflow("integer overflow", ""))),
                },
                _ => Ok(None),
            })
        }),
        Udf::new("spark_months_between", Ret::Fixed(Arrow::Float64), months_between),
        Udf::new("spark_last_day", Ret::Fixed(Arrow::Date32), |args| {
            let d = args.primitive::<Date32Type>(0)?;
            numbers::<Date32Type>(args, |row| {
                Ok(d.get(row).map(|d| {
                    let (year, month, day) = civil_from_days(i64::from(d));
                    d + (days_in_month(year, month) - day) as i32
                }))
            })
        }),
        Udf::new("spark_next_day_ansi", Ret::Fixed(Arrow::Date32), |a| next_day(a, true)),
        Udf::new("spark_next_day_legacy", Ret::Fixed(Arrow::Date32), |a| next_day(a, false)),
        Udf::new("spark_make_date_ansi", Ret::Fixed(Arrow::Date32), |a| make_date_kernel(a, true)),
        Udf::new("spark_make_date_legacy", Ret::Fixed(Arrow::Date32), |a| make_date_kernel(a, false)),
        Udf::new("timestamp_from_number_ansi", utc(), |args| {
            let (n, unit) = (args.primitive::<Int64Type>(0)?, args.primitive::<Int64Type>(1)?);
            numbers::<TimestampMicrosecondType>(args, |row| match (n.get(row), unit.get(row)) {
                (Some(n), Some(unit)) => match n.checked_mul(unit) {
                    Some(v) => Ok(Some(v)),
                    None => Err(external(errors::arithmetic_overflow("long overflow", ""))),
                },
                _ => Ok(None),
            })
        }),
        Udf::new("timestamp_to_number", Ret::Fixed(Arrow::Int64), |args| {
            let (t, unit) = (args.primitive::<TimestampMicrosecondType>(0)?, args.primitive::<Int64Type>(1)?);
            numbers::<Int64Type>(args, |row| Ok(t.get(row).zip(unit.get(row)).map(|(t, u)| t.div_euclid(u))))
        }),
        Udf::new("date_to_int", Ret::Fixed(Arrow::Int32), |args| {
            let d = args.primitive::<Date32Type>(0)?;
            numbers::<Int32Type>(args, |row| Ok(d.get(row)))
        }),
        Udf::new("date_from_int", Ret::Fixed(Arrow::Date32), |args| {
            let d = args.primitive::<Int32Type>(0)?;
            numbers::<Date32Type>(args, |row| Ok(d.get(row)))
        }),
        Udf::new("spark_from_utc_timestamp", utc(), |a| convert_zone(a, true)),
        Udf::new("spark_to_utc_timestamp", utc(), |a| convert_zone(a, false)),
        Udf::new("spark_timestampdiff", Ret::Fixed(Arrow::Int64), timestampdiff),
        Udf::new("spark_make_ym_interval_ansi", Ret::Fixed(Arrow::Interval(IntervalUnit::YearMonth)), |args| {
            let (y, m) = (args.primitive::<Int32Type>(0)?, args.primitive::<Int32Type>(1)?);
            numbers::<IntervalYearMonthType>(args, |row| match (y.get(row), m.get(row)) {
                (Some(y), Some(m)) => match y.checked_mul(12).and_then(|y| y.checked_add(m)) {
                    Some(v) => Ok(Some(v)),
                    None => Err(external(errors::interval_overflow(""))),
                },
                _ => Ok(None),
            })
        }),
        Udf::new("spark_make_dt_interval_ansi", Ret::Fixed(Arrow::Duration(TimeUnit::Microsecond)), make_dt_interval),
        Udf::new("spark_make_interval_ansi", Ret::Fixed(Arrow::Interval(IntervalUnit::MonthDayNano)), |args| {
            make_interval(args, false)
        }),
        Udf::new("spark_make_interval_try", Ret::Fixed(Arrow::Interval(IntervalUnit::MonthDayNano)), |args| {
            make_interval(args, true)
        }),
    ]
}

fn months_between(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (a, b) = (args.primitive::<TimestampMicrosecondType>(0)?, args.primitive::<TimestampMicrosecondType>(1)?);
    let round = args.boolean(2)?;
    let zone = Zone::parse(args.parameter(3)?).map_err(external)?;
    let parts = |t: i64| {
        let local = zone.to_local(t);
        let days = local.div_euclid(MICROS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let last = day == days_in_month(year, month);
        // Seconds since the day's start, which is an hour off on a day of 23 or 25 hours.
        let seconds = (t - zone.to_utc(days * MICROS_PER_DAY)).div_euclid(MICROS_PER_SECOND);
        (year * 12 + i64::from(month), i64::from(day), last, seconds)
    };
    numbers::<Float64Type>(args, |row| {
        let (Some(a), Some(b)) = (a.get(row), b.get(row)) else { return Ok(None) };
        if arrow::array::Array::is_null(&round, row) {
            return Ok(None);
        }
        let ((m1, d1, l1, s1), (m2, d2, l2, s2)) = (parts(a), parts(b));
        let months = (m1 - m2) as f64;
        if d1 == d2 || (l1 && l2) {
            return Ok(Some(months));
        }
        let seconds = (d1 - d2) * 86_400 + s1 - s2;
        let diff = months + seconds as f64 / (31.0 * 86_400.0);
        Ok(Some(if round.value(row) { (diff * 1e8 + 0.5).floor() / 1e8 } else { diff }))
    })
}

fn next_day(args: &Args<'_>, ansi: bool) -> DfResult<ArrayRef> {
    let dates = args.primitive::<Date32Type>(0)?;
    let names = args.text(1)?;
    numbers::<Date32Type>(args, |row| {
        let (Some(d), Some(name)) = (dates.get(row), names.get(row)) else { return Ok(None) };
        let wanted = match name.trim().to_ascii_uppercase().as_str() {
            "MO" | "MON" | "MONDAY" => 1,
            "TU" | "TUE" | "TUESDAY" => 2,
            "WE" | "WED" | "WEDNESDAY" => 3,
            "TH" | "THU" | "THURSDAY" => 4,
            "FR" | "FRI" | "FRIDAY" => 5,
            "SA" | "SAT" | "SATURDAY" => 6,
            "SU" | "SUN" | "SUNDAY" => 7,
            _ if ansi => {
                let error =
                    SparkError::new("ILLEGAL_DAY_OF_WEEK", "22009", format!("Illegal input for day of week: {name}."));
                return Err(external(error.param("string", name)));
            }
            _ => return Ok(None),
        };
        let ahead = (wanted - iso_weekday(i64::from(d)) + 6).rem_euclid(7) + 1;
        // As Java adds.
        Ok(Some(d.wrapping_add(ahead as i32)))
    })
}

fn make_date_kernel(args: &Args<'_>, ansi: bool) -> DfResult<ArrayRef> {
    let (y, m, d) = (args.primitive::<Int32Type>(0)?, args.primitive::<Int32Type>(1)?, args.primitive::<Int32Type>(2)?);
    numbers::<Date32Type>(args, |row| {
        let (Some(y), Some(m), Some(d)) = (y.get(row), m.get(row), d.get(row)) else { return Ok(None) };
        match make_date(i64::from(y), i64::from(m), i64::from(d)) {
            Some(date) => Ok(Some(date)),
            None if ansi => Err(external(errors::datetime_field_out_of_bounds(format!("Invalid date {y}-{m}-{d}")))),
            None => Ok(None),
        }
    })
}

fn convert_zone(args: &Args<'_>, from_utc: bool) -> DfResult<ArrayRef> {
    let times = args.primitive::<TimestampMicrosecondType>(0)?;
    let names = args.text(1)?;
    let constant = match args.constant_text(1) {
        Some(name) => Some(Zone::parse(name).map_err(external)?),
        None => None,
    };
    numbers::<TimestampMicrosecondType>(args, |row| {
        let (Some(t), Some(name)) = (times.get(row), names.get(row)) else { return Ok(None) };
        let zone = match constant {
            Some(zone) => zone,
            None => Zone::parse(name).map_err(external)?,
        };
        Ok(Some(if from_utc { zone.to_local(t) } else { zone.to_utc(t) }))
    })
}

/// `timestampdiff(unit, a, b)`: whole units from a to b on the wall clock.
fn timestampdiff(args: &Args<'_>) -> DfResult<ArrayRef> {
    let unit = args.parameter(0)?.to_ascii_uppercase();
    let (a, b) = (args.primitive::<TimestampMicrosecondType>(1)?, args.primitive::<TimestampMicrosecondType>(2)?);
    let zone = Zone::parse(args.parameter(3)?).map_err(external)?;
    numbers::<Int64Type>(args, |row| {
        let (Some(a), Some(b)) = (a.get(row), b.get(row)) else { return Ok(None) };
        let (a, b) = (zone.to_local(a), zone.to_local(b));
        let months = |size: i64| {
            let split = |t: i64| {
                let (y, m, d) = civil_from_days(t.div_euclid(MICROS_PER_DAY));
                (y * 12 + i64::from(m), i64::from(d) * MICROS_PER_DAY + t.rem_euclid(MICROS_PER_DAY))
            };
            let ((m1, r1), (m2, r2)) = (split(a), split(b));
            let mut months = m2 - m1;
            if months > 0 && r2 < r1 {
                months -= 1;
            } else if months < 0 && r2 > r1 {
                months += 1;
            }
            months / size
        };
        Ok(Some(match unit.as_str() {
            "MICROSECOND" => b - a,
            "MILLISECOND" => (b - a) / 1000,
            "SECOND" => (b - a) / MICROS_PER_SECOND,
            "MINUTE" => (b - a) / MICROS_PER_MINUTE,
            "HOUR" => (b - a) / MICROS_PER_HOUR,
            "DAY" | "DAYOFYEAR" => (b - a) / MICROS_PER_DAY,
            "WEEK" => (b - a) / (7 * MICROS_PER_DAY),
            "MONTH" => months(1),
            "QUARTER" => months(3),
            _ => months(12),
        }))
    })
}

fn make_dt_interval(args: &Args<'_>) -> DfResult<ArrayRef> {
    let int = |i| args.primitive::<Int32Type>(i);
    let (d, h, m) = (int(0)?, int(1)?, int(2)?);
    let s = args.primitive::<Decimal128Type>(3)?;
    numbers::<DurationMicrosecondType>(args, |row| {
        let (Some(d), Some(h), Some(m), Some(s)) = (d.get(row), h.get(row), m.get(row), s.get(row)) else {
            return Ok(None);
        };
        let total = i128::from(d) * i128::from(MICROS_PER_DAY)
            + i128::from(h) * i128::from(MICROS_PER_HOUR)
            + i128::from(m) * i128::from(MICROS_PER_MINUTE)
            + s;
        i64::try_from(total).map(Some).map_err(|_| external(errors::interval_overflow("")))
    })
}

fn make_interval(args: &Args<'_>, tolerant: bool) -> DfResult<ArrayRef> {
    let mut ints = Vec::new();
    for i in 0..6 {
        ints.push(args.primitive::<Int32Type>(i)?);
    }
    let seconds = args.primitive::<Decimal128Type>(6)?;
    numbers::<IntervalMonthDayNanoType>(args, |row| {
        let Some(v) = ints.iter().map(|c| c.get(row)).collect::<Option<Vec<i32>>>() else { return Ok(None) };
        let Some(s) = seconds.get(row) else { return Ok(None) };
        let build = || {
            let months = v[0].checked_mul(12)?.checked_add(v[1])?;
            let days = v[2].checked_mul(7)?.checked_add(v[3])?;
            let micros =
                i128::from(v[4]) * i128::from(MICROS_PER_HOUR) + i128::from(v[5]) * i128::from(MICROS_PER_MINUTE) + s;
            Some(IntervalMonthDayNano::new(months, days, i64::try_from(micros).ok()?.checked_mul(1000)?))
        };
        match build() {
            None if !tolerant => Err(external(errors::interval_overflow(""))),
            made => Ok(made),
        }
    })
}

pub(super) const SECONDS_DECIMAL: DataType = DataType::Decimal { precision: 16, scale: 6 };

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("date_add", |c, n, a| add_days(c, n, "date_add_ansi", a)),
        F::resolve("dateadd", |c, n, a| add_days(c, n, "date_add_ansi", a)),
        F::resolve("date_sub", |c, n, a| add_days(c, n, "date_sub_ansi", a)),
        F::simple("datediff", "spark_datediff", "DD", DataType::Integer),
        F::simple("date_diff", "spark_datediff", "DD", DataType::Integer),
        F::simple("add_months", "spark_add_months_ansi", "Di", DataType::Date),
        F::simple("last_day", "spark_last_day", "D", DataType::Date),
        F::simple("next_day", "spark_next_day", "Ds", DataType::Date).by_mode().nulls(Nulls::Maybe),
        F::simple("make_date", "spark_make_date", "iii", DataType::Date).by_mode().nulls(Nulls::Maybe),
        F::simple("unix_date", "date_to_int", "D", DataType::Integer),
        F::simple("date_from_unix_date", "date_from_int", "i", DataType::Date),
        F::simple("from_utc_timestamp", "spark_from_utc_timestamp", "Ts", DataType::Timestamp),
        F::simple("to_utc_timestamp", "spark_to_utc_timestamp", "Ts", DataType::Timestamp),
        F::resolve("months_between", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 3)?;
            let round = if args.len() > 2 {
                want(ctx, name, 2, 'B', args.remove(2))?
            } else {
                literal::of(ScalarValue::Boolean(Some(true)), DataType::Boolean)
            };
            let b = want(ctx, name, 1, 'T', args.remove(1))?;
            let a = want(ctx, name, 0, 'T', args.remove(0))?;
            let nullable = a.nullable || b.nullable || round.nullable;
            let expr = call("spark_months_between", vec![a.expr, b.expr, round.expr, text_literal(&ctx.time_zone)])?;
            Ok(Typed::new(expr, DataType::Double, nullable))
        }),
        F::resolve("timestamp_micros", |c, n, a| timestamp_from(c, n, a, 1)),
        F::resolve("timestamp_millis", |c, n, a| timestamp_from(c, n, a, 1000)),
        F::resolve("timestamp_seconds", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            match args[0].data_type {
                // What is not finite is null, in ANSI mode too.
                DataType::Float | DataType::Double => {
                    cast::cast(ctx, args.remove(0), &DataType::Timestamp, EvalMode::Legacy)
                }
                DataType::Decimal { .. } => coercion::implicit(ctx, args.remove(0), &DataType::Timestamp),
                _ => timestamp_from(ctx, name, args, MICROS_PER_SECOND),
            }
        }),
        F::resolve("unix_seconds", |c, n, a| timestamp_to(c, n, a, MICROS_PER_SECOND)),
        F::resolve("unix_millis", |c, n, a| timestamp_to(c, n, a, 1000)),
        F::resolve("unix_micros", |c, n, a| timestamp_to(c, n, a, 1)),
        F::resolve("timestampdiff", |ctx, name, mut args| {
            check_count(name, args.len(), 3, 3)?;
            let b = want(ctx, name, 2, 'T', args.remove(2))?;
            let a = want(ctx, name, 1, 'T', args.remove(1))?;
            let unit = args.remove(0);
            let nullable = a.nullable || b.nullable;
            let expr = call("spark_timestampdiff", vec![unit.expr, a.expr, b.expr, text_literal(&ctx.time_zone)])?;
            Ok(Typed::new(expr, DataType::Long, nullable))
        }),
        F::resolve("make_ym_interval", |ctx, name, args| {
            check_count(name, args.len(), 0, 2)?;
            let args = padded(ctx, name, args, 2)?;
            interval_call("spark_make_ym_interval_ansi", args, types::YEAR_TO_MONTH)
        }),
        F::resolve("make_dt_interval", |ctx, name, mut args| {
            check_count(name, args.len(), 0, 4)?;
            let seconds = if args.len() > 3 { args.pop() } else { None };
            let mut args = padded(ctx, name, args, 3)?;
            args.push(coercion::implicit(ctx, seconds.unwrap_or_else(|| literal::int(0)), &SECONDS_DECIMAL)?);
            interval_call("spark_make_dt_interval_ansi", args, types::DAY_TO_SECOND)
        }),
        F::resolve("try_make_interval", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 7)?;
            let seconds = if args.len() > 6 { args.pop() } else { None };
            let mut args = padded(ctx, name, args, 6)?;
            args.push(coercion::implicit(ctx, seconds.unwrap_or_else(|| literal::int(0)), &SECONDS_DECIMAL)?);
            let mut interval = interval_call("spark_make_interval_try", args, DataType::CalendarInterval)?;
            interval.nullable = true;
            Ok(interval)
        }),
        F::resolve("make_interval", |ctx, name, mut args| {
            check_count(name, args.len(), 0, 7)?;
            let seconds = if args.len() > 6 { args.pop() } else { None };
            let mut args = padded(ctx, name, args, 6)?;
            args.push(coercion::implicit(ctx, seconds.unwrap_or_else(|| literal::int(0)), &SECONDS_DECIMAL)?);
            interval_call("spark_make_interval_ansi", args, DataType::CalendarInterval)
        }),
        F::resolve("current_date", current_date),
        F::resolve("curdate", current_date),
        F::resolve("current_timestamp", current_timestamp),
        F::resolve("now", current_timestamp),
        F::resolve("localtimestamp", |ctx, name, args| {
            check_count(name, args.len(), 0, 0)?;
            let local = Zone::parse(&ctx.time_zone)?.to_local(ctx.now_micros);
            Ok(literal::of(ScalarValue::TimestampMicrosecond(Some(local), None), DataType::TimestampNtz))
        }),
        F::resolve("current_timezone", |ctx, name, args| {
            check_count(name, args.len(), 0, 0)?;
            Ok(literal::text(&ctx.time_zone))
        }),
    ]
}

fn current_date(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 0, 0)?;
    let days = Zone::parse(&ctx.time_zone)?.to_local(ctx.now_micros).div_euclid(MICROS_PER_DAY);
    Ok(literal::of(ScalarValue::Date32(i32::try_from(days).ok()), DataType::Date))
}

fn current_timestamp(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 0, 0)?;
    Ok(literal::of(ScalarValue::TimestampMicrosecond(Some(ctx.now_micros), types::utc()), DataType::Timestamp))
}

fn padded(ctx: &FunctionContext, name: &str, args: Vec<Typed>, count: usize) -> SparkResult<Vec<Typed>> {
    let mut result = Vec::with_capacity(count + 1);
    for (i, arg) in args.into_iter().enumerate() {
        result.push(want(ctx, name, i, 'i', arg)?);
    }
    while result.len() < count {
        result.push(literal::int(0));
    }
    Ok(result)
}

fn interval_call(udf: &str, args: Vec<Typed>, data_type: DataType) -> SparkResult<Typed> {
    let nullable = args.iter().any(|a| a.nullable);
    Ok(Typed::new(call(udf, args.into_iter().map(|a| a.expr).collect())?, data_type, nullable))
}

fn add_days(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let days = args.remove(1);
    // Nothing is cut to fit.
    if matches!(days.data_type, DataType::Long | DataType::Float | DataType::Double | DataType::Decimal { .. }) {
        return Err(errors::unexpected_input(name, 1, "(\"INT\" or \"SMALLINT\" or \"TINYINT\")", &days));
    }
    let days = want(ctx, name, 1, 'i', days)?;
    let date = want(ctx, name, 0, 'D', args.remove(0))?;
    let nullable = date.nullable || days.nullable;
    Ok(Typed::new(call(udf, vec![date.expr, days.expr])?, DataType::Date, nullable))
}

fn timestamp_from(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>, unit: i64) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = want(ctx, name, 0, 'l', args.remove(0))?;
    let unit = literal::of(ScalarValue::Int64(Some(unit)), DataType::Long);
    let nullable = value.nullable;
    Ok(Typed::new(call("timestamp_from_number_ansi", vec![value.expr, unit.expr])?, DataType::Timestamp, nullable))
}

fn timestamp_to(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>, unit: i64) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = want(ctx, name, 0, 'T', args.remove(0))?;
    let unit = literal::of(ScalarValue::Int64(Some(unit)), DataType::Long);
    let nullable = value.nullable;
    Ok(Typed::new(call("timestamp_to_number", vec![value.expr, unit.expr])?, DataType::Long, nullable))
}
