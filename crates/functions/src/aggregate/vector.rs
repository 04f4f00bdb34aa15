//! Sums and averages of vectors (arrays of FLOAT), element by element.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float32Array, ListArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as Arrow, Field, FieldRef, Float32Type, Int64Type},
};
use datafusion::{
    error::Result as DfResult,
    logical_expr::{
        Accumulator, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    scalar::ScalarValue,
};
use firesteel_plan::SparkError;

use crate::errors::external;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct VectorAggregate {
    name: &'static str,
    average: bool,
    signature: Signature,
}

impl VectorAggregate {
    pub(super) fn new(name: &'static str, average: bool) -> Self {
        Self { name, average, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

fn floats() -> Arrow {
    Arrow::List(Arc::new(Field::new("item", Arrow::Float32, true)))
}

impl AggregateUDFImpl for VectorAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[Arrow]) -> DfResult<Arrow> {
        Ok(floats())
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("vector", floats(), true)), Arc::new(Field::new("count", Arrow::Int64, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        Ok(Box::new(Vectors { average: self.average, vector: Vec::new(), count: 0 }))
    }
}

/// The sum, or the average so far, of `count` vectors.
#[derive(Debug)]
struct Vectors {
    average: bool,
    vector: Vec<f32>,
    count: i64,
}

impl Vectors {
    fn add(&mut self, other: &[f32], count: i64) -> DfResult<()> {
        if self.count == 0 {
            self.vector = other.to_vec();
            self.count = count;
            return Ok(());
        }
        if self.vector.len() != other.len() {
            let function = if self.average { "vector_avg" } else { "vector_sum" };
            let (left, right) = (self.vector.len().to_string(), other.len().to_string());
            let error = SparkError::new(
                "VECTOR_DIMENSION_MISMATCH",
                "22000",
                format!("Vectors passed to `{function}` must have the same dimension, but got {left} and {right}."),
            );
            return Err(external(
                error.param("functionName", format!("`{function}`")).param("leftDim", left).param("rightDim", right),
            ));
        }
        self.count += count;
        let share = count as f32 / self.count as f32;
        for (sum, x) in self.vector.iter_mut().zip(other) {
            *sum += if self.average { (x - *sum) * share } else { *x };
        }
        Ok(())
    }
}

/// Each vector of a column with its row; those that are null or have a null inside do not count.
fn each(lists: &ArrayRef, mut f: impl FnMut(usize, &[f32]) -> DfResult<()>) -> DfResult<()> {
    let lists = lists.as_list::<i32>();
    let values = arrow::compute::cast(lists.values(), &Arrow::Float32)?;
    let values = values.as_primitive::<Float32Type>();
    for row in 0..lists.len() {
        if lists.is_null(row) {
            continue;
        }
        let (start, end) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
        if values.null_count() > 0 && (start..end).any(|i| values.is_null(i)) {
            continue;
        }
        if let Some(vector) = values.values().get(start..end) {
            f(row, vector)?;
        }
    }
    Ok(())
}

impl Accumulator for Vectors {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        each(&values[0], |_, vector| self.add(vector, 1))
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&floats());
        }
        let values = Float32Array::from(self.vector.clone());
        let field = Arc::new(Field::new("item", Arrow::Float32, true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(values), None)?)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.vector.capacity() * size_of::<f32>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?, ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let counts = states[1].as_primitive::<Int64Type>().clone();
        each(&states[0], |row, vector| self.add(vector, counts.value(row)))
    }
}
