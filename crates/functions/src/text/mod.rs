//! Functions of strings and binaries.

mod format;
mod hashing;
mod regex;
mod simple;

pub(crate) use format::base64;
pub(crate) use hashing::borrowed;

use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = simple::udfs();
    all.extend(regex::udfs());
    all.extend(format::udfs());
    all.extend(hashing::udfs());
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    let mut all = simple::functions();
    all.extend(regex::functions());
    all.extend(format::functions());
    all.extend(hashing::functions());
    all
}
