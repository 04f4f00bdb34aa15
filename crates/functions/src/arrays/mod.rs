//! Arrays, maps and structs.

mod access;
mod build;
mod insert;
mod maps;
mod sets;
mod vector;

pub(crate) use access::list;
pub use access::{field, subscript};
pub(crate) use build::{concat, make_array, map_array};
use firesteel_plan::DataType;
pub use insert::arrays_zip;

use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = access::udfs();
    all.extend(build::udfs());
    all.extend(sets::udfs());
    all.extend(sets::order_udfs());
    all.extend(insert::udfs());
    all.extend(vector::udfs());
    all.extend(maps::udfs());
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    let mut all = access::functions();
    all.extend(build::functions());
    all.extend(sets::functions());
    all.extend(insert::functions());
    all.extend(vector::functions());
    all.extend(maps::functions());
    all
}

pub(crate) fn array_of(element: DataType) -> DataType {
    DataType::Array { element: Box::new(element), contains_null: true }
}
