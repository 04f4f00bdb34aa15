//! Casts of arrays, maps and structs, element by element.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray},
    datatypes::DataType as Arrow,
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::DataType;

use super::{Env, kernels::convert as convert_value};
use crate::{errors::external, types};

pub(crate) fn convert_list(array: &ArrayRef) -> DfResult<ListArray> {
    match array.data_type() {
        Arrow::List(_) => Ok(array.as_list::<i32>().clone()),
        Arrow::LargeList(f) | Arrow::FixedSizeList(f, _) | Arrow::ListView(f) => {
            let own = arrow::compute::cast(array, &Arrow::List(Arc::clone(f)))?;
            Ok(own.as_list::<i32>().clone())
        }
        other => exec_err!("{other} is not a list"),
    }
}

pub(super) fn convert(env: &Env, values: &ArrayRef, from: &DataType, to: &DataType) -> DfResult<ArrayRef> {
    let target = types::to_arrow(to).map_err(external)?;
    match (from, to, &target) {
        (DataType::Array { element: a, .. }, DataType::Array { element: b, .. }, Arrow::List(field)) => {
            let list = convert_list(values)?;
            let items = convert_value(env, list.values(), a, b)?;
            let field = relaxed(field, &items);
            Ok(Arc::new(ListArray::try_new(field, list.offsets().clone(), items, list.nulls().cloned())?))
        }
        (DataType::Struct(a), DataType::Struct(b), Arrow::Struct(fields)) => {
            let source = values.as_struct();
            let mut columns = Vec::with_capacity(a.len());
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                columns.push(convert_value(env, source.column(i), &x.data_type, &y.data_type)?);
            }
            let fields = fields.iter().zip(&columns).map(|(f, c)| relaxed(f, c)).collect();
            Ok(Arc::new(StructArray::try_new_with_length(fields, columns, source.nulls().cloned(), source.len())?))
        }
        (
            DataType::Map { key: k1, value: v1, .. },
            DataType::Map { key: k2, value: v2, .. },
            Arrow::Map(entries, sorted),
        ) => {
            let source = values.as_map();
            let keys = convert_value(env, source.keys(), k1, k2)?;
            let items = convert_value(env, source.values(), v1, v2)?;
            let Arrow::Struct(fields) = entries.data_type() else {
                return exec_err!("a map without entries");
            };
            let fields: arrow::datatypes::Fields = vec![relaxed(&fields[0], &keys), relaxed(&fields[1], &items)].into();
            let entries = Arc::new(entries.as_ref().clone().with_data_type(Arrow::Struct(fields.clone())));
            let inner = StructArray::try_new(fields, vec![keys, items], None)?;
            Ok(Arc::new(MapArray::try_new(entries, source.offsets().clone(), inner, source.nulls().cloned(), *sorted)?))
        }
        _ => exec_err!("no cast from {from} to {to}"),
    }
}

/// The field, nullable where the values have nulls.
fn relaxed(field: &arrow::datatypes::FieldRef, values: &ArrayRef) -> arrow::datatypes::FieldRef {
    if !field.is_nullable() && values.null_count() > 0 {
        Arc::new(field.as_ref().clone().with_nullable(true))
    } else {
        Arc::clone(field)
    }
}
