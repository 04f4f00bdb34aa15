//! The engine's parts together, without a network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adaptive;
mod join;
mod memory;
mod optimize;
mod shuffle;
mod sources;
mod transfer;
mod transport;
