//! Comparisons.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, MapArray, StructArray, UInt32Array},
    buffer::OffsetBuffer,
    compute::take,
    datatypes::{DataType as Arrow, Float32Type, Float64Type},
    row::{RowConverter, SortField},
};
use datafusion::{
    common::exec_err,
    error::Result as DfResult,
    logical_expr::{Expr, Operator},
    scalar::ScalarValue,
};
use firesteel_plan::{DataType, SparkResult, expr::BinaryOp};

use super::native;
use crate::{
    FunctionContext, Typed, coercion, errors,
    udf::{Args, Ret, Udf, call},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![Udf::new("canonical_float", Ret::Arg(0), canonical_kernel)]
}

pub(super) fn resolve(ctx: &FunctionContext, op: BinaryOp, left: Typed, right: Typed) -> SparkResult<Typed> {
    let (left, right) = with_literal_precision(left, right)?;
    let equality = matches!(op, BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::NullSafeEqual);
    // Without ANSI true is one where it is compared with a number.
    let boolean_as_number = match (&left.data_type, &right.data_type) {
        (DataType::Boolean, t) | (t, DataType::Boolean) if t.is_numeric() && equality && !ctx.ansi => Some(t.clone()),
        _ => None,
    };
    let common = boolean_as_number
        .or_else(|| coercion::comparison_type(&left.data_type, &right.data_type, ctx.ansi))
        .ok_or_else(|| errors::binary_diff_types(op.symbol(), &left, &right))?;
    if has_map(&common) || (common == DataType::CalendarInterval && !equality) {
        return Err(errors::datatype_mismatch(
            "INVALID_ORDERING_TYPE",
            format!("({} {} {})", left.sql(), op.symbol(), right.sql()),
            format!("The `{}` does not support ordering on type \"{}\".", op.symbol(), errors::sql_type(&common)),
        ));
    }
    let left = coercion::implicit(ctx, left, &common)?;
    let right = coercion::implicit(ctx, right, &common)?;
    let (left, right) = if contains_float(&common) { canonical_sides(left, right)? } else { (left, right) };
    let operator = match op {
        BinaryOp::Equal => Operator::Eq,
        BinaryOp::NotEqual => Operator::NotEq,
        BinaryOp::Less => Operator::Lt,
        BinaryOp::LessOrEqual => Operator::LtEq,
        BinaryOp::Greater => Operator::Gt,
        BinaryOp::GreaterOrEqual => Operator::GtEq,
        _ => Operator::IsNotDistinctFrom,
    };
    let mut result = native(operator, left, right, DataType::Boolean);
    if op == BinaryOp::NullSafeEqual {
        result.nullable = false;
    }
    Ok(result)
}

/// An integral literal beside a decimal has only the digits it is written with.
fn with_literal_precision(left: Typed, right: Typed) -> SparkResult<(Typed, Typed)> {
    super::arithmetic::literals_as_decimals(left, right)
}

pub(super) fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map { .. } => true,
        DataType::Array { element, .. } => has_map(element),
        DataType::Struct(fields) => fields.iter().any(|f| has_map(&f.data_type)),
        _ => false,
    }
}

fn contains_float(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float | DataType::Double => true,
        DataType::Array { element, .. } => contains_float(element),
        DataType::Map { key, value, .. } => contains_float(key) || contains_float(value),
        DataType::Struct(fields) => fields.iter().any(|f| contains_float(&f.data_type)),
        _ => false,
    }
}

/// A plain column beside a literal that is neither zero nor NaN keeps its bare form, which file statistics can prune by.
fn canonical_sides(left: Typed, right: Typed) -> SparkResult<(Typed, Typed)> {
    let plain = |v: &Typed| match v.literal() {
        Some(ScalarValue::Float64(Some(x))) => *x != 0.0 && !x.is_nan(),
        Some(ScalarValue::Float32(Some(x))) => *x != 0.0 && !x.is_nan(),
        _ => false,
    };
    let column = |v: &Typed| matches!(v.expr, Expr::Column(_));
    if (plain(&left) && column(&right)) || (plain(&right) && column(&left)) {
        return Ok((left, right));
    }
    Ok((canonical(left)?, canonical(right)?))
}

