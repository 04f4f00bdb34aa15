//! How a task learns where its inputs are.

use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result};
use firesteel_engine::shuffle::{MapOutputLocations, MapOutputSource};
use firesteel_protocol::ShuffleId;

use crate::driver::Driver;

/// The locations of shuffles at least as fresh as a task was told.
pub struct TaskInputs {
    pub driver: Arc<Driver>,
    pub epochs: HashMap<ShuffleId, u64>,
}

impl fmt::Debug for TaskInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskInputs").field("epochs", &self.epochs).finish_non_exhaustive()
    }
}

#[async_trait]
impl MapOutputSource for TaskInputs {
    async fn locations(&self, shuffle: ShuffleId, epoch: u64) -> Result<Arc<MapOutputLocations>> {
        let epoch = self.epochs.get(&shuffle).copied().unwrap_or_default().max(epoch);
        self.driver
            .locations(shuffle, epoch)
            .await
            .map_err(|e| DataFusionError::Execution(format!("where the outputs of shuffle {shuffle} are: {e}")))
    }
}
