//! The most frequent value.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, ListArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as Arrow, Field, FieldRef, Int64Type},
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

use crate::text::murmur3;

/// (value, which of equally frequent ones: `""`, `"least"` or `"largest"`)
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Mode {
    signature: Signature,
}

impl Default for Mode {
    fn default() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Mode {
    fn name(&self) -> &str {
        "spark_mode"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[Arrow]) -> DfResult<Arrow> {
        match args.first() {
            Some(t) => Ok(t.clone()),
            None => exec_err!("the mode of nothing"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        let values = Arrow::new_list(args.return_field.data_type().clone(), true);
        let counts = Arrow::new_list(Arrow::Int64, true);
        Ok(vec![Arc::new(Field::new("values", values, true)), Arc::new(Field::new("counts", counts, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        let among = args.exprs.get(1).and_then(|e| e.downcast_ref::<Literal>()).map(Literal::value);
        let among = match among.and_then(|v| v.try_as_str()).flatten() {
            Some("least") => Among::Least,
            Some("largest") => Among::Largest,
            _ => Among::Any,
        };
        Ok(Box::new(Counts {
            among,
            data_type: args.return_field.data_type().clone(),
            places: HashMap::new(),
            values: Vec::new(),
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Among {
    Any,
    Least,
    Largest,
}

#[derive(Debug)]
struct Counts {
    among: Among,
    data_type: Arrow,
    places: HashMap<ScalarValue, usize>,
    /// In the order in which they came.
    values: Vec<(ScalarValue, i64)>,
}

impl Counts {
    fn add(&mut self, value: ScalarValue, count: i64) {
        match self.places.get(&value) {
            Some(place) => self.values[*place].1 += count,
            None => {
                self.places.insert(value.clone(), self.values.len());
                self.values.push((value, count));
            }
        }
    }
}

/// Java's hash code of a value in Spark's row, where it is simple.
pub(crate) fn hash_code(value: &ScalarValue) -> Option<i32> {
    let of_long = |v: i64| (v ^ ((v as u64) >> 32) as i64) as i32;
    Some(match value {
        ScalarValue::Boolean(Some(v)) => {
            if *v {
                1231
            } else {
                1237
            }
        }
        ScalarValue::Int8(Some(v)) => i32::from(*v),
        ScalarValue::Int16(Some(v)) => i32::from(*v),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) | ScalarValue::IntervalYearMonth(Some(v)) => *v,
        ScalarValue::Int64(Some(v))
        | ScalarValue::TimestampMicrosecond(Some(v), _)
        | ScalarValue::DurationMicrosecond(Some(v))
        | ScalarValue::Time64Nanosecond(Some(v)) => of_long(*v),
        ScalarValue::Float32(Some(v)) => v.to_bits() as i32,
        ScalarValue::Float64(Some(v)) => of_long(v.to_bits() as i64),
        ScalarValue::Utf8(Some(v)) => murmur3(v.as_bytes(), 42),
        _ => return None,
    })
}

/// The values as Spark's hash table holds them: of equally frequent ones it answers the first.
fn in_table_order(values: &[(ScalarValue, i64)]) -> Vec<usize> {
    let hashes: Option<Vec<i32>> = values.iter().map(|(v, _)| hash_code(v)).collect();
    let Some(hashes) = hashes else { return (0..values.len()).collect() };
    let place = |table: &[Option<usize>], value: usize| {
        let mask = table.len() - 1;
        let mut at = murmur3(&hashes[value].to_le_bytes(), 0) as u32 as usize & mask;
        let mut step = 1;
        while table[at].is_some() {
            at = (at + step) & mask;
            step += 1;
        }
        at
    };
    let mut table: Vec<Option<usize>> = vec![None; 64];
    for value in 0..values.len() {
        let at = place(&table, value);
        table[at] = Some(value);
        if value + 1 > (0.7 * table.len() as f64) as usize {
            let mut larger = vec![None; table.len() * 2];
            for value in table.into_iter().flatten() {
                let at = place(&larger, value);
                larger[at] = Some(value);
            }
            table = larger;
        }
    }
    table.into_iter().flatten().collect()
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let values = &values[0];
        for row in 0..values.len() {
            if !values.is_null(row) && *values.data_type() != Arrow::Null {
                self.add(ScalarValue::try_from_array(values, row)?, 1);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let Some(most) = self.values.iter().map(|(_, count)| *count).max() else {
            return ScalarValue::try_from(&self.data_type);
        };
        let frequent = |place: &usize| self.values[*place].1 == most;
        let best = match self.among {
            Among::Any => in_table_order(&self.values).into_iter().find(frequent),
            _ => (0..self.values.len()).filter(frequent).reduce(|best, other| {
                let order = self.values[other].0.partial_cmp(&self.values[best].0);
                let wanted =
                    if self.among == Among::Least { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
                if order == Some(wanted) { other } else { best }
            }),
        };
        match best {
            Some(place) => Ok(self.values[place].0.clone()),
            None => exec_err!("no value is frequent"),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.iter().map(|(v, _)| 2 * v.size() + 24).sum::<usize>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let values = if self.values.is_empty() {
            arrow::array::new_empty_array(&self.data_type)
        } else {
            ScalarValue::iter_to_array(self.values.iter().map(|(v, _)| v.clone()))?
        };
        let counts: Int64Array = self.values.iter().map(|(_, count)| Some(*count)).collect();
        let list = |array: ArrayRef| -> DfResult<ScalarValue> {
            let field = Arc::new(Field::new_list_field(array.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([array.len()]);
            Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, array, None)?)))
        };
        Ok(vec![list(values)?, list(Arc::new(counts))?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in 0..values.len() {
            if values.is_null(row) {
                continue;
            }
            let (values, counts) = (values.value(row), counts.value(row));
            let counts = counts.as_primitive::<Int64Type>();
            for i in 0..values.len() {
                self.add(ScalarValue::try_from_array(&values, i)?, counts.value(i));
            }
        }
        Ok(())
    }
}
