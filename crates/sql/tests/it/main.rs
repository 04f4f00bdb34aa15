//! Tests of the parser through its public functions.

mod keywords;
mod limits;
mod parse_errors;
mod statements;
