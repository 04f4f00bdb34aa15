//! The crate's integration tests, in one binary. Names tell the kind of proof: `admit_` is a spec that the API server
//! takes or refuses, `e2e_` a run on a cluster, `fault_` a run in which something is lost.

// clippy.toml lets tests unwrap; in their helper functions only this does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admit;
mod bad_input;
mod elastic;
mod fault;
mod harness;
mod s3_server;
mod server_health;
mod tpch;
