//! XML: `xpath` and its kin, `from_xml`, `to_xml`, `schema_of_xml`.

mod document;
mod xpath;

use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    xpath::udfs()
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    xpath::functions()
}
