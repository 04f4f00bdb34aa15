//! How DataSketches hash what they count: numbers as eight bytes, arrays as their numbers one after the other.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType as Arrow, Float32Type, Float64Type, Int32Type, Int64Type},
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::DataType;

use crate::udf::{Bytes, Text};

/// Types of keys of theta and tuple sketches, in the order of Spark's messages.
pub(super) fn types() -> Vec<DataType> {
    vec![
        DataType::array(DataType::Integer),
        DataType::array(DataType::Long),
        DataType::Binary,
        DataType::Double,
        DataType::Float,
        DataType::Integer,
        DataType::Long,
        DataType::String,
    ]
}

/// A double as it is hashed: one zero, one NaN.
fn canonical(value: f64) -> [u8; 8] {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
    bits.to_le_bytes()
}

/// Calls `f` with each row and the bytes that are hashed for it. Rows that are null or empty do not count.
pub(super) fn each(column: &ArrayRef, mut f: impl FnMut(usize, &[u8]) -> DfResult<()>) -> DfResult<()> {
    let rows = (0..column.len()).filter(|row| column.is_valid(*row));
    match column.data_type() {
        Arrow::Null => {}
        Arrow::Int32 => {
            let values = column.as_primitive::<Int32Type>();
            for row in rows {
                f(row, &i64::from(values.value(row)).to_le_bytes())?;
            }
        }
        Arrow::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            for row in rows {
                f(row, &values.value(row).to_le_bytes())?;
            }
        }
        Arrow::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            for row in rows {
                f(row, &canonical(f64::from(values.value(row))))?;
            }
        }
        Arrow::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            for row in rows {
                f(row, &canonical(values.value(row)))?;
            }
        }
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => {
            let values = Text::new(column, false)?;
            for row in rows {
                if let Some(text) = values.get(row).filter(|t| !t.is_empty()) {
                    f(row, text.as_bytes())?;
                }
            }
        }
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView => {
            let values = Bytes::new(column, false)?;
            for row in rows {
                if let Some(bytes) = values.get(row).filter(|b| !b.is_empty()) {
                    f(row, bytes)?;
                }
            }
        }
        Arrow::List(_) => {
            let lists = column.as_list::<i32>();
            let mut bytes = Vec::new();
            for row in rows {
                let items = lists.value(row);
                bytes.clear();
                // A null inside counts as zero.
                match items.data_type() {
                    Arrow::Int32 => items
                        .as_primitive::<Int32Type>()
                        .iter()
                        .for_each(|v| bytes.extend(v.unwrap_or(0).to_le_bytes())),
                    Arrow::Int64 => items
                        .as_primitive::<Int64Type>()
                        .iter()
                        .for_each(|v| bytes.extend(v.unwrap_or(0).to_le_bytes())),
                    Arrow::Null => {}
                    other => return exec_err!("a sketch of arrays of {other}"),
                }
                if !bytes.is_empty() {
                    f(row, &bytes)?;
                }
            }
        }
        other => return exec_err!("a sketch of {other}"),
    }
    Ok(())
}
