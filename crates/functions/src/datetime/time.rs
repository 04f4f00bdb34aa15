//! The time of day: `make_time`, `to_time`, `time_trunc`, `time_diff`, and TIME plus and minus intervals. Values are
//! nanoseconds since midnight.

use arrow::{
    array::ArrayRef,
    datatypes::{
        ArrowPrimitiveType, DataType as Arrow, Decimal128Type, DurationMicrosecondType, Float64Type, Int32Type,
        Int64Type, Time64NanosecondType, TimeUnit,
    },
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult, types::DayTimeField};

use super::{
    calendar::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND},
    pattern::{Pattern, Purpose},
    text,
    zone::Zone,
};
use crate::{
    EvalMode, FunctionContext, Typed, coercion, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, numbers},
};

const NANOS_PER_DAY: i64 = MICROS_PER_DAY * 1000;
const MICROS: DataType = DataType::Time(6);

pub(super) fn udfs() -> Vec<Udf> {
    let time = || Ret::Fixed(Arrow::Time64(TimeUnit::Nanosecond));
    macro_rules! field {
        ($name:literal, $f:expr) => {
            Udf::new($name, Ret::Fixed(Arrow::Int32), |args| {
                let f: fn(i64) -> i64 = $f;
                of_time::<Int32Type>(args, |micros| f(micros) as i32)
            })
        };
    }
    vec![
        field!("time_hour", |m| m / MICROS_PER_HOUR),
        field!("time_minute", |m| m / MICROS_PER_MINUTE % 60),
        field!("time_second", |m| m / MICROS_PER_SECOND % 60),
        Udf::new("time_second_fraction", Ret::Fixed(Arrow::Decimal128(8, 6)), |args| {
            of_time::<Decimal128Type>(args, |micros| i128::from(micros % MICROS_PER_MINUTE))
        }),
        Udf::new("spark_time_to_seconds", Ret::Fixed(Arrow::Decimal128(14, 6)), |args| {
            of_time::<Decimal128Type>(args, i128::from)
        }),
        Udf::new("spark_time_to_millis", Ret::Fixed(Arrow::Int64), |args| {
            of_time::<Int64Type>(args, |micros| micros / 1000)
        }),
        Udf::new("spark_time_to_micros", Ret::Fixed(Arrow::Int64), |args| of_time::<Int64Type>(args, |micros| micros)),
        Udf::new("spark_time_from_micros_ansi", time(), |args| {
            let (n, unit) = (args.primitive::<Int64Type>(0)?, args.primitive::<Int64Type>(1)?);
            numbers::<Time64NanosecondType>(args, |row| match (n.get(row), unit.get(row)) {
                (Some(n), Some(unit)) => in_a_day(i128::from(n) * i128::from(unit) * 1000).map(Some),
                _ => Ok(None),
            })
        }),
        Udf::new("spark_time_from_decimal_ansi", time(), |args| {
            let seconds = args.primitive::<Decimal128Type>(0)?;
            let doubles = if args.len() > 1 { Some(args.primitive::<Float64Type>(1)?) } else { None };
            numbers::<Time64NanosecondType>(args, |row| match seconds.get(row) {
                // Infinity has become a null decimal.
                None if doubles.as_ref().and_then(|d| d.get(row)).is_some_and(|d| !d.is_finite()) => {
                    in_a_day(i128::MAX).map(Some)
                }
                Some(s) => in_a_day(s * 1000).map(Some),
                None => Ok(None),
            })
        }),
        Udf::new("spark_make_time_ansi", time(), make_time),
        Udf::new("spark_to_time_ansi", time(), |a| to_time(a, EvalMode::Ansi)),
        Udf::new("spark_to_time_try", time(), |a| to_time(a, EvalMode::Try)),
        Udf::new("spark_time_trunc_ansi", time(), |args| {
            let (units, times) = (args.text(0)?, args.primitive::<Time64NanosecondType>(1)?);
            numbers::<Time64NanosecondType>(args, |row| match (units.get(row), times.get(row)) {
                (Some(unit), Some(t)) => {
                    let size = unit_nanos("time_trunc", unit)?;
                    Ok(Some(t - t % size))
                }
                _ => Ok(None),
            })
        }),
        Udf::new("spark_time_diff_ansi", Ret::Fixed(Arrow::Int64), |args| {
            let units = args.text(0)?;
            let (a, b) = (args.primitive::<Time64NanosecondType>(1)?, args.primitive::<Time64NanosecondType>(2)?);
            numbers::<Int64Type>(args, |row| match (units.get(row), a.get(row), b.get(row)) {
                (Some(unit), Some(a), Some(b)) => Ok(Some((b - a) / unit_nanos("time_diff", unit)?)),
                _ => Ok(None),
            })
        }),
        Udf::new("time_minus", Ret::Fixed(Arrow::Duration(TimeUnit::Microsecond)), |args| {
            let (a, b) = (args.primitive::<Time64NanosecondType>(0)?, args.primitive::<Time64NanosecondType>(1)?);
            numbers::<DurationMicrosecondType>(args, |row| Ok(a.get(row).zip(b.get(row)).map(|(a, b)| (a - b) / 1000)))
        }),
        Udf::new("time_add_ansi", time(), |a| add(a, false)),
        Udf::new("time_add_try", time(), |a| add(a, true)),
        Udf::new("timestamp_of_date_and_time", Ret::By(timestamp_type), timestamp_of),
    ]
}

