//! Elements, values, fields, sizes.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, UInt32Array},
    compute::take,
    datatypes::{DataType as Arrow, Int32Type},
    row::{RowConverter, SortField},
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    EvalMode, FunctionContext, Typed, coercion, errors,
    errors::external,
    literal,
    operators::canonical,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call, numbers},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        // (list, index from 1 or from the end)
        Udf::new("spark_element_at_ansi", Ret::Element(0), |a| item(a, true, EvalMode::Ansi)),
        Udf::new("spark_element_at_legacy", Ret::Element(0), |a| item(a, true, EvalMode::Legacy)),
        // (list, index from 0)
        Udf::new("spark_item_ansi", Ret::Element(0), |a| item(a, false, EvalMode::Ansi)),
        Udf::new("spark_item_legacy", Ret::Element(0), |a| item(a, false, EvalMode::Legacy)),
        Udf::new("spark_map_value", Ret::By(value_type), map_value),
        // (collection, what a null one has)
        Udf::new("spark_size", Ret::Fixed(Arrow::Int32), |args| {
            let array = args.array(0)?;
            let of_null = args.primitive::<Int32Type>(1)?;
            numbers::<Int32Type>(args, |row| {
                if array.is_null(row) {
                    return Ok(of_null.get(row));
                }
                Ok(match array.data_type() {
                    Arrow::List(_) => Some(array.as_list::<i32>().value_length(row)),
                    Arrow::Map(..) => Some(array.as_map().value_length(row)),
                    _ => None,
                })
            })
        }),
        Udf::new("spark_map_keys", Ret::By(|args| entries_type(args, 0)), |a| entries(a, 0)),
        Udf::new("spark_map_values", Ret::By(|args| entries_type(args, 1)), |a| entries(a, 1)),
    ]
}

pub(crate) fn list(array: &ArrayRef) -> DfResult<ListArray> {
    match array.data_type() {
        Arrow::List(_) => Ok(array.as_list::<i32>().clone()),
        Arrow::LargeList(f) | Arrow::FixedSizeList(f, _) | Arrow::ListView(f) => {
            Ok(arrow::compute::cast(array, &Arrow::List(Arc::clone(f)))?.as_list::<i32>().clone())
        }
        other => exec_err!("{other} is not an array"),
    }
}

fn item(args: &Args<'_>, from_one: bool, mode: EvalMode) -> DfResult<ArrayRef> {
    let list = list(&args.array(0)?)?;
    let index = args.primitive::<Int32Type>(1)?;
    let mut found: Vec<Option<u32>> = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let (false, Some(wanted)) = (list.is_null(row), index.get(row)) else {
            found.push(None);
            continue;
        };
        let size = list.value_length(row);
        let at = if !from_one {
            i64::from(wanted)
        } else if wanted > 0 {
            i64::from(wanted) - 1
        } else if wanted == 0 {
            return Err(external(SparkError::new(
                "INVALID_INDEX_OF_ZERO",
                "22003",
                "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
            )));
        } else {
            i64::from(size) + i64::from(wanted)
        };
        if at >= 0 && at < i64::from(size) {
            found.push(Some((i64::from(list.value_offsets()[row]) + at) as u32));
        } else if mode == EvalMode::Ansi {
            let (class, instead) = if from_one {
                ("INVALID_ARRAY_INDEX_IN_ELEMENT_AT", "`try_element_at`")
            } else {
                ("INVALID_ARRAY_INDEX", "the SQL function `get()`")
            };
            return Err(external(errors::array_index(class, i64::from(wanted), size as usize, instead)));
        } else {
            found.push(None);
        }
    }
    Ok(take(list.values(), &UInt32Array::from(found), None)?)
}

fn value_type(args: &[Arrow]) -> DfResult<Arrow> {
    match args.first() {
        Some(Arrow::Map(entries, _)) => match entries.data_type() {
            Arrow::Struct(fields) if fields.len() == 2 => Ok(fields[1].data_type().clone()),
            other => exec_err!("a map of {other}"),
        },
        other => exec_err!("{other:?} is not a map"),
    }
}

fn entries_type(args: &[Arrow], which: usize) -> DfResult<Arrow> {
    match args.first() {
        Some(Arrow::Map(entries, _)) => match entries.data_type() {
            Arrow::Struct(fields) if fields.len() == 2 => Ok(Arrow::new_list(fields[which].data_type().clone(), true)),
            other => exec_err!("a map of {other}"),
        },
        other => exec_err!("{other:?} is not a map"),
    }
}

