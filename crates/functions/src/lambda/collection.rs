//! Lambdas over the elements of arrays and the entries of maps, all rows at once.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, MapArray, UInt32Array},
    buffer::{NullBuffer, OffsetBuffer},
    compute::take,
    datatypes::DataType as Arrow,
    row::{RowConverter, SortField},
};
use datafusion::{common::exec_err, error::Result as DfResult};

use super::{Call, booleans, evaluate, taken};
use crate::arrays::{list, map_array};

/// The elements of all rows that are not null, one after another.
pub(super) struct Elements {
    /// Indices into the collection's values.
    pub at: Vec<u32>,
    /// The row of each.
    pub rows: UInt32Array,
    /// How many each row has.
    pub lengths: Vec<usize>,
}

impl Elements {
    pub fn of(offsets: &[i32], nulls: Option<&NullBuffer>) -> Self {
        let (mut at, mut rows, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(offsets.len()));
        for (row, range) in offsets.windows(2).enumerate() {
            if nulls.is_some_and(|n| n.is_null(row)) {
                lengths.push(0);
                continue;
            }
            at.extend((range[0]..range[1]).map(|i| i as u32));
            rows.extend(std::iter::repeat_n(row as u32, (range[1] - range[0]) as usize));
            lengths.push((range[1] - range[0]) as usize);
        }
        Self { at, rows: UInt32Array::from(rows), lengths }
    }

    fn positions(&self) -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(self.lengths.iter().flat_map(|n| 0..*n as i32)))
    }

    /// For each row the range of its elements.
    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let mut end = 0;
        self.lengths.iter().map(move |n| {
            let start = end;
            end += n;
            start..end
        })
    }
}

struct Evaluated {
    list: ListArray,
    elements: Elements,
    values: ArrayRef,
    result: ArrayRef,
}

fn over_elements(call: &Call<'_>) -> DfResult<Evaluated> {
    let list = list(call.value(0)?)?;
    let elements = Elements::of(list.value_offsets(), list.nulls());
    let values = taken(list.values(), elements.at.clone())?;
    let result = evaluate(call.lambdas[0], &[Arc::clone(&values), elements.positions()], &elements.rows)?;
    Ok(Evaluated { list, elements, values, result })
}

fn list_of(
    return_type: &Arrow,
    values: ArrayRef,
    lengths: Vec<usize>,
    nulls: Option<NullBuffer>,
) -> DfResult<ArrayRef> {
    let Arrow::List(field) = return_type else { return exec_err!("{return_type} is not an array") };
    let values = if values.data_type() == field.data_type() {
        values
    } else {
        arrow::compute::cast(&values, field.data_type())?
    };
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), values, nulls)?))
}

pub(super) fn transform(call: &Call<'_>) -> DfResult<ArrayRef> {
    let Evaluated { list, elements, result, .. } = over_elements(call)?;
    list_of(call.return_type, result, elements.lengths, list.nulls().cloned())
}

pub(super) fn filter(call: &Call<'_>) -> DfResult<ArrayRef> {
    let Evaluated { list, elements, values, result } = over_elements(call)?;
    let keep = booleans(&result)?;
    let kept = |i: usize| keep.is_valid(i) && keep.value(i);
    let lengths = elements.ranges().map(|range| range.filter(|i| kept(*i)).count()).collect();
    let values = arrow::compute::filter(&values, &keep)?;
    list_of(call.return_type, values, lengths, list.nulls().cloned())
}

/// `exists` and `forall`, with three values: unknown where nothing decides and something is null.
pub(super) fn quantified(call: &Call<'_>, any: bool) -> DfResult<ArrayRef> {
    let Evaluated { list, elements, result, .. } = over_elements(call)?;
    let result = booleans(&result)?;
    let answers = elements.ranges().enumerate().map(|(row, range)| {
        if list.is_null(row) {
            return None;
        }
        let mut unknown = false;
        for i in range {
            if result.is_null(i) {
                unknown = true;
            } else if result.value(i) == any {
                return Some(any);
            }
        }
        if unknown { None } else { Some(!any) }
    });
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}

