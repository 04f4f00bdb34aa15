//! Dates and times by pattern: `to_timestamp`, `date_format`, `unix_timestamp` and their kin.

use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    datatypes::{DataType as Arrow, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkResult};

use super::{
    calendar::MICROS_PER_SECOND,
    pattern::{Pattern, Purpose},
    time::with_suggestion,
    zone::Zone,
};
use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Text, Udf, call, numbers, strings, text_literal},
};

const DEFAULT_FORMAT: &str = "yyyy-MM-dd HH:mm:ss";

pub(super) fn udfs() -> Vec<Udf> {
    let micros = |zone: Option<Arc<str>>| Ret::Fixed(Arrow::Timestamp(TimeUnit::Microsecond, zone));
    let utc = crate::types::utc;
    vec![
        Udf::new("parse_timestamp_ansi", micros(utc()), |a| parse(a, EvalMode::Ansi, false)),
        Udf::new("parse_timestamp_legacy", micros(utc()), |a| parse(a, EvalMode::Legacy, false)),
        Udf::new("parse_timestamp_try", micros(utc()), |a| parse(a, EvalMode::Try, false)),
        Udf::new("parse_timestamp_ntz_ansi", micros(None), |a| parse(a, EvalMode::Ansi, true)),
        Udf::new("parse_timestamp_ntz_legacy", micros(None), |a| parse(a, EvalMode::Legacy, true)),
        Udf::new("parse_timestamp_ntz_try", micros(None), |a| parse(a, EvalMode::Try, true)),
        Udf::new("spark_date_format", Ret::Fixed(Arrow::Utf8), date_format),
        Udf::new("spark_from_unixtime", Ret::Fixed(Arrow::Utf8), from_unixtime),
        Udf::new("timestamp_to_seconds", Ret::Fixed(Arrow::Int64), |args| {
            let times = args.primitive::<TimestampMicrosecondType>(0)?;
            numbers::<Int64Type>(args, |row| Ok(times.get(row).map(|t| t.div_euclid(MICROS_PER_SECOND))))
        }),
    ]
}

/// The pattern argument, compiled once when it is the same for all rows.
struct Patterns {
    constant: Option<Arc<Pattern>>,
    texts: Text,
    purpose: Purpose,
}

impl Patterns {
    fn new(args: &Args<'_>, index: usize, purpose: Purpose) -> DfResult<Self> {
        let constant = match args.constant_text(index) {
            Some(p) => Some(Pattern::cached(p, purpose).map_err(external)?),
            None => None,
        };
        Ok(Self { constant, texts: args.text(index)?, purpose })
    }

    fn get(&self, row: usize) -> DfResult<Option<Arc<Pattern>>> {
        if let Some(p) = &self.constant {
            return Ok(Some(Arc::clone(p)));
        }
        match self.texts.get(row) {
            Some(p) => Pattern::cached(p, self.purpose).map(Some).map_err(external),
            None => Ok(None),
        }
    }
}

fn purpose_for(ntz: bool) -> Purpose {
    if ntz { Purpose::ParseNtz } else { Purpose::Parse }
}

fn parse(args: &Args<'_>, mode: EvalMode, ntz: bool) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, purpose_for(ntz))?;
    let zone = if ntz { Zone::UTC } else { Zone::parse(args.parameter(2)?).map_err(external)? };
    let read = |pattern: &Pattern, text: &str| {
        let parsed = pattern.parse(text);
        let value = if ntz { parsed.and_then(|p| p.local()) } else { parsed.and_then(|p| p.instant(zone)) };
        match value {
            Some(v) => Ok(Some(v)),
            None if mode == EvalMode::Ansi => Err(external(errors::cannot_parse_timestamp(
                format!("Text '{text}' could not be parsed by the pattern"),
                "try_to_timestamp",
            ))),
            None => Ok(None),
        }
    };
    numbers::<TimestampMicrosecondType>(args, |row| {
        let Some(text) = texts.get(row) else { return Ok(None) };
        if let Some(pattern) = &patterns.constant {
            return read(pattern, text);
        }
        match patterns.get(row)? {
            Some(pattern) => read(&pattern, text),
            None => Ok(None),
        }
    })
}

fn date_format(args: &Args<'_>) -> DfResult<ArrayRef> {
    let times = args.primitive::<TimestampMicrosecondType>(0)?;
    let patterns = Patterns::new(args, 1, Purpose::Format)?;
    let zone = match arrow::array::Array::data_type(&times.array) {
        Arrow::Timestamp(_, None) => Zone::UTC,
        _ => Zone::parse(args.parameter(2)?).map_err(external)?,
    };
    strings(args, args.rows * 20, |row, out| {
        let (Some(t), Some(p)) = (times.get(row), patterns.get(row)?) else { return Ok(false) };
        p.format(out, t, zone);
        Ok(true)
    })
}

