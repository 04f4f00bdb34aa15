//! Spark's casts: which exist, and how each is evaluated.

mod intervals;
mod kernels;
mod nested;
pub(crate) mod numbers;
mod strings;

use datafusion::logical_expr::{Cast, Expr};
use firesteel_plan::{DataType, SparkResult};

pub(crate) use kernels::{Env, convert, time_unit};
pub(crate) use nested::convert_list;
pub(crate) use strings::{ParsedDecimal, parse_decimal, write_double, write_float, write_value};

use crate::{
    EvalMode, FunctionContext, Typed, coercion, errors, types,
    udf::{Args, Ret, Udf, call, text_literal, type_literal},
};

/// Casts a value, to a string where char(n) or varchar(n) is wanted. The same type is no cast at all.
pub fn cast(ctx: &FunctionContext, value: Typed, to: &DataType, mode: EvalMode) -> SparkResult<Typed> {
    let to = to.in_queries();
    let nullable = value.nullable || can_answer_null(&value.data_type, to, mode);
    if same_but_nulls(&value.data_type, to) {
        return Ok(Typed::new(value.expr, to.clone(), value.nullable));
    }
    if !can_cast(&value.data_type, to, mode) {
        return Err(errors::cannot_cast(&value, to, mode));
    }
    if value.is_null_literal() {
        return Ok(Typed::new(type_literal(to)?, to.clone(), true));
    }
    if let Some(cast) = crate::shapes::cast(&value, to) {
        return cast;
    }
    if let Some(cast) = crate::variant::cast(ctx, &value, to, mode) {
        return cast;
    }
    if types::to_arrow(&value.data_type)? == types::to_arrow(to)? && !differs_by_fields(&value.data_type, to) {
        return Ok(Typed::new(value.expr, to.clone(), nullable));
    }
    if is_native(&value.data_type, to) {
        let expr = Expr::Cast(Cast::new(Box::new(value.expr), types::to_arrow(to)?));
        return Ok(Typed::new(expr, to.clone(), nullable));
    }
    let name = match mode {
        EvalMode::Ansi => "cast_ansi",
        EvalMode::Legacy => "cast_legacy",
        EvalMode::Try => "cast_try",
    };
    let mut args = vec![value.expr, type_literal(to)?, text_literal(&ctx.time_zone)];
    // The fields of an interval and the precision of a time are not in the Arrow type.
    let needs_text = |t: &DataType| t.is_interval() || matches!(t, DataType::Time(_));
    if needs_text(&value.data_type) || needs_text(to) {
        args.push(text_literal(&value.data_type.to_string()));
        args.push(text_literal(&to.to_string()));
    }
    Ok(Typed::new(call(name, args)?, to.clone(), nullable))
}

fn differs_by_fields(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::DayTimeInterval { end: a, .. }, DataType::DayTimeInterval { end: b, .. }) => a > b,
        (DataType::YearMonthInterval { end: a, .. }, DataType::YearMonthInterval { end: b, .. }) => a > b,
        (DataType::Time(a), DataType::Time(b)) => a > b,
        _ => false,
    }
}

/// The same type when nullability of elements and fields is left out.
fn same_but_nulls(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::Array { element: x, .. }, DataType::Array { element: y, .. }) => same_but_nulls(x, y),
        (DataType::Map { key: k, value: v, .. }, DataType::Map { key: l, value: w, .. }) => {
            same_but_nulls(k, l) && same_but_nulls(v, w)
        }
        (DataType::Struct(x), DataType::Struct(y)) => {
            x.len() == y.len()
                && x.iter().zip(y).all(|(f, g)| f.name == g.name && same_but_nulls(&f.data_type, &g.data_type))
        }
        (x, y) if x.is_string() && y.is_string() => true,
        (x, y) => x == y,
    }
}

/// Casts that DataFusion's own expression evaluates exactly as Spark does.
fn is_native(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Null, _) => true,
        (Byte, Short | Integer | Long) | (Short, Integer | Long) | (Integer, Long) => true,
        (Byte | Short | Integer | Long, Float | Double) | (Float, Double) => true,
        (Boolean, Byte | Short | Integer | Long) => true,
        (Byte | Short | Integer | Long, Decimal { precision, scale }) => coercion::decimal_of_integral(from)
            .is_some_and(|(p, _)| i32::from(*precision) - i32::from(*scale) >= i32::from(p)),
        (Decimal { precision: p1, scale: s1 }, Decimal { precision: p2, scale: s2 }) => {
            s2 >= s1 && i32::from(*p2) - i32::from(*s2) >= i32::from(*p1) - i32::from(*s1)
        }
        (Byte | Short | Integer | Long, String) => true,
        (String, Binary) => true,
        _ => false,
    }
}

