//! `+`, `-`, `*` and `/` of dates, times and intervals.

use arrow::datatypes::{DataType as Arrow, DurationMicrosecondType, Int64Type, IntervalUnit, IntervalYearMonthType};
use datafusion::logical_expr::Expr;
use firesteel_plan::{
    DataType, SparkResult,
    expr::BinaryOp,
    types::{DayTimeField, YearMonthField},
};

use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion, errors,
    errors::external,
    literal,
    udf::{Ret, Udf, call, numbers, text_literal},
};

fn is_day_time(t: &DataType) -> bool {
    matches!(t, DataType::DayTimeInterval { .. })
}

fn is_year_month(t: &DataType) -> bool {
    matches!(t, DataType::YearMonthInterval { .. })
}

fn is_datetime(t: &DataType) -> bool {
    matches!(t, DataType::Date | DataType::Timestamp | DataType::TimestampNtz)
}

/// Nothing when neither side is a date, a time or an interval: numbers then.
pub(super) fn resolve(
    ctx: &FunctionContext,
    op: BinaryOp,
    left: &Typed,
    right: &Typed,
    mode: EvalMode,
) -> Option<SparkResult<Typed>> {
    use DataType::*;
    let (l, r) = (&left.data_type, &right.data_type);
    if matches!(op, BinaryOp::Plus | BinaryOp::Minus)
        && let Some(found) = crate::datetime::time::arithmetic(ctx, op == BinaryOp::Minus, left, right, mode)
    {
        return Some(found);
    }
    let (left, right) = (left.clone(), right.clone());
    Some(match op {
        BinaryOp::Plus => match (l, r) {
            (a, b) if is_datetime(a) && b.is_interval() => add(ctx, left, right, false, mode),
            (a, b) if a.is_interval() && is_datetime(b) => add(ctx, right, left, false, mode),
            (Date, b) if b.is_integral() => days(ctx, left, right, "date_add"),
            (a, Date) if a.is_integral() => days(ctx, right, left, "date_add"),
            (Date, Null) => coercion::implicit(ctx, right, &Timestamp),
            (Null, Date) => coercion::implicit(ctx, left, &Timestamp),
            (a, b) if a.is_interval() || b.is_interval() => match intervals(ctx, op, left.clone(), right.clone(), mode)
            {
                Some(sum) => sum,
                None if is_span(b) => of_text(ctx, left, right, false, mode),
                None if is_span(a) => of_text(ctx, right, left, false, mode),
                None => return None,
            },
            (Date, _) => Err(errors::unexpected_input("date_add", 1, WHOLE_DAYS, &right)),
            (_, Date) => Err(errors::unexpected_input("date_add", 1, WHOLE_DAYS, &left)),
            _ => return None,
        },
        BinaryOp::Minus => match (l, r) {
            (a, b) if is_datetime(a) && b.is_interval() => add(ctx, left, right, true, mode),
            (Date, Date) => difference(left, right, "date_minus", DAYS),
            (Date, s) if s.is_string() => {
                coercion::implicit(ctx, right, &Date).and_then(|r| difference(left, r, "date_minus", DAYS))
            }
            (s, Date) if s.is_string() => {
                coercion::implicit(ctx, left, &Date).and_then(|l| difference(l, right, "date_minus", DAYS))
            }
            (Date, b) if b.is_integral() => days(ctx, left, right, "date_sub"),
            (Date, Null) => coercion::implicit(ctx, right, &Date).and_then(|r| difference(left, r, "date_minus", DAYS)),
            (Timestamp | TimestampNtz, _) | (_, Timestamp | TimestampNtz)
                if (is_datetime(l) || l.is_string() || *l == Null)
                    && (is_datetime(r) || r.is_string() || *r == Null) =>
            {
                timestamps(ctx, left, right)
            }
            (a, b) if a.is_interval() || b.is_interval() => match intervals(ctx, op, left.clone(), right.clone(), mode)
            {
                Some(difference) => difference,
                None if is_span(b) => of_text(ctx, left, right, true, mode),
                None => return None,
            },
            (Timestamp | TimestampNtz, _) => Err(errors::unexpected_input("-", 1, A_TIMESTAMP, &right)),
            (_, Timestamp | TimestampNtz) => Err(errors::unexpected_input("-", 0, A_TIMESTAMP, &left)),
            (_, Date) => Err(errors::unexpected_input("-", 0, "DATE", &left)),
            (Date, _) => Err(errors::unexpected_input("date_sub", 1, WHOLE_DAYS, &right)),
            _ => return None,
        },
        BinaryOp::Multiply if l.is_interval() && (r.is_numeric() || r.is_string()) => scale(ctx, op, left, right, mode),
        BinaryOp::Multiply if r.is_interval() && (l.is_numeric() || l.is_string()) => scale(ctx, op, right, left, mode),
        BinaryOp::Divide if l.is_interval() && (r.is_numeric() || r.is_string()) => scale(ctx, op, left, right, mode),
        BinaryOp::Multiply | BinaryOp::Divide if l.is_interval() && *r != Null => {
            Err(errors::unexpected_input(op.symbol(), 1, "NUMERIC", &right))
        }
        BinaryOp::Multiply if r.is_interval() && *l != Null => {
            Err(errors::unexpected_input(op.symbol(), 1, "NUMERIC", &left))
        }
        _ => return None,
    })
}

