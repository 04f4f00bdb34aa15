//! Spark's unresolved plan: the one intermediate form that SQL text and Spark Connect messages both become, before any
//! name is looked up. Also Spark's data types, its configuration keys and its errors.
//!
//! Nothing here knows DataFusion, Kubernetes or a wire format.

pub mod conf;
pub mod error;
pub mod expr;
pub mod naming;
pub mod relation;
pub mod statement;
pub mod types;

pub use conf::SparkConf;
pub use error::{SparkError, SparkResult};
pub use expr::{Expr, ExprKind, Ident, Span};
pub use relation::{Relation, RelationKind};
pub use statement::Statement;
pub use types::DataType;
