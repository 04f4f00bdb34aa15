//! Functions of strings and binaries.

mod aes;
pub mod char_types;
mod charset;
mod checks;
mod format;
mod hashing;
mod number_format;
mod number_pattern;
mod regex;
mod sentences;
mod simple;
mod to_text;
mod url;

pub(crate) use format::{base64, unbase64};
pub(crate) use hashing::{borrowed, murmur3};
pub(crate) use regex::split_text;

use crate::{registry::FunctionDef, udf::Udf};

pub(crate) fn udfs() -> Vec<Udf> {
    let mut all = simple::udfs();
    all.extend(regex::udfs());
    all.extend(format::udfs());
    all.extend(number_pattern::udfs());
    all.extend(hashing::udfs());
    all.extend(char_types::udfs());
    all.extend(checks::udfs());
    all.extend(charset::udfs());
    all.extend(to_text::udfs());
    all.extend(url::udfs());
    all.extend(aes::udfs());
    all.extend(sentences::udfs());
    all
}

pub(crate) fn functions() -> Vec<FunctionDef> {
    let mut all = simple::functions();
    all.extend(regex::functions());
    all.extend(format::functions());
    all.extend(hashing::functions());
    all.extend(checks::functions());
    all.extend(charset::functions());
    all.extend(to_text::functions());
    all.extend(url::functions());
    all.extend(aes::functions());
    all.extend(sentences::functions());
    all
}
