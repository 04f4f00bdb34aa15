//! Tests of the operator against an API server in memory, and of what it hands out as files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test says so by ending")]

mod build;
mod chart;
mod driver_state;
mod exactly_once;
mod fake_api;
mod files;
mod leader;
mod lifecycle;