/// The shorter array is filled up with nulls.
pub(super) fn zip_with(call: &Call<'_>) -> DfResult<ArrayRef> {
    let (left, right) = (list(call.value(0)?)?, list(call.value(1)?)?);
    let nulls = NullBuffer::union(left.nulls(), right.nulls());
    let (mut l, mut r, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let mut lengths = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            lengths.push(0);
            continue;
        }
        let (ln, rn) = (left.value_length(row), right.value_length(row));
        let (lo, ro) = (left.value_offsets()[row], right.value_offsets()[row]);
        let n = ln.max(rn);
        for i in 0..n {
            l.push((i < ln).then(|| (lo + i) as u32));
            r.push((i < rn).then(|| (ro + i) as u32));
            rows.push(row as u32);
        }
        lengths.push(n as usize);
    }
    let l = take(left.values(), &UInt32Array::from(l), None)?;
    let r = take(right.values(), &UInt32Array::from(r), None)?;
    let result = evaluate(call.lambdas[0], &[l, r], &UInt32Array::from(rows))?;
    list_of(call.return_type, result, lengths, nulls)
}

fn map(array: &ArrayRef) -> DfResult<MapArray> {
    match array.as_map_opt() {
        Some(map) => Ok(map.clone()),
        None => exec_err!("{} is not a map", array.data_type()),
    }
}

pub(super) fn map_filter(call: &Call<'_>) -> DfResult<ArrayRef> {
    let map = map(call.value(0)?)?;
    let elements = Elements::of(map.value_offsets(), map.nulls());
    let (keys, values) = (taken(map.keys(), elements.at.clone())?, taken(map.values(), elements.at.clone())?);
    let result = evaluate(call.lambdas[0], &[Arc::clone(&keys), Arc::clone(&values)], &elements.rows)?;
    let keep = booleans(&result)?;
    let kept = |i: usize| keep.is_valid(i) && keep.value(i);
    let lengths: Vec<usize> = elements.ranges().map(|range| range.filter(|i| kept(*i)).count()).collect();
    let (keys, values) = (arrow::compute::filter(&keys, &keep)?, arrow::compute::filter(&values, &keep)?);
    map_array(call.return_type, keys, values, OffsetBuffer::from_lengths(lengths), map.nulls().cloned())
}

pub(super) fn transform_entries(call: &Call<'_>, keys_change: bool) -> DfResult<ArrayRef> {
    let map = map(call.value(0)?)?;
    let elements = Elements::of(map.value_offsets(), map.nulls());
    let (keys, values) = (taken(map.keys(), elements.at.clone())?, taken(map.values(), elements.at.clone())?);
    let result = evaluate(call.lambdas[0], &[Arc::clone(&keys), Arc::clone(&values)], &elements.rows)?;
    let (keys, values) = if keys_change { (result, values) } else { (keys, result) };
    map_array(call.return_type, keys, values, OffsetBuffer::from_lengths(elements.lengths), map.nulls().cloned())
}

/// The keys of the left map in their order, then those that only the right one has.
pub(super) fn map_zip_with(call: &Call<'_>) -> DfResult<ArrayRef> {
    let (left, right) = (map(call.value(0)?)?, map(call.value(1)?)?);
    let nulls = NullBuffer::union(left.nulls(), right.nulls());
    let converter = RowConverter::new(vec![SortField::new(left.keys().data_type().clone())])?;
    let left_keys = converter.convert_columns(&[Arc::clone(left.keys())])?;
    let right_keys = converter.convert_columns(&[Arc::clone(right.keys())])?;
    let (mut keys, mut l, mut r, mut rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut lengths = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            lengths.push(0);
            continue;
        }
        let range = |offsets: &[i32]| offsets[row] as usize..offsets[row + 1] as usize;
        let mut rest: HashMap<_, _> = range(right.value_offsets()).map(|i| (right_keys.row(i), i as u32)).collect();
        let before = keys.len();
        for i in range(left.value_offsets()) {
            keys.push((0, i));
            l.push(Some(i as u32));
            r.push(rest.remove(&left_keys.row(i)));
        }
        for i in range(right.value_offsets()) {
            if rest.contains_key(&right_keys.row(i)) {
                keys.push((1, i));
                l.push(None);
                r.push(Some(i as u32));
            }
        }
        lengths.push(keys.len() - before);
        rows.extend(std::iter::repeat_n(row as u32, keys.len() - before));
    }
    let keys = arrow::compute::interleave(&[left.keys().as_ref(), right.keys().as_ref()], &keys)?;
    let l = take(left.values(), &UInt32Array::from(l), None)?;
    let r = take(right.values(), &UInt32Array::from(r), None)?;
    let result = evaluate(call.lambdas[0], &[Arc::clone(&keys), l, r], &UInt32Array::from(rows))?;
    map_array(call.return_type, keys, result, OffsetBuffer::from_lengths(lengths), nulls)
}
