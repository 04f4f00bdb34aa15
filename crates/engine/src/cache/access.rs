//! What a task knows of blocks on other executors.

use std::collections::HashMap;

use firesteel_protocol::proto::CachedLocation;

use super::BlockId;
use crate::shuffle::BlockClient;

/// An extension of a task's session configuration.
#[derive(Debug, Clone)]
pub struct CacheAccess {
    pub client: BlockClient,
    /// Addresses of the executors that hold blocks the task reads, but its own.
    pub peers: HashMap<BlockId, Vec<String>>,
}

impl CacheAccess {
    /// `own` is the address of the executor that the task runs on.
    pub fn new(client: BlockClient, own: &str, locations: Vec<CachedLocation>) -> Self {
        let peers = locations.into_iter().map(|location| {
            let id = BlockId { relation: location.relation, partition: location.partition };
            (id, location.addresses.into_iter().filter(|address| address != own).collect())
        });
        Self { client, peers: peers.collect() }
    }
}
