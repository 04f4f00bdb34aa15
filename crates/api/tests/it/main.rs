//! Tests of the public face of the crate.

mod crd;
mod pods;
mod validate;
