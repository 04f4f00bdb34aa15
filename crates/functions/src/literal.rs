//! Literals.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::Schema,
};
use datafusion::{
    common::{DFSchema, tree_node::TreeNode},
    execution::context::ExecutionProps,
    logical_expr::{Expr, Volatility},
    physical_expr::create_physical_expr,
    scalar::ScalarValue,
};
use firesteel_plan::{
    DataType, SparkError, SparkResult,
    expr::{Literal, TimestampKind},
};

use crate::{
    FunctionContext, Typed,
    coercion::decimal,
    datetime::{text::parse_timestamp, zone::Zone},
    types,
};

pub fn literal(ctx: &FunctionContext, value: &Literal) -> SparkResult<Typed> {
    let (scalar, data_type) = match value {
        Literal::Null => (ScalarValue::Null, DataType::Null),
        Literal::Boolean(v) => (ScalarValue::Boolean(Some(*v)), DataType::Boolean),
        Literal::Byte(v) => (ScalarValue::Int8(Some(*v)), DataType::Byte),
        Literal::Short(v) => (ScalarValue::Int16(Some(*v)), DataType::Short),
        Literal::Integer(v) => (ScalarValue::Int32(Some(*v)), DataType::Integer),
        Literal::Long(v) => (ScalarValue::Int64(Some(*v)), DataType::Long),
        Literal::Float(v) => (ScalarValue::Float32(Some(*v)), DataType::Float),
        Literal::Double(v) => (ScalarValue::Float64(Some(*v)), DataType::Double),
        Literal::Decimal { unscaled, precision, scale } => {
            (ScalarValue::Decimal128(Some(*unscaled), *precision, *scale), decimal(*precision, *scale))
        }
        Literal::String(v) => (ScalarValue::Utf8(Some(v.clone())), DataType::String),
        Literal::Binary(v) => (ScalarValue::Binary(Some(v.clone())), DataType::Binary),
        Literal::Date(v) => (ScalarValue::Date32(Some(*v)), DataType::Date),
        Literal::TimestampText { text, kind } => timestamp_text(ctx, text, *kind)?,
        Literal::Timestamp(v) => (ScalarValue::TimestampMicrosecond(Some(*v), types::utc()), DataType::Timestamp),
        Literal::TimestampNtz(v) => (ScalarValue::TimestampMicrosecond(Some(*v), None), DataType::TimestampNtz),
        Literal::Time { nanos, precision } => (ScalarValue::Time64Nanosecond(Some(*nanos)), DataType::Time(*precision)),
        Literal::YearMonthInterval { months, data_type } => {
            (ScalarValue::IntervalYearMonth(Some(*months)), data_type.clone())
        }
        Literal::DayTimeInterval { micros, data_type } => {
            (ScalarValue::DurationMicrosecond(Some(*micros)), data_type.clone())
        }
        Literal::CalendarInterval { months, days, micros } => {
            let nanos = micros.checked_mul(1000).ok_or_else(|| crate::errors::interval_overflow(""))?;
            let value = arrow::datatypes::IntervalMonthDayNano::new(*months, *days, nanos);
            (ScalarValue::IntervalMonthDayNano(Some(value)), DataType::CalendarInterval)
        }
    };
    let nullable = scalar.is_null();
    Ok(Typed::new(Expr::Literal(scalar, None), data_type, nullable))
}

