//! Functions of dates, times and intervals.

mod arith;
pub(crate) mod calendar;
pub(crate) mod doubles;
mod fields;
mod formats;
pub(crate) mod interval;
mod make;
pub(crate) mod pattern;
pub(crate) mod text;
pub(crate) mod time;
mod timestamps;
mod truncate;
mod units;
pub mod zone;

use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = arith::udfs();
    all.extend(doubles::udfs());
    all.extend(fields::udfs());
    all.extend(formats::udfs());
    all.extend(make::udfs());
    all.extend(truncate::udfs());
    all.extend(time::udfs());
    all.extend(timestamps::udfs());
    all.extend(units::udfs());
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    let mut all = fields::functions();
    all.extend(formats::functions());
    all.extend(make::functions());
    all.extend(truncate::functions());
    all.extend(time::functions());
    all.extend(timestamps::functions());
    all.extend(units::functions());
    all
}
