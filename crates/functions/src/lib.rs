//! Spark's types in Arrow, and Spark's casts, operators and functions as DataFusion expressions.
//!
//! The analyzer resolves names and calls this crate with typed arguments; it answers typed expressions whose implicit
//! casts are already inserted by Spark's rules. Where an expression of DataFusion has exactly Spark's meaning it is used,
//! since the optimizer knows it; elsewhere the expression calls a function defined here. Those functions are stateless:
//! whatever they need (mode, time zone, target type) is in their name or among their arguments, so that a plan can be
//! decoded in another process by name ([`all_udfs`], [`all_udafs`], [`all_udwfs`]).

pub mod aggregate;
pub mod arrays;
pub mod cast;
pub mod coercion;
mod datetime;
pub mod errors;
pub mod generator;
pub mod hive;
pub mod json;
pub mod lambda;
pub mod literal;
mod numeric;
pub mod operators;
mod random;
pub mod registry;
mod scalar;
mod shapes;
mod sketch;
mod text;
mod typed;
pub mod types;
mod udf;
mod variant;
pub mod window;
pub mod xml;

pub use aggregate::{AggregateArgs, ResolvedAggregate, single_value};
pub use arrays::{arrays_zip, subscript};
pub use lambda::{HigherOrder, all_higher_order_udfs};
pub use random::TaskOptions;
pub use registry::{FunctionDef, FunctionKind};
pub use text::char_types;
pub use typed::{EvalMode, FunctionContext, Legacy, Typed};
pub use udf::{all_udafs, all_udfs, all_udwfs};

/// The moment that a text names, in microseconds since the epoch, in `zone` unless it names its own; nothing when it names none.
pub fn instant(text: &str, zone: &str) -> firesteel_plan::SparkResult<Option<i64>> {
    let zone = datetime::zone::Zone::parse(zone)?;
    let parsed = datetime::text::parse_timestamp(text).filter(|p| p.date.is_some());
    Ok(parsed.and_then(|p| Some(p.zone.unwrap_or(zone).to_utc(p.local(0)?))))
}
