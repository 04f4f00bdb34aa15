use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    Vec::new()
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    Vec::new()
}

pub(crate) fn borrowed_udfs() -> Vec<std::sync::Arc<datafusion::logical_expr::ScalarUDF>> {
    Vec::new()
}