/// A number of the microseconds of a time.
fn of_time<T: ArrowPrimitiveType>(args: &Args<'_>, f: impl Fn(i64) -> T::Native) -> DfResult<ArrayRef> {
    let times = args.primitive::<Time64NanosecondType>(0)?;
    numbers::<T>(args, |row| Ok(times.get(row).map(|t| f(t / 1000))))
}

fn in_a_day(nanos: i128) -> DfResult<i64> {
    match i64::try_from(nanos) {
        Ok(nanos) if (0..NANOS_PER_DAY).contains(&nanos) => Ok(nanos),
        _ => Err(external(out_of_bounds(format!(
            "Invalid TIME value: must be between 00:00:00 and 23:59:59.999999999, but got {nanos} nanoseconds"
        )))),
    }
}

fn out_of_bounds(message: String) -> SparkError {
    SparkError::new("DATETIME_FIELD_OUT_OF_BOUNDS.WITHOUT_SUGGESTION", "22023", message.clone())
        .param("rangeMessage", message)
}

fn unit_nanos(function: &str, unit: &str) -> DfResult<i64> {
    Ok(match unit.to_ascii_uppercase().as_str() {
        "HOUR" => MICROS_PER_HOUR * 1000,
        "MINUTE" => MICROS_PER_MINUTE * 1000,
        "SECOND" => MICROS_PER_SECOND * 1000,
        "MILLISECOND" => 1_000_000,
        "MICROSECOND" => 1000,
        _ => {
            let message = format!(
                "expects one of the units 'HOUR', 'MINUTE', 'SECOND', 'MILLISECOND', 'MICROSECOND', but got '{unit}'."
            );
            let error = errors::invalid_parameter("TIME_UNIT", function, "unit", message);
            return Err(external(error.param("invalidValue", format!("'{unit}'"))));
        }
    })
}

fn make_time(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (hour, minute) = (args.primitive::<Int32Type>(0)?, args.primitive::<Int32Type>(1)?);
    let second = args.primitive::<Decimal128Type>(2)?;
    let wrong = |field: &str, most: i32, given: i128| {
        Err(external(out_of_bounds(format!("Invalid value for {field} (valid values 0 - {most}): {given}"))))
    };
    numbers::<Time64NanosecondType>(args, |row| {
        let (Some(h), Some(m), Some(s)) = (hour.get(row), minute.get(row), second.get(row)) else { return Ok(None) };
        if !(0..24).contains(&h) {
            return wrong("HourOfDay", 23, i128::from(h));
        }
        if !(0..60).contains(&m) {
            return wrong("MinuteOfHour", 59, i128::from(m));
        }
        match i64::try_from(s) {
            Ok(s) if (0..60 * MICROS_PER_SECOND).contains(&s) => {
                Ok(Some((i64::from(h) * MICROS_PER_HOUR + i64::from(m) * MICROS_PER_MINUTE + s) * 1000))
            }
            _ => wrong("SecondOfMinute", 59, s / i128::from(MICROS_PER_SECOND)),
        }
    })
}

