//! `array_sort` with a comparator.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, UInt32Array},
    buffer::OffsetBuffer,
    compute::take,
    datatypes::{DataType as Arrow, Int32Type},
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::SparkError;

use super::{Call, evaluate, taken};
use crate::{arrays::list, errors::external};

/// All arrays are merged in step: in each round every pair of runs advances by one comparison, so that the comparator is
/// evaluated once a round for all of them, and not once for each pair of elements.
pub(super) fn by_comparator(call: &Call<'_>) -> DfResult<ArrayRef> {
    let list = list(call.value(0)?)?;
    let mut order: Vec<u32> = Vec::new();
    let mut bounds: Vec<(usize, usize, u32)> = Vec::new();
    let mut lengths = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let n = if list.is_null(row) { 0 } else { list.value_length(row) as usize };
        let start = list.value_offsets()[row] as u32;
        bounds.push((order.len(), order.len() + n, row as u32));
        order.extend(start..start + n as u32);
        lengths.push(n);
    }
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut width = 1;
    while width < longest {
        let mut merges = Vec::new();
        for (start, end, row) in &bounds {
            let mut at = *start;
            while at + width < *end {
                let (middle, stop) = (at + width, (at + 2 * width).min(*end));
                merges.push(Merge {
                    left: at..middle,
                    right: middle..stop,
                    row: *row,
                    out: Vec::with_capacity(stop - at),
                });
                at = stop;
            }
        }
        merge_all(call, list.values(), &mut order, merges)?;
        width *= 2;
    }
    let Arrow::List(field) = call.return_type else { return exec_err!("{} is not an array", call.return_type) };
    let values = taken(list.values(), order)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, list.nulls().cloned())?))
}

/// Two sorted runs of one array, as ranges of the order.
struct Merge {
    left: std::ops::Range<usize>,
    right: std::ops::Range<usize>,
    row: u32,
    out: Vec<u32>,
}

fn merge_all(call: &Call<'_>, values: &ArrayRef, order: &mut [u32], mut merges: Vec<Merge>) -> DfResult<()> {
    let starts: Vec<usize> = merges.iter().map(|m| m.left.start).collect();
    loop {
        let open: Vec<usize> =
            (0..merges.len()).filter(|i| !merges[*i].left.is_empty() && !merges[*i].right.is_empty()).collect();
        if open.is_empty() {
            break;
        }
        let side = |pick: fn(&Merge) -> usize| -> UInt32Array {
            open.iter().map(|i| order[pick(&merges[*i])]).collect::<Vec<_>>().into()
        };
        let left = take(values, &side(|m| m.left.start), None)?;
        let right = take(values, &side(|m| m.right.start), None)?;
        let rows: UInt32Array = open.iter().map(|i| merges[*i].row).collect::<Vec<_>>().into();
        let compared = evaluate(call.lambdas[0], &[left, right], &rows)?;
        let Some(compared) = compared.as_primitive_opt::<Int32Type>() else {
            return exec_err!("a comparator that answers {}", compared.data_type());
        };
        for (i, at) in open.iter().enumerate() {
            if compared.is_null(i) {
                return Err(external(SparkError::new(
                    "COMPARATOR_RETURNS_NULL",
                    "22004",
                    "The comparator has returned a NULL for a comparison. It should return a positive integer for \
                     \"greater than\", 0 for \"equal\" and a negative integer for \"less than\". To revert to deprecated \
                     behavior where NULL is treated as 0 (equal), you must set \
                     \"spark.sql.legacy.allowNullComparisonResultInArraySort\" to \"true\".",
                )));
            }
            let merge = &mut merges[*at];
            let first = match compared.value(i).cmp(&0) {
                Ordering::Greater => merge.right.next(),
                _ => merge.left.next(),
            };
            merge.out.extend(first.map(|f| order[f]));
        }
    }
    for (merge, start) in merges.into_iter().zip(starts) {
        let rest: Vec<u32> = merge.left.chain(merge.right).map(|i| order[i]).collect();
        for (i, index) in merge.out.into_iter().chain(rest).enumerate() {
            order[start + i] = index;
        }
    }
    Ok(())
}
