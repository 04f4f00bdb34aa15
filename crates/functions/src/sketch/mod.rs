//! Sketches: Apache DataSketches' by the library that writes the same form as Spark's, and Spark's own.

mod bitmap;
mod count_min;
mod hll;
mod key;
mod kll;
mod theta;
mod top_k;
mod tuple;

use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    FunctionContext, Typed,
    aggregate::binary_state::BinaryAggregate,
    errors, literal,
    registry::{FunctionDef, want_type},
    udf::Udf,
};

pub(crate) use self::{
    bitmap::resolve as resolve_bitmap, count_min::resolve as resolve_count_min, hll::resolve as resolve_hll,
    kll::resolve as resolve_kll, theta::resolve as resolve_theta, top_k::resolve as resolve_top_k,
    tuple::resolve as resolve_tuple,
};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = hll::udfs();
    all.extend(theta::udfs());
    all.extend(tuple::udfs());
    all.extend(kll::udfs());
    all.extend(bitmap::udfs());
    all.extend(top_k::udfs());
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    let mut all = hll::functions();
    all.extend(theta::functions());
    all.extend(tuple::functions());
    all.extend(kll::functions());
    all.extend(bitmap::functions());
    all.extend(top_k::functions());
    all
}

pub(crate) fn aggregates() -> Vec<BinaryAggregate> {
    let mut all = hll::aggregates();
    all.extend(theta::aggregates());
    all.extend(tuple::aggregates());
    all.extend(kll::aggregates());
    all.extend(bitmap::aggregates());
    all.extend(count_min::aggregates());
    all.extend(top_k::aggregates());
    all
}

/// An aggregate's function and arguments, ready to be called.
pub(crate) struct Resolved {
    pub aggregate: &'static str,
    pub args: Vec<Typed>,
    pub data_type: DataType,
    pub nullable: bool,
}

impl Resolved {
    fn binary(aggregate: &'static str, args: Vec<Typed>) -> Self {
        Self { aggregate, args, data_type: DataType::Binary, nullable: false }
    }
}

/// A parameter that takes these types as they are, without an implicit cast; an untyped null becomes one of the first.
fn exactly(name: &str, index: usize, types: &[DataType], arg: Typed) -> SparkResult<Typed> {
    if arg.data_type == DataType::Null
        && let Some(first) = types.first()
    {
        return literal::null(first);
    }
    let fits = types.iter().any(|t| match (t, &arg.data_type) {
        (DataType::Array { element: a, .. }, DataType::Array { element: b, .. }) => a == b,
        (a, b) if a.is_string() => b.is_string(),
        (a, b) => a == b,
    });
    if fits { Ok(arg) } else { Err(errors::unexpected_input(name, index, &listed(types), &arg)) }
}

/// Types as messages list them: `"INT"`, or `("INT" or "BIGINT")`.
fn listed(types: &[DataType]) -> String {
    let all: Vec<String> = types.iter().map(|t| format!("\"{}\"", errors::sql_type(t))).collect();
    if all.len() == 1 { all.concat() } else { format!("({})", all.join(" or ")) }
}

/// A parameter that is cast to its type where implicit casts can.
fn cast_to(ctx: &FunctionContext, name: &str, index: usize, to: &DataType, arg: Typed) -> SparkResult<Typed> {
    want_type(ctx, name, index, to, &errors::sql_type(to), arg)
}

/// The argument at a place, or what stands for it.
fn or_default(args: &mut Vec<Typed>, index: usize, default: Typed) -> Typed {
    if args.len() > index { args.remove(index) } else { default }
}

/// The number that a constant argument is; null counts as 0.
fn constant_int(value: &Typed) -> Option<i32> {
    use datafusion::scalar::ScalarValue;
    match literal::fold(value)? {
        ScalarValue::Int32(v) => Some(v.unwrap_or(0)),
        v if v.is_null() => Some(0),
        _ => None,
    }
}

/// A check of an argument that Spark makes while it resolves types.
fn type_check(name: &str, inner: &SparkError) -> SparkError {
    let message = format!("[{}] {} SQLSTATE: {}", inner.class(), inner.message(), inner.sql_state());
    errors::datatype_mismatch("TYPE_CHECK_FAILURE_WITH_HINT", format_args!("{name}(…)"), format_args!("{message}"))
        .param("msg", message)
        .param("hint", "")
}

const LG_NOMINAL: std::ops::RangeInclusive<i32> = 4..=26;

fn invalid_lg_nominal(name: &str, value: i32) -> SparkError {
    SparkError::new(
        "SKETCH_INVALID_LG_NOM_ENTRIES",
        "22003",
        format!("Invalid call to `{name}`; the `lgNomEntries` value must be between 4 and 26, inclusive: {value}."),
    )
    .param("function", format!("`{name}`"))
    .param("min", LG_NOMINAL.start().to_string())
    .param("max", LG_NOMINAL.end().to_string())
    .param("value", value.to_string())
}

/// A binary that is no sketch of the wanted kind.
fn invalid_buffer(class: &str, name: &str) -> SparkError {
    SparkError::new(
        class,
        "22000",
        format!("Invalid call to `{name}`; only valid sketch buffers are supported as inputs."),
    )
    .param("function", format!("`{name}`"))
}
