//! Analysis against what real Spark answered, and plans that run.

mod queries;
mod recorded;
mod server_health;
mod statements;
mod support;
mod tpch;
