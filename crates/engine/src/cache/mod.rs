//! Data that is kept: cached relations.
//!
//! The driver's [`CacheManager`] knows which logical plans are cached and puts a [`CachedTable`] in the place of every equal
//! part of a query. Its scan, [`InMemoryTableScanExec`], has each partition read from the [`CacheStore`] of this process, else
//! from that of a peer, else computed from the relation's own plan and kept (Spark's getOrElseUpdate). The [`BlockMaster`]
//! knows where blocks are, so that lost ones are made again and nothing else.

mod access;
mod batch;
mod canonical;
mod codec;
mod column;
mod exec;
mod level;
mod manager;
mod master;
mod pruning;
mod read;
mod relation;
mod remote;
mod store;
mod table;

use std::fmt;

pub use self::{
    access::CacheAccess,
    canonical::{SourceIdentity, canonical},
    codec::CacheScanCodec,
    exec::{InMemoryTableScanExec, cached_reads, explain, reads_cache},
    level::StorageLevel,
    manager::{CacheManager, PreparePlan, scan_as},
    master::{BlockMaster, BlockReport, CacheEndpoint, RelationSummary},
    read::{METRIC_COMPUTED, METRIC_HITS, METRIC_PRUNED, METRIC_REMOTE},
    relation::{CacheSettings, CachedRelation},
    remote::replicate,
    store::{CacheStore, ServedFrame, Serving},
    table::CachedTable,
};

/// One partition of a cached relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId {
    pub relation: u64,
    pub partition: u32,
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As Spark names them.
        write!(f, "rdd_{}_{}", self.relation, self.partition)
    }
}
