//! Parameters of `approx_top_k` and its kin.

use datafusion::scalar::ScalarValue;
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::super::{Resolved, cast_to, or_default};
use crate::{
    FunctionContext, Typed, errors, literal,
    registry::{FunctionDef, check_count},
    udf::call,
};

const DEFAULT_K: i32 = 5;
const DEFAULT_TRACKED: i32 = 10_000;
const MOST_TRACKED: i32 = 1_000_000;

pub(in crate::sketch) fn functions() -> Vec<FunctionDef> {
    vec![FunctionDef::resolve("approx_top_k_estimate", |ctx, name, mut args| {
        check_count(name, args.len(), 1, 2)?;
        let k = or_default(&mut args, 1, literal::int(DEFAULT_K));
        let state = args.remove(0);
        let item = item_of(name, &state)?;
        let k = positive(ctx, name, 1, "k", k)?;
        let nullable = state.nullable;
        let exprs = vec![state.expr, literal::int(k).expr];
        Ok(Typed::new(call("approx_top_k_estimate", exprs)?, answer(item), nullable))
    })]
}

fn answer(item: DataType) -> DataType {
    let entry = vec![StructField::new("item", item, true), StructField::new("count", DataType::Long, false)];
    DataType::Array { element: Box::new(DataType::Struct(entry)), contains_null: false }
}

fn state_type(item: DataType) -> DataType {
    DataType::Struct(vec![
        StructField::new("sketch", DataType::Binary, false),
        StructField::new("maxItemsTracked", DataType::Integer, false),
        StructField::new("itemDataType", item, true),
        StructField::new("itemDataTypeDDL", DataType::String, false),
    ])
}

fn check_failure(name: &str, detail: String) -> SparkError {
    errors::datatype_mismatch("TYPE_CHECK_FAILURE_WITH_HINT", format_args!("{name}(…)"), &detail)
        .param("msg", detail)
        .param("hint", "")
}

fn item_of(name: &str, state: &Typed) -> SparkResult<DataType> {
    if let DataType::Struct(fields) = &state.data_type
        && let [sketch, tracked, item, ddl] = fields.as_slice()
        && sketch.data_type == DataType::Binary
        && tracked.data_type == DataType::Integer
        && ddl.data_type.is_string()
        && is_counted(&item.data_type)
    {
        return Ok(item.data_type.clone());
    }
    match &state.data_type {
        DataType::Struct(_) => Err(check_failure(
            name,
            format!(
                "State must be a struct with 4 fields. Expected struct: struct<sketch:binary,maxItemsTracked:int,itemDataType:any,itemDataTypeDDL:string>. Got: {}",
                state.data_type
            ),
        )),
        _ => Err(errors::unexpected_input(name, 0, "STRUCT", state)),
    }
}

fn is_counted(data_type: &DataType) -> bool {
    use DataType::{Boolean, Date, Decimal, Double, Float, Timestamp, TimestampNtz};
    data_type.is_integral()
        || data_type.is_string()
        || matches!(data_type, Boolean | Float | Double | Date | Timestamp | TimestampNtz | Decimal { .. })
}

/// A constant that must be above zero.
fn positive(ctx: &FunctionContext, name: &str, index: usize, parameter: &str, value: Typed) -> SparkResult<i32> {
    let value = cast_to(ctx, name, index, &DataType::Integer, value)?;
    match literal::evaluate(&value)? {
        Some(ScalarValue::Int32(Some(v))) if v > 0 => Ok(v),
        Some(ScalarValue::Int32(Some(v))) => {
            let message = format!("The value of `{parameter}` in `{name}` must be a positive integer, but got {v}.");
            Err(SparkError::new("APPROX_TOP_K_NON_POSITIVE_ARG", "22023", message)
                .param("argName", format!("`{parameter}`"))
                .param("argValue", v.to_string()))
        }
        Some(_) => {
            let message = format!("The value of `{parameter}` in `{name}` must not be NULL.");
            Err(SparkError::new("APPROX_TOP_K_NULL_ARG", "22004", message).param("argName", format!("`{parameter}`")))
        }
        None => {
            let what = if parameter == "k" { "K" } else { "Number of items tracked" };
            Err(check_failure(name, format!("{what} must be a constant literal")))
        }
    }
}

fn tracked(ctx: &FunctionContext, name: &str, index: usize, value: Typed) -> SparkResult<i32> {
    let value = positive(ctx, name, index, "maxItemsTracked", value)?;
    if value <= MOST_TRACKED {
        return Ok(value);
    }
    let message =
        format!("The max items tracked `maxItemsTracked`({value}) of `{name}` exceeds the limit of {MOST_TRACKED}.");
    Err(SparkError::new("APPROX_TOP_K_MAX_ITEMS_TRACKED_EXCEEDS_LIMIT", "22023", message)
        .param("maxItemsTracked", value.to_string())
        .param("limit", MOST_TRACKED.to_string()))
}

fn less_than_k(tracked: i32, k: i32) -> SparkError {
    let message =
        format!("The max items tracked `maxItemsTracked`({tracked}) must be greater than or equal to `k`({k}).");
    SparkError::new("APPROX_TOP_K_MAX_ITEMS_TRACKED_LESS_THAN_K", "22023", message)
        .param("maxItemsTracked", tracked.to_string())
        .param("k", k.to_string())
}

/// `approx_top_k(value[, k[, maxItemsTracked]])`, `approx_top_k_accumulate(value[, maxItemsTracked])`,
/// `approx_top_k_combine(state[, maxItemsTracked])`.
pub(crate) fn resolve(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Resolved> {
    let most = if name == "approx_top_k" { 3 } else { 2 };
    check_count(name, args.len(), 1, most)?;
    if name == "approx_top_k_combine" {
        let given = if args.len() > 1 { tracked(ctx, name, 1, args.remove(1))? } else { -1 };
        let state = args.remove(0);
        let data_type = state_type(item_of(name, &state)?);
        return Ok(Resolved { aggregate: name, args: vec![state, literal::int(given)], data_type, nullable: false });
    }
    let max = or_default(&mut args, most - 1, literal::int(DEFAULT_TRACKED));
    let k = if most == 3 { Some(or_default(&mut args, 1, literal::int(DEFAULT_K))) } else { None };
    let value = args.remove(0);
    if !is_counted(&value.data_type) {
        return Err(check_failure(name, format!("{} columns are not supported", value.data_type)));
    }
    let item = value.data_type.clone();
    if let Some(k) = k {
        let k = positive(ctx, name, 1, "k", k)?;
        let max = tracked(ctx, name, 2, max)?;
        if max < k {
            return Err(less_than_k(max, k));
        }
        let args = vec![value, literal::int(k), literal::int(max)];
        return Ok(Resolved { aggregate: name, args, data_type: answer(item), nullable: false });
    }
    let max = tracked(ctx, name, 1, max)?;
    let ddl = match &item {
        t if t.is_string() => "item string not null".to_owned(),
        t => format!("item {} NOT NULL", errors::sql_type(t)),
    };
    let args = vec![value, literal::int(max), literal::text(&ddl)];
    Ok(Resolved { aggregate: name, args, data_type: state_type(item), nullable: false })
}