/// `interval div interval` of one kind, how often the one goes into the other; nothing of anything else.
pub(super) fn whole_quotient(left: &Typed, right: &Typed) -> Option<SparkResult<Typed>> {
    let kind: fn(&DataType) -> bool = match (&left.data_type, &right.data_type) {
        (a, b) if is_year_month(a) || is_year_month(b) => is_year_month,
        (a, b) if is_day_time(a) || is_day_time(b) => is_day_time,
        _ => return None,
    };
    let null = |t: &DataType| *t == DataType::Null;
    if [left, right].iter().any(|v| !kind(&v.data_type) && !null(&v.data_type)) {
        return None;
    }
    if null(&left.data_type) || null(&right.data_type) {
        return Some(literal::null(&DataType::Long));
    }
    let nullable = left.nullable || right.nullable;
    let expr = call("interval_quotient_ansi", vec![left.expr.clone(), right.expr.clone()]);
    Some(expr.map(|expr| Typed::new(expr, DataType::Long, nullable)))
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![Udf::new("interval_quotient_ansi", Ret::Fixed(Arrow::Int64), |args| {
        let quotient = |a: i64, b: i64| match a.checked_div(b) {
            Some(quotient) => Ok(Some(quotient)),
            None if b == 0 => Err(external(errors::divide_by_zero())),
            None => Err(external(errors::arithmetic_overflow("Overflow in integral divide", "try_divide"))),
        };
        if args.array(0)?.data_type() == &Arrow::Interval(IntervalUnit::YearMonth) {
            let (a, b) = (args.primitive::<IntervalYearMonthType>(0)?, args.primitive::<IntervalYearMonthType>(1)?);
            return numbers::<Int64Type>(args, |row| match (a.get(row), b.get(row)) {
                (Some(a), Some(b)) => quotient(i64::from(a), i64::from(b)),
                _ => Ok(None),
            });
        }
        let (a, b) = (args.primitive::<DurationMicrosecondType>(0)?, args.primitive::<DurationMicrosecondType>(1)?);
        numbers::<Int64Type>(args, |row| match (a.get(row), b.get(row)) {
            (Some(a), Some(b)) => quotient(a, b),
            _ => Ok(None),
        })
    })]
}

const WHOLE_DAYS: &str = "(\"INT\" or \"SMALLINT\" or \"TINYINT\")";
const A_TIMESTAMP: &str = "(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)";

/// An interval that a timestamp may be moved by.
fn is_span(t: &DataType) -> bool {
    is_day_time(t) || *t == DataType::CalendarInterval
}

/// A text that is a timestamp, moved by an interval, is text again.
fn of_text(ctx: &FunctionContext, text: Typed, interval: Typed, minus: bool, mode: EvalMode) -> SparkResult<Typed> {
    if !text.data_type.is_string() {
        return Err(errors::unexpected_input(if minus { "-" } else { "+" }, 0, A_TIMESTAMP, &text));
    }
    let time = coercion::implicit(ctx, text, &DataType::Timestamp)?;
    cast::cast(ctx, add(ctx, time, interval, minus, mode)?, &DataType::String, ctx.mode())
}

const DAYS: DataType = DataType::DayTimeInterval { start: DayTimeField::Day, end: DayTimeField::Day };

fn difference(left: Typed, right: Typed, udf: &str, data_type: DataType) -> SparkResult<Typed> {
    let nullable = left.nullable || right.nullable;
    Ok(Typed::new(call(udf, vec![left.expr, right.expr])?, data_type, nullable))
}

