//! Parts that stand in a query more than once are computed once.
//!
//! A common table expression is analyzed anew wherever its name stands, and filters move into each of its places on their
//! own. What is still the same after that, but for the numbers of its columns, becomes one part, planned once, and a
//! [`ReusedExec`] in each of its places. In one process the first reader that asks has it computed and the others read what
//! is kept; on a cluster it is a stage that all of them read. (Spark's ReuseExchange, where parts need no exchange.)

mod exec;
mod find;
mod node;
mod rows;

pub use exec::ReusedExec;
pub(crate) use exec::{Part, reveal};
pub(crate) use find::find;
pub(crate) use node::ReusedNode;
