//! Where readers learn where outputs are.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::Result;
use firesteel_protocol::{
    ExecutorId, ShuffleId,
    proto::{self, FetchBlocksRequest},
};
use tonic::Status;

use super::{BlockClient, BlockStore, ShuffleTier, transport::BlockStream};

/// The outputs of one shuffle, as of one epoch.
#[derive(Debug, Clone)]
pub struct MapOutputLocations {
    pub epoch: u64,
    pub num_maps: u32,
    /// The shuffle's name with executors: another one where its outputs are those of an earlier driver's tasks.
    pub stored_as: ShuffleId,
    /// One entry an executor, and one for the store.
    pub places: Vec<MapOutputLocation>,
}

#[derive(Debug, Clone)]
pub struct MapOutputLocation {
    /// `None`: the store behind the executors.
    pub executor: Option<ExecutorId>,
    /// `host:port` of its service; of the store, the folder.
    pub address: String,
    /// Map index and attempt of each output, by map index.
    pub outputs: Vec<(u32, u64)>,
}

impl From<proto::MapOutputs> for MapOutputLocations {
    fn from(message: proto::MapOutputs) -> Self {
        let places = message
            .locations
            .into_iter()
            .map(|location| {
                let mut outputs: Vec<_> = location.map_indexes.into_iter().zip(location.attempts).collect();
                outputs.sort_unstable();
                MapOutputLocation {
                    executor: Some(location.executor_id).filter(|id| !id.is_empty()).map(ExecutorId::from),
                    address: location.address,
                    outputs,
                }
            })
            .collect();
        let stored_as = ShuffleId(message.stored_as);
        Self { epoch: message.epoch, num_maps: message.num_maps, stored_as, places }
    }
}

/// Answers where the outputs of a shuffle are.
#[async_trait]
pub trait MapOutputSource: std::fmt::Debug + Send + Sync {
    /// As of `epoch` or later where that is known; otherwise asked for anew.
    async fn locations(&self, shuffle: ShuffleId, epoch: u64) -> Result<Arc<MapOutputLocations>>;
}

/// What a [`super::ShuffleReaderExec`] reads through: an extension of its task's session configuration.
#[derive(Debug, Clone)]
pub struct ShuffleAccess {
    pub source: Arc<dyn MapOutputSource>,
    pub client: BlockClient,
    /// The store behind the executors.
    pub tier: ShuffleTier,
    /// The executor that the task runs on and its own blocks, which are read without the network.
    pub local: Option<(ExecutorId, Arc<BlockStore>)>,
}

impl ShuffleAccess {
    pub(super) fn sources(&self) -> BlockSources {
        let locations = Some(self.source.clone());
        BlockSources { client: self.client.clone(), tier: self.tier.clone(), locations }
    }
}

/// From where blocks are fetched that are not on this executor.
#[derive(Debug, Clone)]
pub struct BlockSources {
    pub client: BlockClient,
    pub tier: ShuffleTier,
    /// Who knows where blocks have moved to.
    pub locations: Option<Arc<dyn MapOutputSource>>,
}

impl BlockSources {
    /// The blocks asked for, in the order asked for; empty ones are left out.
    pub(super) async fn open(
        &self,
        executor: Option<&ExecutorId>,
        address: &str,
        request: FetchBlocksRequest,
    ) -> Result<BlockStream, Status> {
        match executor {
            Some(_) => self.client.fetch(address, request).await,
            None => self.tier.read(address, request).await,
        }
    }
}
