//! The order of a collected set: that of Scala's hash set, which Spark collects in.

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, UInt32Array},
    buffer::OffsetBuffer,
    datatypes::{
        ArrowPrimitiveType, DataType as Arrow, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimeUnit, TimestampMicrosecondType,
    },
};
use datafusion::error::Result as DfResult;
use std::sync::Arc;

use crate::{
    arrays::list,
    text::murmur3,
    udf::{Args, Ret, Text, Udf},
};

/// Spark's seed of a string's own hash.
const SEED: i32 = 42;

pub(crate) fn udfs() -> Vec<Udf> {
    vec![Udf::new("spark_set_order", Ret::Arg(0), in_set_order)]
}

fn long_hash(value: i64) -> i32 {
    i32::try_from(value).unwrap_or((value ^ (value as u64 >> 32) as i64) as i32)
}

/// Equal numbers have the same hash, whatever their type.
fn double_hash(value: f64) -> i32 {
    if f64::from(value as i32) == value {
        return value as i32;
    }
    if value as i64 as f64 == value {
        return long_hash(value as i64);
    }
    if f64::from(value as f32) == value {
        return (value as f32).to_bits() as i32;
    }
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    (bits ^ (bits >> 32)) as i32
}

fn each<T: ArrowPrimitiveType>(values: &ArrayRef, hash: impl Fn(T::Native) -> i32) -> Vec<i32> {
    values.as_primitive::<T>().values().iter().map(|v| hash(*v)).collect()
}

/// The hashes of the values; nothing of types whose order stays as it is.
fn hashes(values: &ArrayRef) -> DfResult<Option<Vec<i32>>> {
    Ok(Some(match values.data_type() {
        Arrow::Boolean => {
            let values = values.as_boolean();
            (0..values.len()).map(|i| if values.value(i) { 1231 } else { 1237 }).collect()
        }
        Arrow::Int8 => each::<Int8Type>(values, i32::from),
        Arrow::Int16 => each::<Int16Type>(values, i32::from),
        Arrow::Int32 => each::<Int32Type>(values, |v| v),
        Arrow::Date32 => each::<Date32Type>(values, |v| v),
        Arrow::Int64 => each::<Int64Type>(values, long_hash),
        Arrow::Timestamp(TimeUnit::Microsecond, _) => each::<TimestampMicrosecondType>(values, long_hash),
        Arrow::Float32 => each::<Float32Type>(values, |v| double_hash(f64::from(v))),
        Arrow::Float64 => each::<Float64Type>(values, double_hash),
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => {
            let texts = Text::new(values, false)?;
            (0..values.len()).map(|i| murmur3(texts.get(i).unwrap_or_default().as_bytes(), SEED)).collect()
        }
        _ => return Ok(None),
    }))
}

/// The table of a set doubles before it is three quarters full.
fn buckets(count: usize) -> u32 {
    let mut buckets: u32 = 16;
    while count as u64 >= u64::from(buckets / 4 * 3) && buckets < 1 << 30 {
        buckets *= 2;
    }
    buckets
}

fn in_set_order(args: &Args<'_>) -> DfResult<ArrayRef> {
    let lists = list(&args.array(0)?)?;
    let Some(hashes) = hashes(lists.values())? else { return args.array(0) };
    let mut order: Vec<u32> = Vec::with_capacity(lists.values().len());
    let mut lengths = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let range = lists.value_offsets()[row] as u32..lists.value_offsets()[row + 1] as u32;
        let mask = buckets(range.len()) - 1;
        let mut keyed: Vec<(u32, i32, u32)> = range
            .map(|i| {
                let hash = hashes[i as usize] as u32;
                let mixed = hash ^ (hash >> 16);
                (mixed & mask, mixed as i32, i)
            })
            .collect();
        keyed.sort_by_key(|(bucket, mixed, _)| (*bucket, *mixed));
        lengths.push(keyed.len());
        order.extend(keyed.into_iter().map(|(_, _, i)| i));
    }
    let values = arrow::compute::take(lists.values(), &UInt32Array::from(order), None)?;
    let Arrow::List(field) = lists.data_type() else { return args.array(0) };
    let lists =
        ListArray::try_new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), values, lists.nulls().cloned())?;
    Ok(Arc::new(lists))
}

#[cfg(test)]
mod tests {
    use super::{buckets, double_hash, long_hash};

    #[test]
    fn numbers_hash_by_value() {
        assert_eq!(long_hash(7), double_hash(7.0));
        assert_eq!(long_hash(1 << 40), double_hash((1_u64 << 40) as f64));
        assert_eq!(long_hash(-1), -1);
        assert_eq!(double_hash(0.5), 0.5_f32.to_bits() as i32);
    }

    #[test]
    fn a_table_grows_before_it_is_full() {
        assert_eq!([buckets(0), buckets(11), buckets(12), buckets(24)], [16, 16, 32, 64]);
    }
}
