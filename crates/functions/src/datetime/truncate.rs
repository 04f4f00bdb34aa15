//! `date_trunc`, `trunc`, `window`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, StructArray},
    datatypes::{DataType as Arrow, Date32Type, Field, Fields, Int64Type, TimestampMicrosecondType},
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{
    calendar::{
        MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days, days_from_civil,
        iso_weekday,
    },
    interval::parse_calendar,
    zone::Zone,
};
use crate::{
    FunctionContext, Typed,
    errors::{self, external},
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, numbers, text_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_date_trunc", Ret::Arg(1), date_trunc),
        Udf::new("spark_trunc", Ret::Fixed(Arrow::Date32), trunc),
        Udf::new("time_window", Ret::By(window_type), time_window),
    ]
}

fn start_of(unit: &str, days: i64) -> Option<i64> {
    let (year, month, _) = civil_from_days(days);
    Some(match unit {
        "YEAR" | "YYYY" | "YY" => days_from_civil(year, 1, 1),
        "QUARTER" => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        "MONTH" | "MON" | "MM" => days_from_civil(year, month, 1),
        "WEEK" => days - (iso_weekday(days) - 1),
        _ => return None,
    })
}

fn trunc(args: &Args<'_>) -> DfResult<ArrayRef> {
    let dates = args.primitive::<Date32Type>(0)?;
    let units = args.text(1)?;
    numbers::<Date32Type>(args, |row| {
        let (Some(d), Some(unit)) = (dates.get(row), units.get(row)) else { return Ok(None) };
        Ok(start_of(&unit.to_ascii_uppercase(), i64::from(d)).map(|d| d as i32))
    })
}

fn date_trunc(args: &Args<'_>) -> DfResult<ArrayRef> {
    let units = args.text(0)?;
    let times = args.primitive::<TimestampMicrosecondType>(1)?;
    let zone = match times.array.data_type() {
        Arrow::Timestamp(_, None) => Zone::UTC,
        _ => Zone::parse(args.parameter(2)?).map_err(external)?,
    };
    let constant = args.constant_text(0).map(str::to_ascii_uppercase);
    numbers::<TimestampMicrosecondType>(args, |row| {
        let (Some(t), Some(unit)) = (times.get(row), units.get(row)) else { return Ok(None) };
        match &constant {
            Some(unit) => truncate(unit, t, zone),
            None => truncate(&unit.to_ascii_uppercase(), t, zone),
        }
    })
}

/// Null where there is no such unit.
fn truncate(unit: &str, t: i64, zone: Zone) -> DfResult<Option<i64>> {
    // Below a day the instant is cut, shifted by the zone's offset at it: no gap or overlap moves it.
    let by = |size: i64| {
        let offset = i64::from(zone.offset_at(t)) * MICROS_PER_SECOND;
        t.checked_add(offset)?.div_euclid(size).checked_mul(size)?.checked_sub(offset)
    };
    let start = match unit {
        "MICROSECOND" => Some(t),
        "MILLISECOND" => t.div_euclid(1000).checked_mul(1000),
        "SECOND" => t.div_euclid(MICROS_PER_SECOND).checked_mul(MICROS_PER_SECOND),
        "MINUTE" => by(MICROS_PER_MINUTE),
        "HOUR" => by(MICROS_PER_HOUR),
        _ => {
            let days = zone.to_local(t).div_euclid(MICROS_PER_DAY);
            let start = match unit {
                "DAY" | "DD" => days,
                _ => match start_of(unit, days) {
                    Some(start) => start,
                    None => return Ok(None),
                },
            };
            start.checked_mul(MICROS_PER_DAY).map(|local| zone.to_utc(local))
        }
    };
    match start {
        Some(start) => Ok(Some(start)),
        None => Err(external(errors::arithmetic_overflow("long overflow", ""))),
    }
}

fn window_fields(time: &Arrow) -> Fields {
    vec![Field::new("start", time.clone(), true), Field::new("end", time.clone(), true)].into()
}

fn window_type(args: &[Arrow]) -> DfResult<Arrow> {
    match args.first() {
        Some(t @ Arrow::Timestamp(..)) => Ok(Arrow::Struct(window_fields(t))),
        other => exec_err!("time_window of {other:?}"),
    }
}

