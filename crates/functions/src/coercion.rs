//! Spark's implicit casts: which common type two sides get, under ANSI and under the legacy rules.

use firesteel_plan::{
    DataType, SparkResult,
    types::{DayTimeField, StructField},
};

use crate::{FunctionContext, Typed, cast, errors};

pub(crate) fn decimal(precision: u8, scale: i8) -> DataType {
    DataType::Decimal { precision, scale }
}

/// The decimal that holds every value of an integral type.
pub fn decimal_of_integral(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Byte => Some((3, 0)),
        DataType::Short => Some((5, 0)),
        DataType::Integer => Some((10, 0)),
        DataType::Long => Some((20, 0)),
        DataType::Decimal { precision, scale } => Some((*precision, *scale)),
        _ => None,
    }
}

/// Cuts a precision above 38, keeping at least 6 digits of the fraction.
pub fn adjust_precision_scale(precision: i32, scale: i32) -> (u8, i8) {
    if precision <= 38 {
        return (precision as u8, scale as i8);
    }
    let integral = precision - scale;
    let kept = (38 - integral).max(scale.min(6));
    (38, kept as i8)
}

/// The decimal that holds all values of both.
pub fn wider_decimal((p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> (u8, i8) {
    let scale = s1.max(s2) as i32;
    let integral = (p1 as i32 - s1 as i32).max(p2 as i32 - s2 as i32);
    if integral + scale <= 38 {
        ((integral + scale) as u8, scale as i8)
    } else {
        (38, (38 - integral).max(0).min(scale) as i8)
    }
}

fn numeric_rank(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Byte => 0,
        DataType::Short => 1,
        DataType::Integer => 2,
        DataType::Long => 3,
        DataType::Float => 4,
        DataType::Double => 5,
        _ => return None,
    })
}

fn datetime_rank(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Date => 0,
        DataType::TimestampNtz => 1,
        DataType::Timestamp => 2,
        _ => return None,
    })
}

/// The type both sides can be cast to without losing anything, with no help of strings or rounding.
pub fn tightest_common_type(left: &DataType, right: &DataType, ansi: bool) -> Option<DataType> {
    use DataType::*;
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Null, other) | (other, Null) => return Some(other.clone()),
        (a, b) if a.is_string() && b.is_string() => return Some(String),
        (Decimal { precision, scale }, other) | (other, Decimal { precision, scale }) if other.is_integral() => {
            let (p, _) = decimal_of_integral(other)?;
            return (*precision as i32 - *scale as i32 >= p as i32).then(|| decimal(*precision, *scale));
        }
        (DayTimeInterval { start: a, end: b }, DayTimeInterval { start: c, end: d }) => {
            return Some(DayTimeInterval { start: *a.min(c), end: *b.max(d) });
        }
        (YearMonthInterval { start: a, end: b }, YearMonthInterval { start: c, end: d }) => {
            return Some(YearMonthInterval { start: *a.min(c), end: *b.max(d) });
        }
        (Time(a), Time(b)) => return Some(Time(*a.max(b))),
        (Geometry(_), Geometry(_)) => return Some(Geometry(None)),
        (Geography(_), Geography(_)) => return Some(Geography(None)),
        _ => {}
    }
    if let (Some(a), Some(b)) = (numeric_rank(left), numeric_rank(right)) {
        let wider = if a > b { left } else { right };
        return Some(match wider {
            Float if ansi => Double,
            other => other.clone(),
        });
    }
    if let (Some(a), Some(b)) = (datetime_rank(left), datetime_rank(right)) {
        return Some(if a > b { left.clone() } else { right.clone() });
    }
    complex(left, right, &|a, b| tightest_common_type(a, b, ansi))
}

fn complex(
    left: &DataType,
    right: &DataType,
    inner: &dyn Fn(&DataType, &DataType) -> Option<DataType>,
) -> Option<DataType> {
    match (left, right) {
        (DataType::Array { element: a, contains_null: n }, DataType::Array { element: b, contains_null: m }) => {
            Some(DataType::Array { element: Box::new(inner(a, b)?), contains_null: *n || *m })
        }
        (
            DataType::Map { key: k1, value: v1, value_contains_null: n },
            DataType::Map { key: k2, value: v2, value_contains_null: m },
        ) => Some(DataType::Map {
            key: Box::new(inner(k1, k2)?),
            value: Box::new(inner(v1, v2)?),
            value_contains_null: *n || *m,
        }),
        (DataType::Struct(a), DataType::Struct(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .map(|(x, y)| {
                if !x.name.eq_ignore_ascii_case(&y.name) {
                    return None;
                }
                let data_type = inner(&x.data_type, &y.data_type)?;
                Some(StructField::new(x.name.clone(), data_type, x.nullable || y.nullable))
            })
            .collect::<Option<Vec<_>>>()
            .map(DataType::Struct),
        _ => None,
    }
}

fn with_decimals(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (DataType::Decimal { .. }, DataType::Float | DataType::Double)
        | (DataType::Float | DataType::Double, DataType::Decimal { .. }) => Some(DataType::Double),
        (DataType::Decimal { .. }, _) | (_, DataType::Decimal { .. }) => {
            let (p, s) = wider_decimal(decimal_of_integral(left)?, decimal_of_integral(right)?);
            Some(decimal(p, s))
        }
        _ => None,
    }
}

fn is_atomic(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Null
            | DataType::Array { .. }
            | DataType::Map { .. }
            | DataType::Struct(_)
            | DataType::CalendarInterval
            | DataType::Variant
            | DataType::Geometry(_)
            | DataType::Geography(_)
    )
}

