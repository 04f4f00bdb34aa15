//! `sum`, `try_sum`, and `avg` of decimals.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, Int64Array, PrimitiveArray,
    },
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{
        DataType as Arrow, Decimal128Type, DurationMicrosecondType, Field, FieldRef, Int64Type, IntervalUnit,
        IntervalYearMonthType, i256,
    },
};
use datafusion::{
    common::exec_err,
    error::Result as DfResult,
    logical_expr::{
        Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    scalar::ScalarValue,
};

use crate::{
    errors::{self, external},
    numeric::decimal::{POW10, fits, round_i256, wide_pow10},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    Sum,
    Average,
}

/// Sums that notice overflow: an error, or null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckedSum {
    name: &'static str,
    what: What,
    /// Overflow is null.
    tolerant: bool,
    signature: Signature,
}

impl CheckedSum {
    pub(super) fn new(name: &'static str, what: What, tolerant: bool) -> Self {
        Self { name, what, tolerant, signature: Signature::any(1, Volatility::Immutable) }
    }

    fn sum_type(input: &Arrow) -> DfResult<Arrow> {
        Ok(match input {
            Arrow::Decimal128(p, s) => Arrow::Decimal128((*p + 10).min(38), *s),
            Arrow::Int64 | Arrow::Duration(_) | Arrow::Interval(IntervalUnit::YearMonth) => input.clone(),
            other => return exec_err!("a sum of {other}"),
        })
    }

    fn groups(&self, input: &Arrow, result: &Arrow) -> DfResult<Box<dyn GroupsAccumulator>> {
        let sum = Self::sum_type(input)?;
        Ok(match input {
            Arrow::Decimal128(..) => Box::new(SumGroups::<Decimal128Type>::new(self, sum, result.clone())),
            Arrow::Int64 => Box::new(SumGroups::<Int64Type>::new(self, sum, result.clone())),
            Arrow::Duration(_) => Box::new(SumGroups::<DurationMicrosecondType>::new(self, sum, result.clone())),
            _ => Box::new(SumGroups::<IntervalYearMonthType>::new(self, sum, result.clone())),
        })
    }
}

