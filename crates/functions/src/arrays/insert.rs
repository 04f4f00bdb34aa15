//! Arrays with an element more, arrays side by side: `array_insert`, `array_append`, `arrays_zip`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListArray, StructArray, UInt32Array},
    buffer::{NullBuffer, OffsetBuffer},
    compute::{interleave, take},
    datatypes::{DataType as Arrow, Int32Type},
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{access::list, array_of};
use crate::{
    FunctionContext, Typed, coercion, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, type_literal},
};

/// What Java's arrays hold at most.
const MAX_LENGTH: i64 = 2_147_483_632;

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_array_insert_ansi", Ret::Arg(0), |a| insert(a, 1)),
        Udf::new("spark_array_insert_legacy_index_ansi", Ret::Arg(0), |a| insert(a, 0)),
        Udf::new("spark_array_append", Ret::Arg(0), |a| extended(a, false)),
        Udf::new("spark_array_prepend", Ret::Arg(0), |a| extended(a, true)),
        // (null of the type, arrays)
        Udf::new("spark_arrays_zip", Ret::Arg(0), zip),
    ]
}

/// Lists made of the elements of one column and the values of another; the pairs say which column, which place.
fn woven_lists(
    args: &Args<'_>,
    columns: [&ArrayRef; 2],
    pairs: &[(usize, usize)],
    lengths: Vec<usize>,
    valid: Vec<bool>,
) -> DfResult<ArrayRef> {
    let Arrow::List(field) = args.return_type else { return exec_err!("{} as {}", args.name, args.return_type) };
    let second = arrow::compute::cast(columns[1], columns[0].data_type())?;
    // The last place of the second column is a null, for what is between the end and an element inserted far behind it.
    let null = arrow::array::new_null_array(columns[0].data_type(), 1);
    let items = interleave(&[columns[0].as_ref(), second.as_ref(), null.as_ref()], pairs)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, Some(NullBuffer::from(valid)))?))
}

fn extended(args: &Args<'_>, front: bool) -> DfResult<ArrayRef> {
    let (list, values) = (list(&args.array(0)?)?, args.array(1)?);
    let (mut pairs, mut lengths, mut valid) =
        (Vec::new(), Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let good = list.is_valid(row);
        valid.push(good);
        if !good {
            lengths.push(0);
            continue;
        }
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        if front {
            pairs.push((1, row));
        }
        pairs.extend((start..end).map(|i| (0, i)));
        if !front {
            pairs.push((1, row));
        }
        lengths.push(end - start + 1);
    }
    woven_lists(args, [list.values(), &values], &pairs, lengths, valid)
}

/// `after_last`: what -1 stands for, the place behind the last element (1) or before it (0, as before Spark 3.4).
fn insert(args: &Args<'_>, after_last: i64) -> DfResult<ArrayRef> {
    let (list, position, values) = (list(&args.array(0)?)?, args.primitive::<Int32Type>(1)?, args.array(2)?);
    let (mut pairs, mut lengths, mut valid) =
        (Vec::new(), Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let (true, Some(position)) = (list.is_valid(row), position.get(row)) else {
            lengths.push(0);
            valid.push(false);
            continue;
        };
        if position == 0 {
            return Err(external(SparkError::new(
                "INVALID_INDEX_OF_ZERO",
                "22003",
                "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
            )));
        }
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        let length = (end - start) as i64;
        let position = i64::from(position);
        let at = if position > 0 { position - 1 } else { length + position + after_last };
        let gap = if at < 0 { -at } else { (at - length).max(0) };
        let total = length + 1 + gap;
        if total > MAX_LENGTH || pairs.len() as i64 + total > i64::from(i32::MAX) {
            return Err(external(too_long(total)));
        }
        if at < 0 {
            pairs.push((1, row));
            pairs.extend((0..gap).map(|_| (2, 0)));
            pairs.extend((start..end).map(|i| (0, i)));
        } else {
            let split = start + (at.min(length)) as usize;
            pairs.extend((start..split).map(|i| (0, i)));
            pairs.extend((0..gap).map(|_| (2, 0)));
            pairs.push((1, row));
            pairs.extend((split..end).map(|i| (0, i)));
        }
        lengths.push(total as usize);
        valid.push(true);
    }
    woven_lists(args, [list.values(), &values], &pairs, lengths, valid)
}

fn too_long(elements: i64) -> SparkError {
    SparkError::new(
        "COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION",
        "54000",
        format!("Can't create array with {elements} elements which exceeding the array size limit {MAX_LENGTH}, unsuccessful try to create arrays in the function `array_insert`."),
    )
    .param("numberOfElements", elements.to_string())
    .param("maxRoundedArrayLength", MAX_LENGTH.to_string())
    .param("functionName", "`array_insert`")
}

