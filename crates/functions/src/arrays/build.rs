//! Making arrays, maps and structs.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListArray, MapArray, StructArray, UInt32Array, new_empty_array},
    buffer::{NullBuffer, OffsetBuffer},
    compute::{interleave, take},
    datatypes::{DataType as Arrow, Date32Type, Fields, Int32Type, Int64Type},
    row::{RowConverter, SortField},
};
use datafusion::{common::exec_err, error::Result as DfResult, logical_expr::Expr, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{access::list, array_of};
use crate::{
    FunctionContext, Typed, coercion, errors,
    errors::external,
    operators::canonical,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, text_literal, type_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        // (null of the type, keys and values by turns)
        Udf::new("spark_map_ansi", Ret::Arg(0), |args| {
            let width = (args.len() - 1) / 2;
            let mut keys = Vec::new();
            let mut values = Vec::new();
            for i in 0..width {
                keys.push(args.array(1 + 2 * i)?);
                values.push(args.array(2 + 2 * i)?);
            }
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, args.rows));
            map(args, woven(&keys, args.rows)?, woven(&values, args.rows)?, offsets, None)
        }),
        // (null of the type, keys, values)
        Udf::new("spark_map_from_arrays_ansi", Ret::Arg(0), |args| {
            let (keys, values) = (list(&args.array(1)?)?, list(&args.array(2)?)?);
            let nulls = NullBuffer::union(keys.nulls(), values.nulls());
            let mut take_keys = Vec::new();
            let mut take_values = Vec::new();
            let mut lengths = Vec::with_capacity(args.rows);
            for row in 0..args.rows {
                if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                    lengths.push(0);
                    continue;
                }
                let n = keys.value_length(row);
                if n != values.value_length(row) {
                    return Err(external(SparkError::new(
                        "_LEGACY_ERROR_TEMP_2128",
                        "",
                        "The key array and value array of MapData must have the same length.",
                    )));
                }
                let (k, v) = (keys.value_offsets()[row], values.value_offsets()[row]);
                take_keys.extend((k..k + n).map(|i| i as u32));
                take_values.extend((v..v + n).map(|i| i as u32));
                lengths.push(n as usize);
            }
            let keys = take(keys.values(), &UInt32Array::from(take_keys), None)?;
            let values = take(values.values(), &UInt32Array::from(take_values), None)?;
            map(args, keys, values, OffsetBuffer::from_lengths(lengths), nulls)
        }),
        Udf::new(
            "spark_array_repeat",
            Ret::By(|a| match a.first() {
                Some(t) => Ok(Arrow::new_list(t.clone(), true)),
                None => exec_err!("array_repeat of nothing"),
            }),
            |args| {
                let values = args.array(0)?;
                let counts = args.primitive::<Int32Type>(1)?;
                let mut indices = Vec::new();
                let mut lengths = Vec::new();
                let mut valid = Vec::new();
                for row in 0..args.rows {
                    let n = counts.get(row);
                    let length = n.map_or(0, |n| usize::try_from(n).unwrap_or(0));
                    if indices.len() + length > i32::MAX as usize {
                        return exec_err!("array_repeat() would make more than 2^31 elements");
                    }
                    indices.extend(std::iter::repeat_n(row as u32, length));
                    lengths.push(length);
                    valid.push(n.is_some());
                }
                lists(args, &values, indices, lengths, valid)
            },
        ),
        Udf::new("spark_flatten", Ret::Element(0), |args| {
            let outer = list(&args.array(0)?)?;
            let inner = list(outer.values())?;
            let mut indices = Vec::new();
            let mut lengths = Vec::new();
            let mut valid = Vec::new();
            for row in 0..args.rows {
                let (start, end) = (outer.value_offsets()[row] as usize, outer.value_offsets()[row + 1] as usize);
                let good = outer.is_valid(row) && (start..end).all(|i| inner.is_valid(i));
                let before = indices.len();
                if good {
                    for i in start..end {
                        indices.extend((inner.value_offsets()[i]..inner.value_offsets()[i + 1]).map(|i| i as u32));
                    }
                }
                lengths.push(indices.len() - before);
                valid.push(good);
            }
            lists(args, inner.values(), indices, lengths, valid)
        }),
        Udf::new("spark_slice_ansi", Ret::Arg(0), |args| {
            let list = list(&args.array(0)?)?;
            let (start, length) = (args.primitive::<Int32Type>(1)?, args.primitive::<Int32Type>(2)?);
            let mut indices = Vec::new();
            let mut lengths = Vec::new();
            let mut valid = Vec::new();
            for row in 0..args.rows {
                let (true, Some(s), Some(n)) = (list.is_valid(row), start.get(row), length.get(row)) else {
                    lengths.push(0);
                    valid.push(false);
                    continue;
                };
                let bad = |parameter: &str, message: &str| {
                    Err(external(errors::invalid_parameter(
                        if parameter == "start" { "START" } else { "LENGTH" },
                        "slice",
                        parameter,
                        message,
                    )))
                };
                if s == 0 {
                    return bad("start", "Expects a positive or a negative value for `start`, but got 0.");
                }
                if n < 0 {
                    return bad("length", "Expects `length` greater than or equal to 0.");
                }
                let size = i64::from(list.value_length(row));
                let from = if s > 0 { i64::from(s) - 1 } else { size + i64::from(s) };
                // Java's int wraps around where the end is beyond it.
                let wraps = from + i64::from(n) > i64::from(i32::MAX);
                let count = if from < 0 || from >= size || wraps { 0 } else { i64::from(n).min(size - from) };
                let base = i64::from(list.value_offsets()[row]);
                indices.extend((0..count).map(|i| (base + from + i) as u32));
                lengths.push(count as usize);
                valid.push(true);
            }
            lists(args, list.values(), indices, lengths, valid)
        }),
        Udf::new("spark_concat_lists", Ret::Arg(0), |args| {
            let mut all = Vec::new();
            for i in 0..args.len() {
                all.push(list(&args.array(i)?)?);
            }
            let values: Vec<&dyn Array> = all.iter().map(|l| l.values().as_ref()).collect();
            let joined = arrow::compute::concat(&values)?;
            let mut bases = Vec::new();
            let mut base = 0;
            for l in &all {
                bases.push(base);
                base += l.values().len() as i64;
            }
            let mut indices = Vec::new();
            let mut lengths = Vec::new();
            let mut valid = Vec::new();
            for row in 0..args.rows {
                let good = all.iter().all(|l| l.is_valid(row));
                let before = indices.len();
                if good {
                    for (l, base) in all.iter().zip(&bases) {
                        indices.extend(
                            (l.value_offsets()[row]..l.value_offsets()[row + 1]).map(|i| (base + i64::from(i)) as u32),
                        );
                    }
                }
                lengths.push(indices.len() - before);
                valid.push(good);
            }
            lists(args, &joined, indices, lengths, valid)
        }),
        Udf::new("spark_reverse_list", Ret::Arg(0), |args| {
            let list = list(&args.array(0)?)?;
            let mut indices = Vec::new();
            let mut lengths = Vec::new();
            let mut valid = Vec::new();
            for row in 0..args.rows {
                let good = list.is_valid(row);
                let before = indices.len();
                if good {
                    indices.extend((list.value_offsets()[row]..list.value_offsets()[row + 1]).rev().map(|i| i as u32));
                }
                lengths.push(indices.len() - before);
                valid.push(good);
            }
            lists(args, list.values(), indices, lengths, valid)
        }),
        Udf::new("spark_sequence_ansi", Ret::By(|_| Ok(Arrow::new_list(Arrow::Int64, true))), sequence),
        Udf::new("spark_date_sequence_ansi", Ret::By(|_| Ok(Arrow::new_list(Arrow::Date32, true))), |args| {
            let (start, stop) = (args.primitive::<Date32Type>(0)?, args.primitive::<Date32Type>(1)?);
            let (months, days) = (args.primitive::<Int32Type>(2)?, args.primitive::<Int32Type>(3)?);
            let mut builder = arrow::array::ListBuilder::new(arrow::array::Date32Builder::new());
            for row in 0..args.rows {
                let (Some(a), Some(b), Some(m), Some(d)) =
                    (start.get(row), stop.get(row), months.get(row), days.get(row))
                else {
                    builder.append_null();
                    continue;
                };
                let up = m > 0 || (m == 0 && d > 0);
                if (m == 0 && d == 0 && a != b) || (up && a > b) || (!up && a < b) {
                    return Err(external(bad_boundaries(a, b, i64::from(d))));
                }
                let mut at = a;
                let mut i = 0i32;
                while (up && at <= b) || (!up && at >= b) {
                    builder.values().append_value(at);
                    i += 1;
                    let next = crate::datetime::calendar::add_months(a, m.saturating_mul(i))
                        .and_then(|x| x.checked_add(d.checked_mul(i)?));
                    match next {
                        Some(x) if x != at && i < 10_000_000 => at = x,
                        _ => break,
                    }
                }
                builder.append(true);
            }
            Ok(Arc::new(builder.finish()))
        }),
        Udf::new("spark_array_join", Ret::Fixed(Arrow::Utf8), |args| {
            let list = list(&args.array(0)?)?;
            let items = crate::udf::Text::new(list.values(), false)?;
            let (separator, missing) = (args.text(1)?, args.text(2)?);
            crate::udf::strings(args, items.byte_size(), |row, out| {
                let (true, Some(sep)) = (list.is_valid(row), separator.get(row)) else { return Ok(false) };
                let mut first = true;
                for i in list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize {
                    let Some(text) = items.get(i).or(missing.get(row)) else { continue };
                    if !first {
                        out.push_str(sep);
                    }
                    first = false;
                    out.push_str(text);
                }
                Ok(true)
            })
        }),
    ]
}

