//! The engine below the plan: sessions, storage, file sources and sinks, and everything that makes one DataFusion plan
//! run as the stages of a distributed job.

pub mod adaptive;
pub mod cache;
pub mod codec;
pub mod error;
pub mod exchange;
pub mod join;
pub mod memory;
pub mod optimize;
pub mod program;
pub mod recursion;
pub mod reuse;
pub mod session;
pub mod shuffle;
pub mod source;
pub mod stage;
pub mod storage;
pub mod task;
pub mod write;

pub use session::{EngineOptions, EngineSession, ExecutionMode, fit_batches};