fn from_unixtime(args: &Args<'_>) -> DfResult<ArrayRef> {
    let seconds = args.primitive::<Int64Type>(0)?;
    let patterns = Patterns::new(args, 1, Purpose::Format)?;
    let zone = Zone::parse(args.parameter(2)?).map_err(external)?;
    strings(args, args.rows * 20, |row, out| {
        let (Some(s), Some(p)) = (seconds.get(row), patterns.get(row)?) else { return Ok(false) };
        p.format(out, s.wrapping_mul(MICROS_PER_SECOND), zone);
        Ok(true)
    })
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("to_timestamp", |c, n, a| to_timestamp(c, n, a, &c.timestamp_type, c.mode())),
        F::resolve("to_timestamp_ltz", |c, n, a| to_timestamp(c, n, a, &DataType::Timestamp, c.mode())),
        F::resolve("to_timestamp_ntz", |c, n, a| to_timestamp(c, n, a, &DataType::TimestampNtz, c.mode())),
        F::resolve("try_to_timestamp", |c, n, a| to_timestamp(c, n, a, &c.timestamp_type, EvalMode::Try)),
        F::resolve("to_date", |c, n, a| to_date(c, n, a, c.mode())),
        F::resolve("try_to_date", |c, n, a| to_date(c, n, a, EvalMode::Try)),
        F::resolve("date_format", |ctx, name, args| {
            check_count(name, args.len(), 2, 2)?;
            let mut args = args.into_iter();
            let (Some(time), Some(format)) = (args.next(), args.next()) else {
                return Err(errors::wrong_num_args(name, 2, 0));
            };
            let time = if time.data_type == DataType::TimestampNtz { time } else { want(ctx, name, 0, 'T', time)? };
            let format = want(ctx, name, 1, 's', format)?;
            check_pattern(&format, Purpose::Format)?;
            let nullable = time.nullable || format.nullable;
            let expr = call("spark_date_format", vec![time.expr, format.expr, text_literal(&ctx.time_zone)])?;
            Ok(Typed::new(expr, DataType::String, nullable))
        }),
        F::resolve("from_unixtime", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 2)?;
            let format = if args.len() > 1 { args.remove(1) } else { literal::text(DEFAULT_FORMAT) };
            let seconds = want(ctx, name, 0, 'l', args.remove(0))?;
            let format = want(ctx, name, 1, 's', format)?;
            check_pattern(&format, Purpose::Format)?;
            let nullable = seconds.nullable || format.nullable;
            let expr = call("spark_from_unixtime", vec![seconds.expr, format.expr, text_literal(&ctx.time_zone)])?;
            Ok(Typed::new(expr, DataType::String, nullable))
        }),
        F::resolve("unix_timestamp", unix_timestamp),
        F::resolve("to_unix_timestamp", unix_timestamp),
    ]
}

/// A bad pattern is an error when the statement is analyzed, as it is before the first row in Spark.
fn check_pattern(format: &Typed, purpose: Purpose) -> SparkResult<()> {
    match format.literal_text() {
        Some(p) => Pattern::cached(p, purpose).map(|_| ()),
        None => Ok(()),
    }
}

fn parsed(ctx: &FunctionContext, text: Typed, format: Typed, to: &DataType, mode: EvalMode) -> SparkResult<Typed> {
    let checked = check_pattern(&format, purpose_for(*to == DataType::TimestampNtz));
    checked.map_err(|e| match (to, format.literal_text()) {
        (DataType::TimestampNtz, Some(pattern)) => with_suggestion(e, pattern),
        _ => e,
    })?;
    let base = if *to == DataType::TimestampNtz { "parse_timestamp_ntz" } else { "parse_timestamp" };
    let nullable = text.nullable || format.nullable || mode != EvalMode::Ansi;
    let udf = format!("{base}_{}", mode.suffix());
    let expr = call(&udf, vec![text.expr, format.expr, text_literal(&ctx.time_zone)])?;
    Ok(Typed::new(expr, to.clone(), nullable))
}

fn to_timestamp(
    ctx: &FunctionContext,
    name: &'static str,
    mut args: Vec<Typed>,
    to: &DataType,
    mode: EvalMode,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    let format = if args.len() > 1 { args.pop() } else { None };
    let value = args.remove(0);
    match (&value.data_type, format) {
        (t, Some(format)) if t.is_string() => {
            let format = want(ctx, name, 1, 's', format)?;
            parsed(ctx, value, format, to, mode)
        }
        (t, _)
            if t.is_string()
                || t.is_numeric()
                || matches!(t, DataType::Date | DataType::Timestamp | DataType::TimestampNtz | DataType::Null) =>
        {
            cast::cast(ctx, value, to, mode)
        }
        _ => Err(errors::unexpected_input(
            name,
            0,
            "(\"STRING\" or \"DATE\" or \"TIMESTAMP\" or \"TIMESTAMP WITHOUT TIME ZONE\" or \"NUMERIC\")",
            &value,
        )),
    }
}

fn to_date(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>, mode: EvalMode) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 2)?;
    if args.len() == 1 {
        return cast::cast(ctx, args.remove(0), &DataType::Date, mode);
    }
    let time = to_timestamp(ctx, name, args, &DataType::Timestamp, mode)?;
    cast::cast(ctx, time, &DataType::Date, mode)
}

fn unix_timestamp(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), usize::from(name != "unix_timestamp"), 2)?;
    if args.is_empty() {
        let seconds = ctx.now_micros.div_euclid(MICROS_PER_SECOND);
        return Ok(literal::of(datafusion::scalar::ScalarValue::Int64(Some(seconds)), DataType::Long));
    }
    let format = if args.len() > 1 { args.remove(1) } else { literal::text(DEFAULT_FORMAT) };
    let value = args.remove(0);
    let time = match &value.data_type {
        t if t.is_string() => parsed(ctx, value, want(ctx, name, 1, 's', format)?, &DataType::Timestamp, ctx.mode())?,
        DataType::Date | DataType::Timestamp | DataType::TimestampNtz | DataType::Null => {
            coercion::implicit(ctx, value, &DataType::Timestamp)?
        }
        _ => {
            return Err(errors::unexpected_input(
                name,
                0,
                "(\"STRING\" or \"DATE\" or \"TIMESTAMP\" or \"TIMESTAMP WITHOUT TIME ZONE\")",
                &value,
            ));
        }
    };
    let nullable = time.nullable;
    Ok(Typed::new(call("timestamp_to_seconds", vec![time.expr])?, DataType::Long, nullable))
}
