//! Maps from maps, from entries and from texts.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, StringBuilder, StructArray, UInt32Array},
    buffer::{NullBuffer, OffsetBuffer},
    compute::{interleave, take},
    datatypes::DataType as Arrow,
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkResult, types::StructField};

use super::{access::list, build::map};
use crate::{
    Typed, coercion, errors,
    registry::{FunctionDef, check_count, want},
    text::split_text,
    udf::{Args, Ret, Udf, call, type_literal},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        // (null of the type, maps)
        Udf::new("spark_map_concat_ansi", Ret::Arg(0), concat),
        // (null of the type, text, between pairs, between key and value)
        Udf::new("spark_str_to_map_ansi", Ret::Arg(0), from_text),
        // (null of the type, map)
        Udf::new("spark_map_entries", Ret::Arg(0), |args| {
            let array = args.array(1)?;
            let map = array.as_map();
            let Arrow::List(field) = args.return_type else {
                return exec_err!("{} as {}", args.name, args.return_type);
            };
            let Arrow::Struct(fields) = field.data_type() else { return exec_err!("{} without entries", args.name) };
            let columns = vec![Arc::clone(map.keys()), Arc::clone(map.values())];
            let items = StructArray::try_new(fields.clone(), columns, None)?;
            let offsets = map.offsets().clone();
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, Arc::new(items), map.nulls().cloned())?))
        }),
        // (null of the type, array of pairs)
        Udf::new("spark_map_from_entries_ansi", Ret::Arg(0), |args| {
            let list = list(&args.array(1)?)?;
            let pairs = list.values().as_struct();
            let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
            for row in 0..args.rows {
                let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
                let good = list.is_valid(row) && (start..end).all(|i| pairs.is_valid(i));
                valid.push(good);
                lengths.push(if good { end - start } else { 0 });
                if good {
                    places.extend((start..end).map(|i| i as u32));
                }
            }
            let places = UInt32Array::from(places);
            let keys = take(pairs.column(0), &places, None)?;
            let values = take(pairs.column(1), &places, None)?;
            map(args, keys, values, OffsetBuffer::from_lengths(lengths), Some(NullBuffer::from(valid)))
        }),
    ]
}

/// Both delimiters are regular expressions; a pair without the second is a key without a value.
fn from_text(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (texts, pairs, parts) = (args.text(1)?, args.text(2)?, args.text(3)?);
    let mut keys = StringBuilder::new();
    let mut values = StringBuilder::new();
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for row in 0..args.rows {
        let (Some(text), Some(pair), Some(part)) = (texts.get(row), pairs.get(row), parts.get(row)) else {
            lengths.push(0);
            valid.push(false);
            continue;
        };
        let entries = split_text(text, pair, -1, "str_to_map")?;
        lengths.push(entries.len());
        valid.push(true);
        for entry in entries {
            let mut halves = split_text(entry, part, 2, "str_to_map")?.into_iter();
            keys.append_option(halves.next());
            values.append_option(halves.next());
        }
    }
    let (keys, values) = (Arc::new(keys.finish()), Arc::new(values.finish()));
    map(args, keys, values, OffsetBuffer::from_lengths(lengths), Some(NullBuffer::from(valid)))
}

fn concat(args: &Args<'_>) -> DfResult<ArrayRef> {
    let arrays = (1..args.len()).map(|i| args.array(i)).collect::<DfResult<Vec<_>>>()?;
    let maps: Vec<_> = arrays.iter().map(|a| a.as_map()).collect();
    let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..args.rows {
        let good = maps.iter().all(|m| m.is_valid(row));
        valid.push(good);
        let before = places.len();
        if good {
            for (i, m) in maps.iter().enumerate() {
                let (start, end) = (m.value_offsets()[row] as usize, m.value_offsets()[row + 1] as usize);
                places.extend((start..end).map(|at| (i, at)));
            }
        }
        lengths.push(places.len() - before);
    }
    let woven = |part: fn(&arrow::array::MapArray) -> &ArrayRef| -> DfResult<ArrayRef> {
        let parts: Vec<&dyn Array> = maps.iter().map(|m| part(m).as_ref()).collect();
        Ok(interleave(&parts, &places)?)
    };
    let (keys, values) = (woven(arrow::array::MapArray::keys)?, woven(arrow::array::MapArray::values)?);
    map(args, keys, values, OffsetBuffer::from_lengths(lengths), Some(NullBuffer::from(valid)))
}

