//! Fields of dates and times: `year`, `hour`, `extract`.

use arrow::{
    array::ArrayRef,
    datatypes::{
        DataType as Arrow, Date32Type, Decimal128Type, DurationMicrosecondType, Int32Type, IntervalYearMonthType,
        TimestampMicrosecondType,
    },
};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{
    calendar::{
        MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, day_of_year, iso_week,
        iso_weekday,
    },
    zone::Zone,
};
use crate::{
    FunctionContext, Typed, coercion,
    errors::{self, external},
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, numbers, strings, text_literal},
};

macro_rules! date_field {
    ($name:literal, $f:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Int32), |args| {
            let dates = args.primitive::<Date32Type>(0)?;
            let f: fn(i64) -> i64 = $f;
            numbers::<Int32Type>(args, |row| Ok(dates.get(row).map(|d| f(i64::from(d)) as i32)))
        })
    };
}

macro_rules! time_field {
    ($name:literal, $f:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Int32), |args| {
            let f: fn(i64) -> i64 = $f;
            local_times(args, |micros| f(micros) as i32)
        })
    };
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        date_field!("spark_year", |d| civil_from_days(d).0),
        date_field!("spark_quarter", |d| i64::from(civil_from_days(d).1 - 1) / 3 + 1),
        date_field!("spark_month", |d| i64::from(civil_from_days(d).1)),
        date_field!("spark_day", |d| i64::from(civil_from_days(d).2)),
        date_field!("spark_dayofyear", day_of_year),
        date_field!("spark_dayofweek", |d| iso_weekday(d) % 7 + 1),
        date_field!("spark_dayofweek_iso", iso_weekday),
        date_field!("spark_weekday", |d| iso_weekday(d) - 1),
        date_field!("spark_weekofyear", |d| iso_week(d).1),
        date_field!("spark_yearofweek", |d| iso_week(d).0),
        time_field!("spark_hour", |m| m / MICROS_PER_HOUR),
        time_field!("spark_minute", |m| m / MICROS_PER_MINUTE % 60),
        time_field!("spark_second", |m| m / MICROS_PER_SECOND % 60),
        Udf::new("spark_second_fraction", Ret::Fixed(Arrow::Decimal128(8, 6)), |args| {
            let (times, zone) = times(args)?;
            numbers::<Decimal128Type>(args, |row| {
                Ok(times.get(row).map(|t| i128::from(zone.to_local(t).rem_euclid(MICROS_PER_MINUTE))))
            })
        }),
        Udf::new("spark_monthname", Ret::Fixed(Arrow::Utf8), |args| {
            const NAMES: [&str; 12] =
                ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            name_of(args, |d| NAMES[(civil_from_days(d).1 as usize - 1).min(11)])
        }),
        Udf::new("spark_dayname", Ret::Fixed(Arrow::Utf8), |args| {
            const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
            name_of(args, |d| NAMES[(iso_weekday(d) as usize - 1).min(6)])
        }),
        Udf::new("year_month_field", Ret::Fixed(Arrow::Int32), |args| {
            let months = args.primitive::<IntervalYearMonthType>(0)?;
            let year = args.parameter(1)? == "year";
            numbers::<Int32Type>(args, |row| Ok(months.get(row).map(|m| if year { m / 12 } else { m % 12 })))
        }),
        Udf::new("day_time_field", Ret::Fixed(Arrow::Int32), |args| {
            let micros = args.primitive::<DurationMicrosecondType>(0)?;
            let (unit, modulus) = match args.parameter(1)? {
                "day" => (MICROS_PER_DAY, i64::MAX),
                "hour" => (MICROS_PER_HOUR, 24),
                _ => (MICROS_PER_MINUTE, 60),
            };
            numbers::<Int32Type>(args, |row| Ok(micros.get(row).map(|m| (m / unit % modulus) as i32)))
        }),
        Udf::new("day_time_seconds", Ret::Fixed(Arrow::Decimal128(8, 6)), |args| {
            let micros = args.primitive::<DurationMicrosecondType>(0)?;
            numbers::<Decimal128Type>(args, |row| Ok(micros.get(row).map(|m| i128::from(m % MICROS_PER_MINUTE))))
        }),
    ]
}

type Micros = crate::udf::Primitive<TimestampMicrosecondType>;

/// Instants and the zone to show them in (for times without a zone, none).
fn times(args: &Args<'_>) -> DfResult<(Micros, Zone)> {
    let times = args.primitive::<TimestampMicrosecondType>(0)?;
    let zone = match times.array.data_type_with_zone() {
        true => Zone::parse(args.parameter(args.len() - 1)?).map_err(external)?,
        false => Zone::UTC,
    };
    Ok((times, zone))
}

trait HasZone {
    fn data_type_with_zone(&self) -> bool;
}

impl HasZone for arrow::array::TimestampMicrosecondArray {
    fn data_type_with_zone(&self) -> bool {
        matches!(arrow::array::Array::data_type(self), Arrow::Timestamp(_, Some(_)))
    }
}

fn local_times(args: &Args<'_>, f: impl Fn(i64) -> i32) -> DfResult<ArrayRef> {
    let (times, zone) = times(args)?;
    numbers::<Int32Type>(args, |row| Ok(times.get(row).map(|t| f(zone.to_local(t).rem_euclid(MICROS_PER_DAY)))))
}

