//! The crate's integration tests, in one binary.

mod s3_server;
