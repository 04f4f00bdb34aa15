//! Timestamps moved and cut by units and intervals: `timestampadd`, `time_bucket`, `convert_timezone`.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkResult};

use super::{
    arith::add_to,
    calendar::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, civil_from_days},
    zone::Zone,
};
use crate::{
    FunctionContext, Typed, coercion, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, numbers, text_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_timestampadd_ansi", Ret::Arg(2), timestampadd),
        Udf::new("spark_time_bucket_ansi", Ret::Arg(2), time_bucket),
        Udf::new("spark_convert_timezone_ansi", Ret::Fixed(Arrow::Timestamp(TimeUnit::Microsecond, None)), |args| {
            let (from, to) = (args.text(0)?, args.text(1)?);
            let times = args.primitive::<TimestampMicrosecondType>(2)?;
            numbers::<TimestampMicrosecondType>(args, |row| {
                let (Some(from), Some(to), Some(t)) = (from.get(row), to.get(row), times.get(row)) else {
                    return Ok(None);
                };
                let zone = |name: &str| Zone::parse(name).map_err(external);
                Ok(Some(zone(to)?.to_local(zone(from)?.to_utc(t))))
            })
        }),
    ]
}

fn zone_of(args: &Args<'_>, times: &crate::udf::Primitive<TimestampMicrosecondType>, index: usize) -> DfResult<Zone> {
    match arrow::array::Array::data_type(&times.array) {
        Arrow::Timestamp(_, Some(_)) => Zone::parse(args.parameter(index)?).map_err(external),
        _ => Ok(Zone::UTC),
    }
}

/// `(unit, amount, time, zone)`
fn timestampadd(args: &Args<'_>) -> DfResult<ArrayRef> {
    let unit = args.parameter(0)?.to_ascii_uppercase();
    let amounts = args.primitive::<Int64Type>(1)?;
    let times = args.primitive::<TimestampMicrosecondType>(2)?;
    let zone = zone_of(args, &times, 3)?;
    let int = |v: i64, by: i64| v.checked_mul(by).and_then(|v| i32::try_from(v).ok());
    let moved = |t: i64, n: i64| match unit.as_str() {
        "MICROSECOND" => t.checked_add(n),
        "MILLISECOND" => t.checked_add(n.checked_mul(1000)?),
        "SECOND" => t.checked_add(n.checked_mul(MICROS_PER_SECOND)?),
        "MINUTE" => t.checked_add(n.checked_mul(MICROS_PER_MINUTE)?),
        "HOUR" => t.checked_add(n.checked_mul(MICROS_PER_HOUR)?),
        "DAY" | "DAYOFYEAR" => add_to(t, zone, 0, int(n, 1)?, 0),
        "WEEK" => add_to(t, zone, 0, int(n, 7)?, 0),
        "MONTH" => add_to(t, zone, int(n, 1)?, 0, 0),
        "QUARTER" => add_to(t, zone, int(n, 3)?, 0, 0),
        _ => add_to(t, zone, int(n, 12)?, 0, 0),
    };
    numbers::<TimestampMicrosecondType>(args, |row| {
        let (Some(n), Some(t)) = (amounts.get(row), times.get(row)) else { return Ok(None) };
        match moved(t, n) {
            Some(t) => Ok(Some(t)),
            None => Err(external(errors::datetime_overflow(format!("add {n} {unit} to a timestamp")))),
        }
    })
}

/// `(months, micros, time, origin, zone)`: the start of the bucket of so many months, or microseconds, that the time is in.
fn time_bucket(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (months, micros) = (args.primitive::<Int64Type>(0)?, args.primitive::<Int64Type>(1)?);
    let (times, origins) =
        (args.primitive::<TimestampMicrosecondType>(2)?, args.primitive::<TimestampMicrosecondType>(3)?);
    let zone = zone_of(args, &times, 4)?;
    let months_of = |t: i64| {
        let (y, m, _) = civil_from_days(zone.to_local(t).div_euclid(MICROS_PER_DAY));
        y * 12 + i64::from(m)
    };
    let start = |t: i64, origin: i64, months: i64, micros: i64| -> Option<i64> {
        if months == 0 {
            // Whole days follow the wall clock, parts of a day the instants.
            if micros % MICROS_PER_DAY == 0 {
                let (t, origin) = (zone.to_local(t), zone.to_local(origin));
                return Some(zone.to_utc(t.checked_sub(t.checked_sub(origin)?.rem_euclid(micros))?));
            }
            return t.checked_sub(t.checked_sub(origin)?.rem_euclid(micros));
        }
        let buckets = (months_of(t) - months_of(origin)).div_euclid(months);
        let at = |n: i64| add_to(origin, zone, i32::try_from(n.checked_mul(months)?).ok()?, 0, 0);
        let begin = at(buckets)?;
        if begin > t { at(buckets - 1) } else { Some(begin) }
    };
    numbers::<TimestampMicrosecondType>(args, |row| {
        let (Some(t), Some(origin), Some(months), Some(micros)) =
            (times.get(row), origins.get(row), months.get(row), micros.get(row))
        else {
            return Ok(None);
        };
        match start(t, origin, months, micros) {
            Some(t) => Ok(Some(t)),
            None => Err(external(errors::datetime_overflow("the start of a time bucket"))),
        }
    })
}

