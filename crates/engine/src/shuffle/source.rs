//! Where readers learn where outputs are.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::Result;
use firesteel_protocol::{ExecutorId, ShuffleId, proto};

use super::{BlockClient, BlockStore};

/// The outputs of one shuffle, as of one epoch.
#[derive(Debug, Clone, Default)]
pub struct MapOutputLocations {
    pub epoch: u64,
    pub num_maps: u32,
    /// One entry an executor.
    pub executors: Vec<MapOutputLocation>,
}

#[derive(Debug, Clone)]
pub struct MapOutputLocation {
    pub executor: ExecutorId,
    /// `host:port` of its service.
    pub address: String,
    /// Map index and attempt of each output, by map index.
    pub outputs: Vec<(u32, u64)>,
}

impl From<proto::MapOutputs> for MapOutputLocations {
    fn from(message: proto::MapOutputs) -> Self {
        let executors = message
            .locations
            .into_iter()
            .map(|location| {
                let mut outputs: Vec<_> = location.map_indexes.into_iter().zip(location.attempts).collect();
                outputs.sort_unstable();
                MapOutputLocation {
                    executor: ExecutorId::from(location.executor_id),
                    address: location.address,
                    outputs,
                }
            })
            .collect();
        Self { epoch: message.epoch, num_maps: message.num_maps, executors }
    }
}

/// Answers where the outputs of a shuffle are.
#[async_trait]
pub trait MapOutputSource: std::fmt::Debug + Send + Sync {
    async fn locations(&self, shuffle: ShuffleId) -> Result<Arc<MapOutputLocations>>;
}

/// What a [`super::ShuffleReaderExec`] reads through: an extension of its task's session configuration.
#[derive(Debug, Clone)]
pub struct ShuffleAccess {
    pub source: Arc<dyn MapOutputSource>,
    pub client: BlockClient,
    /// The executor that the task runs on and its own blocks, which are read without the network.
    pub local: Option<(ExecutorId, Arc<BlockStore>)>,
}
