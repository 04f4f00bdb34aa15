//! Executors as they are, over real sockets, driven by a small driver of the tests' own: plans are cut, sent, run and
//! read back, and the rows are compared with those of the same plan in one process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod data;
mod faults;
mod life;
mod queries;
mod sources;