fn bad_boundaries(start: impl std::fmt::Display, stop: impl std::fmt::Display, step: i64) -> SparkError {
    SparkError::new(
        "INVALID_SEQUENCE_BOUNDARIES",
        "22003",
        format!("Illegal sequence boundaries: {start} to {stop} by {step}."),
    )
}

fn sequence(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (start, stop, step) =
        (args.primitive::<Int64Type>(0)?, args.primitive::<Int64Type>(1)?, args.primitive::<Int64Type>(2)?);
    let mut builder = arrow::array::ListBuilder::new(arrow::array::Int64Builder::new());
    let mut total: i128 = 0;
    for row in 0..args.rows {
        let (Some(a), Some(b)) = (start.get(row), stop.get(row)) else {
            builder.append_null();
            continue;
        };
        let step = step.get(row).unwrap_or(if a <= b { 1 } else { -1 });
        if (step == 0 && a != b) || (step > 0 && a > b) || (step < 0 && a < b) {
            return Err(external(bad_boundaries(a, b, step)));
        }
        let count = if step == 0 { 1 } else { (i128::from(b) - i128::from(a)) / i128::from(step) + 1 };
        total += count;
        if total > i128::from(i32::MAX) {
            return Err(external(SparkError::new(
                "COLLECTION_SIZE_LIMIT_EXCEEDED.PARAMETER",
                "54000",
                format!("Can't create array with {total} elements which exceeding the array size limit 2147483632."),
            )));
        }
        for i in 0..count {
            builder.values().append_value((i128::from(a) + i * i128::from(step)) as i64);
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// Columns side by side, row after row.
fn woven(columns: &[ArrayRef], rows: usize) -> DfResult<ArrayRef> {
    if columns.is_empty() {
        return Ok(new_empty_array(&Arrow::Null));
    }
    let arrays: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let mut indices = Vec::with_capacity(rows * columns.len());
    for row in 0..rows {
        indices.extend((0..columns.len()).map(|c| (c, row)));
    }
    Ok(interleave(&arrays, &indices)?)
}

/// Lists of the call's type whose elements are taken from `values`.
pub(super) fn lists(
    args: &Args<'_>,
    values: &ArrayRef,
    indices: Vec<u32>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
) -> DfResult<ArrayRef> {
    let Arrow::List(field) = args.return_type else { return exec_err!("{} as {}", args.name, args.return_type) };
    let items = take(values, &UInt32Array::from(indices), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, Some(NullBuffer::from(valid)))?))
}

pub(super) fn map(
    args: &Args<'_>,
    keys: ArrayRef,
    values: ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> DfResult<ArrayRef> {
    map_array(args.return_type, keys, values, offsets, nulls)
}

/// A map of these entries; keys that are null or come twice are errors.
pub(crate) fn map_array(
    return_type: &Arrow,
    keys: ArrayRef,
    values: ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> DfResult<ArrayRef> {
    if keys.logical_null_count() > 0 {
        return Err(external(SparkError::new("NULL_MAP_KEY", "2200E", "Cannot use null as map key.")));
    }
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let rows = converter.convert_columns(&[Arc::clone(&keys)])?;
    for window in offsets.windows(2) {
        let mut seen = std::collections::HashSet::new();
        for i in window[0] as usize..window[1] as usize {
            if !seen.insert(rows.row(i)) {
                let shown = ScalarValue::try_from_array(&keys, i).map(|v| v.to_string()).unwrap_or_default();
                return Err(external(
                    SparkError::new(
                        "DUPLICATED_MAP_KEY",
                        "23505",
                        format!(
                            "Duplicate map key {shown} was found, please check the input data. If you want to remove the \
                             duplicated keys, you can set \"spark.sql.mapKeyDedupPolicy\" to \"LAST_WIN\" so that the key \
                             inserted at last takes precedence."
                        ),
                    )
                    .param("key", shown)
                    .param("mapKeyDedupPolicy", "\"spark.sql.mapKeyDedupPolicy\""),
                ));
            }
        }
    }
    let Arrow::Map(entries, sorted) = return_type else { return exec_err!("a map as {return_type}") };
    let Arrow::Struct(fields) = entries.data_type() else { return exec_err!("a map without entries") };
    let fields: Fields = fields.clone();
    let inner = StructArray::try_new(fields, vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, inner, nulls, *sorted)?))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("array", |ctx, name, args| {
            let nulls = args.iter().any(|a| a.nullable);
            if args.is_empty() {
                let empty = ScalarValue::List(ScalarValue::new_list_nullable(&[], &Arrow::Null));
                return Ok(Typed::new(
                    Expr::Literal(empty, None),
                    DataType::Array { element: Box::new(DataType::Null), contains_null: false },
                    false,
                ));
            }
            let (args, common) = coercion::unify(ctx, name, args)?;
            let expr = make_array(args.into_iter().map(|a| a.expr).collect(), &common)?;
            Ok(Typed::new(expr, DataType::Array { element: Box::new(common), contains_null: nulls }, false))
        }),
        F::resolve("struct", |_, _, args| {
            let names: Vec<String> = args.iter().enumerate().map(|(i, a)| field_name(a, i)).collect();
            Ok(structure(names, args))
        }),
        F::resolve("named_struct", |_, name, args| {
            if args.len() % 2 != 0 {
                return Err(errors::wrong_num_args(name, "2n (n > 0)", args.len()));
            }
            let mut names = Vec::new();
            let mut values = Vec::new();
            for (i, arg) in args.into_iter().enumerate() {
                if i % 2 == 1 {
                    values.push(arg);
                    continue;
                }
                match arg.literal_text() {
                    Some(n) => names.push(n.to_owned()),
                    None => {
                        return Err(errors::datatype_mismatch(
                            "CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING",
                            name,
                            format!(
                                "Only foldable `STRING` expressions are allowed to appear at odd position, but they are [\"{}\"].",
                                arg.sql()
                            ),
                        ));
                    }
                }
            }
            Ok(structure(names, values))
        }),
        F::resolve("map", |ctx, name, args| {
            if args.len() % 2 != 0 {
                return Err(errors::wrong_num_args(name, "2n (n > 0)", args.len()));
            }
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (i, arg) in args.into_iter().enumerate() {
                if i % 2 == 0 { keys.push(arg) } else { values.push(arg) }
            }
            let nulls = values.iter().any(|v| v.nullable);
            let (keys, key) = if keys.is_empty() { (keys, DataType::Null) } else { coercion::unify(ctx, name, keys)? };
            let (values, value) =
                if values.is_empty() { (values, DataType::Null) } else { coercion::unify(ctx, name, values)? };
            let data_type = DataType::Map { key: Box::new(key), value: Box::new(value), value_contains_null: nulls };
            let mut exprs = vec![type_literal(&data_type)?];
            for (k, v) in keys.into_iter().zip(values) {
                exprs.push(canonical(k)?.expr);
                exprs.push(v.expr);
            }
            Ok(Typed::new(call("spark_map_ansi", exprs)?, data_type, false))
        }),
        F::resolve("map_from_arrays", |_, name, args| {
            check_count(name, args.len(), 2, 2)?;
            let (DataType::Array { element: k, .. }, DataType::Array { element: v, contains_null }) =
                (&args[0].data_type, &args[1].data_type)
            else {
                return Err(errors::unexpected_input(name, 0, "ARRAY", &args[0]));
            };
            let data_type = DataType::Map { key: k.clone(), value: v.clone(), value_contains_null: *contains_null };
            let nullable = args.iter().any(|a| a.nullable);
            let mut exprs = vec![type_literal(&data_type)?];
            exprs.extend(args.into_iter().map(|a| a.expr));
            Ok(Typed::new(call("spark_map_from_arrays_ansi", exprs)?, data_type, nullable))
        }),
        F::resolve("array_repeat", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let count = want(ctx, name, 1, 'i', args.remove(1))?;
            let value = args.remove(0);
            let data_type = DataType::Array { element: Box::new(value.data_type), contains_null: value.nullable };
            let nullable = count.nullable;
            Ok(Typed::new(call("spark_array_repeat", vec![value.expr, count.expr])?, data_type, nullable))
        }),
        F::resolve("flatten", |_, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = args.remove(0);
            match value.data_type.clone() {
                DataType::Array { element, .. } if matches!(*element, DataType::Array { .. }) => {
                    Ok(Typed::new(call("spark_flatten", vec![value.expr])?, *element, true))
                }
                _ => Err(errors::unexpected_input(name, 0, "ARRAY<ARRAY>", &value)),
            }
        }),
        F::resolve("slice", |ctx, name, mut args| {
            check_count(name, args.len(), 3, 3)?;
            let length = want(ctx, name, 2, 'i', args.remove(2))?;
            let start = want(ctx, name, 1, 'i', args.remove(1))?;
            let value = want(ctx, name, 0, 'A', args.remove(0))?;
            let (data_type, nullable) = (value.data_type.clone(), value.nullable || start.nullable || length.nullable);
            Ok(Typed::new(call("spark_slice_ansi", vec![value.expr, start.expr, length.expr])?, data_type, nullable))
        }),
        F::resolve("reverse", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 1)?;
            let value = args.remove(0);
            let nullable = value.nullable;
            if matches!(value.data_type, DataType::Array { .. }) {
                let data_type = value.data_type.clone();
                return Ok(Typed::new(call("spark_reverse_list", vec![value.expr])?, data_type, nullable));
            }
            let value = want(ctx, name, 0, 'x', value)?;
            if value.data_type == DataType::Binary {
                return Ok(Typed::new(call("spark_reverse_bytes", vec![value.expr])?, DataType::Binary, nullable));
            }
            Ok(Typed::new(call("spark_reverse", vec![value.expr])?, DataType::String, nullable))
        }),
        F::resolve("array_join", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 3)?;
            let missing = if args.len() > 2 {
                want(ctx, name, 2, 's', args.remove(2))?
            } else {
                crate::literal::null(&DataType::String)?
            };
            let separator = want(ctx, name, 1, 's', args.remove(1))?;
            let value = coercion::implicit(ctx, want(ctx, name, 0, 'A', args.remove(0))?, &array_of(DataType::String))?;
            let nullable = value.nullable || separator.nullable;
            Ok(Typed::new(
                call("spark_array_join", vec![value.expr, separator.expr, missing.expr])?,
                DataType::String,
                nullable,
            ))
        }),
        F::resolve("sequence", sequence_call),
    ]
}

