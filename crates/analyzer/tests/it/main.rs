//! Analysis against what real Spark answered, and plans that run.

mod recorded;
mod support;
mod tpch;
