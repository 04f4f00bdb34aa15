//! Functions of dates, times and intervals.

pub(crate) mod calendar;
pub(crate) mod interval;
pub(crate) mod text;
pub mod zone;

use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    Vec::new()
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    Vec::new()
}