fn entries(args: &Args<'_>, which: usize) -> DfResult<ArrayRef> {
    let array = args.array(0)?;
    let map = array.as_map();
    let values = if which == 0 { map.keys() } else { map.values() };
    let Arrow::List(field) = args.return_type else { return exec_err!("{} as {}", args.name, args.return_type) };
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(field),
        map.offsets().clone(),
        Arc::clone(values),
        map.nulls().cloned(),
    )?))
}

fn map_value(args: &Args<'_>) -> DfResult<ArrayRef> {
    let array = args.array(0)?;
    let map = array.as_map();
    let wanted = args.array(1)?;
    let converter = RowConverter::new(vec![SortField::new(map.keys().data_type().clone())])?;
    let keys = converter.convert_columns(&[Arc::clone(map.keys())])?;
    let wanted = arrow::compute::cast(&wanted, map.keys().data_type())?;
    let nulls = wanted.nulls().cloned();
    let wanted = converter.convert_columns(&[wanted])?;
    let mut found: Vec<Option<u32>> = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        if map.is_null(row) || nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            found.push(None);
            continue;
        }
        let (start, end) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
        let key = wanted.row(row);
        found.push((start..end).find(|i| keys.row(*i) == key).map(|i| i as u32));
    }
    Ok(take(map.values(), &UInt32Array::from(found), None)?)
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("element_at", |ctx, name, args| {
            check_count(name, args.len(), 2, 2)?;
            let mut args = args.into_iter();
            match (args.next(), args.next()) {
                (Some(base), Some(index)) => at(ctx, name, base, index, ctx.mode()),
                _ => Err(errors::wrong_num_args(name, 2, 0)),
            }
        }),
        F::resolve("try_element_at", |ctx, name, args| {
            check_count(name, args.len(), 2, 2)?;
            let mut args = args.into_iter();
            match (args.next(), args.next()) {
                (Some(base), Some(index)) => at(ctx, name, base, index, EvalMode::Legacy),
                _ => Err(errors::wrong_num_args(name, 2, 0)),
            }
        }),
        F::resolve("get", |ctx, name, args| {
            check_count(name, args.len(), 2, 2)?;
            let mut args = args.into_iter();
            match (args.next(), args.next()) {
                (Some(base), Some(index)) => item_call(ctx, name, base, index, EvalMode::Legacy),
                _ => Err(errors::wrong_num_args(name, 2, 0)),
            }
        }),
        F::resolve("size", size),
        F::resolve("cardinality", size),
        F::resolve("array_size", |ctx, name, args| {
            check_count(name, args.len(), 1, 1)?;
            if let Some(map) = args.first().filter(|a| matches!(a.data_type, DataType::Map { .. })) {
                return Err(errors::unexpected_input(name, 0, "ARRAY", map));
            }
            let ansi = FunctionContext { ansi: true, ..ctx.clone() };
            size(&ansi, name, args)
        }),
        F::resolve("map_keys", |ctx, name, args| of_map(ctx, name, args, true)),
        F::resolve("map_values", |ctx, name, args| of_map(ctx, name, args, false)),
        F::resolve("map_contains_key", |ctx, name, mut args| {
            check_count(name, args.len(), 2, 2)?;
            let key = args.remove(1);
            let keys = of_map(ctx, name, args, true)?;
            match crate::registry::lookup("array_contains") {
                Some(def) => def.resolve_scalar(ctx, vec![keys, key]),
                None => Err(SparkError::internal("array_contains is missing")),
            }
        }),
    ]
}

fn size(ctx: &FunctionContext, name: &'static str, mut args: Vec<Typed>) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = args.remove(0);
    if !matches!(value.data_type, DataType::Array { .. } | DataType::Map { .. } | DataType::Null) {
        return Err(errors::unexpected_input(name, 0, "(\"ARRAY\" or \"MAP\")", &value));
    }
    if value.data_type == DataType::Null {
        return if ctx.ansi { literal::null(&DataType::Integer) } else { Ok(literal::int(-1)) };
    }
    let of_null = if ctx.ansi { literal::null(&DataType::Integer)? } else { literal::int(-1) };
    let nullable = ctx.ansi && value.nullable;
    Ok(Typed::new(call("spark_size", vec![value.expr, of_null.expr])?, DataType::Integer, nullable))
}

fn of_map(_: &FunctionContext, name: &'static str, mut args: Vec<Typed>, keys: bool) -> SparkResult<Typed> {
    check_count(name, args.len(), 1, 1)?;
    let value = args.remove(0);
    let DataType::Map { key, value: item, value_contains_null } = &value.data_type else {
        return Err(errors::unexpected_input(name, 0, "MAP", &value));
    };
    let (element, contains_null, udf) = if keys {
        (key.as_ref().clone(), false, "spark_map_keys")
    } else {
        (item.as_ref().clone(), *value_contains_null, "spark_map_values")
    };
    let nullable = value.nullable;
    Ok(Typed::new(
        call(udf, vec![value.expr])?,
        DataType::Array { element: Box::new(element), contains_null },
        nullable,
    ))
}