fn timestampadd_call(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 3, 3)?;
    let time = args.remove(2);
    let time = if time.data_type == DataType::TimestampNtz { time } else { want(ctx, name, 2, 'T', time)? };
    let amount = args.remove(1);
    // Fractions are cut, also under ANSI.
    let amount = match &amount.data_type {
        t if t.is_numeric() => coercion::implicit(ctx, amount, &DataType::Long)?,
        _ => want(ctx, name, 1, 'l', amount)?,
    };
    let unit = args.remove(0);
    let nullable = time.nullable || amount.nullable;
    let data_type = time.data_type.clone();
    let expr = call("spark_timestampadd_ansi", vec![unit.expr, amount.expr, time.expr, text_literal(&ctx.time_zone)])?;
    Ok(Typed::new(expr, data_type, nullable))
}

fn time_bucket_call(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    const EITHER: &str = "(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)";
    let is_time = |t: &DataType| matches!(t, DataType::Timestamp | DataType::TimestampNtz | DataType::Null);
    let origin = if args.len() > 2 { args.pop() } else { None };
    let (Some(time), Some(size)) = (args.pop(), args.pop()) else { return Err(errors::wrong_num_args(name, 2, 0)) };
    let is_size = matches!(
        size.data_type,
        DataType::DayTimeInterval { .. } | DataType::YearMonthInterval { .. } | DataType::Null
    );
    if !is_size {
        let required = "(\"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO MONTH\")";
        return Err(errors::unexpected_input(name, 0, required, &size));
    }
    if !is_time(&time.data_type) {
        return Err(errors::unexpected_input(name, 1, EITHER, &time));
    }
    if let Some(origin) = origin.as_ref().filter(|o| !is_time(&o.data_type)) {
        return Err(errors::unexpected_input(name, 2, EITHER, origin));
    }
    let data_type = match (&time.data_type, origin.as_ref().map(|o| &o.data_type)) {
        (DataType::Null, Some(DataType::Null) | None) => DataType::Timestamp,
        (DataType::Null, Some(t)) => t.clone(),
        (t, _) => t.clone(),
    };
    if let Some(origin) = origin.as_ref().filter(|o| o.data_type != data_type && o.data_type != DataType::Null) {
        let required = if data_type == DataType::Timestamp { "TIMESTAMP" } else { "TIMESTAMP_NTZ" };
        return Err(errors::unexpected_input(name, 2, required, origin));
    }
    let Some(constant) = literal::fold(&size) else {
        return Err(errors::non_foldable(name, "bucketSize", &size));
    };
    let zone = Zone::parse(&ctx.time_zone)?;
    let at_epoch = match data_type {
        DataType::Timestamp => literal::of(
            ScalarValue::TimestampMicrosecond(Some(zone.to_utc(0)), crate::types::utc()),
            DataType::Timestamp,
        ),
        _ => literal::of(ScalarValue::TimestampMicrosecond(Some(0), None), DataType::TimestampNtz),
    };
    let origin = match origin {
        Some(origin) => {
            let Some(constant) = literal::fold(&origin) else {
                return Err(errors::non_foldable(name, "origin", &origin));
            };
            literal::of(constant, origin.data_type)
        }
        None => at_epoch,
    };
    let (months, micros) = match constant {
        ScalarValue::IntervalYearMonth(Some(months)) => (i64::from(months), 0),
        ScalarValue::DurationMicrosecond(Some(micros)) => (0, micros),
        _ => return literal::null(&data_type),
    };
    if months < 0 || micros < 0 || (months == 0 && micros == 0) {
        let shown = size.sql();
        return Err(errors::datatype_mismatch(
            "VALUE_OUT_OF_RANGE",
            format_args!("{name}(…)"),
            format_args!("The `bucketSize` must be between (0, inf) (current value = {shown})."),
        )
        .param("exprName", "`bucketSize`")
        .param("valueRange", "(0, inf)")
        .param("currentValue", shown));
    }
    let nullable = time.nullable || origin.nullable;
    let long = |v: i64| literal::of(ScalarValue::Int64(Some(v)), DataType::Long).expr;
    let time = coercion::implicit(ctx, time, &data_type)?;
    let origin = coercion::implicit(ctx, origin, &data_type)?;
    let exprs = vec![long(months), long(micros), time.expr, origin.expr, text_literal(&ctx.time_zone)];
    Ok(Typed::new(call("spark_time_bucket_ansi", exprs)?, data_type, nullable))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("timestampadd", timestampadd_call),
        F::resolve("time_bucket", time_bucket_call),
        F::resolve("convert_timezone", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 3)?;
            let Some(time) = args.pop() else { return Err(errors::wrong_num_args(name, 2, 0)) };
            let time = if time.data_type == DataType::TimestampNtz {
                time
            } else {
                let time =
                    if time.data_type == DataType::Timestamp { time } else { want(ctx, name, args.len(), 'T', time)? };
                coercion::implicit(ctx, time, &DataType::TimestampNtz)?
            };
            let Some(to) = args.pop() else { return Err(errors::wrong_num_args(name, 2, 0)) };
            let to = want(ctx, name, args.len(), 's', to)?;
            let from = match args.pop() {
                Some(from) => want(ctx, name, 0, 's', from)?,
                None => literal::text(&ctx.time_zone),
            };
            let nullable = from.nullable || to.nullable || time.nullable;
            let expr = call("spark_convert_timezone_ansi", vec![from.expr, to.expr, time.expr])?;
            Ok(Typed::new(expr, DataType::TimestampNtz, nullable))
        }),
    ]
}
