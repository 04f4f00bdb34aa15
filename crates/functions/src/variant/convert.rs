//! Columns' values to VARIANT and back.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{
        DataType as Arrow, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::DataType;

use super::{
    decoded,
    encoding::Variant,
    text::{stripped, write_text},
};
use crate::{
    cast::{Env, convert, convert_list},
    errors::external,
    types,
    udf::{Bytes, Text},
};

/// The value of a row, which is not null.
pub(super) fn to_variant(values: &ArrayRef, row: usize, data_type: &DataType) -> DfResult<Variant> {
    let inner = |values: &ArrayRef, row: usize, data_type: &DataType| {
        if values.is_null(row) || *data_type == DataType::Null {
            Ok(Variant::Null)
        } else {
            to_variant(values, row, data_type)
        }
    };
    Ok(match data_type {
        DataType::Null => Variant::Null,
        DataType::Boolean => Variant::Boolean(values.as_boolean().value(row)),
        t if t.is_integral() => {
            let long = arrow::compute::cast(&values.slice(row, 1), &Arrow::Int64)?;
            Variant::Long(long.as_primitive::<Int64Type>().value(0))
        }
        DataType::Float => Variant::Float(values.as_primitive::<Float32Type>().value(row)),
        DataType::Double => Variant::Double(values.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal { scale, .. } => {
            Variant::Decimal(values.as_primitive::<Decimal128Type>().value(row), *scale as u8)
        }
        t if t.is_string() => Variant::Text(Text::new(values, false)?.get(row).unwrap_or_default().to_owned()),
        DataType::Binary => Variant::Binary(Bytes::new(values, false)?.get(row).unwrap_or_default().to_vec()),
        DataType::Date => Variant::Date(values.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp => Variant::Timestamp(values.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::TimestampNtz => Variant::TimestampNtz(values.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Variant => decoded(Bytes::new(values, false)?.get(row).unwrap_or_default())?,
        DataType::Array { element, .. } => {
            let items = convert_list(values)?.value(row);
            Variant::Array((0..items.len()).map(|i| inner(&items, i, element)).collect::<DfResult<_>>()?)
        }
        DataType::Map { value, .. } => {
            let entries = values.as_map().value(row);
            let names = Text::new(entries.column(0), false)?;
            let mut fields = Vec::with_capacity(entries.len());
            for i in 0..entries.len() {
                fields.push((names.get(i).unwrap_or_default().to_owned(), inner(entries.column(1), i, value)?));
            }
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Variant::Object(fields)
        }
        DataType::Struct(fields) => {
            let columns = values.as_struct();
            let mut all = Vec::with_capacity(fields.len());
            for (column, field) in columns.columns().iter().zip(fields) {
                all.push((field.name.clone(), inner(column, row, &field.data_type)?));
            }
            all.sort_by(|a, b| a.0.cmp(&b.0));
            Variant::Object(all)
        }
        other => return exec_err!("a variant of {other}"),
    })
}

/// Nothing where the value is no value of the type.
pub(super) fn from_variant(env: &Env, value: &Variant, to: &DataType) -> DfResult<Option<ScalarValue>> {
    let arrow = types::to_arrow(to).map_err(external)?;
    let null = || ScalarValue::try_from(&arrow);
    Ok(Some(match (value, to) {
        (_, DataType::Variant) => ScalarValue::Binary(Some(value.encode())),
        (Variant::Null, _) => null()?,
        (_, t) if t.is_string() => {
            let mut text = String::new();
            write_text(env, &mut text, value);
            ScalarValue::Utf8(Some(text))
        }
        (Variant::Array(all), DataType::Array { element, .. }) => {
            let Arrow::List(field) = &arrow else { return exec_err!("an array as {arrow}") };
            let Some(items) = column(env, all.iter(), element)? else { return Ok(None) };
            let offsets = OffsetBuffer::from_lengths([items.len()]);
            ScalarValue::List(Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, None)?))
        }
        (Variant::Object(fields), DataType::Map { value, .. }) => {
            let Arrow::Map(entries, sorted) = &arrow else { return exec_err!("a map as {arrow}") };
            let Arrow::Struct(kinds) = entries.data_type() else { return exec_err!("a map as {arrow}") };
            let keys: ArrayRef =
                Arc::new(fields.iter().map(|(n, _)| Some(n.as_str())).collect::<arrow::array::StringArray>());
            let Some(values) = column(env, fields.iter().map(|(_, v)| v), value)? else { return Ok(None) };
            let offsets = OffsetBuffer::from_lengths([keys.len()]);
            let pairs = StructArray::try_new(kinds.clone(), vec![keys, values], None)?;
            ScalarValue::Map(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, None, *sorted)?))
        }
        (Variant::Object(given), DataType::Struct(wanted)) => {
            let Arrow::Struct(kinds) = &arrow else { return exec_err!("a struct as {arrow}") };
            let mut columns = Vec::with_capacity(wanted.len());
            for field in wanted {
                let found = given.iter().find(|(n, _)| *n == field.name).map_or(&Variant::Null, |(_, v)| v);
                match column(env, std::iter::once(found), &field.data_type)? {
                    Some(column) => columns.push(column),
                    None => return Ok(None),
                }
            }
            ScalarValue::Struct(Arc::new(StructArray::try_new_with_length(kinds.clone(), columns, None, 1)?))
        }
        (Variant::Array(_) | Variant::Object(_), _) => return Ok(None),
        (_, DataType::Array { .. } | DataType::Map { .. } | DataType::Struct(_)) => return Ok(None),
        _ => return scalar(env, value, to),
    }))
}