fn timestamp_text(ctx: &FunctionContext, text: &str, kind: TimestampKind) -> SparkResult<(ScalarValue, DataType)> {
    let invalid = || {
        let name = match kind {
            TimestampKind::Session => "TIMESTAMP",
            TimestampKind::Ltz => "TIMESTAMP_LTZ",
            TimestampKind::Ntz => "TIMESTAMP_NTZ",
        };
        SparkError::new(
            "INVALID_TYPED_LITERAL",
            "42604",
            format!("The value of the typed literal \"{name}\" is invalid: '{text}'."),
        )
        .param("valueType", format!("\"{name}\""))
        .param("value", format!("'{text}'"))
    };
    let zone = Zone::parse(&ctx.time_zone)?;
    // `now`, `today` and their kin stand for the statement's start.
    let today = zone.to_local(ctx.now_micros).div_euclid(crate::datetime::calendar::MICROS_PER_DAY);
    let special = match text.trim().to_ascii_lowercase().as_str() {
        "epoch" => Some(0),
        "now" => Some(ctx.now_micros),
        "today" => Some(zone.to_utc(today * crate::datetime::calendar::MICROS_PER_DAY)),
        "yesterday" => Some(zone.to_utc((today - 1) * crate::datetime::calendar::MICROS_PER_DAY)),
        "tomorrow" => Some(zone.to_utc((today + 1) * crate::datetime::calendar::MICROS_PER_DAY)),
        _ => None,
    };
    if let Some(micros) = special {
        return Ok(match kind {
            TimestampKind::Ntz => {
                (ScalarValue::TimestampMicrosecond(Some(zone.to_local(micros)), None), DataType::TimestampNtz)
            }
            _ => (ScalarValue::TimestampMicrosecond(Some(micros), types::utc()), DataType::Timestamp),
        });
    }
    let parsed = parse_timestamp(text).ok_or_else(invalid)?;
    let local = parsed.local(i32::try_from(today).unwrap_or(0)).ok_or_else(invalid)?;
    if kind == TimestampKind::Ntz {
        if parsed.date.is_none() {
            return Err(invalid());
        }
        return Ok((ScalarValue::TimestampMicrosecond(Some(local), None), DataType::TimestampNtz));
    }
    let micros = parsed.zone.unwrap_or(zone).to_utc(local);
    Ok((ScalarValue::TimestampMicrosecond(Some(micros), types::utc()), DataType::Timestamp))
}

/// The value of an expression that is the same for all rows, whatever functions it calls. Nothing when it is not, or fails.
pub fn fold(value: &Typed) -> Option<ScalarValue> {
    evaluate(value).ok().flatten()
}

/// As [`fold`], with the error of an expression that fails.
pub fn evaluate(value: &Typed) -> SparkResult<Option<ScalarValue>> {
    if let Some(literal) = value.literal() {
        return Ok(Some(literal.clone()));
    }
    let varies = value
        .expr
        .exists(|e| {
            Ok(!matches!(
                e,
                Expr::Literal(..)
                    | Expr::ScalarFunction(_)
                    | Expr::Cast(_)
                    | Expr::Alias(_)
                    | Expr::BinaryExpr(_)
                    | Expr::Case(_)
                    | Expr::Not(_)
                    | Expr::Negative(_)
                    | Expr::IsNull(_)
                    | Expr::IsNotNull(_)
            ) || matches!(e, Expr::ScalarFunction(f) if f.func.signature().volatility != Volatility::Immutable))
        })
        .unwrap_or(true);
    if varies {
        return Ok(None);
    }
    constant(value)
        .map(Some)
        .map_err(|e| crate::errors::spark_error(&e).cloned().unwrap_or_else(|| SparkError::internal(e.to_string())))
}

fn constant(value: &Typed) -> datafusion::error::Result<ScalarValue> {
    let schema = DFSchema::empty();
    let physical = create_physical_expr(&value.expr, &schema, &ExecutionProps::new(), &Default::default())?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
    let array = physical.evaluate(&row)?.into_array(1)?;
    ScalarValue::try_from_array(&array, 0)
}

/// A literal that the functions here need themselves.
pub(crate) fn of(scalar: ScalarValue, data_type: DataType) -> Typed {
    let nullable = scalar.is_null();
    Typed::new(Expr::Literal(scalar, None), data_type, nullable)
}

pub(crate) fn int(value: i32) -> Typed {
    of(ScalarValue::Int32(Some(value)), DataType::Integer)
}

pub(crate) fn text(value: &str) -> Typed {
    of(ScalarValue::Utf8(Some(value.to_owned())), DataType::String)
}

pub(crate) fn null(data_type: &DataType) -> SparkResult<Typed> {
    Ok(Typed::new(crate::udf::type_literal(data_type)?, data_type.clone(), true))
}
