//! Random numbers as Spark draws them from a seed, and what else depends on a task's partition and the row's place in it.

mod generators;
mod resolve;
mod task;

pub use self::task::TaskOptions;
pub(crate) use self::{generators::JavaRandom, resolve::functions};

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array},
    datatypes::{DataType as Arrow, Float64Type, Int32Type, Int64Type},
};
use datafusion::{error::Result as DfResult, logical_expr::ScalarUDF, scalar::ScalarValue};
use firesteel_plan::SparkError;

use self::{
    generators::{MersenneTwister, XorShift},
    task::{TaskFunction, TaskState},
};
use crate::{
    errors::external,
    udf::{Args, Ret, numbers, strings},
};

/// Functions whose answers go on from one batch of a task to the next.
pub(crate) fn task_udfs() -> Vec<ScalarUDF> {
    let double = || Ret::Fixed(Arrow::Float64);
    [
        TaskFunction::new("spark_rand", double(), |state, args| {
            let random = xor_shift(state, args, 0)?;
            numbers::<Float64Type>(args, |_| Ok(Some(random.next_double())))
        }),
        TaskFunction::new("spark_randn", double(), |state, args| {
            let random = xor_shift(state, args, 0)?;
            numbers::<Float64Type>(args, |_| Ok(Some(random.next_gaussian())))
        }),
        // (seed, length)
        TaskFunction::new("spark_randstr", Ret::Fixed(Arrow::Utf8), |state, args| {
            let length = match args.scalar(1) {
                Some(ScalarValue::Int32(Some(length))) => *length,
                _ => return Err(external(SparkError::internal("randstr without a length"))),
            };
            let random = xor_shift(state, args, 0)?;
            strings(args, args.rows * length as usize, |_, out| {
                out.extend((0..length).map(|_| {
                    let v = (random.next_int() % 62).unsigned_abs() as u8;
                    char::from(match v {
                        0..10 => b'0' + v,
                        10..36 => b'a' + (v - 10),
                        _ => b'A' + (v - 36),
                    })
                }));
                Ok(true)
            })
        }),
        // (array, seed)
        TaskFunction::new("spark_shuffle", Ret::Arg(0), shuffle),
        TaskFunction::new("spark_partition_id", Ret::Fixed(Arrow::Int32), |state, args| {
            let partition = i32::try_from(state.partition).ok();
            numbers::<Int32Type>(args, |_| Ok(partition))
        }),
        TaskFunction::new("spark_monotonically_increasing_id", Ret::Fixed(Arrow::Int64), |state, args| {
            let first = (state.partition << 33) + state.rows;
            state.rows += args.rows as i64;
            numbers::<Int64Type>(args, |row| Ok(Some(first + row as i64)))
        }),
    ]
    .into_iter()
    .map(ScalarUDF::new_from_impl)
    .collect()
}

fn seed(args: &Args<'_>, index: usize) -> DfResult<i64> {
    match args.scalar(index) {
        Some(ScalarValue::Int64(Some(seed))) => Ok(*seed),
        _ => Err(external(SparkError::internal(format!("{} without a seed", args.name)))),
    }
}

/// The task's generator; each partition has its own seed.
fn xor_shift<'a>(state: &'a mut TaskState, args: &Args<'_>, index: usize) -> DfResult<&'a mut XorShift> {
    let seed = seed(args, index)?.wrapping_add(state.partition);
    Ok(state.xor_shift.get_or_insert_with(|| XorShift::new(seed)))
}

fn shuffle(state: &mut TaskState, args: &Args<'_>) -> DfResult<ArrayRef> {
    let seed = seed(args, 1)?.wrapping_add(state.partition);
    let random = state.twister.get_or_insert_with(|| MersenneTwister::new(seed));
    let array = args.array(0)?;
    let lists = array.as_list::<i32>();
    let mut places = UInt32Array::builder(lists.values().len());
    let mut lengths = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let count = if lists.is_valid(row) { lists.value_length(row) } else { 0 };
        let start = lists.value_offsets()[row] as u32;
        let mut order: Vec<u32> = (start..start + count as u32).collect();
        for i in (1..order.len()).rev() {
            order.swap(random.next_below(i as i32 + 1) as usize, i);
        }
        places.append_slice(&order);
        lengths.push(count as usize);
    }
    let values = arrow::compute::take(lists.values(), &places.finish(), None)?;
    let Arrow::List(field) = lists.data_type() else {
        return Err(external(SparkError::internal("shuffle of something that is no list")));
    };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(arrow::array::ListArray::try_new(Arc::clone(field), offsets, values, lists.nulls().cloned())?))
}