fn time_window(args: &Args<'_>) -> DfResult<ArrayRef> {
    let times = args.primitive::<TimestampMicrosecondType>(0)?;
    let (width, start) = (args.primitive::<Int64Type>(1)?, args.primitive::<Int64Type>(2)?);
    let (Some(width), Some(start)) = (width.get(0), start.get(0)) else {
        return exec_err!("time_window without a width");
    };
    let data_type = times.array.data_type().clone();
    let (mut starts, mut ends) = (Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let begin = times.get(row).map(|t| {
            let since = t.checked_sub(start)?.rem_euclid(width);
            let begin = t.checked_sub(since)?;
            Some((begin, begin.checked_add(width)?))
        });
        let Some(window) = begin else {
            starts.push(None);
            ends.push(None);
            continue;
        };
        let Some((begin, end)) = window else {
            return Err(external(errors::arithmetic_overflow("overflow", "try_subtract")));
        };
        starts.push(Some(begin));
        ends.push(Some(end));
    }
    let starts = arrow::array::TimestampMicrosecondArray::from(starts);
    let ends = arrow::array::TimestampMicrosecondArray::from(ends);
    let nulls = starts.nulls().cloned();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(starts.with_data_type(data_type.clone())), Arc::new(ends.with_data_type(data_type.clone()))];
    Ok(Arc::new(StructArray::try_new(window_fields(&data_type), columns, nulls)?))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("date_trunc", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let time = args.remove(1);
            let unit = want(ctx, name, 0, 's', args.remove(0))?;
            let time = want(ctx, name, 1, 'T', time)?;
            let data_type = time.data_type.clone();
            let expr = call("spark_date_trunc", vec![unit.expr, time.expr, text_literal(&ctx.time_zone)])?;
            Ok(Typed::new(expr, data_type, true))
        }),
        F::simple("trunc", "spark_trunc", "Ds", DataType::Date).nulls(crate::registry::Nulls::Maybe),
        F::resolve("window", window),
    ]
}

/// `window(time, width[, slide[, start]])`: a struct of start and end, null for a null time (Spark leaves such rows out of
/// the grouping, which the analyzer does).
fn window(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 4)?;
    let mut durations = Vec::new();
    for arg in args.drain(1..) {
        let text = arg.literal_text().map(str::to_owned);
        let micros = text.as_deref().and_then(parse_calendar).and_then(|(months, days, micros)| {
            if months != 0 { None } else { i64::from(days).checked_mul(MICROS_PER_DAY)?.checked_add(micros) }
        });
        let Some(micros) = micros else {
            return Err(SparkError::new(
                "CANNOT_PARSE_INTERVAL",
                "22006",
                format!("Unable to parse '{}'. Please ensure that the value provided is in a valid format for defining an interval of weeks, days or less.", arg.sql()),
            )
            .param("intervalString", arg.sql()));
        };
        durations.push(micros);
    }
    let width = durations[0];
    let slide = durations.get(1).copied().unwrap_or(width);
    let start = durations.get(2).copied().unwrap_or(0);
    if width <= 0 || slide <= 0 || start.abs() >= slide {
        return Err(crate::errors::datatype_mismatch(
            "PARAMETER_CONSTRAINT_VIOLATION",
            name,
            "The window's width and slide must be positive, and its start smaller than the slide.",
        ));
    }
    if slide != width {
        return Err(SparkError::unsupported("window() with a slide other than its width"));
    }
    let time = args.remove(0);
    let time = match time.data_type {
        DataType::Timestamp | DataType::TimestampNtz => time,
        _ => want(ctx, name, 0, 'T', time)?,
    };
    let field = |name: &str| StructField::new(name, time.data_type.clone(), true);
    let data_type = DataType::Struct(vec![field("start"), field("end")]);
    let long = |v: i64| literal::of(ScalarValue::Int64(Some(v)), DataType::Long).expr;
    let nullable = time.nullable;
    Ok(Typed::new(call("time_window", vec![time.expr, long(width), long(start)])?, data_type, nullable))
}