fn column<'a>(env: &Env, values: impl Iterator<Item = &'a Variant>, to: &DataType) -> DfResult<Option<ArrayRef>> {
    let mut all = Vec::new();
    for value in values {
        match from_variant(env, value, to)? {
            Some(value) => all.push(value),
            None => return Ok(None),
        }
    }
    if all.is_empty() {
        return Ok(Some(arrow::array::new_empty_array(&types::to_arrow(to).map_err(external)?)));
    }
    ScalarValue::iter_to_array(all).map(Some)
}

/// A simple value, cast as one of its own type would be.
fn scalar(env: &Env, value: &Variant, to: &DataType) -> DfResult<Option<ScalarValue>> {
    let (scalar, from) = match value {
        Variant::Boolean(v) => (ScalarValue::Boolean(Some(*v)), DataType::Boolean),
        Variant::Long(v) => (ScalarValue::Int64(Some(*v)), DataType::Long),
        Variant::Float(v) => (ScalarValue::Float32(Some(*v)), DataType::Float),
        Variant::Double(v) => (ScalarValue::Float64(Some(*v)), DataType::Double),
        Variant::Decimal(v, scale) => {
            let (v, scale) = stripped(*v, *scale);
            let from = DataType::Decimal { precision: 38, scale: scale as i8 };
            (ScalarValue::Decimal128(Some(v), 38, scale as i8), from)
        }
        Variant::Date(v) => (ScalarValue::Date32(Some(*v)), DataType::Date),
        Variant::Timestamp(v) => (ScalarValue::TimestampMicrosecond(Some(*v), types::utc()), DataType::Timestamp),
        Variant::TimestampNtz(v) => (ScalarValue::TimestampMicrosecond(Some(*v), None), DataType::TimestampNtz),
        Variant::Binary(v) => (ScalarValue::Binary(Some(v.clone())), DataType::Binary),
        Variant::Text(v) => (ScalarValue::Utf8(Some(v.clone())), DataType::String),
        _ => return Ok(None),
    };
    if !crate::cast::can_cast(&from, to, crate::EvalMode::Ansi) {
        return Ok(None);
    }
    let converted = convert(env, &scalar.to_array()?, &from, to)?;
    if converted.is_null(0) { Ok(None) } else { ScalarValue::try_from_array(&converted, 0).map(Some) }
}