fn at(ctx: &FunctionContext, name: &'static str, base: Typed, index: Typed, mode: EvalMode) -> SparkResult<Typed> {
    match base.data_type.clone() {
        DataType::Map { key, value, .. } => map_value_call(ctx, base, index, &key, &value),
        DataType::Array { element, .. } => {
            let index = want(ctx, name, 1, 'i', index)?;
            let udf = if mode == EvalMode::Ansi { "spark_element_at_ansi" } else { "spark_element_at_legacy" };
            Ok(Typed::new(call(udf, vec![base.expr, index.expr])?, *element, true))
        }
        _ => Err(errors::unexpected_input(name, 0, "(\"ARRAY\" or \"MAP\")", &base)),
    }
}

fn map_value_call(
    ctx: &FunctionContext,
    base: Typed,
    index: Typed,
    key: &DataType,
    value: &DataType,
) -> SparkResult<Typed> {
    let index = canonical(coercion::implicit(ctx, index, key)?)?;
    Ok(Typed::new(call("spark_map_value", vec![base.expr, index.expr])?, value.clone(), true))
}

fn item_call(ctx: &FunctionContext, name: &str, base: Typed, index: Typed, mode: EvalMode) -> SparkResult<Typed> {
    let DataType::Array { element, .. } = base.data_type.clone() else {
        return Err(errors::unexpected_input(name, 0, "ARRAY", &base));
    };
    let index = want(ctx, name, 1, 'i', index)?;
    let udf = if mode == EvalMode::Ansi { "spark_item_ansi" } else { "spark_item_legacy" };
    Ok(Typed::new(call(udf, vec![base.expr, index.expr])?, *element, true))
}

/// `base[index]`
pub fn subscript(ctx: &FunctionContext, base: Typed, index: Typed) -> SparkResult<Typed> {
    match base.data_type.clone() {
        DataType::Map { key, value, .. } => map_value_call(ctx, base, index, &key, &value),
        DataType::Array { .. } => item_call(ctx, "element_at", base, index, ctx.mode()),
        DataType::Struct(_) => match index.literal_text().map(str::to_owned) {
            Some(name) => field(ctx, base, &name),
            None => Err(invalid_extraction(&base)),
        },
        _ => Err(invalid_extraction(&base)),
    }
}

fn invalid_extraction(base: &Typed) -> SparkError {
    SparkError::new(
        "INVALID_EXTRACT_BASE_FIELD_TYPE",
        "42000",
        format!(
            "Can't extract a value from \"{}\". Need a complex type [STRUCT, ARRAY, MAP] but got \"{}\".",
            base.sql(),
            errors::sql_type(&base.data_type)
        ),
    )
    .param("base", format!("\"{}\"", base.sql()))
    .param("other", format!("\"{}\"", errors::sql_type(&base.data_type)))
}

/// `base.name`: a struct's field, a map's value, or that field of every struct of an array.
pub fn field(ctx: &FunctionContext, base: Typed, name: &str) -> SparkResult<Typed> {
    match base.data_type.clone() {
        DataType::Struct(fields) => {
            let same = |f: &str| if ctx.case_sensitive { f == name } else { f.eq_ignore_ascii_case(name) };
            let mut hits = fields.iter().filter(|f| same(&f.name));
            let Some(hit) = hits.next() else {
                let known: Vec<String> = fields.iter().map(|f| format!("`{}`", f.name)).collect();
                return Err(SparkError::new(
                    "FIELD_NOT_FOUND",
                    "42704",
                    format!("No such struct field `{name}` in {}.", known.join(", ")),
                )
                .param("fieldName", format!("`{name}`"))
                .param("fields", known.join(", ")));
            };
            if hits.next().is_some() {
                return Err(SparkError::new(
                    "AMBIGUOUS_REFERENCE_TO_FIELDS",
                    "42000",
                    format!("Ambiguous reference to the field `{name}`."),
                )
                .param("field", format!("`{name}`")));
            }
            let expr =
                datafusion::functions::core::get_field().call(vec![base.expr, crate::udf::text_literal(&hit.name)]);
            Ok(Typed::new(expr, hit.data_type.clone(), base.nullable || hit.nullable))
        }
        DataType::Map { key, value, .. } => map_value_call(ctx, base, literal::text(name), &key, &value),
        DataType::Array { element, .. } if matches!(*element, DataType::Struct(_)) => {
            Err(SparkError::unsupported("a field of the structs of an array"))
        }
        _ => Err(invalid_extraction(&base)),
    }
}
