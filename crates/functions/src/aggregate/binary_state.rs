//! Aggregates whose state between two steps is one binary: sketches, bitmaps, histograms.

use std::{fmt::Debug, sync::Arc};

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType as Arrow, Field, FieldRef},
};
use datafusion::{
    error::Result as DfResult,
    logical_expr::{
        Accumulator, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    physical_expr::expressions::Literal,
    scalar::ScalarValue,
};
use firesteel_plan::SparkError;

use crate::{errors::external, udf::Bytes};

/// What such an aggregate has seen so far.
pub(crate) trait BinaryState: Debug + Send + Sync {
    /// Takes in rows: one column an argument, constants repeated.
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()>;

    /// Takes in what another state became in [`Self::bytes`], unless that is empty: then nothing was seen there.
    fn merge(&mut self, bytes: &[u8]) -> DfResult<()>;

    /// Takes in each binary of a column: the update of an aggregate whose rows are such states themselves.
    fn merge_all(&mut self, states: &ArrayRef) -> DfResult<()> {
        let bytes = Bytes::new(states, false)?;
        (0..states.len()).filter_map(|row| bytes.get(row)).try_for_each(|state| self.merge(state))
    }

    fn bytes(&self) -> DfResult<Vec<u8>>;

    fn answer(&self) -> DfResult<ScalarValue> {
        Ok(ScalarValue::Binary(Some(self.bytes()?)))
    }

    fn size(&self) -> usize;
}

/// What a state is made from.
pub(crate) struct Call<'a> {
    pub types: Vec<Arrow>,
    constants: Vec<Option<&'a ScalarValue>>,
    pub return_type: &'a Arrow,
}

impl Call<'_> {
    pub(crate) fn int(&self, index: usize) -> DfResult<i32> {
        match self.constants.get(index).copied().flatten() {
            Some(ScalarValue::Int32(Some(v))) => Ok(*v),
            other => {
                Err(external(SparkError::internal(format!("argument {index} of an aggregate is {other:?}, no int"))))
            }
        }
    }

    pub(crate) fn double(&self, index: usize) -> DfResult<f64> {
        match self.constants.get(index).copied().flatten() {
            Some(ScalarValue::Float64(Some(v))) => Ok(*v),
            other => {
                Err(external(SparkError::internal(format!("argument {index} of an aggregate is {other:?}, no double"))))
            }
        }
    }

    pub(crate) fn flag(&self, index: usize) -> bool {
        matches!(self.constants.get(index).copied().flatten(), Some(ScalarValue::Boolean(Some(true))))
    }

    pub(crate) fn text(&self, index: usize) -> DfResult<&str> {
        match self.constants.get(index).copied().flatten().and_then(|v| v.try_as_str()).flatten() {
            Some(text) => Ok(text),
            None => Err(external(SparkError::internal(format!("argument {index} of an aggregate is no text literal")))),
        }
    }
}

type Make = fn(&Call<'_>) -> DfResult<Box<dyn BinaryState>>;
type Answers = fn(&[Arrow]) -> DfResult<Arrow>;

/// One of these aggregates.
pub(crate) struct BinaryAggregate {
    name: &'static str,
    answers: Answers,
    make: Make,
    signature: Signature,
}

impl BinaryAggregate {
    pub(crate) fn new(name: &'static str, make: Make) -> Self {
        Self::answering(name, |_| Ok(Arrow::Binary), make)
    }

    pub(crate) fn answering(name: &'static str, answers: Answers, make: Make) -> Self {
        Self { name, answers, make, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl Debug for BinaryAggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for BinaryAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for BinaryAggregate {}

impl std::hash::Hash for BinaryAggregate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for BinaryAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[Arrow]) -> DfResult<Arrow> {
        (self.answers)(args)
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("state", Arrow::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        let constants = args.exprs.iter().map(|e| e.downcast_ref::<Literal>().map(Literal::value)).collect();
        let types = args.expr_fields.iter().map(|f| f.data_type().clone()).collect();
        let call = Call { types, constants, return_type: args.return_field.data_type() };
        Ok(Box::new(Holder((self.make)(&call)?)))
    }
}

#[derive(Debug)]
struct Holder(Box<dyn BinaryState>);

impl Accumulator for Holder {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.0.update(values)
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        self.0.answer()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.size()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.0.bytes()?))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let bytes = Bytes::new(&states[0], false)?;
        (0..states[0].len())
            .filter_map(|row| bytes.get(row))
            .filter(|state| !state.is_empty())
            .try_for_each(|state| self.0.merge(state))
    }
}

/// Little-endian numbers and counted bytes of a state, read one after the other.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> DfResult<&'a [u8]> {
        match self.0.split_at_checked(count) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => Err(external(SparkError::internal("the state of an aggregate is cut off"))),
        }
    }

    pub(crate) fn long(&mut self) -> DfResult<i64> {
        let bytes = self.take(8)?;
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes);
        Ok(i64::from_le_bytes(eight))
    }

    pub(crate) fn double(&mut self) -> DfResult<f64> {
        self.long().map(|bits| f64::from_bits(bits as u64))
    }
}
