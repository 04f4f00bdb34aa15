//! The exchange between stages: sort-based and blocking.
//!
//! A map task writes one data file and one index. The data file holds, run after run, the rows of each reduce partition
//! as Arrow IPC batches ([`block`]); a run is what fitted in the task's memory. The index says where each partition's
//! parts are. Readers ask an executor for the blocks of many map tasks at once and decode them as they come.
//!
//! An executor that leaves hands its outputs over, whole, to others ([`transfer`]) or to the object store ([`tier`]).
//! Readers that come too late follow the blocks there.

pub mod block;
mod client;
mod error;
mod fetch;
mod frame;
mod held;
mod index;
mod inventory;
mod limits;
mod reader;
mod source;
mod store;
mod tier;
mod transfer;
mod transport;
mod writer;

pub use block::{BlockCompression, BlockDecoder, BlockEncoder};
pub use client::{BlockClient, MAX_MESSAGE_BYTES};
pub use error::FetchFailedError;
pub use fetch::fetch_result;
pub use inventory::{StoredOutput, StoredShuffle};
pub use limits::FetchLimits;
pub use reader::{BlockRange, METRIC_BYTES, METRIC_WAIT, ShuffleReadMetrics, ShuffleReaderCodec, ShuffleReaderExec};
pub use source::{BlockSources, MapOutputLocation, MapOutputLocations, MapOutputSource, ShuffleAccess};
pub use store::{BlockStore, MapOutputId, StoreError, StoredBlock};
pub use tier::ShuffleTier;
pub use transfer::{IncomingOutput, OutputReader};
pub use transport::{BlockChunk, BlockServer, BlockStream, is_block_connection};
pub use writer::{ShuffleWriter, ShuffleWriterOptions, WrittenOutput};