fn sequence_call(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let step = if args.len() > 2 { Some(args.remove(2)) } else { None };
    let (ends, common) = coercion::unify(ctx, name, args)?;
    let mut nullable = ends.iter().any(|a| a.nullable);
    let mut exprs: Vec<Expr> = Vec::new();
    if common.is_integral() {
        for end in ends {
            exprs.push(coercion::implicit(ctx, end, &DataType::Long)?.expr);
        }
        let step = match step {
            Some(s) => want(ctx, name, 2, 'l', s)?,
            None => crate::literal::null(&DataType::Long)?,
        };
        exprs.push(step.expr);
        let longs = DataType::Array { element: Box::new(DataType::Long), contains_null: false };
        let value = Typed::new(call("spark_sequence_ansi", exprs)?, longs, nullable);
        let to = DataType::Array { element: Box::new(common), contains_null: false };
        return crate::cast::cast(ctx, value, &to, crate::EvalMode::Legacy);
    }
    if common == DataType::Date {
        let (months, days) = match step {
            None => (0, 1),
            Some(s) => match s.literal() {
                Some(ScalarValue::IntervalYearMonth(Some(m))) => (*m, 0),
                Some(ScalarValue::DurationMicrosecond(Some(d)))
                    if d % crate::datetime::calendar::MICROS_PER_DAY == 0 =>
                {
                    (0, (d / crate::datetime::calendar::MICROS_PER_DAY) as i32)
                }
                Some(ScalarValue::IntervalMonthDayNano(Some(v))) if v.nanoseconds == 0 => (v.months, v.days),
                _ => {
                    return Err(SparkError::unsupported(
                        "sequence() of dates with a step that is not a literal of months or days",
                    ));
                }
            },
        };
        nullable |= ends.iter().any(|e| e.nullable);
        exprs.extend(ends.into_iter().map(|e| e.expr));
        exprs.push(crate::literal::int(months).expr);
        exprs.push(crate::literal::int(days).expr);
        let to = DataType::Array { element: Box::new(DataType::Date), contains_null: false };
        return Ok(Typed::new(call("spark_date_sequence_ansi", exprs)?, to, nullable));
    }
    Err(SparkError::unsupported(format!("sequence() of {common}")))
}

