//! Tests of the parser through its public functions.

#![cfg(test)]

mod column_names;
mod data_types;
mod keywords;
mod limits;
mod parse_errors;
mod statements;
