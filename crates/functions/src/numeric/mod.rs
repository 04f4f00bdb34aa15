//! Functions of numbers.

pub(crate) mod decimal;
mod math;
mod rounding;

use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = math::udfs();
    all.extend(rounding::udfs());
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    let mut all = math::functions();
    all.extend(rounding::functions());
    all
}
