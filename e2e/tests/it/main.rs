//! The crate's integration tests, in one binary.

// clippy.toml lets tests unwrap; in their helper functions only this does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod s3_server;
