//! Tests of the public face of the crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test says so by ending")]

mod crd;
mod pods;
mod validate;
