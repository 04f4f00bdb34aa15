//! The driver with real executors on threads of this process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adaptive;
mod application;
mod cached;
mod control;
mod damage;
mod decommission;
mod exchanges;
mod iterations;
mod losses;
mod recovery;
mod scripts;
mod sharing;
mod spill;
mod tpch;
mod traces;
