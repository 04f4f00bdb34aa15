//! Functions of numbers.

mod bits;
pub(crate) mod decimal;
mod java_exp;
mod math;
mod rounding;

use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = math::udfs();
    all.extend(rounding::udfs());
    all.extend(bits::udfs());
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    let mut all = math::functions();
    all.extend(rounding::functions());
    all.extend(bits::functions());
    all
}
