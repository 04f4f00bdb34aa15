//! The only value of a group: what a scalar subquery answers.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt64Array},
    datatypes::{DataType as Arrow, Field, FieldRef, UInt64Type},
};
use datafusion::{
    common::exec_err,
    error::Result as DfResult,
    logical_expr::{
        Accumulator, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    scalar::ScalarValue,
};
use firesteel_plan::SparkError;

use crate::errors::external;

/// Null of no rows, an error of more than one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SingleValue {
    signature: Signature,
}

impl Default for SingleValue {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &str {
        "single_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[Arrow]) -> DfResult<Arrow> {
        match args.first() {
            Some(t) => Ok(t.clone()),
            None => exec_err!("a single value of nothing"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        let value = args.return_field.data_type().clone();
        Ok(vec![Arc::new(Field::new("value", value, true)), Arc::new(Field::new("rows", Arrow::UInt64, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        Ok(Box::new(Single { value: ScalarValue::try_from(args.return_type())?, rows: 0 }))
    }
}

#[derive(Debug)]
struct Single {
    value: ScalarValue,
    rows: u64,
}

impl Single {
    fn add(&mut self, values: &ArrayRef, at: usize, rows: u64) -> DfResult<()> {
        if rows > 0 {
            self.value = ScalarValue::try_from_array(values, at)?;
        }
        self.rows += rows;
        if self.rows > 1 {
            return Err(external(SparkError::new(
                "SCALAR_SUBQUERY_TOO_MANY_ROWS",
                "21000",
                "More than one row returned by a subquery used as an expression.",
            )));
        }
        Ok(())
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        match values[0].len() {
            0 => Ok(()),
            rows => self.add(&values[0], 0, rows as u64),
        }
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.size()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::UInt64(Some(self.rows))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let rows: &UInt64Array = states[1].as_primitive::<UInt64Type>();
        for at in 0..rows.len() {
            self.add(&states[0], at, rows.value(at))?;
        }
        Ok(())
    }
}
