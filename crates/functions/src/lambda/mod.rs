//! Higher-order functions: those that take a lambda.
//!
//! Elements of all rows are laid out in one column, the lambda is evaluated over it once, and its answers are put back
//! into rows. `aggregate` evaluates once for every position instead.

mod collection;
mod fold;
mod resolve;
mod sort;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, UInt32Array},
    compute::{take, take_arrays},
    datatypes::{DataType as Arrow, Field, FieldRef},
};
use datafusion::{
    common::{exec_err, plan_err},
    error::Result as DfResult,
    logical_expr::{
        ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF,
        HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda, Volatility,
    },
};
use firesteel_plan::{SparkError, SparkResult};

pub use resolve::{Lambda, Parameter};

use crate::registry::FunctionDef;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HigherOrder {
    Transform,
    Filter,
    Exists,
    ForAll,
    Aggregate,
    ZipWith,
    MapFilter,
    TransformKeys,
    TransformValues,
    MapZipWith,
    ArraySort,
}

const ALL: [(&str, HigherOrder); 12] = [
    ("transform", HigherOrder::Transform),
    ("filter", HigherOrder::Filter),
    ("exists", HigherOrder::Exists),
    ("forall", HigherOrder::ForAll),
    ("aggregate", HigherOrder::Aggregate),
    ("reduce", HigherOrder::Aggregate),
    ("zip_with", HigherOrder::ZipWith),
    ("map_filter", HigherOrder::MapFilter),
    ("transform_keys", HigherOrder::TransformKeys),
    ("transform_values", HigherOrder::TransformValues),
    ("map_zip_with", HigherOrder::MapZipWith),
    ("array_sort", HigherOrder::ArraySort),
];

/// `array_sort` has a form without a lambda too, which is a plain function.
pub(crate) fn functions() -> Vec<FunctionDef> {
    ALL.into_iter()
        .filter(|(name, _)| *name != "array_sort")
        .map(|(name, of)| FunctionDef::higher_order(name, of))
        .collect()
}

static UDFS: LazyLock<HashMap<HigherOrder, Arc<HigherOrderUDF>>> = LazyLock::new(|| {
    ALL.into_iter().map(|(_, of)| (of, Arc::new(HigherOrderUDF::new_from_impl(Udf::new(of))))).collect()
});

/// Every higher-order function that an expression made by this crate may call.
pub fn all_higher_order_udfs() -> Vec<Arc<HigherOrderUDF>> {
    UDFS.values().cloned().collect()
}

fn udf(of: HigherOrder) -> SparkResult<Arc<HigherOrderUDF>> {
    UDFS.get(&of).cloned().ok_or_else(|| SparkError::internal(format!("no function {of:?} is registered")))
}

/// Its arguments: values, lambdas, and a null of the result's type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Udf {
    of: HigherOrder,
    signature: HigherOrderSignature,
}

impl Udf {
    fn new(of: HigherOrder) -> Self {
        Self { of, signature: HigherOrderSignature::variadic_any(Volatility::Immutable) }
    }
}

