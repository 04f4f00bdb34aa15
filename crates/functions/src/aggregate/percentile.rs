//! Exact percentiles, interpolated or by rank; and the moments of `skewness` and `kurtosis`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType as Arrow, Field, FieldRef, Float64Type, Int64Type},
};
use datafusion::{
    common::exec_err,
    error::Result as DfResult,
    logical_expr::{
        Accumulator, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    physical_expr::expressions::Literal,
    scalar::ScalarValue,
};

/// (value double, percentage double or array<double> literal[, frequency bigint])
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Percentile {
    name: &'static str,
    /// Between two values the one in proportion; otherwise the value at the rank.
    interpolate: bool,
    signature: Signature,
}

impl Percentile {
    pub(super) fn new(name: &'static str, interpolate: bool) -> Self {
        Self { name, interpolate, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

fn double_list() -> Arrow {
    Arrow::List(Arc::new(Field::new("item", Arrow::Float64, true)))
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[Arrow]) -> DfResult<Arrow> {
        Ok(if matches!(args.get(1), Some(Arrow::List(_))) { double_list() } else { Arrow::Float64 })
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        let counts = Arrow::List(Arc::new(Field::new("item", Arrow::Int64, true)));
        Ok(vec![Arc::new(Field::new("values", double_list(), true)), Arc::new(Field::new("counts", counts, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        let wanted = args.exprs.get(1).and_then(|e| e.downcast_ref::<Literal>()).map(Literal::value);
        let (percentages, many) = match wanted {
            Some(ScalarValue::Float64(Some(p))) => (vec![*p], false),
            Some(ScalarValue::List(list)) if list.len() == 1 => {
                (list.value(0).as_primitive::<Float64Type>().iter().flatten().collect(), true)
            }
            _ => return exec_err!("{}: the percentages must be a literal", self.name),
        };
        Ok(Box::new(Values {
            values: Vec::new(),
            counts: (args.exprs.len() > 2).then(Vec::new),
            percentages,
            many,
            interpolate: self.interpolate,
            distinct: args.is_distinct,
        }))
    }
}

#[derive(Debug)]
struct Values {
    values: Vec<f64>,
    /// How often each value counts; nothing when every one counts once.
    counts: Option<Vec<i64>>,
    percentages: Vec<f64>,
    many: bool,
    interpolate: bool,
    distinct: bool,
}

impl Values {
    /// Sorted pairs of value and the number of values up to and with it.
    fn sorted(&self) -> Vec<(f64, i64)> {
        let mut pairs: Vec<(f64, i64)> = match &self.counts {
            Some(counts) => self.values.iter().copied().zip(counts.iter().copied()).collect(),
            None => self.values.iter().map(|v| (*v, 1)).collect(),
        };
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        if self.distinct {
            pairs.dedup_by(|a, b| a.0 == b.0);
        }
        let mut total = 0;
        for pair in &mut pairs {
            total += pair.1;
            pair.1 = total;
        }
        pairs
    }

    /// The value at a 0-based position.
    fn at(pairs: &[(f64, i64)], position: i64) -> f64 {
        let index = pairs.partition_point(|(_, upto)| *upto <= position);
        pairs.get(index).or(pairs.last()).map_or(f64::NAN, |p| p.0)
    }

    fn answer(&self, pairs: &[(f64, i64)], percentage: f64) -> Option<f64> {
        let total = pairs.last()?.1;
        if total <= 0 {
            return None;
        }
        if !self.interpolate {
            let rank = (percentage * total as f64).ceil() as i64;
            return Some(Self::at(pairs, rank.clamp(1, total) - 1));
        }
        let position = (total - 1) as f64 * percentage;
        let (lower, higher) = (position.floor(), position.ceil());
        let low = Self::at(pairs, lower as i64);
        if lower == higher {
            return Some(low);
        }
        let high = Self::at(pairs, higher as i64);
        if low == high {
            return Some(low);
        }
        Some((higher - position) * low + (position - lower) * high)
    }

    fn push(&mut self, values: &ArrayRef, counts: Option<&ArrayRef>) -> DfResult<()> {
        let values = values.as_primitive::<Float64Type>();
        match (counts, &mut self.counts) {
            (Some(counts), Some(known)) => {
                let counts = counts.as_primitive::<Int64Type>();
                for row in 0..values.len() {
                    if values.is_valid(row) && counts.is_valid(row) {
                        let count = counts.value(row);
                        if count < 0 {
                            return Err(crate::errors::external(firesteel_plan::SparkError::new(
                                "INVALID_PARAMETER_VALUE.LONG",
                                "22023",
                                format!(
                                    "The value of parameter(s) `frequency` in `percentile` is invalid: negative values found in {count}"
                                ),
                            )));
                        }
                        if count > 0 {
                            self.values.push(values.value(row) + 0.0);
                            known.push(count);
                        }
                    }
                }
            }
            _ => self.values.extend(values.iter().flatten().map(crate::operators::canonical_f64)),
        }
        Ok(())
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.push(&values[0], values.get(2))
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let pairs = self.sorted();
        if !self.many {
            let p = self.percentages.first().copied().unwrap_or(0.5);
            return Ok(ScalarValue::Float64(self.answer(&pairs, p)));
        }
        if pairs.is_empty() {
            return ScalarValue::try_from(&double_list());
        }
        let all: Vec<ScalarValue> =
            self.percentages.iter().map(|p| ScalarValue::Float64(self.answer(&pairs, *p))).collect();
        Ok(ScalarValue::List(ScalarValue::new_list_nullable(&all, &Arrow::Float64)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * 8 + self.counts.as_ref().map_or(0, |c| c.capacity() * 8)
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let values = arrow::array::Float64Array::from(std::mem::take(&mut self.values));
        let counts = arrow::array::Int64Array::from(self.counts.as_mut().map(std::mem::take).unwrap_or_default());
        let list = |array: ArrayRef| -> DfResult<ScalarValue> {
            let field = Arc::new(Field::new("item", array.data_type().clone(), true));
            let offsets = arrow::buffer::OffsetBuffer::from_lengths([array.len()]);
            Ok(ScalarValue::List(Arc::new(arrow::array::ListArray::try_new(field, offsets, array, None)?)))
        };
        Ok(vec![list(Arc::new(values))?, list(Arc::new(counts))?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in 0..values.len() {
            if values.is_null(row) {
                continue;
            }
            let counts = counts.is_valid(row).then(|| counts.value(row)).filter(|_| self.counts.is_some());
            self.push(&values.value(row), counts.as_ref())?;
        }
        Ok(())
    }
}

/// `skewness` and `kurtosis` of doubles.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Moments {
    name: &'static str,
    signature: Signature,
}

impl Moments {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Moments {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[Arrow]) -> DfResult<Arrow> {
        Ok(Arrow::Float64)
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        Ok(["n", "mean", "m2", "m3", "m4"].iter().map(|n| Arc::new(Field::new(*n, Arrow::Float64, true))).collect())
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        Ok(Box::new(MomentsState { kurtosis: self.name == "spark_kurtosis", m: [0.0; 5] }))
    }
}

#[derive(Debug)]
struct MomentsState {
    kurtosis: bool,
    /// n, mean, and the sums of the 2nd to 4th powers of the differences from it.
    m: [f64; 5],
}

impl MomentsState {
    fn merge(&mut self, other: [f64; 5]) {
        let [n1, a1, b1, c1, d1] = self.m;
        let [n2, a2, b2, c2, d2] = other;
        let n = n1 + n2;
        if n2 == 0.0 {
            return;
        }
        let delta = a2 - a1;
        let dn = if n == 0.0 { 0.0 } else { delta / n };
        let mean = a1 + dn * n2;
        let m2 = b1 + b2 + delta * dn * n1 * n2;
        let m3 = c1 + c2 + dn * dn * delta * n1 * n2 * (n1 - n2) + 3.0 * dn * (n1 * b2 - n2 * b1);
        let m4 = d1
            + d2
            + dn * dn * dn * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
            + 6.0 * dn * dn * (n1 * n1 * b2 + n2 * n2 * b1)
            + 4.0 * dn * (n1 * c2 - n2 * c1);
        self.m = [n, mean, m2, m3, m4];
    }
}

impl Accumulator for MomentsState {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        for v in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.merge([1.0, v, 0.0, 0.0, 0.0]);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let [n, _, m2, m3, m4] = self.m;
        if n == 0.0 {
            return Ok(ScalarValue::Float64(None));
        }
        if m2 == 0.0 {
            return Ok(ScalarValue::Float64(None));
        }
        Ok(ScalarValue::Float64(Some(if self.kurtosis {
            n * m4 / (m2 * m2) - 3.0
        } else {
            n.sqrt() * m3 / (m2 * m2 * m2).sqrt()
        })))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(self.m.iter().map(|v| ScalarValue::Float64(Some(*v))).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        for row in 0..states[0].len() {
            let mut other = [0.0; 5];
            for (value, state) in other.iter_mut().zip(states) {
                *value = state.as_primitive::<Float64Type>().value(row);
            }
            self.merge(other);
        }
        Ok(())
    }
}
