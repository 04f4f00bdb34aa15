//! Values as SQL text that means them: for names of columns, and for parameters of statements.

use datafusion::{
    arrow::array::{Array, AsArray},
    logical_expr::Expr as DfExpr,
    scalar::ScalarValue,
};
use firesteel_functions::{EvalMode, FunctionContext, Typed, cast, types};
use firesteel_plan::{DataType, SparkError, SparkResult, naming::type_sql};

use crate::relation::constant;

/// Deepest nesting of values; types have a bound of their own.
const MAX_DEPTH: usize = 64;

pub(crate) fn value_sql(ctx: &FunctionContext, value: &ScalarValue, data_type: &DataType) -> SparkResult<String> {
    nested(ctx, value, data_type, 0)
}

fn nested(ctx: &FunctionContext, value: &ScalarValue, data_type: &DataType, depth: usize) -> SparkResult<String> {
    if depth > MAX_DEPTH {
        return Err(SparkError::internal("a value is nested too deeply"));
    }
    if *data_type == DataType::Null {
        return Ok("NULL".to_owned());
    }
    let kind = type_sql(data_type);
    if value.is_null() {
        return Ok(format!("CAST(NULL AS {kind})"));
    }
    let part = |array: &dyn Array, at: usize, of: &DataType| -> SparkResult<String> {
        let item = ScalarValue::try_from_array(array, at).map_err(SparkError::internal)?;
        nested(ctx, &item, of, depth + 1)
    };
    let joined = |items: SparkResult<Vec<String>>| items.map(|items| items.join(", "));
    let array = || value.to_array().map_err(SparkError::internal);
    Ok(match data_type {
        DataType::Array { element, .. } => {
            let Some(items) = array()?.as_list_opt::<i32>().map(|list| list.value(0)) else {
                return Err(SparkError::internal("an array of another form"));
            };
            if items.is_empty() {
                return Ok(format!("CAST(ARRAY() AS {kind})"));
            }
            format!("ARRAY({})", joined((0..items.len()).map(|i| part(&items, i, element)).collect())?)
        }
        DataType::Map { key, value: of, .. } => {
            let Some(entries) = array()?.as_map_opt().map(|map| map.value(0)) else {
                return Err(SparkError::internal("a map of another form"));
            };
            if entries.is_empty() {
                return Ok(format!("CAST(MAP() AS {kind})"));
            }
            let pair =
                |i: usize| Ok(format!("{}, {}", part(entries.column(0), i, key)?, part(entries.column(1), i, of)?));
            format!("MAP({})", joined((0..entries.len()).map(pair).collect())?)
        }
        DataType::Struct(fields) => {
            let whole = array()?;
            let Some(columns) = whole.as_struct_opt() else {
                return Err(SparkError::internal("a struct of another form"));
            };
            let one = |(i, field): (usize, &firesteel_plan::types::StructField)| -> SparkResult<String> {
                Ok(format!("{}, {}", quoted(&field.name), part(columns.column(i), 0, &field.data_type)?))
            };
            format!("NAMED_STRUCT({})", joined(fields.iter().enumerate().map(one).collect())?)
        }
        DataType::Binary => match value {
            ScalarValue::Binary(Some(bytes)) => {
                format!("X'{}'", bytes.iter().map(|b| format!("{b:02X}")).collect::<String>())
            }
            _ => return Err(SparkError::internal("bytes of another form")),
        },
        _ => {
            let text = shown(ctx, value, data_type)?;
            let special = !text.ends_with(|c: char| c.is_ascii_digit());
            match data_type {
                DataType::Byte => format!("{text}Y"),
                DataType::Short => format!("{text}S"),
                DataType::Long => format!("{text}L"),
                DataType::Float if special => format!("CAST('{text}' AS FLOAT)"),
                DataType::Float => format!("CAST({text} AS FLOAT)"),
                DataType::Double if special => format!("CAST('{text}' AS DOUBLE)"),
                DataType::Double => format!("{text}D"),
                DataType::Decimal { precision, scale } => {
                    // The digits alone may be fewer than the type has.
                    let digits = text.bytes().filter(u8::is_ascii_digit).count();
                    let trimmed = text.trim_start_matches('-').starts_with("0.");
                    if digits - usize::from(trimmed) == usize::from(*precision) || *scale < 0 {
                        format!("{text}BD")
                    } else {
                        format!("CAST({text}BD AS {kind})")
                    }
                }
                DataType::String | DataType::Char(_) | DataType::Varchar(_) => quoted(&text),
                DataType::Date => format!("DATE '{text}'"),
                DataType::Timestamp => format!("TIMESTAMP '{text}'"),
                DataType::TimestampNtz => format!("TIMESTAMP_NTZ '{text}'"),
                DataType::Time(_) => format!("TIME '{text}'"),
                DataType::CalendarInterval => format!("INTERVAL '{text}'"),
                _ => text,
            }
        }
    })
}

/// The value as a cast to a string shows it.
fn shown(ctx: &FunctionContext, value: &ScalarValue, data_type: &DataType) -> SparkResult<String> {
    // A literal is typed by its Arrow type: intervals and their kin have Spark's beside it.
    types::to_arrow(data_type)?;
    let typed = Typed::new(DfExpr::Literal(value.clone(), None), data_type.clone(), false);
    let text = cast::cast(ctx, typed, &DataType::String, EvalMode::Ansi)?;
    match constant(text.expr) {
        Some(
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
        ) => Ok(text),
        _ => Err(SparkError::internal(format!("a value of the type {data_type} has no text"))),
    }
}

/// A value as a cast to a string shows it, `null` where there is none.
pub(crate) fn shown_value(ctx: &FunctionContext, value: &ScalarValue, data_type: &DataType) -> SparkResult<String> {
    if value.is_null() { Ok("null".to_owned()) } else { shown(ctx, value, data_type) }
}

pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
