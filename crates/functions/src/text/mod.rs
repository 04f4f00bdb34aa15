use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    Vec::new()
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    Vec::new()
}
