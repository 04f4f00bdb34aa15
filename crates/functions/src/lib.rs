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
mod json;
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
mod xml;

pub use aggregate::{AggregateArgs, ResolvedAggregate, single_value};
pub use arrays::{arrays_zip, subscript};
pub use lambda::{HigherOrder, all_higher_order_udfs};
pub use random::TaskOptions;
pub use registry::{FunctionDef, FunctionKind};
pub use text::char_types;
pub use typed::{EvalMode, FunctionContext, Legacy, Typed};
pub use udf::{all_udafs, all_udfs, all_udwfs};