/// Where a function has a form that tolerates, a pattern that is none is an error that names it.
pub(super) fn with_suggestion(error: SparkError, pattern: &str) -> SparkError {
    if error.class() != "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER" {
        return error;
    }
    SparkError::new(
        "INVALID_DATETIME_PATTERN.WITH_SUGGESTION",
        "22007",
        format!(
            "Unrecognized datetime pattern: '{pattern}'. You can form a valid datetime pattern with the guide from \
             'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'."
        ),
    )
    .param("pattern", format!("'{pattern}'"))
    .param("docroot", "https://spark.apache.org/docs/latest")
}

fn to_time(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let formats = if args.len() > 1 { Some(args.text(1)?) } else { None };
    numbers::<Time64NanosecondType>(args, |row| {
        let Some(t) = texts.get(row) else { return Ok(None) };
        let format = match &formats {
            Some(formats) => match formats.get(row) {
                Some(format) => Some(format),
                None => return Ok(None),
            },
            None => None,
        };
        let parsed = match format {
            Some(format) => match Pattern::cached(format, Purpose::Parse) {
                Ok(pattern) => pattern.parse(t).and_then(|p| p.time()).map(|m| m * 1000),
                Err(_) if mode == EvalMode::Try => None,
                Err(error) => return Err(external(with_suggestion(error, format))),
            },
            None => text::parse_time(t),
        };
        match (parsed, mode) {
            (Some(v), _) => Ok(Some(v)),
            (None, EvalMode::Try) => Ok(None),
            (None, _) => {
                let shown = format.map_or_else(|| "'HH:mm:ss.SSSSSS'".to_owned(), |f| format!("'{f}'"));
                Err(external(
                    SparkError::new(
                        "CANNOT_PARSE_TIME",
                        "22010",
                        format!("The input string '{t}' cannot be parsed to a TIME value because it does not match to the datetime format {shown}."),
                    )
                    .param("input", format!("'{t}'"))
                    .param("format", shown),
                ))
            }
        }
    })
}

fn add(args: &Args<'_>, tolerate: bool) -> DfResult<ArrayRef> {
    let (times, micros) = (args.primitive::<Time64NanosecondType>(0)?, args.primitive::<DurationMicrosecondType>(1)?);
    let sign = args.primitive::<Int32Type>(2)?;
    numbers::<Time64NanosecondType>(args, |row| {
        let (Some(t), Some(m), Some(sign)) = (times.get(row), micros.get(row), sign.get(row)) else { return Ok(None) };
        let sum = i128::from(t) + i128::from(m) * 1000 * i128::from(sign);
        match i64::try_from(sum) {
            Ok(sum) if (0..NANOS_PER_DAY).contains(&sum) => Ok(Some(sum)),
            _ if tolerate => Ok(None),
            _ => Err(external(errors::datetime_overflow("add interval to a time"))),
        }
    })
}

fn timestamp_type(args: &[Arrow]) -> DfResult<Arrow> {
    Ok(Arrow::Timestamp(TimeUnit::Microsecond, if args.len() > 2 { crate::types::utc() } else { None }))
}

/// `(date, time)`: a time without zone; `(date, time, zone)`: an instant.
fn timestamp_of(args: &Args<'_>) -> DfResult<ArrayRef> {
    use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
    let (dates, times) = (args.primitive::<Date32Type>(0)?, args.primitive::<Time64NanosecondType>(1)?);
    let zones = if args.len() > 2 { Some(args.text(2)?) } else { None };
    numbers::<TimestampMicrosecondType>(args, |row| {
        let (Some(d), Some(t)) = (dates.get(row), times.get(row)) else { return Ok(None) };
        let local = i64::from(d) * MICROS_PER_DAY + t / 1000;
        match &zones {
            None => Ok(Some(local)),
            Some(zones) => match zones.get(row) {
                Some(zone) => Ok(Some(Zone::parse(zone).map_err(external)?.to_utc(local))),
                None => Ok(None),
            },
        }
    })
}

