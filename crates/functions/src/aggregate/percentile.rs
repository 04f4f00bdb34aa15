//! Exact percentiles, interpolated or by rank.

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
            let rank = ((percentage.abs() * total as f64).ceil() as i64).clamp(1, total);
            let from_top = percentage.is_sign_negative();
            return Some(Self::at(pairs, if from_top { total - rank } else { rank - 1 }));
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