impl HigherOrderUDFImpl for Udf {
    fn name(&self) -> &str {
        match self.of {
            HigherOrder::Transform => "spark_transform",
            HigherOrder::Filter => "spark_filter",
            HigherOrder::Exists => "spark_exists",
            HigherOrder::ForAll => "spark_forall",
            HigherOrder::Aggregate => "spark_aggregate",
            HigherOrder::ZipWith => "spark_zip_with",
            HigherOrder::MapFilter => "spark_map_filter",
            HigherOrder::TransformKeys => "spark_transform_keys",
            HigherOrder::TransformValues => "spark_transform_values",
            HigherOrder::MapZipWith => "spark_map_zip_with",
            HigherOrder::ArraySort => "spark_array_sort_by",
        }
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn lambda_parameters(
        &self,
        _step: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> DfResult<LambdaParametersProgress> {
        let values: Vec<&Arrow> = fields
            .iter()
            .filter_map(|f| match f {
                ValueOrLambda::Value(field) => Some(field.data_type()),
                ValueOrLambda::Lambda(_) => None,
            })
            .collect();
        let value = |i: usize| match values.get(i) {
            Some(t) => Ok(*t),
            None => plan_err!("{} has no argument {i}", self.name()),
        };
        let parameters = |types: Vec<Arrow>| -> Vec<FieldRef> {
            types.into_iter().map(|t| Arc::new(Field::new("parameter", t, true))).collect()
        };
        let first = value(0)?;
        let lambdas = match self.of {
            HigherOrder::Transform | HigherOrder::Filter | HigherOrder::Exists | HigherOrder::ForAll => {
                vec![parameters(vec![item_type(first)?, Arrow::Int32])]
            }
            HigherOrder::Aggregate => {
                let zero = value(1)?.clone();
                vec![parameters(vec![zero.clone(), item_type(first)?]), parameters(vec![zero])]
            }
            HigherOrder::ZipWith => vec![parameters(vec![item_type(first)?, item_type(value(1)?)?])],
            HigherOrder::ArraySort => vec![parameters(vec![item_type(first)?, item_type(first)?])],
            HigherOrder::MapFilter | HigherOrder::TransformKeys | HigherOrder::TransformValues => {
                let (key, item) = entry_types(first)?;
                vec![parameters(vec![key, item])]
            }
            HigherOrder::MapZipWith => {
                let ((key, left), (_, right)) = (entry_types(first)?, entry_types(value(1)?)?);
                vec![parameters(vec![key, left, right])]
            }
        };
        Ok(LambdaParametersProgress::Complete(lambdas))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> DfResult<FieldRef> {
        match args.arg_fields.last() {
            Some(ValueOrLambda::Value(field)) => Ok(Arc::new(Field::new(self.name(), field.data_type().clone(), true))),
            _ => plan_err!("{} without the type of its result", self.name()),
        }
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> DfResult<ColumnarValue> {
        let call = Call::new(self.of, &args)?;
        let result = match self.of {
            HigherOrder::Aggregate => fold::aggregate(&call)?,
            HigherOrder::ArraySort => sort::by_comparator(&call)?,
            HigherOrder::Transform => collection::transform(&call)?,
            HigherOrder::Filter => collection::filter(&call)?,
            HigherOrder::Exists => collection::quantified(&call, true)?,
            HigherOrder::ForAll => collection::quantified(&call, false)?,
            HigherOrder::ZipWith => collection::zip_with(&call)?,
            HigherOrder::MapFilter => collection::map_filter(&call)?,
            HigherOrder::TransformKeys => collection::transform_entries(&call, true)?,
            HigherOrder::TransformValues => collection::transform_entries(&call, false)?,
            HigherOrder::MapZipWith => collection::map_zip_with(&call)?,
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn item_type(list: &Arrow) -> DfResult<Arrow> {
    match list {
        Arrow::List(field) => Ok(field.data_type().clone()),
        other => plan_err!("{other} is not an array"),
    }
}

fn entry_types(map: &Arrow) -> DfResult<(Arrow, Arrow)> {
    if let Arrow::Map(entries, _) = map
        && let Arrow::Struct(fields) = entries.data_type()
        && let [key, value] = fields.as_ref()
    {
        return Ok((key.data_type().clone(), value.data_type().clone()));
    }
    plan_err!("{map} is not a map")
}

/// One call's arguments.
struct Call<'a> {
    values: Vec<ArrayRef>,
    lambdas: Vec<&'a LambdaArgument>,
    rows: usize,
    return_type: &'a Arrow,
}

impl<'a> Call<'a> {
    fn new(of: HigherOrder, args: &'a HigherOrderFunctionArgs) -> DfResult<Self> {
        let rows = args.number_rows;
        let mut call = Self { values: Vec::new(), lambdas: Vec::new(), rows, return_type: args.return_type() };
        for arg in &args.args {
            match arg {
                ValueOrLambda::Value(value) => call.values.push(value.to_array(rows)?),
                ValueOrLambda::Lambda(lambda) => call.lambdas.push(lambda),
            }
        }
        // The last is there for its type.
        call.values.pop();
        if call.lambdas.is_empty() || call.values.is_empty() {
            return exec_err!("{of:?} without its arguments");
        }
        Ok(call)
    }

    fn value(&self, index: usize) -> DfResult<&ArrayRef> {
        match self.values.get(index) {
            Some(value) => Ok(value),
            None => exec_err!("argument {index} of a higher-order function is not there"),
        }
    }
}

/// Evaluates a lambda over columns that hold its parameters, `rows[i]` being the row that entry `i` is of.
fn evaluate(lambda: &LambdaArgument, parameters: &[ArrayRef], rows: &UInt32Array) -> DfResult<ArrayRef> {
    let columns: Vec<_> = parameters.iter().map(|p| move || Ok(Arc::clone(p))).collect();
    let columns: Vec<&dyn Fn() -> DfResult<ArrayRef>> = columns.iter().map(|c| c as _).collect();
    lambda.evaluate(&columns, |captured| Ok(take_arrays(captured, rows, None)?))?.into_array(rows.len())
}

fn booleans(array: &ArrayRef) -> DfResult<BooleanArray> {
    match array.as_any().downcast_ref::<BooleanArray>() {
        Some(a) => Ok(a.clone()),
        None if array.data_type() == &Arrow::Null => Ok(BooleanArray::new_null(array.len())),
        None => exec_err!("a condition of type {}", array.data_type()),
    }
}

fn taken(values: &ArrayRef, indices: Vec<u32>) -> DfResult<ArrayRef> {
    let whole = indices.len() == values.len() && indices.iter().enumerate().all(|(i, at)| *at as usize == i);
    if whole { Ok(Arc::clone(values)) } else { Ok(take(values, &UInt32Array::from(indices), None)?) }
}