fn typed_call(udf: &str, data_type: DataType, args: Vec<Typed>, nullable: bool) -> SparkResult<Typed> {
    let mut exprs = vec![type_literal(&data_type)?];
    exprs.extend(args.into_iter().map(|a| a.expr));
    Ok(Typed::new(call(udf, exprs)?, data_type, nullable))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::resolve("map_concat", |ctx, name, args| {
            if args.iter().any(|a| !matches!(a.data_type, DataType::Map { .. })) {
                let types: Vec<String> =
                    args.iter().map(|a| format!("\"{}\"", errors::sql_type(&a.data_type))).collect();
                let types = format!("[{}]", types.join(", "));
                return Err(errors::datatype_mismatch(
                    "MAP_CONCAT_DIFF_TYPES",
                    format_args!("{name}(…)"),
                    format_args!("The `{name}` should all be of type map, but it's {types}."),
                )
                .param("functionName", format!("`{name}`"))
                .param("dataType", types));
            }
            if args.is_empty() {
                let empty = crate::registry::lookup("map").map(|def| def.resolve_scalar(ctx, Vec::new()));
                return empty.unwrap_or_else(|| Err(firesteel_plan::SparkError::internal("map is missing")));
            }
            let (args, common) = coercion::unify(ctx, name, args)?;
            let nullable = args.iter().any(|a| a.nullable);
            typed_call("spark_map_concat_ansi", common, args, nullable)
        }),
        F::resolve("str_to_map", |ctx, name, mut args| {
            check_count(name, args.len(), 1, 3)?;
            for default in [",", ":"].into_iter().skip(args.len() - 1) {
                args.push(crate::literal::text(default));
            }
            let mut texts = Vec::new();
            for (index, arg) in args.into_iter().enumerate() {
                texts.push(want(ctx, name, index, 's', arg)?);
            }
            let nullable = texts.iter().any(|t| t.nullable);
            typed_call("spark_str_to_map_ansi", DataType::map(DataType::String, DataType::String), texts, nullable)
        }),
        F::resolve("map_entries", |_, name, args| {
            check_count(name, args.len(), 1, 1)?;
            if args[0].data_type == DataType::Null {
                let fields = ["key", "value"].map(|f| StructField::new(f, DataType::Null, f == "value")).into();
                return crate::literal::null(&DataType::Array {
                    element: Box::new(DataType::Struct(fields)),
                    contains_null: false,
                });
            }
            let DataType::Map { key, value, value_contains_null } = args[0].data_type.clone() else {
                return Err(errors::unexpected_input(name, 0, "MAP", &args[0]));
            };
            let fields =
                vec![StructField::new("key", *key, false), StructField::new("value", *value, value_contains_null)];
            let data_type = DataType::Array { element: Box::new(DataType::Struct(fields)), contains_null: false };
            let nullable = args[0].nullable;
            typed_call("spark_map_entries", data_type, args, nullable)
        }),
        F::resolve("map_from_entries", |_, name, args| {
            check_count(name, args.len(), 1, 1)?;
            let pair = match &args[0].data_type {
                DataType::Array { element, .. } => match element.as_ref() {
                    DataType::Struct(fields) => <[StructField; 2]>::try_from(fields.clone()).ok(),
                    _ => None,
                },
                _ => None,
            };
            let Some([key, value]) = pair else {
                return Err(errors::unexpected_input(name, 0, "ARRAY<STRUCT<ANY, ANY>>", &args[0]));
            };
            let data_type = DataType::Map {
                key: Box::new(key.data_type),
                value: Box::new(value.data_type),
                value_contains_null: value.nullable,
            };
            typed_call("spark_map_from_entries_ansi", data_type, args, true)
        }),
    ]
}
