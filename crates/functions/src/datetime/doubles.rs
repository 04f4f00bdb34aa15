//! Times and intervals as doubles and back, for aggregates that count in doubles.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, ListArray, PrimitiveArray},
    datatypes::{
        ArrowPrimitiveType, DataType as Arrow, Date32Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type,
        IntervalYearMonthType, TimestampMicrosecondType,
    },
};
use datafusion::{common::exec_err, error::Result as DfResult};

use crate::udf::{Ret, Udf};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        // (date, timestamp or interval)
        Udf::new("time_as_double", Ret::Fixed(Arrow::Float64), |args| as_doubles(&args.array(0)?)),
        // (null of the type, double or list of doubles)
        Udf::new("double_as_time", Ret::Arg(0), |args| {
            let values = args.array(1)?;
            if let (Arrow::List(field), Some(lists)) = (args.return_type, values.as_list_opt::<i32>()) {
                let items = of_doubles(lists.values(), field.data_type())?;
                let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
                return Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, nulls)?));
            }
            of_doubles(&values, args.return_type)
        }),
    ]
}

/// A column of numbers or times as doubles.
pub(crate) fn as_doubles(column: &ArrayRef) -> DfResult<ArrayRef> {
    let through: ArrayRef = match column.data_type() {
        Arrow::Date32 => Arc::new(column.as_primitive::<Date32Type>().reinterpret_cast::<Int32Type>()),
        Arrow::Interval(_) => Arc::new(column.as_primitive::<IntervalYearMonthType>().reinterpret_cast::<Int32Type>()),
        Arrow::Duration(_) => {
            Arc::new(column.as_primitive::<DurationMicrosecondType>().reinterpret_cast::<Int64Type>())
        }
        Arrow::Timestamp(..) => {
            Arc::new(column.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>())
        }
        _ => Arc::clone(column),
    };
    Ok(arrow::compute::cast(&through, &Arrow::Float64)?)
}

/// Doubles as numbers or times of a type, their fractions cut off.
pub(crate) fn of_doubles(values: &ArrayRef, to: &Arrow) -> DfResult<ArrayRef> {
    fn map<T: ArrowPrimitiveType>(values: &Float64Array, to: &Arrow, f: impl Fn(f64) -> T::Native) -> ArrayRef {
        let mapped: PrimitiveArray<T> = values.iter().map(|v| v.map(&f)).collect();
        Arc::new(mapped.with_data_type(to.clone()))
    }
    let Some(values) = values.as_primitive_opt::<Float64Type>() else {
        return exec_err!("{} as {to}", values.data_type());
    };
    Ok(match to {
        Arrow::Date32 => map::<Date32Type>(values, to, |v| v as i32),
        Arrow::Interval(_) => map::<IntervalYearMonthType>(values, to, |v| v as i32),
        Arrow::Duration(_) => map::<DurationMicrosecondType>(values, to, |v| v as i64),
        Arrow::Timestamp(..) => map::<TimestampMicrosecondType>(values, to, |v| v as i64),
        Arrow::Int8 => map::<arrow::datatypes::Int8Type>(values, to, |v| v as i32 as i8),
        Arrow::Int16 => map::<arrow::datatypes::Int16Type>(values, to, |v| v as i32 as i16),
        Arrow::Int32 => map::<Int32Type>(values, to, |v| v as i32),
        Arrow::Int64 => map::<Int64Type>(values, to, |v| v as i64),
        Arrow::Float32 => map::<arrow::datatypes::Float32Type>(values, to, |v| v as f32),
        other => arrow::compute::cast(values, other)?,
    })
}
