#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod expressions;
mod resolve;