fn zip(args: &Args<'_>) -> DfResult<ArrayRef> {
    let lists = (1..args.len()).map(|i| list(&args.array(i)?)).collect::<DfResult<Vec<_>>>()?;
    let (Arrow::List(field), true) = (args.return_type, !lists.is_empty()) else {
        return exec_err!("{} as {}", args.name, args.return_type);
    };
    let Arrow::Struct(fields) = field.data_type() else { return exec_err!("{} as {}", args.name, args.return_type) };
    let (mut lengths, mut valid) = (Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
    let mut places: Vec<Vec<Option<u32>>> = vec![Vec::new(); lists.len()];
    for row in 0..args.rows {
        let good = lists.iter().all(|l| l.is_valid(row));
        valid.push(good);
        let longest = if good { lists.iter().map(|l| l.value_length(row)).max().unwrap_or(0) } else { 0 };
        lengths.push(longest as usize);
        for (l, places) in lists.iter().zip(&mut places) {
            let start = l.value_offsets()[row];
            places.extend((0..longest).map(|i| (i < l.value_length(row)).then_some((start + i) as u32)));
        }
    }
    let rows = lengths.iter().sum();
    let mut columns = Vec::with_capacity(lists.len());
    for ((l, places), field) in lists.iter().zip(places).zip(fields) {
        let taken = take(l.values(), &UInt32Array::from(places), None)?;
        columns.push(arrow::compute::cast(&taken, field.data_type())?);
    }
    let items = StructArray::try_new_with_length(fields.clone(), columns, None, rows)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, Arc::new(items), Some(NullBuffer::from(valid)))?))
}

/// `arrays_zip` of arrays that have these names.
pub fn arrays_zip(names: &[String], args: Vec<Typed>) -> SparkResult<Typed> {
    let mut fields = Vec::with_capacity(args.len());
    for (i, arg) in args.iter().enumerate() {
        let element = match &arg.data_type {
            DataType::Array { element, .. } => element.as_ref().clone(),
            DataType::Null => DataType::Null,
            _ => return Err(errors::unexpected_input("arrays_zip", i, "ARRAY", arg)),
        };
        let name = names.get(i).cloned().unwrap_or_else(|| i.to_string());
        fields.push(StructField::new(name, element, true));
    }
    let nullable = args.iter().any(|a| a.nullable);
    let data_type = DataType::Array { element: Box::new(DataType::Struct(fields)), contains_null: false };
    if args.iter().any(|a| a.data_type == DataType::Null) {
        return literal::null(&data_type);
    }
    if args.is_empty() {
        let empty = super::build::make_array(Vec::new(), &DataType::Struct(Vec::new()))?;
        return Ok(Typed::new(empty, data_type, false));
    }
    let mut exprs = vec![type_literal(&data_type)?];
    exprs.extend(args.into_iter().map(|a| a.expr));
    Ok(Typed::new(call("spark_arrays_zip", exprs)?, data_type, nullable))
}

/// An array and an element brought to one element type, without help of strings.
fn with_element(ctx: &FunctionContext, name: &str, array: Typed, item: Typed) -> SparkResult<(Typed, Typed)> {
    let differ = |array: &Typed, item: &Typed| {
        let left = format!("\"{}\"", errors::sql_type(&array.data_type));
        let right = format!("\"{}\"", errors::sql_type(&item.data_type));
        errors::datatype_mismatch(
            "ARRAY_FUNCTION_DIFF_TYPES",
            format_args!("{name}(…)"),
            format_args!(
                "Input to `{name}` should have been \"ARRAY\" followed by a value with same element type, but it's [{left}, {right}]."
            ),
        )
        .param("functionName", format!("`{name}`"))
        .param("dataType", "\"ARRAY\"")
        .param("leftType", left)
        .param("rightType", right)
    };
    let DataType::Array { element, contains_null } = &array.data_type else {
        return Err(errors::unexpected_input(name, 0, "ARRAY", &array));
    };
    let Some(common) = coercion::tightest_common_type(element, &item.data_type, ctx.ansi) else {
        return Err(differ(&array, &item));
    };
    let contains_null = *contains_null || item.nullable;
    let array = coercion::implicit(ctx, array, &DataType::Array { element: Box::new(common.clone()), contains_null })?;
    let item = coercion::implicit(ctx, item, &common)?;
    Ok((array, item))
}

fn end_call(ctx: &FunctionContext, name: &'static str, udf: &str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 2)?;
    let item = args.remove(1);
    let (array, item) = with_element(ctx, name, args.remove(0), item)?;
    let (data_type, nullable) = (array.data_type.clone(), array.nullable);
    Ok(Typed::new(call(udf, vec![array.expr, item.expr])?, data_type, nullable))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("array_append", |c, n, a| end_call(c, n, "spark_array_append", a)),
        F::resolve("array_prepend", |c, n, a| end_call(c, n, "spark_array_prepend", a)),
        F::resolve("array_insert", |ctx, name, mut args| {
            check_count(name, args.len(), 3, 3)?;
            let item = args.remove(2);
            let position = args.remove(1);
            if matches!(position.data_type, DataType::Long | DataType::Null) {
                return Err(errors::unexpected_input(name, 1, "INT", &position));
            }
            let position = want(ctx, name, 1, 'i', position)?;
            let (array, item) = with_element(ctx, name, args.remove(0), item)?;
            let nullable = array.nullable || position.nullable;
            let DataType::Array { element, .. } = array.data_type else {
                return Err(SparkError::internal("array_insert of no array"));
            };
            let udf = if ctx.legacy.negative_index_before_last {
                "spark_array_insert_legacy_index_ansi"
            } else {
                "spark_array_insert_ansi"
            };
            Ok(Typed::new(call(udf, vec![array.expr, position.expr, item.expr])?, array_of(*element), nullable))
        }),
        F::resolve("arrays_zip", |_, _, args| arrays_zip(&[], args)),
    ]
}
