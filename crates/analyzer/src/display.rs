//! Expressions as text, the way Spark names the columns that have no alias and shows expressions in messages.

pub use firesteel_plan::naming::{as_written, column_name, expr, sort_item};
