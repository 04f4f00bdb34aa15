//! `aggregate(array, start, merge[, finish])`: one evaluation for each position, over all rows that have an element there.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    compute::{interleave, take},
};
use datafusion::error::Result as DfResult;

use super::{Call, evaluate};
use crate::arrays::list;

pub(super) fn aggregate(call: &Call<'_>) -> DfResult<ArrayRef> {
    let list = list(call.value(0)?)?;
    let mut states = Arc::clone(call.value(1)?);
    let length = |row: usize| if list.is_null(row) { 0 } else { list.value_length(row) as usize };
    let longest = (0..call.rows).map(length).max().unwrap_or(0);
    for position in 0..longest {
        let rows: Vec<u32> = (0..call.rows).filter(|row| length(*row) > position).map(|row| row as u32).collect();
        let at =
            rows.iter().map(|row| list.value_offsets()[*row as usize] as u32 + position as u32).collect::<Vec<_>>();
        let items = take(list.values(), &UInt32Array::from(at), None)?;
        let all = rows.len() == call.rows;
        let row_indices = UInt32Array::from(rows);
        let before = if all { Arc::clone(&states) } else { take(&states, &row_indices, None)? };
        let merged = evaluate(call.lambdas[0], &[before, items], &row_indices)?;
        states = if all { merged } else { replaced(&states, &merged, &row_indices)? };
    }
    let finished = match call.lambdas.get(1) {
        Some(finish) => {
            let rows = UInt32Array::from_iter_values(0..call.rows as u32);
            evaluate(finish, &[states], &rows)?
        }
        None => states,
    };
    // Of no array there is no aggregate.
    let Some(nulls) = list.nulls() else { return Ok(finished) };
    let rows: UInt32Array = (0..call.rows).map(|row| nulls.is_valid(row).then_some(row as u32)).collect();
    Ok(take(&finished, &rows, None)?)
}

/// `states` with `merged` in the rows that are named, in order.
fn replaced(states: &ArrayRef, merged: &ArrayRef, rows: &UInt32Array) -> DfResult<ArrayRef> {
    let mut indices: Vec<(usize, usize)> = (0..states.len()).map(|row| (0, row)).collect();
    for (i, row) in rows.values().iter().enumerate() {
        indices[*row as usize] = (1, i);
    }
    Ok(interleave(&[states.as_ref(), merged.as_ref()], &indices)?)
}