/// Values of one type as an array.
pub(crate) fn make_array(values: Vec<Expr>, _element: &DataType) -> SparkResult<Expr> {
    Ok(datafusion::functions_nested::make_array::make_array_udf().call(values))
}

fn field_name(value: &Typed, index: usize) -> String {
    match &value.expr {
        Expr::Alias(a) => a.name.clone(),
        Expr::Column(c) => c.name.clone(),
        Expr::ScalarFunction(f) if f.func.name() == "get_field" => match f.args.last() {
            Some(Expr::Literal(v, _)) => v.try_as_str().flatten().unwrap_or_default().to_owned(),
            _ => format!("col{}", index + 1),
        },
        _ => format!("col{}", index + 1),
    }
}

fn structure(names: Vec<String>, values: Vec<Typed>) -> Typed {
    if values.is_empty() {
        let empty = ScalarValue::Struct(Arc::new(StructArray::new_empty_fields(1, None)));
        return Typed::new(Expr::Literal(empty, None), DataType::Struct(Vec::new()), false);
    }
    let mut args = Vec::with_capacity(values.len() * 2);
    let mut fields = Vec::with_capacity(values.len());
    for (name, value) in names.into_iter().zip(values) {
        args.push(text_literal(&name));
        args.push(match value.expr {
            Expr::Alias(a) => *a.expr,
            other => other,
        });
        fields.push(StructField::new(name, value.data_type, value.nullable));
    }
    let expr = datafusion::functions::core::named_struct().call(args);
    Typed::new(expr, DataType::Struct(fields), false)
}

/// Arrays one after the other.
pub(crate) fn concat(ctx: &FunctionContext, name: &'static str, args: Vec<Typed>) -> SparkResult<Typed> {
    let (args, common) = coercion::unify(ctx, name, args)?;
    let nullable = args.iter().any(|a| a.nullable);
    Ok(Typed::new(call("spark_concat_lists", args.into_iter().map(|a| a.expr).collect())?, common, nullable))
}
