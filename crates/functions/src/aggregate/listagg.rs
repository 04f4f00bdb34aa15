//! `listagg`: strings or binaries one behind the other.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryBuilder, StringBuilder},
    datatypes::DataType as Arrow,
};
use datafusion::{
    common::exec_err,
    error::Result as DfResult,
    functions_aggregate as df,
    logical_expr::{Expr, SortExpr},
};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{
    ResolvedAggregate,
    resolve::{Call, then},
};
use crate::{
    EvalMode, FunctionContext, Typed, cast, coercion, errors, literal,
    registry::want,
    udf::{Args, Bytes, Ret, Text, Udf, call as udf_call},
};

pub(crate) fn udfs() -> Vec<Udf> {
    vec![
        // (list of strings, separator)
        Udf::new("spark_join_texts", Ret::Fixed(Arrow::Utf8), join_texts),
        Udf::new("spark_join_binaries", Ret::Fixed(Arrow::Binary), join_binaries),
    ]
}

fn join_texts(args: &Args<'_>) -> DfResult<ArrayRef> {
    let lists = args.array(0)?;
    let Some(lists) = lists.as_list_opt::<i32>() else { return exec_err!("a join of {}", lists.data_type()) };
    let separators = args.text(1)?;
    let mut builder = StringBuilder::new();
    for row in 0..args.rows {
        let (true, Some(separator)) = (lists.is_valid(row), separators.get(row)) else {
            builder.append_null();
            continue;
        };
        let items = lists.value(row);
        let texts = Text::new(&items, false)?;
        let all: Vec<&str> = (0..items.len()).filter_map(|i| texts.get(i)).collect();
        if all.is_empty() { builder.append_null() } else { builder.append_value(all.join(separator)) }
    }
    Ok(Arc::new(builder.finish()))
}

fn join_binaries(args: &Args<'_>) -> DfResult<ArrayRef> {
    let lists = args.array(0)?;
    let Some(lists) = lists.as_list_opt::<i32>() else { return exec_err!("a join of {}", lists.data_type()) };
    let separators = args.bytes(1)?;
    let mut builder = BinaryBuilder::new();
    for row in 0..args.rows {
        let (true, Some(separator)) = (lists.is_valid(row), separators.get(row)) else {
            builder.append_null();
            continue;
        };
        let items = lists.value(row);
        let binaries = Bytes::new(&items, false)?;
        let all: Vec<&[u8]> = (0..items.len()).filter_map(|i| binaries.get(i)).collect();
        if all.is_empty() { builder.append_null() } else { builder.append_value(all.join(separator)) }
    }
    Ok(Arc::new(builder.finish()))
}

fn mismatch(subclass: &str, name: &str, value: &Typed, key: &Typed) -> SparkError {
    SparkError::new(
        format!("INVALID_WITHIN_GROUP_EXPRESSION.MISMATCH_WITH_DISTINCT_INPUT{subclass}"),
        "42K0K",
        format!(
            "Invalid function `{name}` with WITHIN GROUP: the function is invoked with DISTINCT and WITHIN GROUP but \
             expressions \"{}\" and \"{}\" do not match.",
            value.sql(),
            key.sql()
        ),
    )
    .param("funcName", format!("`{name}`"))
    .param("funcArg", format!("\"{}\"", value.sql()))
    .param("orderingExpr", format!("\"{}\"", key.sql()))
}

/// Whether two values of the type that differ are different texts too.
fn is_told_by_text(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Float | DataType::Double | DataType::Timestamp)
}

pub(super) fn resolve(
    ctx: &FunctionContext,
    name: &'static str,
    mut call: Call,
    mut args: Vec<Typed>,
    order_by: Vec<(SortExpr, Typed)>,
) -> SparkResult<ResolvedAggregate> {
    let separator = if args.len() > 1 { Some(args.remove(1)) } else { None };
    let value = args.remove(0);
    let binary = value.data_type == DataType::Binary;
    let value = if binary { value } else { want(ctx, name, 0, 's', value)? };
    let separator = match separator {
        None if binary => literal::of(datafusion::scalar::ScalarValue::Binary(Some(Vec::new())), DataType::Binary),
        None => literal::text(""),
        Some(given) => {
            if literal::fold(&given).is_none() {
                return Err(errors::non_foldable(name, "delimiter", &given));
            }
            match &given.data_type {
                DataType::Null if binary => {
                    literal::of(datafusion::scalar::ScalarValue::Binary(Some(Vec::new())), DataType::Binary)
                }
                DataType::Null => literal::text(""),
                t if (binary && *t != DataType::Binary) || (!binary && *t == DataType::Binary) => {
                    return Err(errors::data_diff_types(name, &[value, given]));
                }
                _ if binary => given,
                _ => want(ctx, name, 1, 's', given)?,
            }
        }
    };
    // A constant that is null is as none.
    let separator = match literal::fold(&separator) {
        Some(v) if v.is_null() => literal::text(""),
        Some(v) => literal::of(v, separator.data_type.clone()),
        None => separator,
    };
    // Without an order distinct values come in no order of the rows: in their own.
    let order_by = match order_by {
        none if none.is_empty() && call.distinct => vec![(value.expr.clone().sort(true, true), value.clone())],
        given => given,
    };
    let distinct_in_order = call.distinct && !order_by.is_empty();
    if !binary && !distinct_in_order {
        call.order_by = order_by.into_iter().map(|(s, _)| s).collect();
        return Ok(call.of(
            df::string_agg::string_agg_udaf(),
            vec![value.expr, separator.expr],
            DataType::String,
            true,
        ));
    }
    // All values in a list, which is joined at the end.
    let mut listed = value.clone();
    let mut sorts = Vec::new();
    for (sort, key) in order_by {
        if call.distinct {
            let as_value = if binary { key.clone() } else { coercion::implicit(ctx, key.clone(), &DataType::String)? };
            if !sorts.is_empty() || as_value.expr != value.expr {
                return Err(mismatch("", name, &value, &key));
            }
            if !is_told_by_text(&key.data_type) {
                return Err(mismatch("_UNSAFE_CAST", name, &value, &key));
            }
            listed = key;
        }
        sorts.push(sort);
    }
    let known = Expr::IsNotNull(Box::new(listed.expr.clone()));
    call.filter = Some(Box::new(match call.filter.take() {
        Some(filter) => filter.and(known),
        None => known,
    }));
    call.order_by = sorts;
    let element = listed.data_type.clone();
    let list = DataType::Array { element: Box::new(element), contains_null: false };
    let all = call.of(df::array_agg::array_agg_udaf(), vec![listed.expr], list, true);
    let ctx = ctx.clone();
    Ok(then(all, move |list| {
        if binary {
            let expr = udf_call("spark_join_binaries", vec![list.expr, separator.expr.clone()])?;
            return Ok(Typed::new(expr, DataType::Binary, true));
        }
        let texts = DataType::Array { element: Box::new(DataType::String), contains_null: false };
        let texts = cast::cast(&ctx, list, &texts, EvalMode::Ansi)?;
        let expr = udf_call("spark_join_texts", vec![texts.expr, separator.expr.clone()])?;
        Ok(Typed::new(expr, DataType::String, true))
    }))
}