fn timestamps(ctx: &FunctionContext, left: Typed, right: Typed) -> SparkResult<Typed> {
    let common = match (&left.data_type, &right.data_type) {
        (DataType::Timestamp, _) | (_, DataType::Timestamp) => DataType::Timestamp,
        _ => DataType::TimestampNtz,
    };
    let left = coercion::implicit(ctx, left, &common)?;
    let right = coercion::implicit(ctx, right, &common)?;
    let nullable = left.nullable || right.nullable;
    let expr = call("timestamp_minus", vec![left.expr, right.expr, text_literal(&ctx.time_zone)])?;
    Ok(Typed::new(expr, coercion::SECONDS, nullable))
}

fn days(ctx: &FunctionContext, date: Typed, days: Typed, function: &str) -> SparkResult<Typed> {
    super::function(ctx, function, vec![date, days])
}

/// A date or timestamp plus (or minus) an interval.
fn add(ctx: &FunctionContext, time: Typed, interval: Typed, minus: bool, mode: EvalMode) -> SparkResult<Typed> {
    let nullable = time.nullable || interval.nullable || mode == EvalMode::Try;
    // A whole number of days keeps a date a date; hours make it a timestamp.
    let time = match (&time.data_type, &interval.data_type) {
        (DataType::Date, t) if is_day_time(t) && *t != DAYS => coercion::implicit(ctx, time, &DataType::Timestamp)?,
        _ => time,
    };
    let data_type = time.data_type.clone();
    let sign = crate::literal::int(if minus { -1 } else { 1 }).expr;
    let name = match (is_year_month(&interval.data_type), mode) {
        (true, EvalMode::Try) => "add_year_month_try",
        (true, _) => "add_year_month_ansi",
        (false, EvalMode::Try) => "add_interval_try",
        (false, _) => "add_interval_ansi",
    };
    let expr = call(name, vec![time.expr, interval.expr, sign, text_literal(&ctx.time_zone)])?;
    Ok(Typed::new(expr, data_type, nullable))
}

fn intervals(
    ctx: &FunctionContext,
    op: BinaryOp,
    left: Typed,
    right: Typed,
    mode: EvalMode,
) -> Option<SparkResult<Typed>> {
    let common = match (&left.data_type, &right.data_type) {
        (DataType::Null, t) | (t, DataType::Null) => t.clone(),
        (DataType::CalendarInterval, DataType::CalendarInterval) => DataType::CalendarInterval,
        (a, b) if is_day_time(a) && is_day_time(b) => coercion::tightest_common_type(a, b, ctx.ansi)?,
        (a, b) if is_year_month(a) && is_year_month(b) => coercion::tightest_common_type(a, b, ctx.ansi)?,
        _ => return None,
    };
    let nullable = left.nullable || right.nullable || mode == EvalMode::Try;
    let name = format!(
        "interval_{}_{}",
        if op == BinaryOp::Plus { "add" } else { "subtract" },
        if mode == EvalMode::Try { "try" } else { "ansi" }
    );
    let sides = coercion::implicit(ctx, left, &common)
        .and_then(|l| coercion::implicit(ctx, right, &common).map(|r| (l.expr, r.expr)));
    Some(sides.and_then(|(l, r): (Expr, Expr)| Ok(Typed::new(call(&name, vec![l, r])?, common, nullable))))
}

fn scale(ctx: &FunctionContext, op: BinaryOp, interval: Typed, number: Typed, mode: EvalMode) -> SparkResult<Typed> {
    let number =
        if number.data_type.is_string() { coercion::implicit(ctx, number, &DataType::Double)? } else { number };
    // The kernel knows bigint, double and decimal.
    let number = match &number.data_type {
        t if t.is_integral() => coercion::implicit(ctx, number, &DataType::Long)?,
        DataType::Float => coercion::implicit(ctx, number, &DataType::Double)?,
        _ => number,
    };
    let data_type = match &interval.data_type {
        t if is_day_time(t) => coercion::SECONDS,
        t if is_year_month(t) => {
            DataType::YearMonthInterval { start: YearMonthField::Year, end: YearMonthField::Month }
        }
        t => t.clone(),
    };
    let nullable = interval.nullable || number.nullable || mode == EvalMode::Try;
    let name = format!(
        "interval_{}_{}",
        if op == BinaryOp::Multiply { "multiply" } else { "divide" },
        if mode == EvalMode::Try { "try" } else { "ansi" }
    );
    Ok(Typed::new(call(&name, vec![interval.expr, number.expr])?, data_type, nullable))
}