/// Whether the cast exists at all in this mode.
pub fn can_cast(from: &DataType, to: &DataType, mode: EvalMode) -> bool {
    use DataType::*;
    let ansi = mode != EvalMode::Legacy;
    match (from, to) {
        (a, b) if same_but_nulls(a, b) => true,
        (Null, _) => true,
        (Variant, _) | (_, Variant) => crate::variant::can_cast(from, to),
        (Geometry(_) | Geography(_), _) | (_, Geometry(_) | Geography(_)) => crate::shapes::can_cast(from, to),
        (_, String) => true,
        (a, b) if a.is_string() => !matches!(b, Null | Array { .. } | Map { .. } | Struct(_)),
        (a, b) if a.is_numeric() && b.is_numeric() => true,
        (Boolean, b) if b.is_numeric() => true,
        (a, Boolean) if a.is_numeric() => true,
        (a, Binary) if a.is_integral() => mode == EvalMode::Legacy,
        (a, Timestamp) if a.is_numeric() => true,
        (Timestamp, b) if b.is_numeric() => true,
        (Boolean, Timestamp) | (Timestamp, Boolean) => !ansi,
        (Date, b) if b.is_numeric() || *b == Boolean => !ansi,
        (Date | Timestamp | TimestampNtz, Date | Timestamp | TimestampNtz) => true,
        (Time(_), Time(_)) => true,
        (DayTimeInterval { .. }, DayTimeInterval { .. }) | (YearMonthInterval { .. }, YearMonthInterval { .. }) => true,
        (Time(_), b) => b.is_integral() || matches!(b, Decimal { .. }),
        (DayTimeInterval { .. } | YearMonthInterval { .. }, b) => b.is_integral() || matches!(b, Decimal { .. }),
        (a, DayTimeInterval { .. } | YearMonthInterval { .. }) => a.is_integral() || matches!(a, Decimal { .. }),
        (Array { element: a, .. }, Array { element: b, .. }) => can_cast(a, b, mode),
        (Map { key: a, value: b, .. }, Map { key: c, value: d, .. }) => can_cast(a, c, mode) && can_cast(b, d, mode),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| can_cast(&x.data_type, &y.data_type, mode))
        }
        _ => false,
    }
}

/// Whether every value of `from` has a value in `to` (views and encoders ask this).
pub fn can_up_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (a, b) if same_but_nulls(a, b) => true,
        (Null, _) => true,
        (Decimal { precision: p1, scale: s1 }, Decimal { precision: p2, scale: s2 }) => {
            s2 >= s1 && p2.saturating_sub(*s2 as u8) >= p1.saturating_sub(*s1 as u8)
        }
        (a, Decimal { precision, scale }) if a.is_integral() => coercion::decimal_of_integral(a)
            .is_some_and(|(p, _)| i32::from(*precision) - i32::from(*scale) >= i32::from(p)),
        (Byte, Short | Integer | Long | Float | Double)
        | (Short, Integer | Long | Float | Double)
        | (Integer, Long | Float | Double)
        | (Long, Float | Double)
        | (Float, Double) => true,
        (Date, Timestamp | TimestampNtz) | (Timestamp, TimestampNtz) | (TimestampNtz, Timestamp) => true,
        (Array { .. } | Map { .. } | Struct(_), String) => false,
        (_, String) => !matches!(from, Binary),
        (Array { element: a, .. }, Array { element: b, .. }) => can_up_cast(a, b),
        (Map { key: a, value: b, .. }, Map { key: c, value: d, .. }) => can_up_cast(a, c) && can_up_cast(b, d),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| can_up_cast(&x.data_type, &y.data_type))
        }
        _ => false,
    }
}

/// Whether INSERT takes a value of `from` for a column of `to` under the store assignment policy ANSI.
pub fn can_store(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (a, b) if same_but_nulls(a, b) => true,
        (Null, _) => true,
        (a, b) if a.is_numeric() && b.is_numeric() => true,
        (a, b) if b.is_string() => !matches!(a, Array { .. } | Map { .. } | Struct(_)),
        (Date | Timestamp | TimestampNtz, Date | Timestamp | TimestampNtz) => true,
        (DayTimeInterval { .. }, DayTimeInterval { .. }) | (YearMonthInterval { .. }, YearMonthInterval { .. }) => true,
        (Array { element: a, .. }, Array { element: b, .. }) => can_store(a, b),
        (Map { key: a, value: b, .. }, Map { key: c, value: d, .. }) => can_store(a, c) && can_store(b, d),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| can_store(&x.data_type, &y.data_type))
        }
        _ => false,
    }
}

fn can_answer_null(from: &DataType, to: &DataType, mode: EvalMode) -> bool {
    mode != EvalMode::Ansi && !is_native(from, to) && !same_but_nulls(from, to) && *to != DataType::String
}

pub(crate) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("cast_ansi", Ret::Arg(1), |args| evaluate(args, EvalMode::Ansi)),
        Udf::new("cast_legacy", Ret::Arg(1), |args| evaluate(args, EvalMode::Legacy)),
        Udf::new("cast_try", Ret::Arg(1), |args| evaluate(args, EvalMode::Try)),
    ]
}

fn evaluate(args: &Args<'_>, mode: EvalMode) -> datafusion::error::Result<arrow::array::ArrayRef> {
    let (values, constant) = args.short(0)?;
    let zone = crate::datetime::zone::Zone::parse(args.parameter(2)?).map_err(errors::external)?;
    let mut env = Env::new(mode, zone);
    let mut from = types::from_arrow(values.data_type()).map_err(errors::external)?;
    let mut to = types::from_arrow(args.return_type).map_err(errors::external)?;
    if args.len() > 4 {
        from = types::parse_said(args.parameter(3)?).unwrap_or(from);
        to = types::parse_said(args.parameter(4)?).unwrap_or(to);
    }
    env.function = "cast";
    let result = convert(&env, &values, &from, &to)?;
    if constant && args.rows != 1 {
        let index = arrow::array::UInt32Array::from(vec![0; args.rows]);
        return Ok(arrow::compute::take(&result, &index, None)?);
    }
    Ok(result)
}