/// A TIME, or a text that is cast to one.
pub(super) fn time_argument(ctx: &FunctionContext, name: &str, index: usize, arg: Typed) -> SparkResult<Typed> {
    match arg.data_type {
        DataType::Time(_) => Ok(arg),
        DataType::Null => literal::null(&MICROS),
        ref t if t.is_string() => coercion::implicit(ctx, arg, &MICROS),
        _ => Err(errors::unexpected_input(name, index, "TIME", &arg)),
    }
}

/// `time ± interval`, `time - time`; nothing for other types.
pub(crate) fn arithmetic(
    ctx: &FunctionContext,
    minus: bool,
    left: &Typed,
    right: &Typed,
    mode: EvalMode,
) -> Option<SparkResult<Typed>> {
    use DataType::{DayTimeInterval, Null, Time};
    let (l, r) = (&left.data_type, &right.data_type);
    let difference = DayTimeInterval { start: DayTimeField::Hour, end: DayTimeField::Second };
    Some(match (l, r) {
        (Time(p), DayTimeInterval { end, .. }) => shifted(left.clone(), right.clone(), *p, *end, minus, mode),
        (DayTimeInterval { end, .. }, Time(p)) if !minus => shifted(right.clone(), left.clone(), *p, *end, false, mode),
        (Time(_), Null) | (Null, Time(_)) if !minus => literal::null(if *l == Null { r } else { l }),
        (Time(_), other) | (other, Time(_))
            if minus && (matches!(other, Time(_) | Null) || (ctx.ansi && other.is_string())) =>
        {
            let sides = time_argument(ctx, "-", 0, left.clone())
                .and_then(|l| time_argument(ctx, "-", 1, right.clone()).map(|r| (l, r)));
            sides.and_then(|(l, r)| {
                let nullable = l.nullable || r.nullable;
                Ok(Typed::new(call("time_minus", vec![l.expr, r.expr])?, difference, nullable))
            })
        }
        _ => return None,
    })
}

fn shifted(
    time: Typed,
    interval: Typed,
    precision: u8,
    end: DayTimeField,
    minus: bool,
    mode: EvalMode,
) -> SparkResult<Typed> {
    let precision = if end == DayTimeField::Second { 6 } else { precision };
    let nullable = time.nullable || interval.nullable || mode == EvalMode::Try;
    let udf = if mode == EvalMode::Try { "time_add_try" } else { "time_add_ansi" };
    let sign = literal::int(if minus { -1 } else { 1 });
    let expr = call(udf, vec![time.expr, interval.expr, sign.expr])?;
    Ok(Typed::new(expr, DataType::Time(precision), nullable))
}

fn from_number(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>, unit: i64) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = args.remove(0);
    if value.data_type.is_string() {
        return Err(errors::unexpected_input(name, 0, "NUMERIC", &value));
    }
    let value = want(ctx, name, 0, 'l', value)?;
    let nullable = value.nullable;
    let unit = literal::of(ScalarValue::Int64(Some(unit)), DataType::Long);
    Ok(Typed::new(call("spark_time_from_micros_ansi", vec![value.expr, unit.expr])?, MICROS, nullable))
}

fn to_number(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    mut args: Vec<Typed>,
    to: DataType,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let time = time_argument(ctx, name, 0, args.remove(0))?;
    let nullable = time.nullable;
    Ok(Typed::new(call(udf, vec![time.expr])?, to, nullable))
}

fn to_time_call(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>, mode: EvalMode) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let mut nullable = mode == EvalMode::Try;
    let mut exprs = Vec::with_capacity(2);
    for (i, arg) in args.into_iter().enumerate() {
        if !arg.data_type.is_string() && arg.data_type != DataType::Null {
            return Err(errors::unexpected_input("to_time", i, "STRING", &arg));
        }
        let arg = want(ctx, "to_time", i, 's', arg)?;
        nullable |= arg.nullable;
        exprs.push(arg.expr);
    }
    let udf = if mode == EvalMode::Try { "spark_to_time_try" } else { "spark_to_time_ansi" };
    Ok(Typed::new(call(udf, exprs)?, MICROS, nullable))
}

