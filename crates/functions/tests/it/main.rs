#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may unwrap as tests do")]

mod aggregates;
mod expressions;
mod resolve;
