//! The command itself, as people call it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fuzz_cases;
mod json_session;
mod masters;
mod writers;