/// A value as a key of groups: equal maps are one key, whatever the order of their entries.
pub(super) fn group_key(value: Typed) -> SparkResult<Typed> {
    if !has_map(&value.data_type) {
        return canonical(value);
    }
    Ok(Typed::new(call("canonical_float", vec![value.expr])?, value.data_type, value.nullable))
}

/// One bit pattern for NaN, and 0.0 for -0.0, so that Arrow's comparison by total order is Spark's.
pub(crate) fn canonical(value: Typed) -> SparkResult<Typed> {
    if !contains_float(&value.data_type) {
        return Ok(value);
    }
    let expr = match value.literal() {
        Some(ScalarValue::Float64(Some(x))) => Expr::Literal(ScalarValue::Float64(Some(canonical_f64(*x))), None),
        Some(ScalarValue::Float32(Some(x))) => Expr::Literal(ScalarValue::Float32(Some(canonical_f32(*x))), None),
        _ if matches!(&value.expr, Expr::ScalarFunction(f) if f.func.name() == "canonical_float") => value.expr,
        _ => call("canonical_float", vec![value.expr])?,
    };
    Ok(Typed::new(expr, value.data_type, value.nullable))
}

#[inline]
pub(crate) fn canonical_f64(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x + 0.0 }
}

#[inline]
pub(crate) fn canonical_f32(x: f32) -> f32 {
    if x.is_nan() { f32::NAN } else { x + 0.0 }
}

fn canonical_kernel(args: &Args<'_>) -> DfResult<ArrayRef> {
    canonical_array(&args.array(0)?)
}

/// The entries of each map in the order of their keys: maps with the same entries are the same.
fn sorted_map(map: &MapArray) -> DfResult<MapArray> {
    let (keys, values) = (canonical_array(map.keys())?, canonical_array(map.values())?);
    let rows = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?.convert_columns(&[keys.clone()])?;
    let mut order: Vec<u32> = Vec::with_capacity(keys.len());
    let mut lengths = Vec::with_capacity(map.len());
    for (row, range) in map.value_offsets().windows(2).enumerate() {
        let from = order.len();
        if map.is_valid(row) {
            order.extend(range[0] as u32..range[1] as u32);
            order[from..].sort_unstable_by_key(|at| rows.row(*at as usize));
        }
        lengths.push(order.len() - from);
    }
    let order = UInt32Array::from(order);
    let columns = vec![take(&keys, &order, None)?, take(&values, &order, None)?];
    let Arrow::Map(entry, ordered) = map.data_type() else { return exec_err!("a map that is none") };
    let entries = StructArray::try_new(map.entries().fields().clone(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(MapArray::try_new(entry.clone(), offsets, entries, map.nulls().cloned(), *ordered)?)
}

fn canonical_array(array: &ArrayRef) -> DfResult<ArrayRef> {
    Ok(match array.data_type() {
        Arrow::Float64 => {
            let a = array.as_primitive::<Float64Type>();
            Arc::new(a.unary::<_, Float64Type>(canonical_f64)) as Arc<Float64Array>
        }
        Arrow::Float32 => {
            let a = array.as_primitive::<Float32Type>();
            Arc::new(a.unary::<_, Float32Type>(canonical_f32)) as Arc<Float32Array>
        }
        Arrow::Struct(fields) => {
            let a = array.as_struct();
            let columns = a.columns().iter().map(canonical_array).collect::<DfResult<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, a.nulls().cloned())?)
        }
        Arrow::List(field) => {
            let a = array.as_list::<i32>();
            let values = canonical_array(a.values())?;
            Arc::new(arrow::array::ListArray::try_new(
                Arc::clone(field),
                a.offsets().clone(),
                values,
                a.nulls().cloned(),
            )?)
        }
        Arrow::Map(..) => Arc::new(sorted_map(array.as_map())?),
        _ => Arc::clone(array),
    })
}