fn input_type(args: &AccumulatorArgs<'_>) -> DfResult<Arrow> {
    match args.expr_fields.first() {
        Some(f) => Ok(f.data_type().clone()),
        None => exec_err!("a sum of nothing"),
    }
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[Arrow]) -> DfResult<Arrow> {
        let Some(input) = args.first() else { return exec_err!("a sum of nothing") };
        match (self.what, input) {
            (What::Average, Arrow::Decimal128(p, s)) => Ok(Arrow::Decimal128((*p + 4).min(38), (*s + 4).min(38))),
            _ => Self::sum_type(input),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        let Some(input) = args.input_fields.first() else { return exec_err!("a sum of nothing") };
        if args.is_distinct {
            let item = Arc::new(Field::new("item", input.data_type().clone(), true));
            return Ok(vec![Arc::new(Field::new("values", Arrow::List(item), true))]);
        }
        Ok(vec![
            Arc::new(Field::new("sum", Self::sum_type(input.data_type())?, true)),
            Arc::new(Field::new("count", Arrow::Int64, true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        let inner = One::new(self, input_type(&args)?, args.return_type().clone())?;
        if args.is_distinct {
            return Ok(Box::new(Distinct { inner, seen: HashSet::new() }));
        }
        Ok(Box::new(inner))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn GroupsAccumulator>> {
        self.groups(&input_type(&args)?, args.return_type())
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        Ok(Box::new(One::new(self, input_type(&args)?, args.return_type().clone())?))
    }
}

/// How often a group's sum overflowed is told by a negative count.
const OVERFLOWED: i64 = -1;

struct SumGroups<T: ArrowPrimitiveType> {
    what: What,
    tolerant: bool,
    groups: Vec<Group<T::Native>>,
    sum_type: Arrow,
    result: Arrow,
    /// Values are so small that no number of rows there can be makes their sum too large for its type.
    cannot_overflow: bool,
    any_overflowed: bool,
}

/// Side by side, since they are always needed together.
#[derive(Clone, Copy, Default)]
struct Group<N> {
    sum: N,
    /// Negative: the sum overflowed.
    count: i64,
}

fn overflow(data_type: &Arrow) -> datafusion::error::DataFusionError {
    external(match data_type {
        Arrow::Decimal128(..) => errors::arithmetic_overflow("Overflow in sum of decimals", "try_sum"),
        Arrow::Int64 => errors::arithmetic_overflow("long overflow", "try_sum"),
        _ => errors::interval_overflow("try_add"),
    })
}

/// The average at the result's scale, halves away from zero.
fn average(sum: i128, count: i64, from: i8, result: &Arrow) -> Option<i128> {
    let Arrow::Decimal128(p, s) = result else { return None };
    let up = u32::try_from(*s - from).unwrap_or(0);
    let count = i128::from(count);
    let value = match sum.checked_mul(POW10[up.min(38) as usize]) {
        Some(n) => {
            let (q, r) = (n / count, n % count);
            if r.abs() >= count - r.abs() { q + if n < 0 { -1 } else { 1 } } else { q }
        }
        None => {
            let n = i256::from_i128(sum).wrapping_mul(wide_pow10(up));
            let c = i256::from_i128(count);
            let (q, r) = (n.wrapping_div(c), n.wrapping_rem(c).wrapping_abs());
            let q =
                if r >= c.wrapping_sub(r) { q.wrapping_add(i256::from_i128(if sum < 0 { -1 } else { 1 })) } else { q };
            round_i256(q, 0).to_i128()?
        }
    };
    fits(value, *p).then_some(value)
}

impl<T: ArrowPrimitiveType> SumGroups<T> {
    fn new(of: &CheckedSum, sum_type: Arrow, result: Arrow) -> Self {
        Self {
            what: of.what,
            tolerant: of.tolerant,
            groups: Vec::new(),
            // Ten digits more than the values have, which is what Spark gives a sum as long as there are so many.
            cannot_overflow: matches!(sum_type, Arrow::Decimal128(p, _) if p < 38),
            sum_type,
            result,
            any_overflowed: false,
        }
    }

    #[inline(always)]
    fn add(&mut self, group: usize, value: T::Native, count: i64) -> DfResult<()> {
        let entry = &mut self.groups[group];
        if entry.count < 0 {
            return Ok(());
        }
        match entry.sum.add_checked(value) {
            Ok(sum) => *entry = Group { sum, count: entry.count + count },
            Err(_) => self.overflow_of(group)?,
        }
        Ok(())
    }

    #[cold]
    fn overflow_of(&mut self, group: usize) -> DfResult<()> {
        if !self.tolerant {
            return Err(overflow(&self.sum_type));
        }
        self.groups[group].count = OVERFLOWED;
        self.any_overflowed = true;
        Ok(())
    }

    fn make_room(&mut self, groups: usize) {
        self.groups.resize(groups, Group::default());
    }

    fn take(&mut self, emit: EmitTo) -> (Vec<T::Native>, Vec<i64>) {
        emit.take_needed(&mut self.groups).into_iter().map(|group| (group.sum, group.count)).unzip()
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for SumGroups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.make_room(total_num_groups);
        let values = values[0].as_primitive::<T>();
        if values.null_count() == 0 && opt_filter.is_none() {
            if self.cannot_overflow && !self.any_overflowed {
                for (group, value) in group_indices.iter().zip(values.values()) {
                    let entry = &mut self.groups[*group];
                    *entry = Group { sum: entry.sum.add_wrapping(*value), count: entry.count + 1 };
                }
                return Ok(());
            }
            for (group, value) in group_indices.iter().zip(values.values()) {
                self.add(*group, *value, 1)?;
            }
            return Ok(());
        }
        for (row, group) in group_indices.iter().enumerate() {
            let kept = opt_filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if kept && values.is_valid(row) {
                self.add(*group, values.value(row), 1)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> DfResult<ArrayRef> {
        let (sums, counts) = self.take(emit);
        if let (Arrow::Decimal128(p, s), Arrow::Decimal128(..)) = (&self.sum_type, &self.result) {
            let sums: ArrayRef =
                Arc::new(PrimitiveArray::<T>::new(sums.into(), None).with_data_type(self.sum_type.clone()));
            let sums = sums.as_primitive::<Decimal128Type>();
            let mut result = Vec::with_capacity(counts.len());
            for (row, count) in counts.iter().enumerate() {
                let sum = sums.value(row);
                let value = match (*count, self.what) {
                    (0, _) | (OVERFLOWED, _) => None,
                    (_, What::Sum) if fits(sum, *p) => Some(sum),
                    (n, What::Average) if fits(sum, *p) => average(sum, n, *s, &self.result),
                    _ => None,
                };
                if value.is_none() && *count != 0 && !self.tolerant {
                    return Err(overflow(&self.sum_type));
                }
                result.push(value);
            }
            let result: PrimitiveArray<Decimal128Type> = result.into_iter().collect();
            return Ok(Arc::new(result.with_data_type(self.result.clone())));
        }
        let nulls = NullBuffer::new(BooleanBuffer::collect_bool(counts.len(), |i| counts[i] > 0));
        let array = PrimitiveArray::<T>::new(sums.into(), Some(nulls)).with_data_type(self.sum_type.clone());
        Ok(Arc::new(array))
    }

    fn state(&mut self, emit: EmitTo) -> DfResult<Vec<ArrayRef>> {
        let (sums, counts) = self.take(emit);
        let sums = PrimitiveArray::<T>::new(sums.into(), None).with_data_type(self.sum_type.clone());
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> DfResult<()> {
        self.make_room(total_num_groups);
        let sums = values[0].as_primitive::<T>();
        let counts = values[1].as_primitive::<Int64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            match counts.value(row) {
                0 => {}
                OVERFLOWED => self.overflow_of(*group)?,
                n => self.add(*group, sums.value(row), n)?,
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> DfResult<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<T>();
        let counts: Int64Array = (0..values.len())
            .map(|row| {
                let kept = opt_filter.is_none_or(|f| f.is_valid(row) && f.value(row));
                Some(i64::from(kept && values.is_valid(row)))
            })
            .collect();
        let sums = PrimitiveArray::<T>::new(values.values().clone(), None).with_data_type(self.sum_type.clone());
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Group<T::Native>>()
    }
}

/// Only the first of equal values.
#[derive(Debug)]
struct Distinct {
    inner: One,
    seen: HashSet<ScalarValue>,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for row in 0..values[0].len() {
            if values[0].is_valid(row) {
                self.seen.insert(ScalarValue::try_from_array(&values[0], row)?);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        self.inner.sum = 0;
        self.inner.count = 0;
        if !self.seen.is_empty() {
            let values = ScalarValue::iter_to_array(self.seen.iter().cloned())?;
            self.inner.each(&values, 1)?;
        }
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.seen.iter().map(ScalarValue::size).sum::<usize>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.seen.iter().cloned().collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.inner.input))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        for row in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[row])?;
        }
        Ok(())
    }
}

/// The sum of one group, which rows may leave again (window frames). Wide enough to tell overflow at the end.
#[derive(Debug)]
struct One {
    what: What,
    tolerant: bool,
    sum: i128,
    count: i64,
    input: Arrow,
    sum_type: Arrow,
    result: Arrow,
}

impl One {
    fn new(of: &CheckedSum, input: Arrow, result: Arrow) -> DfResult<Self> {
        let sum_type = CheckedSum::sum_type(&input)?;
        Ok(Self { what: of.what, tolerant: of.tolerant, sum: 0, count: 0, input, sum_type, result })
    }

    /// Nothing when it does not fit.
    fn in_sum_type(&self) -> Option<ScalarValue> {
        let long = i64::try_from(self.sum).ok();
        Some(match &self.sum_type {
            Arrow::Decimal128(p, s) if fits(self.sum, *p) => ScalarValue::Decimal128(Some(self.sum), *p, *s),
            Arrow::Decimal128(..) => return None,
            Arrow::Int64 => ScalarValue::Int64(Some(long?)),
            Arrow::Duration(_) => ScalarValue::DurationMicrosecond(Some(long?)),
            _ => ScalarValue::IntervalYearMonth(Some(i32::try_from(self.sum).ok()?)),
        })
    }

    fn each(&mut self, values: &ArrayRef, sign: i128) -> DfResult<()> {
        let mut total: i128 = 0;
        let mut count = 0;
        let mut add = |v: i128| {
            total = total.saturating_add(v);
            count += 1;
        };
        match &self.input {
            Arrow::Decimal128(..) => values.as_primitive::<Decimal128Type>().iter().flatten().for_each(&mut add),
            Arrow::Int64 => values.as_primitive::<Int64Type>().iter().flatten().for_each(|v| add(i128::from(v))),
            Arrow::Duration(_) => {
                values.as_primitive::<DurationMicrosecondType>().iter().flatten().for_each(|v| add(i128::from(v)));
            }
            _ => values.as_primitive::<IntervalYearMonthType>().iter().flatten().for_each(|v| add(i128::from(v))),
        }
        self.sum = self.sum.saturating_add(sign * total);
        self.count += sign as i64 * count;
        Ok(())
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.each(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.each(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&self.result);
        }
        let value = match (&self.sum_type, &self.result, self.what) {
            (Arrow::Decimal128(p, s), Arrow::Decimal128(rp, rs), What::Average) if fits(self.sum, *p) => {
                average(self.sum, self.count, *s, &self.result).map(|v| ScalarValue::Decimal128(Some(v), *rp, *rs))
            }
            (_, _, What::Average) => None,
            _ => self.in_sum_type(),
        };
        match value {
            Some(v) => Ok(v),
            None if self.tolerant => ScalarValue::try_from(&self.result),
            None => Err(overflow(&self.sum_type)),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let sum = match self.in_sum_type() {
            Some(sum) => sum,
            None if self.tolerant => {
                return Ok(vec![ScalarValue::new_zero(&self.sum_type)?, ScalarValue::Int64(Some(OVERFLOWED))]);
            }
            None => return Err(overflow(&self.sum_type)),
        };
        Ok(vec![sum, ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let counts = states[1].as_primitive::<Int64Type>();
        for row in 0..counts.len() {
            match counts.value(row) {
                0 => {}
                OVERFLOWED => {
                    self.sum = i128::MAX;
                    self.count += 1;
                }
                n => {
                    let before = self.count;
                    self.each(&states[0].slice(row, 1), 1)?;
                    self.count = before + n;
                }
            }
        }
        Ok(())
    }
}