/// ANSI: what a string becomes beside another type.
fn string_beside_ansi(other: &DataType) -> Option<DataType> {
    match other {
        DataType::DayTimeInterval { .. } | DataType::YearMonthInterval { .. } => None,
        t if t.is_integral() => Some(DataType::Long),
        DataType::Float | DataType::Double | DataType::Decimal { .. } => Some(DataType::Double),
        t if is_atomic(t) => Some(t.clone()),
        _ => None,
    }
}

/// The type of columns of a set operation, branches of CASE, arguments of coalesce, elements of an array.
pub fn common_type(left: &DataType, right: &DataType, ansi: bool) -> Option<DataType> {
    wider(left, right, ansi, &|beside_string| match beside_string {
        DataType::Binary | DataType::Boolean => None,
        t if is_atomic(t) => Some(DataType::String),
        _ => None,
    })
}

pub fn common_type_of<'a>(types: impl IntoIterator<Item = &'a DataType>, ansi: bool) -> Option<DataType> {
    let mut types = types.into_iter();
    let mut result = types.next()?.clone();
    for t in types {
        result = common_type(&result, t, ansi)?;
    }
    Some(result)
}

/// The type in which two values are compared.
pub fn comparison_type(left: &DataType, right: &DataType, ansi: bool) -> Option<DataType> {
    wider(left, right, ansi, &|beside_string| match beside_string {
        DataType::Decimal { scale, .. } if *scale > 0 => Some(DataType::Double),
        t if is_atomic(t) => Some(t.clone()),
        _ => None,
    })
}

/// A type for both. `legacy` says, without ANSI rules, what becomes of a string beside another type.
fn wider(
    left: &DataType,
    right: &DataType,
    ansi: bool,
    legacy: &dyn Fn(&DataType) -> Option<DataType>,
) -> Option<DataType> {
    if let Some(t) = tightest_common_type(left, right, ansi) {
        return Some(t);
    }
    if let Some(t) = with_decimals(left, right) {
        return Some(t);
    }
    let string_and = match (left, right) {
        (a, b) if a.is_string() => Some(b),
        (a, b) if b.is_string() => Some(a),
        _ => None,
    };
    match string_and {
        Some(other) if ansi => string_beside_ansi(other),
        Some(other) => legacy(other),
        None => complex(left, right, &|a, b| wider(a, b, ansi, legacy)),
    }
}

/// Casts all to their common type; `function` names them in the error.
pub fn unify(ctx: &FunctionContext, function: &str, values: Vec<Typed>) -> SparkResult<(Vec<Typed>, DataType)> {
    let Some(common) = common_type_of(values.iter().map(|v| &v.data_type), ctx.ansi) else {
        return Err(errors::data_diff_types(function, &values));
    };
    let values = values.into_iter().map(|v| implicit(ctx, v, &common)).collect::<SparkResult<_>>()?;
    Ok((values, common))
}

/// Casts a value to a type that the rules above chose.
pub fn implicit(ctx: &FunctionContext, value: Typed, to: &DataType) -> SparkResult<Typed> {
    if value.data_type == *to {
        return Ok(value);
    }
    cast::cast(ctx, value, to, ctx.mode())
}

/// Whether a function that wants `to` takes a value of type `from` with an implicit cast.
pub fn can_implicitly_cast(from: &DataType, to: &DataType, ansi: bool) -> bool {
    use DataType::*;
    if from == to {
        return true;
    }
    match (from, to) {
        (Null, _) => true,
        (a, b) if a.is_string() && b.is_string() => true,
        (a, b) if a.is_numeric() && b.is_numeric() => {
            if !ansi {
                return true;
            }
            match (numeric_rank(a), numeric_rank(b), b) {
                (Some(x), Some(y), _) => x <= y || (x >= 4 && y >= 4),
                (None, _, Float | Double) => true,
                (Some(x), None, Decimal { .. }) => x <= 3,
                (None, None, Decimal { .. }) => true,
                _ => false,
            }
        }
        (a, b) if datetime_rank(a).is_some() && datetime_rank(b).is_some() => true,
        // A string literal or column where a number or time is wanted, and the other way round.
        (a, b) if a.is_string() => (is_atomic(b) && (ansi || *b != Boolean)) || b.is_interval(),
        (a, String) => is_atomic(a),
        (Array { element: a, .. }, Array { element: b, .. }) => can_implicitly_cast(a, b, ansi),
        (Map { key: a, value: b, .. }, Map { key: c, value: d, .. }) => {
            can_implicitly_cast(a, c, ansi) && can_implicitly_cast(b, d, ansi)
        }
        (DayTimeInterval { .. }, DayTimeInterval { .. }) | (YearMonthInterval { .. }, YearMonthInterval { .. }) => true,
        _ => false,
    }
}

pub(crate) const SECONDS: DataType = DataType::DayTimeInterval { start: DayTimeField::Day, end: DayTimeField::Second };
