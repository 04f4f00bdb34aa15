//! From Spark's unresolved plan to DataFusion's: names are looked up, types decided and casts inserted by Spark's rules,
//! statements checked and, where they only change or show the catalog, done.
//!
//! Every column of a plan has a unique name, `name#id`; the [`scope::Scope`] kept beside the plan says what people call
//! it. So DataFusion never has to choose between two columns, and a self-join is nothing special.

mod analyzed;
pub mod catalog;
mod errors;
mod expression;
mod function;
mod query;
mod relation;
mod scope;
mod session;
mod statement;
mod tables;
mod variable;
mod visit;

pub use analyzed::{
    Analyzed, AnalyzedAssign, AnalyzedCache, AnalyzedQuery, AnalyzedWrite, CatalogChange, Evaluated, OutputColumn,
};
pub use session::{Session, time_zone};
