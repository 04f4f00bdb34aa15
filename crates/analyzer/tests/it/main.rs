//! Analysis against what real Spark answered, and plans that run.

#![allow(clippy::unwrap_used, clippy::panic)]

mod queries;
mod recorded;
mod server_health;
mod statements;
mod support;
mod tpch;
mod variables;
mod warehouse_catalog;
