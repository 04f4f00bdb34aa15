//! What is known of the values in a batch's columns.

use arrow::{array::ArrayRef, array::RecordBatch, datatypes::DataType};
use datafusion::{
    common::{Result, ScalarValue},
    functions_aggregate::min_max::{MaxAccumulator, MinAccumulator},
    logical_expr::Accumulator,
};

/// Longer strings are not kept as bounds.
const MAX_BOUND_BYTES: usize = 256;

/// One entry a column.
#[derive(Debug, Default)]
pub struct BatchStatistics(pub Vec<ColumnBounds>);

#[derive(Debug, Default, Clone)]
pub struct ColumnBounds {
    /// `None`: not known, or there is no value but nulls.
    pub min: Option<ScalarValue>,
    pub max: Option<ScalarValue>,
    pub nulls: usize,
}

impl BatchStatistics {
    pub fn of(batch: &RecordBatch) -> Result<Self> {
        batch.columns().iter().map(bounds).collect::<Result<Vec<_>>>().map(Self)
    }
}

fn bounds(array: &ArrayRef) -> Result<ColumnBounds> {
    let nulls = array.logical_null_count();
    if !ordered(array.data_type()) || nulls == array.len() {
        return Ok(ColumnBounds { nulls, ..ColumnBounds::default() });
    }
    let (mut min, mut max) = (MinAccumulator::try_new(array.data_type())?, MaxAccumulator::try_new(array.data_type())?);
    min.update_batch(std::slice::from_ref(array))?;
    max.update_batch(std::slice::from_ref(array))?;
    let (min, max) = (min.evaluate()?, max.evaluate()?);
    Ok(ColumnBounds { min: lower(min), max: upper(max), nulls })
}

fn ordered(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_floating()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Decimal128(..)
                | DataType::Date32
                | DataType::Timestamp(..)
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
        )
}

/// Zeros are equal whatever their sign, and NaN is above all: comparisons of bounds must not think otherwise.
fn lower(value: ScalarValue) -> Option<ScalarValue> {
    match value {
        ScalarValue::Float32(Some(0.0)) => Some(ScalarValue::Float32(Some(-0.0))),
        ScalarValue::Float64(Some(0.0)) => Some(ScalarValue::Float64(Some(-0.0))),
        ScalarValue::Float32(Some(v)) if v.is_nan() => None,
        ScalarValue::Float64(Some(v)) if v.is_nan() => None,
        other => short(other),
    }
}

fn upper(value: ScalarValue) -> Option<ScalarValue> {
    match value {
        // Whether it found NaNs is not sure: nothing is said.
        ScalarValue::Float32(_) | ScalarValue::Float64(_) => None,
        other => short(other),
    }
}

fn short(value: ScalarValue) -> Option<ScalarValue> {
    match &value {
        ScalarValue::Utf8(Some(s)) | ScalarValue::LargeUtf8(Some(s)) | ScalarValue::Utf8View(Some(s)) => {
            (s.len() <= MAX_BOUND_BYTES).then_some(value)
        }
        v if v.is_null() => None,
        _ => Some(value),
    }
}