fn name_of(args: &Args<'_>, f: impl Fn(i64) -> &'static str) -> DfResult<ArrayRef> {
    let dates = args.primitive::<Date32Type>(0)?;
    strings(args, args.rows * 4, |row, out| {
        Ok(match dates.get(row) {
            Some(d) => {
                out.push_str(f(i64::from(d)));
                true
            }
            None => false,
        })
    })
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    let date = |name, udf| F::simple(name, udf, "D", DataType::Integer);
    vec![
        date("year", "spark_year"),
        date("quarter", "spark_quarter"),
        date("month", "spark_month"),
        date("day", "spark_day"),
        date("dayofmonth", "spark_day"),
        date("dayofyear", "spark_dayofyear"),
        date("dayofweek", "spark_dayofweek"),
        date("weekday", "spark_weekday"),
        date("weekofyear", "spark_weekofyear"),
        F::simple("monthname", "spark_monthname", "D", DataType::String),
        F::simple("dayname", "spark_dayname", "D", DataType::String),
        F::resolve("hour", |ctx, name, args| time_part(ctx, name, "spark_hour", args)),
        F::resolve("minute", |ctx, name, args| time_part(ctx, name, "spark_minute", args)),
        F::resolve("second", |ctx, name, args| time_part(ctx, name, "spark_second", args)),
        F::resolve("date_part", part),
        F::resolve("datepart", part),
        F::resolve("extract", part),
    ]
}

fn time_part(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let arg = args.remove(0);
    let arg = match arg.data_type {
        DataType::Time(_) => {
            let nullable = arg.nullable;
            let udf = udf.replacen("spark_", "time_", 1);
            return Ok(Typed::new(call(&udf, vec![arg.expr])?, DataType::Integer, nullable));
        }
        DataType::TimestampNtz => arg,
        _ => want(ctx, name, 0, 'T', arg)?,
    };
    let nullable = arg.nullable;
    Ok(Typed::new(call(udf, vec![arg.expr, text_literal(&ctx.time_zone)])?, DataType::Integer, nullable))
}

/// `extract(field FROM source)`, the field a text literal.
fn part(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let source = args.remove(1);
    let field = match literal::evaluate(&args[0])? {
        Some(value) if value.is_null() => return literal::null(&DataType::Double),
        Some(value) => value.try_as_str().flatten().map(str::to_ascii_lowercase),
        None => None,
    };
    let Some(field) = field else { return Err(errors::non_foldable_argument(name, "field", "STRING")) };
    let invalid = || {
        SparkError::new(
            "INVALID_EXTRACT_FIELD",
            "42601",
            format!("Cannot extract `{field}` from \"{}\".", source.sql()),
        )
        .param("field", format!("`{field}`"))
        .param("expr", format!("\"{}\"", source.sql()))
    };
    let nullable = source.nullable;
    match &source.data_type {
        DataType::YearMonthInterval { .. } => {
            let unit = match field.as_str() {
                "year" | "y" | "years" | "yr" | "yrs" => "year",
                "month" | "mon" | "mons" | "months" => "month",
                _ => return Err(invalid()),
            };
            let data_type = if unit == "year" { DataType::Integer } else { DataType::Byte };
            let value = Typed::new(
                call("year_month_field", vec![source.expr, text_literal(unit)])?,
                DataType::Integer,
                nullable,
            );
            return coercion::implicit(ctx, value, &data_type);
        }
        DataType::DayTimeInterval { .. } => {
            let unit = match field.as_str() {
                "day" | "d" | "days" => "day",
                "hour" | "h" | "hours" | "hr" | "hrs" => "hour",
                "minute" | "m" | "min" | "mins" | "minutes" => "minute",
                "second" | "s" | "sec" | "seconds" | "secs" => {
                    let data_type = DataType::Decimal { precision: 8, scale: 6 };
                    return Ok(Typed::new(call("day_time_seconds", vec![source.expr])?, data_type, nullable));
                }
                _ => return Err(invalid()),
            };
            let value =
                Typed::new(call("day_time_field", vec![source.expr, text_literal(unit)])?, DataType::Integer, nullable);
            let data_type = if unit == "day" { DataType::Integer } else { DataType::Byte };
            return coercion::implicit(ctx, value, &data_type);
        }
        _ => {}
    }
    let by_date = match field.as_str() {
        "year" | "y" | "years" | "yr" | "yrs" => Some("spark_year"),
        "yearofweek" => Some("spark_yearofweek"),
        "quarter" | "qtr" => Some("spark_quarter"),
        "month" | "mon" | "mons" | "months" => Some("spark_month"),
        "week" | "w" | "weeks" => Some("spark_weekofyear"),
        "day" | "d" | "days" => Some("spark_day"),
        "dayofweek" | "dow" => Some("spark_dayofweek"),
        "dayofweek_iso" | "dow_iso" => Some("spark_dayofweek_iso"),
        "doy" => Some("spark_dayofyear"),
        _ => None,
    };
    if by_date.is_some() && matches!(source.data_type, DataType::Time(_)) {
        return Err(invalid());
    }
    if let Some(udf) = by_date {
        let source = want(ctx, name, 1, 'D', source)?;
        return Ok(Typed::new(call(udf, vec![source.expr])?, DataType::Integer, nullable));
    }
    match field.as_str() {
        "hour" | "h" | "hours" | "hr" | "hrs" => time_part(ctx, name, "spark_hour", vec![source]),
        "minute" | "m" | "min" | "mins" | "minutes" => time_part(ctx, name, "spark_minute", vec![source]),
        "second" | "s" | "sec" | "seconds" | "secs" => {
            let mut value = time_part(ctx, name, "spark_second_fraction", vec![source])?;
            value.data_type = DataType::Decimal { precision: 8, scale: 6 };
            Ok(value)
        }
        _ => Err(invalid()),
    }
}