fn current_time(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 0, 1)?;
    let precision = match args.pop() {
        None => 6,
        Some(arg) => {
            let Some(constant) = literal::fold(&arg) else {
                return Err(errors::non_foldable(name, "precision", &arg));
            };
            match constant {
                ScalarValue::Int32(Some(p @ 0..=6)) => p as u8,
                _ => {
                    return Err(errors::datatype_mismatch(
                        "VALUE_OUT_OF_RANGE",
                        format_args!("{name}(…)"),
                        format_args!("The precision must be between [0, 6] (current value = {}).", arg.sql()),
                    ));
                }
            }
        }
    };
    let local = Zone::parse(&ctx.time_zone)?.to_local(ctx.now_micros).rem_euclid(MICROS_PER_DAY);
    let unit = 10i64.pow(6 - u32::from(precision));
    let nanos = local / unit * unit * 1000;
    Ok(literal::of(ScalarValue::Time64Nanosecond(Some(nanos)), DataType::Time(precision)))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("make_time", |ctx, name, mut args| {
            check_count(name, args.len(), 3, 3)?;
            if args.iter().any(Typed::is_null_literal) {
                return literal::null(&MICROS);
            }
            let second = coercion::implicit(ctx, args.remove(2), &coercion::decimal(16, 6))?;
            let minute = want(ctx, name, 1, 'i', args.remove(1))?;
            let hour = want(ctx, name, 0, 'i', args.remove(0))?;
            let nullable = hour.nullable || minute.nullable || second.nullable;
            Ok(Typed::new(call("spark_make_time_ansi", vec![hour.expr, minute.expr, second.expr])?, MICROS, nullable))
        }),
        F::resolve("to_time", |c, n, a| to_time_call(c, n, a, EvalMode::Ansi)),
        F::resolve("try_to_time", |c, n, a| to_time_call(c, n, a, EvalMode::Try)),
        F::resolve("current_time", current_time),
        F::resolve("time_trunc", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let time = time_argument(ctx, name, 1, args.remove(1))?;
            let unit = want(ctx, name, 0, 's', args.remove(0))?;
            let nullable = time.nullable || unit.nullable;
            let data_type = time.data_type.clone();
            Ok(Typed::new(call("spark_time_trunc_ansi", vec![unit.expr, time.expr])?, data_type, nullable))
        }),
        F::resolve("time_diff", |ctx, name, mut args| {
            check_count(name, args.len(), 3, 3)?;
            let end = time_argument(ctx, name, 2, args.remove(2))?;
            let start = time_argument(ctx, name, 1, args.remove(1))?;
            let unit = want(ctx, name, 0, 's', args.remove(0))?;
            let nullable = unit.nullable || start.nullable || end.nullable;
            let expr = call("spark_time_diff_ansi", vec![unit.expr, start.expr, end.expr])?;
            Ok(Typed::new(expr, DataType::Long, nullable))
        }),
        F::resolve("time_from_seconds", |ctx, name, mut args| match args.first().map(|a| &a.data_type) {
            Some(DataType::Decimal { .. } | DataType::Float | DataType::Double) => {
                check_count(name, args.len(), 1, 1)?;
                let given = args.remove(0);
                let value = coercion::implicit(ctx, given.clone(), &coercion::decimal(38, 6))?;
                let nullable = value.nullable;
                let mut exprs = vec![value.expr];
                if !matches!(given.data_type, DataType::Decimal { .. }) {
                    exprs.push(coercion::implicit(ctx, given, &DataType::Double)?.expr);
                }
                Ok(Typed::new(call("spark_time_from_decimal_ansi", exprs)?, MICROS, nullable))
            }
            _ => from_number(ctx, name, args, MICROS_PER_SECOND),
        }),
        F::resolve("time_from_millis", |c, n, a| from_number(c, n, a, 1000)),
        F::resolve("time_from_micros", |c, n, a| from_number(c, n, a, 1)),
        F::resolve("time_to_seconds", |c, n, a| to_number(c, n, "spark_time_to_seconds", a, coercion::decimal(14, 6))),
        F::resolve("time_to_millis", |c, n, a| to_number(c, n, "spark_time_to_millis", a, DataType::Long)),
        F::resolve("time_to_micros", |c, n, a| to_number(c, n, "spark_time_to_micros", a, DataType::Long)),
    ]
}
