//! `make_timestamp` and its kin: timestamps of fields, or of a date and a time.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Decimal128Type, Int32Type, TimeUnit, TimestampMicrosecondType},
};
use datafusion::{error::Result as DfResult, logical_expr::Expr, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{
    calendar::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, make_date},
    make::SECONDS_DECIMAL,
    zone::Zone,
};
use crate::{
    EvalMode, FunctionContext, Typed, coercion,
    errors::{self, external},
    literal,
    registry::{FunctionDef, want},
    types,
    udf::{Args, Ret, Udf, call, numbers, text_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    let utc = || Ret::Fixed(Arrow::Timestamp(TimeUnit::Microsecond, types::utc()));
    let local = || Ret::Fixed(Arrow::Timestamp(TimeUnit::Microsecond, None));
    vec![
        Udf::new("spark_make_timestamp_ansi", utc(), |a| make_timestamp(a, EvalMode::Ansi)),
        Udf::new("spark_make_timestamp_legacy", utc(), |a| make_timestamp(a, EvalMode::Legacy)),
        Udf::new("spark_make_timestamp_try", utc(), |a| make_timestamp(a, EvalMode::Try)),
        Udf::new("spark_make_timestamp_ntz_ansi", local(), |a| make_timestamp(a, EvalMode::Ansi)),
        Udf::new("spark_make_timestamp_ntz_legacy", local(), |a| make_timestamp(a, EvalMode::Legacy)),
        Udf::new("spark_make_timestamp_ntz_try", local(), |a| make_timestamp(a, EvalMode::Try)),
    ]
}

fn make_timestamp(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let int = |i| args.primitive::<Int32Type>(i);
    let (year, month, day, hour, minute) = (int(0)?, int(1)?, int(2)?, int(3)?, int(4)?);
    let seconds = args.primitive::<Decimal128Type>(5)?;
    let zones = args.text(6)?;
    numbers::<TimestampMicrosecondType>(args, |row| {
        let (Some(y), Some(mo), Some(d), Some(h), Some(mi), Some(s), Some(zone)) = (
            year.get(row),
            month.get(row),
            day.get(row),
            hour.get(row),
            minute.get(row),
            seconds.get(row),
            zones.get(row),
        ) else {
            return Ok(None);
        };
        let zone = match Zone::parse(zone) {
            Ok(zone) => zone,
            Err(e) => return Err(external(e)),
        };
        // 60 seconds are the next minute's start.
        let micros = i64::try_from(s).ok().filter(|s| (0..=60 * MICROS_PER_SECOND).contains(s));
        let date = make_date(i64::from(y), i64::from(mo), i64::from(d));
        match (date, micros) {
            (Some(date), Some(micros)) if (0..24).contains(&h) && (0..60).contains(&mi) => {
                let time = i64::from(h) * MICROS_PER_HOUR + i64::from(mi) * MICROS_PER_MINUTE + micros;
                Ok(Some(zone.to_utc(i64::from(date) * MICROS_PER_DAY + time)))
            }
            _ if mode == EvalMode::Ansi
                && (60 * MICROS_PER_SECOND + 1..61 * MICROS_PER_SECOND).contains(&seconds_of(s)) =>
            {
                let shown = crate::numeric::decimal::decimal_text(s, 6);
                let shown = shown.trim_end_matches('0');
                Err(external(
                    SparkError::new(
                        "INVALID_FRACTION_OF_SECOND",
                        "22023",
                        format!("Valid range for seconds is [0, 60] (inclusive), but the provided value is {shown}."),
                    )
                    .param("secAndMicros", shown),
                ))
            }
            _ if mode == EvalMode::Ansi => {
                Err(external(errors::datetime_field_out_of_bounds(format!("Invalid timestamp {y}-{mo}-{d} {h}:{mi}"))))
            }
            _ => Ok(None),
        }
    })
}

fn seconds_of(unscaled: i128) -> i64 {
    i64::try_from(unscaled).unwrap_or(i64::MAX)
}

fn make_timestamp_call(
    ctx: &FunctionContext,
    name: &'static str,
    args: Vec<Typed>,
    mode: EvalMode,
) -> SparkResult<Typed> {
    let ntz = name.ends_with("_ntz");
    match args.len() {
        1 if !ntz && !name.ends_with("_ltz") => return timestamp_of_date(ctx, name, args),
        2 => return timestamp_of_date(ctx, name, args),
        3 if !ntz => return timestamp_of_date(ctx, name, args),
        6 => {}
        7 if !ntz => {}
        given => {
            let expected = match name {
                _ if ntz => "[2, 6]",
                _ if name.ends_with("_ltz") => "[2, 3, 6, 7]",
                _ => "[1, 2, 3, 6, 7]",
            };
            return Err(errors::wrong_num_args(name, expected, given));
        }
    }
    let data_type = if ntz || (ctx.timestamp_type == DataType::TimestampNtz && !name.ends_with("_ltz")) {
        DataType::TimestampNtz
    } else {
        DataType::Timestamp
    };
    // A null for certain is the answer before the other arguments are cast.
    if args.iter().any(Typed::is_null_literal) {
        return literal::null(&data_type);
    }
    let mut exprs = Vec::with_capacity(7);
    let mut nullable = mode != EvalMode::Ansi;
    for (i, arg) in args.into_iter().enumerate() {
        let arg = match i {
            5 => coercion::implicit(ctx, arg, &SECONDS_DECIMAL)?,
            6 => want(ctx, name, i, 's', arg)?,
            _ => want(ctx, name, i, 'i', arg)?,
        };
        nullable |= arg.nullable;
        exprs.push(arg.expr);
    }
    // Without a zone in the result, one that is given only says when there is none.
    let ntz = data_type == DataType::TimestampNtz;
    if ntz && exprs.len() == 7 {
        match exprs.pop() {
            Some(Expr::Literal(zone, _)) if zone.is_null() => return literal::null(&DataType::TimestampNtz),
            Some(Expr::Literal(..)) => {}
            _ => {
                return Err(SparkError::unsupported(
                    "make_timestamp with a column of zones and timestamps without zone",
                ));
            }
        }
    }
    if exprs.len() == 6 {
        exprs.push(text_literal(if ntz { "UTC" } else { &ctx.time_zone }));
    }
    let udf = format!("spark_make_timestamp_{}{}", if ntz { "ntz_" } else { "" }, mode.suffix());
    Ok(Typed::new(call(&udf, exprs)?, data_type, nullable))
}

/// `make_timestamp(date[, time[, zone]])`. Neither is cast to its type.
fn timestamp_of_date(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    let shown = if name.ends_with("_ntz") { "make_timestamp_ntz" } else { "make_timestamp" };
    let ntz = name.ends_with("_ntz");
    let zone = match args.len() {
        3 => want(ctx, shown, 2, 's', args.remove(2))?,
        _ => literal::text(&ctx.time_zone),
    };
    let time = if args.len() > 1 {
        args.remove(1)
    } else {
        literal::of(ScalarValue::Time64Nanosecond(Some(0)), DataType::Time(6))
    };
    let date = match args.remove(0) {
        date if date.data_type == DataType::Date => date,
        date if date.data_type == DataType::Null => literal::null(&DataType::Date)?,
        other => return Err(errors::unexpected_input(shown, 0, "DATE", &other)),
    };
    let time = match time.data_type {
        DataType::Time(_) => time,
        DataType::Null => literal::null(&DataType::Time(6))?,
        _ => return Err(errors::unexpected_input(shown, 1, "TIME", &time)),
    };
    let nullable = date.nullable || time.nullable || zone.nullable;
    let mut exprs = vec![date.expr, time.expr];
    if !ntz {
        exprs.push(zone.expr);
    }
    let data_type = if ntz { DataType::TimestampNtz } else { DataType::Timestamp };
    Ok(Typed::new(call("timestamp_of_date_and_time", exprs)?, data_type, nullable))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("make_timestamp", |c, n, a| make_timestamp_call(c, n, a, c.mode())),
        F::resolve("make_timestamp_ltz", |c, n, a| make_timestamp_call(c, n, a, c.mode())),
        F::resolve("make_timestamp_ntz", |c, n, a| make_timestamp_call(c, n, a, c.mode())),
        F::resolve("try_make_timestamp", |c, n, a| make_timestamp_call(c, n, a, EvalMode::Try)),
        F::resolve("try_make_timestamp_ltz", |c, n, a| make_timestamp_call(c, n, a, EvalMode::Try)),
        F::resolve("try_make_timestamp_ntz", |c, n, a| make_timestamp_call(c, n, a, EvalMode::Try)),
    ]
}
