//! Exchanges that a person asks for (`REPARTITION(n)`, `COALESCE(n)`, DISTRIBUTE BY): DataFusion takes its own repartitions out of
//! a plan and puts others in as it sees fit, these stay where they are.

mod exec;
mod node;
mod planner;
mod rules;

pub use exec::ExchangeExec;
pub use node::{Exchange, ExchangeNode};
pub use planner::Planner;
pub use rules::KeepAsked;
